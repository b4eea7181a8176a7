using System.Numerics;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>A binary floating-point format: fraction bits, exponent of the smallest normal number, exponent field of infinity, canonical NaN.</summary>
/// <param name="Fraction">Explicit fraction bits.</param>
/// <param name="MinExponent">Exponent of the smallest normal number.</param>
/// <param name="InfinityField">The exponent field of infinity and NaN.</param>
/// <param name="Shift">Bits the pattern is moved up in its container (tf32 lives in the upper bits of an f32).</param>
/// <param name="Bits">Bits of the container.</param>
/// <param name="Nan">The NaN that results carry.</param>
internal readonly record struct FloatFormat(int Fraction, int MinExponent, int InfinityField, int Shift, int Bits, ulong Nan)
{
    public static readonly FloatFormat F16 = new(10, -14, 31, 0, 16, 0x7FFF);
    public static readonly FloatFormat BF16 = new(7, -126, 255, 0, 16, 0x7FFF);
    public static readonly FloatFormat TF32 = new(10, -126, 255, 13, 32, 0x7FFF_FFFF);
    public static readonly FloatFormat F32 = new(23, -126, 255, 0, 32, 0x7FFF_FFFF);
    public static readonly FloatFormat F64 = new(52, -1022, 2047, 0, 64, DoubleOps.CanonicalNan);

    /// <summary>Infinity of the given sign.</summary>
    public ulong Infinity(bool negative) => Pack(negative, (ulong)InfinityField << Fraction);

    /// <summary>Sign and magnitude in their container.</summary>
    public ulong Pack(bool negative, ulong magnitude) => (magnitude << Shift) | (negative ? 1UL << (Bits - 1) : 0);
}

/// <summary>
/// Rounding without approximations: a value is sign, whole significand and power of two, and becomes the bits of a format in one rounding.
/// The slow twin of the vector paths, and the only path of the rare directed roundings.
/// </summary>
internal static class ExactFloat
{
    /// <summary>
    /// Rounds (-1)^negative * (significand + tail) * 2^exponent, where tail is 0 or, if <paramref name="sticky"/>, something strictly between 0 and 1.
    /// With a tail the significand must have more bits than the format keeps.
    /// </summary>
    public static ulong Round(bool negative, UInt128 significand, int exponent, bool sticky, in FloatFormat format, Rounding rounding)
    {
        if (significand == 0 && !sticky)
        {
            return format.Pack(negative, 0);
        }

        int top = 127 - (int)UInt128.LeadingZeroCount(significand) + exponent;
        int result = Math.Max(top, format.MinExponent);
        int drop = result - format.Fraction - exponent;
        UInt128 kept;
        int tail; // dropped part against half a unit: 0 none, 1 below, 2 equal, 3 above
        if (drop <= 0)
        {
            kept = significand << -drop;
            tail = sticky ? 1 : 0;
        }
        else if (drop > 128)
        {
            kept = 0;
            tail = 1;
        }
        else
        {
            kept = drop == 128 ? 0 : significand >> drop;
            UInt128 rest = drop == 128 ? significand : significand & ((UInt128.One << drop) - 1);
            UInt128 half = UInt128.One << (drop - 1);
            tail = rest > half ? 3 : rest == half ? (sticky ? 3 : 2) : rest != 0 || sticky ? 1 : 0;
        }

        bool up = rounding switch
        {
            Rounding.Zero => false,
            Rounding.Down => negative && tail != 0,
            Rounding.Up => !negative && tail != 0,
            Rounding.NearestAway => tail >= 2,
            _ => tail == 3 || (tail == 2 && (kept & 1) != 0),
        };
        ulong magnitude = ((ulong)(result - format.MinExponent) << format.Fraction) + (ulong)kept + (up ? 1UL : 0);
        ulong infinity = (ulong)format.InfinityField << format.Fraction;
        if (magnitude >= infinity)
        {
            bool finite = rounding == Rounding.Zero || (rounding == Rounding.Down && !negative) || (rounding == Rounding.Up && negative);
            magnitude = finite ? infinity - 1 : infinity;
        }

        return format.Pack(negative, magnitude);
    }

    /// <summary>Rounds a double; NaN becomes the format's own.</summary>
    public static ulong Round(double value, in FloatFormat format, Rounding rounding)
    {
        if (double.IsNaN(value))
        {
            return format.Nan;
        }

        bool negative = double.IsNegative(value);
        if (double.IsInfinity(value))
        {
            return format.Infinity(negative);
        }

        (ulong significand, int exponent) = Split(value);
        return Round(negative, significand, exponent, false, format, rounding);
    }

    /// <summary>|value| = significand * 2^exponent for finite values.</summary>
    public static (ulong Significand, int Exponent) Split(double value)
    {
        ulong bits = BitConverter.DoubleToUInt64Bits(value) & 0x7FFF_FFFF_FFFF_FFFF;
        int field = (int)(bits >> 52);
        ulong fraction = bits & 0x000F_FFFF_FFFF_FFFF;
        return field == 0 ? (fraction, -1074) : (fraction | (1UL << 52), field - 1075);
    }

    /// <summary>
    /// One arithmetic operation on finite, nonspecial values in one rounding: sum, product, fused product and sum, quotient, root.
    /// Infinities, NaN, zero divisors and negative radicands are the caller's.
    /// </summary>
    public static ulong Sum(BigInteger a, int ea, BigInteger b, int eb, bool zeroIsNegative, in FloatFormat format, Rounding rounding)
    {
        int low = Math.Min(ea, eb);
        BigInteger sum = (a << (ea - low)) + (b << (eb - low));
        if (sum.IsZero)
        {
            return format.Pack(zeroIsNegative, 0);
        }

        bool negative = sum.Sign < 0;
        return Round(negative, BigInteger.Abs(sum), low, format, rounding);
    }

    /// <summary>Rounds a whole number times a power of two, of any length.</summary>
    public static ulong Round(bool negative, BigInteger magnitude, int exponent, in FloatFormat format, Rounding rounding)
    {
        int excess = (int)Math.Max(0, magnitude.GetBitLength() - 120);
        BigInteger head = magnitude >> excess;
        return Round(negative, (UInt128)head, exponent + excess, head << excess != magnitude, format, rounding);
    }

    /// <summary>Quotient of two nonzero significands.</summary>
    public static ulong Quotient(bool negative, ulong a, int ea, ulong b, int eb, in FloatFormat format, Rounding rounding)
    {
        // At least 64 quotient bits, more than any format keeps.
        int shift = 64 + BitOperations.LeadingZeroCount(a) - 1;
        UInt128 dividend = (UInt128)a << shift;
        UInt128 quotient = dividend / b;
        return Round(negative, quotient, ea - shift - eb, quotient * b != dividend, format, rounding);
    }

    /// <summary>Square root of a nonzero significand.</summary>
    public static ulong Root(ulong a, int ea, in FloatFormat format, Rounding rounding)
    {
        int shift = 64 + BitOperations.LeadingZeroCount(a) - 2;
        if (((ea - shift) & 1) != 0)
        {
            shift--;
        }

        UInt128 radicand = (UInt128)a << shift;
        UInt128 root = (UInt128)Math.Sqrt((double)radicand);
        root = (root + (radicand / root)) >> 1;
        while (root * root > radicand)
        {
            root--;
        }

        while ((root + 1) * (root + 1) <= radicand)
        {
            root++;
        }

        return Round(false, root, (ea - shift) / 2, root * root != radicand, format, rounding);
    }
}
