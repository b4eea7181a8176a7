using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>
/// Arithmetic of f16, bf16 and their packed pairs, each result rounded once to nearest even. Sums of two halves are done in single precision,
/// where the second rounding is harmless (24 bits are two more than twice 11); products and fused sums in double, rounded to odd on the way.
/// NaN results are 0x7FFF. Scalars leave zero in the upper half of their lane.
/// </summary>
internal static unsafe class HalfOps
{
    /// <summary>AddHalf .. TanhHalf under a mask; operands an operation does not have may be null.</summary>
    public static void Row(OpCode code, HalfKind kind, uint* d, uint* a, uint* b, uint* c, OpFlags flags, in ApproxNoise noise, uint mask)
    {
        b = b is null ? a : b;
        c = c is null ? a : c;
        if (code is OpCode.Ex2Half or OpCode.TanhHalf)
        {
            Approx(code, kind, d, a, flags, noise, mask);
        }
        else if (kind is HalfKind.F16 or HalfKind.F16x2)
        {
            Arithmetic<F16Format>(code, kind == HalfKind.F16x2, d, a, b, c, flags, mask);
        }
        else
        {
            Arithmetic<BF16Format>(code, kind == HalfKind.BF16x2, d, a, b, c, flags, mask);
        }
    }

    /// <summary>Lanes where the comparison holds, for the low (0) or high (1) halves.</summary>
    public static uint Compare(HalfKind kind, Compare compare, uint* a, uint* b, OpFlags flags, int half) => kind is HalfKind.F16 or HalfKind.F16x2
        ? Compare<F16Format>(compare, a, b, flags, half)
        : Compare<BF16Format>(compare, a, b, flags, half);

    /// <summary>set.cmp.f16x2.f16x2 and the bf16x2 form: 1.0 or 0 in each half.</summary>
    public static void SetX2(HalfKind kind, Compare compare, uint* d, uint* a, uint* b, OpFlags flags, uint mask)
    {
        uint low = Compare(kind, compare, a, b, flags, 0), high = Compare(kind, compare, a, b, flags, 1);
        Vector512<uint> one = Vector512.Create(kind == HalfKind.F16x2 ? 0x3C00u : 0x3F80u), upper = Vector512.ShiftLeft(one, 16);
        LaneOps.Store(
            d,
            (LaneOps.Expand(low) & one) | (LaneOps.Expand(high) & upper),
            (LaneOps.Expand(low >> 16) & one) | (LaneOps.Expand(high >> 16) & upper),
            mask);
    }

    /// <summary>Negative values and zeros give +0; NaN stays.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Relu(Vector512<float> v) =>
        Vector512.ConditionalSelect(Vector512.LessThanOrEqual(v, Vector512<float>.Zero), Vector512<float>.Zero, v);

