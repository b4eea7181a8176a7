using System.Numerics;

namespace AdmNative.VirtualGpu.Tests.Opcodes;

/// <summary>How a result is rounded.</summary>
internal enum RoundTo
{
    Even, Zero, Down, Up, Away,
}

/// <summary>A binary floating-point format, judged in exact rational arithmetic: slow, short, and written apart from the engine.</summary>
internal sealed record SoftFormat(string Name, int Fraction, int Exponent)
{
    public static readonly SoftFormat F16 = new("f16", 10, 5), BF16 = new("bf16", 7, 8), TF32 = new("tf32", 10, 8), F32 = new("f32", 23, 8), F64 = new("f64", 52, 11);

    public int Bits => 1 + Exponent + Fraction;

    public int Bias => (1 << (Exponent - 1)) - 1;

    public ulong Sign => 1UL << (Bits - 1);

    public ulong Infinity => ((1UL << Exponent) - 1) << Fraction;

    public ulong MaxFinite => Infinity - 1;

    /// <summary>The NaN an instruction makes.</summary>
    public ulong Nan => this == F64 ? 0xFFF8_0000_0000_0000 : Sign - 1;

    public ulong One => (ulong)Bias << Fraction;

    public bool IsNan(ulong v) => (v & (Sign - 1)) > Infinity;

    public bool IsInfinity(ulong v) => (v & (Sign - 1)) == Infinity;

    public bool IsNegative(ulong v) => (v & Sign) != 0;

    public bool IsZero(ulong v) => (v & (Sign - 1)) == 0;

    public bool IsSubnormal(ulong v) => !IsZero(v) && (v & Infinity) == 0;

    public ulong Flush(ulong v) => IsSubnormal(v) ? v & Sign : v;

    /// <summary>|v| as an integer times a power of two; v is finite.</summary>
    public (BigInteger Integer, int Power) Magnitude(ulong v)
    {
        int field = (int)((v & Infinity) >> Fraction);
        BigInteger fraction = v & ((1UL << Fraction) - 1);
        return field == 0 ? (fraction, 1 - Bias - Fraction) : (fraction + (BigInteger.One << Fraction), field - Bias - Fraction);
    }

    /// <summary>The nearest double; exact for every format here.</summary>
    public double ToDouble(ulong v)
    {
        if (IsNan(v))
        {
            return double.NaN;
        }

        if (IsInfinity(v))
        {
            return IsNegative(v) ? double.NegativeInfinity : double.PositiveInfinity;
        }

        (BigInteger m, int p) = Magnitude(v);
        double d = Math.ScaleB((double)m, p);
        return IsNegative(v) ? -d : d;
    }

    /// <summary>numerator / denominator * 2^power, rounded once.</summary>
    public ulong Round(bool negative, BigInteger numerator, BigInteger denominator, int power, RoundTo to)
    {
        ulong sign = negative ? Sign : 0;
        if (numerator.IsZero)
        {
            return sign;
        }

        int log = (int)numerator.GetBitLength() - (int)denominator.GetBitLength();
        bool below = log >= 0 ? numerator < denominator << log : numerator << -log < denominator;
        int exponent = Math.Max((below ? log - 1 : log) + power, 1 - Bias);
        int shift = power - (exponent - Fraction);
        (numerator, denominator) = shift >= 0 ? (numerator << shift, denominator) : (numerator, denominator << -shift);
        BigInteger n = BigInteger.DivRem(numerator, denominator, out BigInteger rest);
        int half = (2 * rest).CompareTo(denominator);
        bool up = to switch
        {
            RoundTo.Even => half > 0 || (half == 0 && !n.IsEven),
            RoundTo.Away => half >= 0,
            RoundTo.Down => negative && !rest.IsZero,
            RoundTo.Up => !negative && !rest.IsZero,
            _ => false,
        };
        n += up ? 1 : 0;
        if (n >> (Fraction + 1) == 1)
        {
            n >>= 1;
            exponent++;
        }

        if (exponent > Bias)
        {
            bool finite = to == RoundTo.Zero || (to == RoundTo.Down && !negative) || (to == RoundTo.Up && negative);
            return sign | (finite ? MaxFinite : Infinity);
        }

        BigInteger implicitOne = BigInteger.One << Fraction;
        return sign | (n < implicitOne ? (ulong)n : ((ulong)(exponent + Bias) << Fraction) | (ulong)(n - implicitOne));
    }

    public ulong Round(BigInteger signed, int power, RoundTo to, bool negativeZero = false) =>
        Round(signed.Sign < 0 || (signed.IsZero && negativeZero), BigInteger.Abs(signed), 1, power, to);

    /// <summary>v of this format in another.</summary>
    public ulong ConvertTo(SoftFormat target, ulong v, RoundTo to)
    {
        if (IsNan(v))
        {
            return target.Nan;
        }

        if (IsInfinity(v))
        {
            return (IsNegative(v) ? target.Sign : 0) | target.Infinity;
        }

        (BigInteger m, int p) = Magnitude(v);
        return target.Round(IsNegative(v), m, 1, p, to);
    }

    public ulong Add(ulong a, ulong b, RoundTo to) => Fma(a, One, b, to);

    public ulong Sub(ulong a, ulong b, RoundTo to) => Fma(a, One, b ^ Sign, to);

