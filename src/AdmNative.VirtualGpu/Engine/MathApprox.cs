using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>Whether .approx results get an error inside their documented bound, and from which seed it is drawn.</summary>
/// <param name="Enabled">False: results are the rounded exact values.</param>
/// <param name="Seed">Chooses the errors.</param>
internal readonly record struct ApproxNoise(bool Enabled, ulong Seed)
{
    /// <summary>A number in [-1, 1] that depends on the seed, the operation and its operands only.</summary>
    public double Unit(OpCode code, uint a, uint b)
    {
        ulong h = Seed + (0x9E37_79B9_7F4A_7C15 * (ulong)(code + 1));
        h = Mix(h ^ (((ulong)b << 32) | a));
        return ((long)(h >> 11) - (1L << 52)) / (double)(1L << 52);
    }

    private static ulong Mix(ulong h)
    {
        h = (h ^ (h >> 30)) * 0xBF58_476D_1CE4_E5B9;
        h = (h ^ (h >> 27)) * 0x94D0_49BB_1331_11EB;
        return h ^ (h >> 31);
    }
}

/// <summary>
/// The .approx functions of f32: computed in double and rounded once, with the special values of the PTX manual.
/// Exponential, logarithm, sine and cosine are polynomials here and not the C library's, so that every host gives the same bits.
/// </summary>
internal static unsafe class MathApprox
{
    private const double HalfPi = Math.PI / 2;
    private const double Ln2 = 0.693147180559945309;

    // 2^-x of the documented bounds, as factors.
    private const double Two20_5 = 7.07106781186547524e-1 / (1 << 20);  // 2^-20.5
    private const double Two14_7 = 6.15572206672458209e-1 / (1 << 14);  // 2^-14.7
    private const double Two22_9 = 5.35886731268146558e-1 / (1 << 22);  // 2^-22.9

    /// <summary>Taylor coefficients of 2^f: ln(2)^n / n!, exact to double on |f| at most 1/2.</summary>
    private static readonly double[] s_exp2 = Series(14, n => Ln2 / n);

    /// <summary>sin(r)/r and cos(r) in powers of r^2, for |r| at most pi/4.</summary>
    private static readonly double[] s_sin = Series(10, n => -1.0 / (2 * n * ((2 * n) + 1)));
    private static readonly double[] s_cos = Series(10, n => -1.0 / (2 * n * ((2 * n) - 1)));

    /// <summary>
    /// Ex2F32, Lg2F32, SinF32, CosF32, TanhF32, RcpApproxF32, RsqrtApproxF32, SqrtApproxF32 or DivApproxF32 under a mask;
    /// <paramref name="full"/> says div.full. <paramref name="b"/> is null but for the division.
    /// </summary>
    public static void Row(OpCode code, uint* d, uint* a, uint* b, bool full, OpFlags flags, in ApproxNoise noise, uint mask)
    {
        double* exact = stackalloc double[32];
        bool ftz = (flags & OpFlags.Ftz) != 0;
        for (int half = 0; half < 2; half++)
        {
            Vector512<float> x = Vector512.Load((float*)a + (16 * half)), y = b is null ? Vector512<float>.One : Vector512.Load((float*)b + (16 * half));
            if (ftz)
            {
                (x, y) = (FloatOps.Flush(x), FloatOps.Flush(y));
            }

            (Vector512<double> xl, Vector512<double> xh) = Vector512.Widen(x);
            (Vector512<double> yl, Vector512<double> yh) = Vector512.Widen(y);
            Exact(code, xl, yl, full).Store(exact + (16 * half));
            Exact(code, xh, yh, full).Store(exact + (16 * half) + 8);
        }

        if (noise.Enabled)
        {
            for (int i = 0; i < 32; i++)
            {
                if ((mask & (1u << i)) != 0)
                {
                    exact[i] = Disturb(code, a[i], b is null ? 0 : b[i], exact[i], noise);
                }
            }
        }

        LaneOps.Store(d, Finish(exact, ftz), Finish(exact + 16, ftz), mask);
    }

