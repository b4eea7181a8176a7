using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>A 16-bit float format in vectors: values in the low 16 bits of 32-bit lanes.</summary>
internal interface IHalfFormat
{
    static abstract FloatFormat Format { get; }

    /// <summary>Exact value of the pattern in the low 16 bits; the upper bits are ignored.</summary>
    static abstract Vector512<float> Widen(Vector512<uint> half);

    /// <summary>Round to nearest even; NaN becomes 0x7FFF.</summary>
    static abstract Vector512<uint> Narrow(Vector512<float> value);

    /// <summary>Subnormal patterns become zeros of the same sign.</summary>
    static abstract Vector512<uint> Flush(Vector512<uint> half);
}

/// <summary>IEEE binary16.</summary>
internal readonly struct F16Format : IHalfFormat
{
    /// <summary>2^112: the distance of the exponent biases of f32 and f16.</summary>
    public const float Scale = 5.192296858534828e33f;

    public static FloatFormat Format => FloatFormat.F16;

    /// <summary>Fraction and exponent shifted into place are the value times 2^-112, subnormals included; infinity and NaN are put right afterwards.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Widen(Vector512<uint> half)
    {
        Vector512<float> value = WidenFinite(half);
        Vector512<float> special = Vector512.GreaterThanOrEqual(Vector512.Abs(value), Vector512.Create(65536f));
        return (value.AsUInt32() | (special.AsUInt32() & Vector512.Create(0x7F80_0000u))).AsSingle();
    }

    /// <summary>As <see cref="Widen"/> for patterns known to be finite.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> WidenFinite(Vector512<uint> half)
    {
        Vector512<int> placed = Vector512.ShiftRightArithmetic(Vector512.ShiftLeft(half.AsInt32(), 16), 3) & Vector512.Create(unchecked((int)0x8FFF_E000));
        return placed.AsSingle() * Vector512.Create(Scale);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Narrow(Vector512<float> value)
    {
        Vector512<uint> bits = value.AsUInt32();
        Vector512<uint> sign = Vector512.ShiftRightLogical(bits, 16) & Vector512.Create(0x8000u);
        Vector512<uint> magnitude = bits & Vector512.Create(0x7FFF_FFFFu);
        Vector512<uint> odd = Vector512.ShiftRightLogical(magnitude, 13) & Vector512<uint>.One;
        Vector512<uint> normal = Vector512.ShiftRightLogical(magnitude + odd + Vector512.Create(unchecked(0x0FFFu - 0x3800_0000u)), 13);

        // One unit of the last place of 0.5 is 2^-24, the smallest f16: the addition rounds.
        Vector512<uint> subnormal = (magnitude.AsSingle() + Vector512.Create(0.5f)).AsUInt32() - Vector512.Create(0x3F00_0000u);
        Vector512<uint> half = Vector512.ConditionalSelect(Vector512.LessThan(magnitude.AsInt32(), Vector512.Create(0x3880_0000)).AsUInt32(), subnormal, normal);
        half = Vector512.ConditionalSelect(Vector512.GreaterThanOrEqual(magnitude.AsInt32(), Vector512.Create(0x4780_0000)).AsUInt32(), Vector512.Create(0x7C00u), half);
        Vector512<uint> nan = Vector512.GreaterThan(magnitude.AsInt32(), Vector512.Create(0x7F80_0000)).AsUInt32();
        return Vector512.ConditionalSelect(nan, Vector512.Create(0x7FFFu), half | sign);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Flush(Vector512<uint> half)
    {
        Vector512<uint> subnormal = Vector512.Equals(half & Vector512.Create(0x7C00u), Vector512<uint>.Zero);
        return half & (~subnormal | Vector512.Create(0xFFFF_8000u));
    }
}

/// <summary>The upper half of an f32.</summary>
internal readonly struct BF16Format : IHalfFormat
{
    public static FloatFormat Format => FloatFormat.BF16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Widen(Vector512<uint> half) => Vector512.ShiftLeft(half, 16).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Narrow(Vector512<float> value)
    {
        Vector512<uint> bits = value.AsUInt32();
        Vector512<uint> odd = Vector512.ShiftRightLogical(bits, 16) & Vector512<uint>.One;
        Vector512<uint> half = Vector512.ShiftRightLogical(bits + odd + Vector512.Create(0x7FFFu), 16);
        return Vector512.ConditionalSelect(Vector512.Equals(value, value).AsUInt32(), half, Vector512.Create(0x7FFFu));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Flush(Vector512<uint> half)
    {
        Vector512<uint> subnormal = Vector512.Equals(half & Vector512.Create(0x7F80u), Vector512<uint>.Zero);
        return half & (~subnormal | Vector512.Create(0xFFFF_8000u));
    }
}

/// <summary>Rounding to odd: inexact results get an odd last bit, so that a second rounding to a format two bits narrower or more is the right one.</summary>
internal static class RoundOdd
{
    /// <summary>a * b + c, product exact (operands of 24 bits at most), sum rounded to odd.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> Fma(Vector512<double> a, Vector512<double> b, Vector512<double> c) => Add(a * b, c);

    /// <summary>a + b rounded to odd.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> Add(Vector512<double> a, Vector512<double> b)
    {
        Vector512<double> sum = a + b;
        Vector512<double> shadow = sum - a;
        Vector512<double> error = (a - (sum - shadow)) + (b - shadow);
        return Adjust(sum, error);
    }

    /// <summary>A double in single precision, rounded to odd.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Narrow(Vector512<double> low, Vector512<double> high)
    {
        Vector512<float> near = Vector512.Narrow(low, high);
        (Vector512<double> backLow, Vector512<double> backHigh) = Vector512.Widen(near);
        Vector512<float> error = Signs(low - backLow, high - backHigh);
        Vector512<uint> bits = near.AsUInt32();
        Vector512<uint> even = Vector512.Equals(bits & Vector512<uint>.One, Vector512<uint>.Zero);
        Vector512<uint> inexact = Vector512.GreaterThan(Vector512.Abs(error), Vector512<float>.Zero).AsUInt32();
        Vector512<uint> inward = Vector512.ShiftRightArithmetic((bits ^ error.AsUInt32()).AsInt32(), 31).AsUInt32(); // error against the sign: one down
        return (bits + (even & inexact & (inward | Vector512<uint>.One))).AsSingle();
    }

    /// <summary>The signs of doubles as -1, 0, 1 in single precision, where a double may be too small to convert.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Signs(Vector512<double> low, Vector512<double> high) => Vector512.Narrow(Sign(low), Sign(high));

    private static Vector512<double> Sign(Vector512<double> v)
    {
        Vector512<double> sign = v & Vector512.Create(-0.0);
        return (Vector512.GreaterThan(Vector512.Abs(v), Vector512<double>.Zero) & Vector512<double>.One) | sign;
    }

    private static Vector512<double> Adjust(Vector512<double> value, Vector512<double> error)
    {
        Vector512<long> bits = value.AsInt64();
        Vector512<long> even = Vector512.Equals(bits & Vector512<long>.One, Vector512<long>.Zero);
        Vector512<long> inexact = Vector512.GreaterThan(Vector512.Abs(error), Vector512<double>.Zero).AsInt64();
        Vector512<long> inward = Vector512.ShiftRightArithmetic(bits ^ error.AsInt64(), 63);
        return (bits + (even & inexact & (inward | Vector512<long>.One))).AsDouble();
    }
}