    public ulong Mul(ulong a, ulong b, RoundTo to)
    {
        bool negative = IsNegative(a) != IsNegative(b);
        if (IsNan(a) || IsNan(b) || (IsInfinity(a) && IsZero(b)) || (IsZero(a) && IsInfinity(b)))
        {
            return Nan;
        }

        if (IsInfinity(a) || IsInfinity(b))
        {
            return (negative ? Sign : 0) | Infinity;
        }

        (BigInteger ma, int pa) = Magnitude(a);
        (BigInteger mb, int pb) = Magnitude(b);
        return Round(negative, ma * mb, 1, pa + pb, to);
    }

    public ulong Fma(ulong a, ulong b, ulong c, RoundTo to)
    {
        bool negative = IsNegative(a) != IsNegative(b);
        if (IsNan(a) || IsNan(b) || IsNan(c) || (IsInfinity(a) && IsZero(b)) || (IsZero(a) && IsInfinity(b)))
        {
            return Nan;
        }

        if (IsInfinity(a) || IsInfinity(b))
        {
            return IsInfinity(c) && IsNegative(c) != negative ? Nan : (negative ? Sign : 0) | Infinity;
        }

        if (IsInfinity(c))
        {
            return c;
        }

        (BigInteger ma, int pa) = Magnitude(a);
        (BigInteger mb, int pb) = Magnitude(b);
        (BigInteger mc, int pc) = Magnitude(c);
        int power = Math.Min(pa + pb, pc);
        BigInteger product = (ma * mb) << (pa + pb - power), addend = mc << (pc - power);
        BigInteger sum = (negative ? -product : product) + (IsNegative(c) ? -addend : addend);
        bool negativeZero = negative == IsNegative(c) ? negative : to == RoundTo.Down;
        return Round(sum, power, to, negativeZero);
    }

    public ulong Div(ulong a, ulong b, RoundTo to)
    {
        ulong sign = (a ^ b) & Sign;
        if (IsNan(a) || IsNan(b) || (IsInfinity(a) && IsInfinity(b)) || (IsZero(a) && IsZero(b)))
        {
            return Nan;
        }

        if (IsInfinity(a) || IsZero(b))
        {
            return sign | Infinity;
        }

        if (IsInfinity(b))
        {
            return sign;
        }

        (BigInteger ma, int pa) = Magnitude(a);
        (BigInteger mb, int pb) = Magnitude(b);
        return Round(sign != 0, ma, mb, pa - pb, to);
    }

    public ulong Sqrt(ulong a, RoundTo to)
    {
        if (IsNan(a) || (IsNegative(a) && !IsZero(a)))
        {
            return Nan;
        }

        if (IsZero(a) || IsInfinity(a))
        {
            return a;
        }

        // The root of m * 2^p to 80 bits below its last place, with a sticky bit: enough for one rounding of a number that is never a tie.
        (BigInteger m, int p) = Magnitude(a);
        int shift = 240 + (p & 1);
        BigInteger root = Root(m << shift);
        bool exact = root * root == m << shift;
        return Round(false, (2 * root) + (exact ? 0 : 1), 1, ((p - shift) / 2) - 1, to);
    }

    public ulong Min(ulong a, ulong b, bool nan = false) => Pick(a, b, nan, smaller: true);

    public ulong Max(ulong a, ulong b, bool nan = false) => Pick(a, b, nan, smaller: false);

    /// <summary>[0, 1]; NaN and -0 become +0.</summary>
    public ulong Saturate(ulong v) => IsNan(v) || IsNegative(v) || IsZero(v) ? 0 : Math.Min(v, One);

    public ulong Relu(ulong v) => IsNan(v) ? Nan : IsNegative(v) ? 0 : v;

    /// <summary>To a whole number, in the same format.</summary>
    public ulong Integral(ulong v, RoundTo to)
    {
        if (IsNan(v) || IsInfinity(v))
        {
            return IsNan(v) ? Nan : v;
        }

        BigInteger whole = Whole(v, to);
        return Round(whole, 0, RoundTo.Even, IsNegative(v));
    }

    /// <summary>A finite value as a whole number.</summary>
    public BigInteger Whole(ulong v, RoundTo to)
    {
        (BigInteger m, int p) = Magnitude(v);
        m = IsNegative(v) ? -m : m;
        if (p >= 0)
        {
            return m << p;
        }

        BigInteger unit = BigInteger.One << -p, down = m >> -p, rest = m - (down << -p);
        int half = (2 * rest).CompareTo(unit);
        bool up = to switch
        {
            RoundTo.Even => half > 0 || (half == 0 && !down.IsEven),
            RoundTo.Zero => m.Sign < 0 && !rest.IsZero,
            RoundTo.Up => !rest.IsZero,
            RoundTo.Away => half > 0 || (half == 0 && m.Sign > 0),
            _ => false,
        };
        return down + (up ? 1 : 0);
    }

    private ulong Pick(ulong a, ulong b, bool nan, bool smaller)
    {
        if (IsNan(a) || IsNan(b))
        {
            return nan || (IsNan(a) && IsNan(b)) ? Nan : IsNan(a) ? b : a;
        }

        // Two's complement order of sign-magnitude patterns: -0 is below +0.
        long Order(ulong v) => IsNegative(v) ? ~(long)(v & (Sign - 1)) : (long)v;
        return (Order(a) < Order(b)) == smaller ? a : b;
    }

    private static BigInteger Root(BigInteger v)
    {
        BigInteger x = BigInteger.One << (((int)v.GetBitLength() + 1) / 2);
        while (true)
        {
            BigInteger next = (x + (v / x)) >> 1;
            if (next >= x)
            {
                return x;
            }

            x = next;
        }
    }
}
