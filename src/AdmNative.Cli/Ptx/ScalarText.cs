using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>Scalar types of kernel parameters, and JSON values as their bytes.</summary>
internal static class ScalarText
{
    // Bits, and lower case as in PTX.
    private static readonly Dictionary<string, int> s_bits = new()
    {
        ["u8"] = 8,
        ["s8"] = 8,
        ["u16"] = 16,
        ["s16"] = 16,
        ["u32"] = 32,
        ["s32"] = 32,
        ["u64"] = 64,
        ["s64"] = 64,
        ["f16"] = 16,
        ["bf16"] = 16,
        ["f32"] = 32,
        ["f64"] = 64,
    };

    /// <summary>All type names.</summary>
    public static IEnumerable<string> Names => s_bits.Keys;

    /// <summary>True for a type name.</summary>
    public static bool IsType(string name) => s_bits.ContainsKey(name);

    /// <summary>True for the floating types.</summary>
    public static bool IsFloat(string type) => type is "f16" or "bf16" or "f32" or "f64";

    /// <summary>Bytes of a value, which is its alignment too.</summary>
    public static int Bytes(string type) => s_bits[type] / 8;

    /// <summary>The little-endian bytes of a value: a number, or text such as "0xff", "inf", "nan"; null when it is none, or does not fit.</summary>
    public static byte[]? Encode(string type, JToken value)
    {
        if (value is not JValue { Value: { } content })
        {
            return null;
        }

        return IsFloat(type) ? EncodeFloat(type, content) : EncodeInteger(type, content);
    }

    private static byte[]? EncodeInteger(string type, object content)
    {
        BigInteger? number = content switch
        {
            long n => n,
            BigInteger n => n,
            double d when double.IsInteger(d) && Math.Abs(d) < 1e19 => new BigInteger(d), // 1e6
            string text => Integer(text),
            _ => null,
        };
        int bits = s_bits[type];
        bool signed = type[0] == 's';
        BigInteger low = signed ? -(BigInteger.One << (bits - 1)) : 0, high = (BigInteger.One << (signed ? bits - 1 : bits)) - 1;
        if (number is not { } n2 || n2 < low || n2 > high)
        {
            return null;
        }

        var bytes = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, (ulong)(n2 & ulong.MaxValue));
        return bytes[..(bits / 8)];
    }

    private static BigInteger? Integer(string text)
    {
        if (text.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
        {
            return ulong.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong bits) ? bits : null;
        }

        return text.Length <= 20 && BigInteger.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out BigInteger n) ? n : null;
    }

    private static byte[]? EncodeFloat(string type, object content)
    {
        double? number = content switch
        {
            long n => n,
            double d => d,
            string text => Real(text),
            _ => null,
        };
        if (number is not { } v)
        {
            return null;
        }

        switch (type)
        {
            case "f64":
                return BitConverter.GetBytes(v);
            case "f32":
                return Fits(v, (float)v) ? BitConverter.GetBytes((float)v) : null;
            case "f16":
                return Fits(v, (double)(Half)v) ? BitConverter.GetBytes((Half)v) : null;
            default:
                ushort bits = BFloat16(v);
                return Fits(v, BitConverter.UInt32BitsToSingle((uint)bits << 16)) ? BitConverter.GetBytes(bits) : null;
        }
    }

    private static bool Fits(double exact, double rounded) => double.IsFinite(rounded) || !double.IsFinite(exact);

    private static double? Real(string text) => text.ToLowerInvariant() switch
    {
        "nan" => double.NaN,
        "inf" or "+inf" => double.PositiveInfinity,
        "-inf" => double.NegativeInfinity,
        _ => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double v) && double.IsFinite(v) ? v : null,
    };

    /// <summary>Rounded once, half to even: through a float whose last bit remembers whether anything was cut off.</summary>
    public static ushort BFloat16(double v)
    {
        if (double.IsNaN(v))
        {
            return 0x7FFF;
        }

        float f = (float)v;
        uint bits = BitConverter.SingleToUInt32Bits(f);
        if (f != v && float.IsFinite(f))
        {
            bits = (Math.Abs((double)f) > Math.Abs(v) ? bits - 1 : bits) | 1;
        }

        return float.IsInfinity(f) && double.IsInfinity(v) ? (ushort)(bits >> 16) : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}
