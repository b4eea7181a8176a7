using System.Numerics;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>f64 arithmetic on rows of 32 doubles (two rows of the row file), IEEE in all four roundings. NaN results are canonical.</summary>
internal static unsafe class DoubleOps
{
    /// <summary>The NaN a double-precision instruction makes.</summary>
    public const ulong CanonicalNan = 0xFFF8_0000_0000_0000;

    /// <summary>AddF64 .. SqrtF64 under a mask; operands an operation does not have may be null.</summary>
    public static void Row(OpCode code, uint* d, uint* a, uint* b, uint* c, Rounding rounding, OpFlags flags, uint mask)
    {
        double* x = (double*)a, y = (double*)b, z = (double*)c;
        ulong* to = (ulong*)d;
        for (uint m = mask; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            double p = x[i], q = y is null ? 0 : y[i], r = z is null ? 0 : z[i];
            to[i] = rounding == Rounding.Nearest || code is OpCode.NegF64 or OpCode.AbsF64 or OpCode.MinF64 or OpCode.MaxF64
                ? Nearest(code, p, q, r, flags)
                : Directed(code, p, q, r, FloatFormat.F64, rounding);
        }
    }

    private static ulong Nearest(OpCode code, double x, double y, double z, OpFlags flags)
    {
        double r = code switch
        {
            OpCode.AddF64 => x + y,
            OpCode.SubF64 => x - y,
            OpCode.MulF64 => x * y,
            OpCode.FmaF64 => Math.FusedMultiplyAdd(x, y, z),
            OpCode.DivF64 => x / y,
            OpCode.RcpF64 => 1 / x,
            OpCode.SqrtF64 => Math.Sqrt(x),
            OpCode.NegF64 => -x,
            OpCode.AbsF64 => Math.Abs(x),
            OpCode.MinF64 or OpCode.MaxF64 when (flags & OpFlags.Nan) != 0 && (double.IsNaN(x) || double.IsNaN(y)) => double.NaN,
            OpCode.MinF64 => double.MinNumber(x, y),
            OpCode.MaxF64 => double.MaxNumber(x, y),
            _ => throw new ArgumentOutOfRangeException(nameof(code), code, "not an f64 operation"),
        };
        return double.IsNaN(r) ? CanonicalNan : BitConverter.DoubleToUInt64Bits(r);
    }

    /// <summary>
    /// One add, sub, mul, fma, div, rcp or sqrt of doubles (of any narrower format they came from) rounded once to the format.
    /// </summary>
    public static ulong Directed(OpCode code, double x, double y, double z, in FloatFormat format, Rounding rounding)
    {
        // Operands the operation does not have must not count.
        y = code is OpCode.RcpF64 or OpCode.SqrtF64 ? 0 : y;
        z = code == OpCode.FmaF64 ? z : 0;

        // Infinities, NaN, zero divisors, roots of zero or negatives: no rounding happens, the double result is the answer.
        double special = Nearest(code, x, y, z);
        bool finite = double.IsFinite(x) && double.IsFinite(y) && double.IsFinite(z);
        if (!finite || double.IsNaN(special))
        {
            return ExactFloat.Round(special, format, rounding);
        }

        (ulong sx, int ex) = ExactFloat.Split(x);
        (ulong sy, int ey) = ExactFloat.Split(y);
        (ulong sz, int ez) = ExactFloat.Split(z);
        bool product = double.IsNegative(x) ^ double.IsNegative(y);
        switch (code)
        {
            case OpCode.AddF64 or OpCode.SubF64:
                bool minus = double.IsNegative(y) ^ (code == OpCode.SubF64);
                return ExactFloat.Sum(
                    Signed(sx, double.IsNegative(x)), ex, Signed(sy, minus), ey, NegativeZero(double.IsNegative(x), minus, rounding), format, rounding);
            case OpCode.MulF64:
                return ExactFloat.Round(product, (UInt128)sx * sy, ex + ey, false, format, rounding);
            case OpCode.FmaF64:
                BigInteger xy = new BigInteger(sx) * sy;
                return ExactFloat.Sum(
                    product ? -xy : xy, ex + ey, Signed(sz, double.IsNegative(z)), ez, NegativeZero(product, double.IsNegative(z), rounding), format, rounding);
            case OpCode.DivF64:
                return sx == 0 || sy == 0 ? ExactFloat.Round(special, format, rounding) : ExactFloat.Quotient(product, sx, ex, sy, ey, format, rounding);
            case OpCode.RcpF64:
                return sx == 0 ? ExactFloat.Round(special, format, rounding) : ExactFloat.Quotient(double.IsNegative(x), 1, 0, sx, ex, format, rounding);
            default:
                return sx == 0 ? ExactFloat.Round(special, format, rounding) : ExactFloat.Root(sx, ex, format, rounding);
        }
    }

    private static double Nearest(OpCode code, double x, double y, double z) => BitConverter.UInt64BitsToDouble(Nearest(code, x, y, z, OpFlags.None));

    private static BigInteger Signed(ulong magnitude, bool negative) => negative ? -new BigInteger(magnitude) : magnitude;

    /// <summary>A sum that is exactly zero: the common sign of its terms, else +0, or -0 when rounding down.</summary>
    private static bool NegativeZero(bool first, bool second, Rounding rounding) => first == second ? first : rounding == Rounding.Down;
}