    /// <summary>One value, without noise.</summary>
    public static float One(OpCode code, float a, float b = 1, bool full = false, bool ftz = false)
    {
        uint* rows = stackalloc uint[96];
        rows[0] = BitConverter.SingleToUInt32Bits(a);
        rows[32] = BitConverter.SingleToUInt32Bits(b);
        Row(code, rows + 64, rows, code == OpCode.DivApproxF32 ? rows + 32 : null, full, ftz ? OpFlags.Ftz : OpFlags.None, default, 1);
        return BitConverter.UInt32BitsToSingle(rows[64]);
    }

    /// <summary>2^x in double.</summary>
    public static double Exp2(double x) => Exp2(Vector512.Create(x)).ToScalar();

    /// <summary>tanh in double.</summary>
    public static double Tanh(double x) => Tanh(Vector512.Create(x)).ToScalar();

    private static Vector512<uint> Finish(double* exact, bool ftz)
    {
        Vector512<float> r = Vector512.Narrow(Vector512.Load(exact), Vector512.Load(exact + 8));
        return FloatOps.Canonical(ftz ? FloatOps.Flush(r) : r);
    }

    private static Vector512<double> Exact(OpCode code, Vector512<double> x, Vector512<double> y, bool full) => code switch
    {
        OpCode.Ex2F32 => Exp2(x),
        OpCode.Lg2F32 => Log2(x),
        OpCode.SinF32 => Circular(x, 0),
        OpCode.CosF32 => Circular(x, 1),
        OpCode.TanhF32 => Tanh(x),
        OpCode.RcpApproxF32 => Vector512<double>.One / x,
        OpCode.RsqrtApproxF32 => Vector512<double>.One / Vector512.Sqrt(x),
        OpCode.SqrtApproxF32 => Vector512.Sqrt(x),
        OpCode.DivApproxF32 => Divide(x, y, full),
        _ => throw new ArgumentOutOfRangeException(nameof(code), code, "not an approximate function"),
    };

    /// <summary>2^n times a polynomial in f, x = n + f.</summary>
    private static Vector512<double> Exp2(Vector512<double> x)
    {
        // Beyond +-600 a single is infinite or zero anyway; NaN passes through the polynomial.
        Vector512<double> clamped = Vector512.ConditionalSelect(
            Vector512.GreaterThan(Vector512.Abs(x), Vector512.Create(600.0)), Vector512.CopySign(Vector512.Create(600.0), x), x);
        Vector512<double> n = Vector512.Round(clamped, MidpointRounding.ToEven), f = clamped - n;
        return Polynomial(s_exp2, f) * PowerOfTwo(n);
    }

    /// <summary>log2(m 2^e) = e + 2 atanh((m-1)/(m+1)) / ln 2 with m in [sqrt(1/2), sqrt(2)).</summary>
    private static Vector512<double> Log2(Vector512<double> x)
    {
        // Every nonzero single is a normal double.
        Vector512<long> bits = x.AsInt64();
        Vector512<long> shifted = bits - Vector512.Create(0x3FE6_A09E_667F_3BCDL); // sqrt(1/2)
        Vector512<long> exponent = Vector512.ShiftRightArithmetic(shifted, 52);
        Vector512<double> m = (bits - Vector512.ShiftLeft(exponent, 52)).AsDouble();
        Vector512<double> s = (m - Vector512<double>.One) / (m + Vector512<double>.One), s2 = s * s;
        Vector512<double> sum = Vector512.Create(1.0 / 23);
        for (int n = 21; n >= 1; n -= 2)
        {
            sum = Vector512.FusedMultiplyAdd(sum, s2, Vector512.Create(1.0 / n));
        }

        Vector512<double> r = Vector512.FusedMultiplyAdd(sum * s, Vector512.Create(2 / Ln2), Vector512.ConvertToDouble(exponent));
        r = Vector512.ConditionalSelect(Vector512.Equals(x, Vector512<double>.Zero), Vector512.Create(double.NegativeInfinity), r);
        r = Vector512.ConditionalSelect(Vector512.Equals(x, Vector512.Create(double.PositiveInfinity)), x, r);
        return Vector512.ConditionalSelect(Vector512.GreaterThanOrEqual(x, Vector512<double>.Zero), r, Vector512.Create(double.NaN));
    }

