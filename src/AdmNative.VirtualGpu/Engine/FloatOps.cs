using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>
/// f32 and f64 arithmetic with IEEE rounding. NaN results are the canonical 0x7FFFFFFF (f32); .ftz flushes subnormal inputs and results to zero
/// of the same sign; directed roundings take a slow exact path.
/// </summary>
internal static unsafe class FloatOps
{
    public const uint CanonicalNan = 0x7FFF_FFFF;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Canonical(Vector512<float> r) =>
        Vector512.ConditionalSelect(Vector512.Equals(r, r), r, Vector512.Create(CanonicalNan).AsSingle()).AsUInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Flush(Vector512<float> v)
    {
        Vector512<uint> bits = v.AsUInt32();
        Vector512<uint> subnormal = Vector512.Equals(bits & Vector512.Create(0x7F80_0000u), Vector512<uint>.Zero);
        return Vector512.ConditionalSelect(subnormal, bits & Vector512.Create(0x8000_0000u), bits).AsSingle();
    }

    public static float Flush(float v) => (BitConverter.SingleToUInt32Bits(v) & 0x7F80_0000) == 0 ? BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(v) & 0x8000_0000) : v;

    /// <summary>saturate: NaN gives +0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Saturate(Vector512<float> v)
    {
        Vector512<float> clamped = Vector512.Min(Vector512.Max(v, Vector512<float>.Zero), Vector512<float>.One);
        Vector512<float> positive = Vector512.ConditionalSelect(Vector512.GreaterThan(clamped, Vector512<float>.Zero), clamped, Vector512<float>.Zero);
        return Vector512.ConditionalSelect(Vector512.Equals(v, v), positive, Vector512<float>.Zero);
    }

    public readonly struct Add : IFloat { public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c) => a + b; }

    public readonly struct Sub : IFloat { public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c) => a - b; }

    public readonly struct Mul : IFloat { public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c) => a * b; }

    public readonly struct Div : IFloat { public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c) => a / b; }

    public readonly struct Fma : IFloat { public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c) => Vector512.FusedMultiplyAdd(a, b, c); }

    public readonly struct Sqrt : IFloat { public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c) => Vector512.Sqrt(a); }

    public readonly struct Rcp : IFloat { public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c) => Vector512<float>.One / a; }

    /// <summary>min: the operand that is not NaN; -0 is less than +0.</summary>
    public readonly struct Min : IFloat
    {
        public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c) => Vector512.MinNumber(a, b);
    }

    public readonly struct Max : IFloat
    {
        public static Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c) => Vector512.MaxNumber(a, b);
    }

    /// <summary>A float operation of up to three operands.</summary>
    internal interface IFloat
    {
        static abstract Vector512<float> V(Vector512<float> a, Vector512<float> b, Vector512<float> c);
    }

    /// <summary>One f32 row operation, round to nearest.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Apply<TOp>(uint* d, uint* a, uint* b, uint* c, OpFlags flags, uint mask) where TOp : struct, IFloat
    {
        if ((flags & (OpFlags.Ftz | OpFlags.Sat | OpFlags.Nan | OpFlags.XorSign)) == 0)
        {
            LaneOps.Store(
                d,
                Canonical(TOp.V(Vector512.Load((float*)a), Vector512.Load((float*)b), Vector512.Load((float*)c))),
                Canonical(TOp.V(Vector512.Load((float*)a + 16), Vector512.Load((float*)b + 16), Vector512.Load((float*)c + 16))),
                mask);
            return;
        }

        LaneOps.Store(
            d,
            Careful<TOp>(Vector512.Load((float*)a), Vector512.Load((float*)b), Vector512.Load((float*)c), flags),
            Careful<TOp>(Vector512.Load((float*)a + 16), Vector512.Load((float*)b + 16), Vector512.Load((float*)c + 16), flags),
            mask);
    }

    private static Vector512<uint> Careful<TOp>(Vector512<float> a, Vector512<float> b, Vector512<float> c, OpFlags flags) where TOp : struct, IFloat
    {
        if ((flags & OpFlags.Ftz) != 0)
        {
            a = Flush(a);
            b = Flush(b);
            c = Flush(c);
        }

        Vector512<float> sign = default;
        if ((flags & OpFlags.XorSign) != 0)
        {
            sign = ((a.AsUInt32() ^ b.AsUInt32()) & Vector512.Create(0x8000_0000u)).AsSingle();
            a = Vector512.Abs(a);
            b = Vector512.Abs(b);
        }

        Vector512<float> r = TOp.V(a, b, c) | sign;
        if ((flags & OpFlags.Nan) != 0)
        {
            Vector512<float> ordered = Vector512.Equals(a, a) & Vector512.Equals(b, b);
            r = Vector512.ConditionalSelect(ordered, r, Vector512.Create(CanonicalNan).AsSingle());
        }

        if ((flags & OpFlags.Ftz) != 0)
        {
            r = Flush(r);
        }

        if ((flags & OpFlags.Sat) != 0)
        {
            r = Saturate(r);
        }

        return Canonical(r);
    }

    /// <summary>Directed rounding of add, sub, mul, fma, div, rcp and sqrt; absent operands may be null.</summary>
    public static void Directed(OpCode code, uint* d, uint* a, uint* b, uint* c, Rounding rounding, OpFlags flags, uint mask)
    {
        b = b is null ? a : b;
        c = c is null ? a : c;
        LaneOps.Store(
            d,
            Directed(code, Vector512.Load((float*)a), Vector512.Load((float*)b), Vector512.Load((float*)c), rounding, flags),
            Directed(code, Vector512.Load((float*)a + 16), Vector512.Load((float*)b + 16), Vector512.Load((float*)c + 16), rounding, flags),
            mask);
    }

    private static Vector512<uint> Directed(OpCode code, Vector512<float> x, Vector512<float> y, Vector512<float> z, Rounding rounding, OpFlags flags)
    {
        if ((flags & OpFlags.Ftz) != 0)
        {
            (x, y, z) = (Flush(x), Flush(y), Flush(z));
        }

        Vector512<float> r = code switch
        {
            OpCode.AddF32 => DirectedSum(x, Vector512<float>.One, y, rounding),
            OpCode.SubF32 => DirectedSum(x, Vector512<float>.One, -y, rounding),
            OpCode.FmaF32 => DirectedSum(x, y, z, rounding),
            OpCode.MulF32 => DirectedProduct(x, y, rounding),
            _ => DirectedScalar(code, x, y, rounding),
        };
        if ((flags & OpFlags.Ftz) != 0)
        {
            r = Flush(r);
        }

        return Canonical((flags & OpFlags.Sat) != 0 ? Saturate(r) : r);
    }

    /// <summary>x * y + z: the product is exact in double, the sum is rounded to odd there, so that the last rounding decides as on the exact value.</summary>
    private static Vector512<float> DirectedSum(Vector512<float> x, Vector512<float> y, Vector512<float> z, Rounding rounding)
    {
        (Vector512<double> xl, Vector512<double> xh) = Vector512.Widen(x);
        (Vector512<double> yl, Vector512<double> yh) = Vector512.Widen(y);
        (Vector512<double> zl, Vector512<double> zh) = Vector512.Widen(z);
        return NarrowDirected(Sum(xl * yl, zl, rounding), Sum(xh * yh, zh, rounding), rounding);

        static Vector512<double> Sum(Vector512<double> p, Vector512<double> c, Rounding rounding)
        {
            Vector512<double> sum = RoundOdd.Add(p, c);
            if (rounding != Rounding.Down)
            {
                return sum;
            }

            // Terms that cancel exactly leave -0 when rounding down, unless both are +0.
            Vector512<double> cancelled = Vector512.Equals(sum, Vector512<double>.Zero) & ~Vector512.Equals(p.AsInt64() | c.AsInt64(), Vector512<long>.Zero).AsDouble();
            return Vector512.ConditionalSelect(cancelled, Vector512.Create(-0.0), sum);
        }
    }

    private static Vector512<float> DirectedProduct(Vector512<float> x, Vector512<float> y, Rounding rounding)
    {
        (Vector512<double> xl, Vector512<double> xh) = Vector512.Widen(x);
        (Vector512<double> yl, Vector512<double> yh) = Vector512.Widen(y);
        return NarrowDirected(xl * yl, xh * yh, rounding);
    }

    /// <summary>The nearest single, moved one step where it lies on the wrong side of the double.</summary>
    private static Vector512<float> NarrowDirected(Vector512<double> low, Vector512<double> high, Rounding rounding)
    {
        Vector512<float> near = Vector512.Narrow(low, high);
        (Vector512<double> backLow, Vector512<double> backHigh) = Vector512.Widen(near);
        Vector512<float> error = RoundOdd.Signs(low - backLow, high - backHigh); // of the exact value against near
        Vector512<uint> bits = near.AsUInt32();
        Vector512<uint> negative = Vector512.ShiftRightArithmetic(bits.AsInt32(), 31).AsUInt32();
        Vector512<uint> below = Vector512.LessThan(error, Vector512<float>.Zero).AsUInt32(), above = Vector512.GreaterThan(error, Vector512<float>.Zero).AsUInt32();
        Vector512<uint> inward = Vector512.ConditionalSelect(negative, above, below);
        Vector512<uint> positive = ~negative;

        // One step towards zero is -1 on the bits, away from it +1.
        Vector512<uint> step = rounding switch
        {
            Rounding.Zero => inward,
            Rounding.Down => below & (positive | Vector512<uint>.One),
            _ => above & (negative | Vector512<uint>.One),
        };
        return (bits + step).AsSingle();
    }

    private static Vector512<float> DirectedScalar(OpCode code, Vector512<float> x, Vector512<float> y, Rounding rounding)
    {
        OpCode wide = code switch
        {
            OpCode.DivF32 => OpCode.DivF64,
            OpCode.RcpF32 => OpCode.RcpF64,
            OpCode.SqrtF32 => OpCode.SqrtF64,
            _ => throw new ArgumentOutOfRangeException(nameof(code), code, "has no directed rounding"),
        };
        Vector512<uint> r = default;
        for (int i = 0; i < 16; i++)
        {
            r = r.WithElement(i, (uint)DoubleOps.Directed(wide, x[i], y[i], 0, FloatFormat.F32, rounding));
        }

        return r.AsSingle();
    }

    /// <summary>All ones in the lanes where the comparison holds.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> CompareLanes(Compare compare, Vector512<float> a, Vector512<float> b) => (compare switch
    {
        Ir.Compare.Eq => Vector512.Equals(a, b),
        Ir.Compare.Ne => Vector512.LessThan(a, b) | Vector512.GreaterThan(a, b),
        Ir.Compare.Lt => Vector512.LessThan(a, b),
        Ir.Compare.Le => Vector512.LessThanOrEqual(a, b),
        Ir.Compare.Gt => Vector512.GreaterThan(a, b),
        Ir.Compare.Ge => Vector512.GreaterThanOrEqual(a, b),
        Ir.Compare.Equ => ~(Vector512.LessThan(a, b) | Vector512.GreaterThan(a, b)),
        Ir.Compare.Neu => ~Vector512.Equals(a, b),
        Ir.Compare.Ltu => ~Vector512.GreaterThanOrEqual(a, b),
        Ir.Compare.Leu => ~Vector512.GreaterThan(a, b),
        Ir.Compare.Gtu => ~Vector512.LessThanOrEqual(a, b),
        Ir.Compare.Geu => ~Vector512.LessThan(a, b),
        Ir.Compare.Num => Vector512.Equals(a, a) & Vector512.Equals(b, b),
        _ => ~(Vector512.Equals(a, a) & Vector512.Equals(b, b)),
    }).AsUInt32();

    public static bool Compare(Compare compare, double a, double b) => compare switch
    {
        Ir.Compare.Eq => a == b,
        Ir.Compare.Ne => a != b && !double.IsNaN(a) && !double.IsNaN(b),
        Ir.Compare.Lt => a < b,
        Ir.Compare.Le => a <= b,
        Ir.Compare.Gt => a > b,
        Ir.Compare.Ge => a >= b,
        Ir.Compare.Equ => !(a < b) && !(a > b),
        Ir.Compare.Neu => a != b,
        Ir.Compare.Ltu => !(a >= b),
        Ir.Compare.Leu => !(a > b),
        Ir.Compare.Gtu => !(a <= b),
        Ir.Compare.Geu => !(a < b),
        Ir.Compare.Num => !double.IsNaN(a) && !double.IsNaN(b),
        _ => double.IsNaN(a) || double.IsNaN(b),
    };
}