    private interface IHalfOp
    {
        static abstract Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c);
    }

    private readonly struct AddOp : IHalfOp { public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c) => a + b; }

    private readonly struct SubOp : IHalfOp { public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c) => a - b; }

    private readonly struct NegOp : IHalfOp { public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c) => -a; }

    private readonly struct AbsOp : IHalfOp { public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c) => Vector512.Abs(a); }

    private readonly struct MinOp : IHalfOp { public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c) => Vector512.MinNumber(a, b); }

    private readonly struct MaxOp : IHalfOp { public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c) => Vector512.MaxNumber(a, b); }

    private readonly struct MulOp : IHalfOp
    {
        public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c)
        {
            (Vector512<double> al, Vector512<double> ah) = Vector512.Widen(a);
            (Vector512<double> bl, Vector512<double> bh) = Vector512.Widen(b);
            return RoundOdd.Narrow(al * bl, ah * bh);
        }
    }

    private readonly struct FmaOp : IHalfOp
    {
        public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c)
        {
            (Vector512<double> al, Vector512<double> ah) = Vector512.Widen(a);
            (Vector512<double> bl, Vector512<double> bh) = Vector512.Widen(b);
            (Vector512<double> cl, Vector512<double> ch) = Vector512.Widen(c);
            return RoundOdd.Narrow(RoundOdd.Fma(al, bl, cl), RoundOdd.Fma(ah, bh, ch));
        }
    }

    private static void Arithmetic<TFormat>(OpCode code, bool pair, uint* d, uint* a, uint* b, uint* c, OpFlags flags, uint mask) where TFormat : struct, IHalfFormat
    {
        switch (code)
        {
            case OpCode.AddHalf: Apply<TFormat, AddOp>(pair, d, a, b, c, flags, mask); break;
            case OpCode.SubHalf: Apply<TFormat, SubOp>(pair, d, a, b, c, flags, mask); break;
            case OpCode.MulHalf: Apply<TFormat, MulOp>(pair, d, a, b, c, flags, mask); break;
            case OpCode.FmaHalf: Apply<TFormat, FmaOp>(pair, d, a, b, c, flags, mask); break;
            case OpCode.NegHalf: Apply<TFormat, NegOp>(pair, d, a, b, c, flags, mask); break;
            case OpCode.AbsHalf: Apply<TFormat, AbsOp>(pair, d, a, b, c, flags, mask); break;
            case OpCode.MinHalf: Apply<TFormat, MinOp>(pair, d, a, b, c, flags, mask); break;
            case OpCode.MaxHalf: Apply<TFormat, MaxOp>(pair, d, a, b, c, flags, mask); break;
            default: throw new ArgumentOutOfRangeException(nameof(code), code, "not an operation on halves");
        }
    }

    private static void Apply<TFormat, TOp>(bool pair, uint* d, uint* a, uint* b, uint* c, OpFlags flags, uint mask)
        where TFormat : struct, IHalfFormat
        where TOp : struct, IHalfOp
    {
        Vector512<uint> low = Lane<TFormat, TOp>(pair, Vector512.Load(a), Vector512.Load(b), Vector512.Load(c), flags);
        Vector512<uint> high = Lane<TFormat, TOp>(pair, Vector512.Load(a + 16), Vector512.Load(b + 16), Vector512.Load(c + 16), flags);
        LaneOps.Store(d, low, high, mask);
    }

    private static Vector512<uint> Lane<TFormat, TOp>(bool pair, Vector512<uint> a, Vector512<uint> b, Vector512<uint> c, OpFlags flags)
        where TFormat : struct, IHalfFormat
        where TOp : struct, IHalfOp
    {
        Vector512<uint> low = Half<TFormat, TOp>(a, b, c, flags);
        return pair
            ? low | Vector512.ShiftLeft(
                Half<TFormat, TOp>(Vector512.ShiftRightLogical(a, 16), Vector512.ShiftRightLogical(b, 16), Vector512.ShiftRightLogical(c, 16), flags), 16)
            : low;
    }

    private static Vector512<uint> Half<TFormat, TOp>(Vector512<uint> a, Vector512<uint> b, Vector512<uint> c, OpFlags flags)
        where TFormat : struct, IHalfFormat
        where TOp : struct, IHalfOp
    {
        bool ftz = (flags & OpFlags.Ftz) != 0;
        if (ftz)
        {
            (a, b, c) = (TFormat.Flush(a), TFormat.Flush(b), TFormat.Flush(c));
        }

        Vector512<float> x = TFormat.Widen(a), y = TFormat.Widen(b);
        Vector512<float> sign = default;
        if ((flags & OpFlags.XorSign) != 0)
        {
            sign = ((x.AsUInt32() ^ y.AsUInt32()) & Vector512.Create(0x8000_0000u)).AsSingle();
            (x, y) = (Vector512.Abs(x), Vector512.Abs(y));
        }

        Vector512<float> r = TOp.V(x, y, TFormat.Widen(c)) | sign;
        if ((flags & OpFlags.Nan) != 0)
        {
            r = Vector512.ConditionalSelect(Vector512.Equals(x, x) & Vector512.Equals(y, y), r, Vector512.Create(float.NaN));
        }

        if ((flags & OpFlags.Sat) != 0)
        {
            r = FloatOps.Saturate(r);
        }

        if ((flags & OpFlags.Relu) != 0)
        {
            r = Relu(r);
        }

        Vector512<uint> half = TFormat.Narrow(r);
        return ftz ? TFormat.Flush(half) : half;
    }

    private static uint Compare<TFormat>(Compare compare, uint* a, uint* b, OpFlags flags, int half) where TFormat : struct, IHalfFormat =>
        LaneOps.Bits(
            Compare<TFormat>(compare, Vector512.Load(a), Vector512.Load(b), flags, half),
            Compare<TFormat>(compare, Vector512.Load(a + 16), Vector512.Load(b + 16), flags, half));

    private static Vector512<uint> Compare<TFormat>(Compare compare, Vector512<uint> a, Vector512<uint> b, OpFlags flags, int half) where TFormat : struct, IHalfFormat
    {
        if (half != 0)
        {
            (a, b) = (Vector512.ShiftRightLogical(a, 16), Vector512.ShiftRightLogical(b, 16));
        }

        if ((flags & OpFlags.Ftz) != 0)
        {
            (a, b) = (TFormat.Flush(a), TFormat.Flush(b));
        }

        return FloatOps.CompareLanes(compare, TFormat.Widen(a), TFormat.Widen(b));
    }

    /// <summary>ex2.approx and tanh.approx of halves: in double, noise inside the bound, one rounding.</summary>
    private static void Approx(OpCode code, HalfKind kind, uint* d, uint* a, OpFlags flags, in ApproxNoise noise, uint mask)
    {
        bool pair = kind is HalfKind.F16x2 or HalfKind.BF16x2, f16 = kind is HalfKind.F16 or HalfKind.F16x2;
        uint* result = stackalloc uint[32];
        for (int half = 0; half < (pair ? 2 : 1); half++)
        {
            for (int i = 0; i < 32; i++)
            {
                if ((mask & (1u << i)) == 0)
                {
                    continue;
                }

                uint bits = (a[i] >> (16 * half)) & 0xFFFF;
                uint r = f16 ? Approx<F16Format>(code, bits, flags, noise) : Approx<BF16Format>(code, bits, flags, noise);
                result[i] = half == 0 ? r : result[i] | (r << 16);
            }
        }

        LaneOps.Copy(d, result, mask);
    }

    private static uint Approx<TFormat>(OpCode code, uint bits, OpFlags flags, in ApproxNoise noise) where TFormat : struct, IHalfFormat
    {
        FloatFormat format = TFormat.Format;
        bool ftz = (flags & OpFlags.Ftz) != 0, f16 = format == FloatFormat.F16;
        uint exponent = f16 ? 0x7C00u : 0x7F80;
        if (ftz && (bits & exponent) == 0)
        {
            bits &= 0x8000;
        }

        double x = Convert.ToDouble(f16 ? Ptx.PtxType.F16 : Ptx.PtxType.BF16, bits);
        double y = code == OpCode.Ex2Half ? MathApprox.Exp2(x) : MathApprox.Tanh(x);
        if (noise.Enabled && x != 0 && double.IsFinite(x))
        {
            // Documented: ex2 2^-9.9 (f16), 2^-7 (bf16) relative; tanh 2^-10.987 (f16), 2^-8 (bf16) absolute. Half a unit of the last place is left for the rounding.
            double room = (code, f16) switch
            {
                (OpCode.Ex2Half, true) => y * (Math.ScaleB(1, -9) * 0.5358867312681466 - Math.ScaleB(1, -11)),
                (OpCode.Ex2Half, false) => y * Math.ScaleB(1, -8),
                (_, true) => Math.ScaleB(1, -10) * 0.5045 - Math.ScaleB(1, -12),
                _ => Math.ScaleB(1, -9),
            };
            y += room * noise.Unit(code, bits, 0);
        }

        uint r = (uint)ExactFloat.Round(y, format, Rounding.Nearest);
        return ftz && (r & exponent) == 0 ? r & 0x8000 : r;
    }
}