    /// <summary>sin (phase 0) or cos (phase 1): quarter turns taken off in three steps, then a polynomial.</summary>
    private static Vector512<double> Circular(Vector512<double> x, int phase)
    {
        // n < 2^20 keeps n times the first two parts of pi/2 exact; larger arguments take the slow road.
        if (Vector512.GreaterThanAny(Vector512.Abs(x), Vector512.Create(1e6)))
        {
            Vector512<double> slow = default;
            for (int i = 0; i < 8; i++)
            {
                double v = x.GetElement(i);
                slow = slow.WithElement(i, Math.Abs(v) > 1e6 ? phase == 0 ? Math.Sin(v) : Math.Cos(v) : Circular(Vector512.Create(v), phase).ToScalar());
            }

            return slow;
        }

        Vector512<double> n = Vector512.Round(x * Vector512.Create(1 / HalfPi), MidpointRounding.ToEven);
        Vector512<double> r = Vector512.FusedMultiplyAdd(n, Vector512.Create(-1.5707963267341256), x);
        r = Vector512.FusedMultiplyAdd(n, Vector512.Create(-6.077100506303966e-11), r);
        r = Vector512.FusedMultiplyAdd(n, Vector512.Create(-2.0222662487959506e-21), r);
        Vector512<long> quarter = Vector512.ConvertToInt64(Vector512.ConditionalSelect(Vector512.Equals(n, n), n, Vector512<double>.Zero)) + Vector512.Create((long)phase);
        Vector512<double> r2 = r * r, sine = Polynomial(s_sin, r2) * r, cosine = Polynomial(s_cos, r2);
        Vector512<double> odd = Vector512.Equals(quarter & Vector512<long>.One, Vector512<long>.One).AsDouble();
        Vector512<double> sign = (Vector512.ShiftLeft(quarter, 62) & Vector512.Create(long.MinValue)).AsDouble();
        Vector512<double> result = Vector512.ConditionalSelect(odd, cosine, sine) ^ sign;

        // sin of a zero keeps its sign.
        return phase == 0 ? Vector512.ConditionalSelect(Vector512.Equals(x, Vector512<double>.Zero), x, result) : result;
    }

    /// <summary>(e-1)/(e+1) with e = exp(2|x|), through a series where that would cancel.</summary>
    private static Vector512<double> Tanh(Vector512<double> x)
    {
        Vector512<double> m = Vector512.Abs(x), e = Exp2(m * Vector512.Create(2 / Ln2));
        Vector512<double> far = Vector512.ConditionalSelect(
            Vector512.GreaterThan(m, Vector512.Create(20.0)), Vector512<double>.One, (e - Vector512<double>.One) / (e + Vector512<double>.One));
        Vector512<double> m2 = m * m;
        Vector512<double> near = Vector512.FusedMultiplyAdd(Vector512.FusedMultiplyAdd(Vector512.Create(-17.0 / 315), m2, Vector512.Create(2.0 / 15)), m2, Vector512.Create(-1.0 / 3));
        near = Vector512.FusedMultiplyAdd(near * m2, m, m);
        return Vector512.CopySign(Vector512.ConditionalSelect(Vector512.LessThan(m, Vector512.Create(1e-3)), near, far), x);
    }

