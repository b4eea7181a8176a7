using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests.Kernels;

/// <summary>The storage types of activations, by their name in entries: conversions between f32 values and stored bytes.</summary>
internal static class Storage
{
    public static int Bytes(string dtype) => dtype == "f32" ? 4 : 2;

    /// <summary>Vector length: elements in 16 bytes.</summary>
    public static int Vector(string dtype) => 16 / Bytes(dtype);

    /// <summary>Round to nearest even into the type and back.</summary>
    public static float Round(string dtype, float x) => dtype switch
    {
        "f32" => x,
        "f16" => (float)(Half)x,
        "bf16" => float.IsNaN(x) ? x : BitConverter.UInt32BitsToSingle(RoundBits(BitConverter.SingleToUInt32Bits(x)) << 16),
        _ => throw new ArgumentException(dtype),
    };

    /// <summary>Values to stored bytes; they must be exact in the type.</summary>
    public static byte[] Store(string dtype, ReadOnlySpan<float> values)
    {
        var bytes = new byte[values.Length * Bytes(dtype)];
        for (int i = 0; i < values.Length; i++)
        {
            if (dtype == "f32")
            {
                BitConverter.TryWriteBytes(bytes.AsSpan(4 * i), values[i]);
            }
            else
            {
                ushort bits = dtype == "f16" ? BitConverter.HalfToUInt16Bits((Half)values[i]) : (ushort)(BitConverter.SingleToUInt32Bits(values[i]) >> 16);
                BitConverter.TryWriteBytes(bytes.AsSpan(2 * i), bits);
            }
        }

        return bytes;
    }

    public static float[] Load(string dtype, ReadOnlySpan<byte> bytes)
    {
        var values = new float[bytes.Length / Bytes(dtype)];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = dtype switch
            {
                "f32" => BitConverter.ToSingle(bytes[(4 * i)..]),
                "f16" => (float)BitConverter.ToHalf(bytes[(2 * i)..]),
                _ => BitConverter.UInt32BitsToSingle((uint)BitConverter.ToUInt16(bytes[(2 * i)..]) << 16),
            };
        }

        return values;
    }

    /// <summary>Distance between neighbours of the type around x.</summary>
    public static double Ulp(string dtype, double x)
    {
        (int digits, int least) = dtype switch { "f32" => (24, -149), "f16" => (11, -24), _ => (8, -133) };
        return Math.ScaleB(1, Math.Max(x == 0 ? least : Math.ILogB(x) - digits + 1, least));
    }

    /// <summary>n values of the type: spread over [-scale, scale), from a fixed seed.</summary>
    public static float[] Values(string dtype, int n, int seed, float scale = 1)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, n).Select(_ => Round(dtype, ((random.NextSingle() * 2) - 1) * scale))];
    }

    private static uint RoundBits(uint bits) => (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
}
