using System.Buffers.Binary;
using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Storage types on the host: rounding, packing, spacing.</summary>
internal static class KernelNumbers
{
    /// <summary>The values after one rounding to the storage type: what a kernel and its reference both start from.</summary>
    public static float[] Rounded(ReadOnlySpan<float> values, KernelDType dtype)
    {
        var result = new float[values.Length];
        for (int i = 0; i < result.Length; i++)
        {
            result[i] = (float)Decode(Encode(values[i], dtype), dtype);
        }

        return result;
    }

    /// <summary>Bits of a value, rounded to nearest even.</summary>
    public static uint Encode(float value, KernelDType dtype)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return dtype switch
        {
            KernelDType.F32 => bits,
            KernelDType.F16 => BitConverter.HalfToUInt16Bits((Half)value),
            _ => float.IsNaN(value) ? 0x7FFF : (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16,
        };
    }

    /// <summary>The value of some bits.</summary>
    public static double Decode(uint bits, KernelDType dtype) => dtype switch
    {
        KernelDType.F32 => BitConverter.UInt32BitsToSingle(bits),
        KernelDType.F16 => (double)BitConverter.UInt16BitsToHalf((ushort)bits),
        _ => BitConverter.UInt32BitsToSingle(bits << 16),
    };

    /// <summary>Element <paramref name="index"/> of packed storage.</summary>
    public static double Read(ReadOnlySpan<byte> bytes, long index, KernelDType dtype) => dtype == KernelDType.F32
        ? BinaryPrimitives.ReadSingleLittleEndian(bytes[(int)(4 * index)..])
        : Decode(BinaryPrimitives.ReadUInt16LittleEndian(bytes[(int)(2 * index)..]), dtype);

    /// <summary>Writes element <paramref name="index"/> of packed storage.</summary>
    public static void Write(Span<byte> bytes, long index, float value, KernelDType dtype)
    {
        if (dtype == KernelDType.F32)
        {
            BinaryPrimitives.WriteSingleLittleEndian(bytes[(int)(4 * index)..], value);
        }
        else
        {
            BinaryPrimitives.WriteUInt16LittleEndian(bytes[(int)(2 * index)..], (ushort)Encode(value, dtype));
        }
    }

    /// <summary>Spacing of the storage type at a value: one unit in the last place.</summary>
    public static double Ulp(double value, KernelDType dtype)
    {
        (int digits, int lowest) = dtype switch { KernelDType.F32 => (23, -126), KernelDType.F16 => (10, -14), _ => (7, -126) };
        int exponent = value == 0 || !double.IsFinite(value) ? lowest : Math.Max(lowest, Math.ILogB(value));
        return Math.ScaleB(1, exponent - digits);
    }
}