    /// <summary>a/b; .approx multiplies by a reciprocal that vanishes for |b| above 2^126, so the quotient is then zero, or NaN for infinite a.</summary>
    private static Vector512<double> Divide(Vector512<double> a, Vector512<double> b, bool full)
    {
        Vector512<double> quotient = a / b;
        if (full)
        {
            return quotient;
        }

        Vector512<double> huge = Vector512.GreaterThan(Vector512.Abs(b), Vector512.Create(8.507059173023462e37));
        return Vector512.ConditionalSelect(huge, a * Vector512.CopySign(Vector512<double>.Zero, b), quotient);
    }

    /// <summary>Adds the error. Values the manual fixes (zeros, infinities, NaN, subnormal inputs of the functions near 0) stay.</summary>
    private static double Disturb(OpCode code, uint a, uint b, double exact, in ApproxNoise noise)
    {
        float rounded = (float)exact;
        bool tiny = (a & 0x7F80_0000) == 0;
        if (!float.IsFinite(rounded) || rounded == 0 || (a & 0x7F80_0000) == 0x7F80_0000 || (tiny && code is not (OpCode.RcpApproxF32 or OpCode.RsqrtApproxF32 or OpCode.SqrtApproxF32 or OpCode.Lg2F32 or OpCode.DivApproxF32)))
        {
            return exact;
        }

        double x = Math.Abs(BitConverter.UInt32BitsToSingle(a)), size = Math.Abs(exact);
        double room = code switch
        {
            // Half a unit of the last place of every bound is left for the rounding that follows.
            OpCode.RcpApproxF32 => 0.5 * Ulp(size),
            OpCode.DivApproxF32 or OpCode.Ex2F32 => 1.5 * Ulp(size),
            OpCode.SqrtApproxF32 => size * Math.ScaleB(1, -24),
            OpCode.RsqrtApproxF32 => size * (Two22_9 - Math.ScaleB(1, -24)),
            OpCode.Lg2F32 => x is > 0.5 and < 2 ? Math.ScaleB(1, -22) - Math.ScaleB(1, -25) : size * (Math.ScaleB(1, -22) - Math.ScaleB(1, -24)),
            OpCode.SinF32 or OpCode.CosF32 => (x <= 2 * Math.PI ? Two20_5 : Two14_7) - Math.ScaleB(1, -25),
            _ => size * (Math.ScaleB(1, -11) - Math.ScaleB(1, -24)),
        };
        if (size < Math.ScaleB(1, -126) && code is OpCode.TanhF32)
        {
            return exact;
        }

        double r = exact + (room * noise.Unit(code, a, b));
        return code is OpCode.SinF32 or OpCode.CosF32 or OpCode.TanhF32 ? Math.Clamp(r, -1, 1) : r;
    }

    /// <summary>Unit of the last place of a single of this size.</summary>
    private static double Ulp(double size) => Math.ScaleB(1, Math.Max(Math.ILogB(size) - 23, -149));

    private static Vector512<double> PowerOfTwo(Vector512<double> n) =>
        Vector512.ShiftLeft(Vector512.ConvertToInt64(Vector512.ConditionalSelect(Vector512.Equals(n, n), n, Vector512<double>.Zero)) + Vector512.Create(1023L), 52).AsDouble();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<double> Polynomial(double[] coefficients, Vector512<double> x)
    {
        Vector512<double> sum = Vector512.Create(coefficients[^1]);
        for (int i = coefficients.Length - 2; i >= 0; i--)
        {
            sum = Vector512.FusedMultiplyAdd(sum, x, Vector512.Create(coefficients[i]));
        }

        return sum;
    }

    /// <summary>Coefficients by their ratios: c[0] = 1, c[n] = c[n-1] ratio(n).</summary>
    private static double[] Series(int terms, Func<int, double> ratio)
    {
        double[] c = [1, .. new double[terms - 1]];
        for (int n = 1; n < terms; n++)
        {
            c[n] = c[n - 1] * ratio(n);
        }

        return c;
    }
}
