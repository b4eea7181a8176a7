using System.Numerics;

namespace AdmNative.VirtualGpu.Tests.Numerics;

/// <summary>A binary rational, integer times a power of two: the judge of roundings.</summary>
internal readonly record struct Exact(BigInteger Integer, int Power) : IComparable<Exact>
{
    public static Exact Of(double value)
    {
        long bits = BitConverter.DoubleToInt64Bits(value);
        int field = (int)((bits >> 52) & 0x7FF);
        BigInteger m = (bits & 0xF_FFFF_FFFF_FFFF) | (field == 0 ? 0 : 1L << 52);
        return new Exact(bits < 0 ? -m : m, Math.Max(field, 1) - 1075);
    }

    public int Sign => Integer.Sign;

    public static Exact operator +(Exact a, Exact b)
    {
        int low = Math.Min(a.Power, b.Power);
        return new Exact((a.Integer << (a.Power - low)) + (b.Integer << (b.Power - low)), low);
    }

    public static Exact operator -(Exact a, Exact b) => a + new Exact(-b.Integer, b.Power);

    public static Exact operator *(Exact a, Exact b) => new(a.Integer * b.Integer, a.Power + b.Power);

    public int CompareTo(Exact other) => (this - other).Sign;
}
