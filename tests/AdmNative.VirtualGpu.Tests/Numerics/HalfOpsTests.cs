using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;
using Convert = AdmNative.VirtualGpu.Engine.Convert;

namespace AdmNative.VirtualGpu.Tests.Numerics;

public sealed unsafe class HalfOpsTests
{
    private static readonly OpCode[] s_codes =
        [OpCode.AddHalf, OpCode.SubHalf, OpCode.MulHalf, OpCode.FmaHalf, OpCode.NegHalf, OpCode.AbsHalf, OpCode.MinHalf, OpCode.MaxHalf];

    private static PtxType Scalar(HalfKind kind) => kind is HalfKind.F16 or HalfKind.F16x2 ? PtxType.F16 : PtxType.BF16;

    /// <summary>One operation from its definition: exact value, one rounding, flags in the manual's order.</summary>
    private static uint Expected(OpCode code, PtxType type, uint a, uint b, uint c, OpFlags flags)
    {
        FloatFormat format = Convert.Format(type);
        uint exponent = (uint)format.InfinityField << format.Fraction;
        uint Flush(uint h) => (flags & OpFlags.Ftz) != 0 && (h & exponent) == 0 ? h & 0x8000 : h;
        (a, b, c) = (Flush(a), Flush(b), Flush(c));
        double x = Convert.ToDouble(type, a), y = Convert.ToDouble(type, b), z = Convert.ToDouble(type, c);
        double plain = code switch
        {
            OpCode.AddHalf => x + y,
            OpCode.SubHalf => x - y,
            OpCode.MulHalf => x * y,
            OpCode.FmaHalf => (x * y) + z,
            OpCode.NegHalf => -x,
            OpCode.AbsHalf => Math.Abs(x),
            OpCode.MinHalf => double.IsNaN(x) ? y : double.IsNaN(y) ? x : Math.Min(x, y),
            _ => double.IsNaN(x) ? y : double.IsNaN(y) ? x : Math.Max(x, y),
        };
        if ((flags & OpFlags.Nan) != 0 && (double.IsNaN(x) || double.IsNaN(y)))
        {
            plain = double.NaN;
        }

        uint r;
        if (code == OpCode.FmaHalf && double.IsFinite(plain) && plain != 0)
        {
            Exact sum = (Exact.Of(x) * Exact.Of(y)) + Exact.Of(z);
            r = (uint)ExactFloat.Round(sum.Sign < 0, System.Numerics.BigInteger.Abs(sum.Integer), sum.Power, format, Rounding.Nearest);
        }
        else
        {
            r = (uint)ExactFloat.Round(plain, format, Rounding.Nearest); // sums of two halves of like format, and products, fit a double or are decided by it
        }

        double value = Convert.ToDouble(type, r);
        if ((flags & OpFlags.Sat) != 0)
        {
            r = !(value > 0) ? 0 : value > 1 ? (uint)ExactFloat.Round(1, format, Rounding.Nearest) : r;
        }

        if ((flags & OpFlags.Relu) != 0 && value <= 0)
        {
            r = 0;
        }

        return Flush(r);
    }

    [Fact]
    public void Every_operation_rounds_once()
    {
        var random = new Random(1);
        using var rows = new Rows(4);
        OpFlags[] flags = [0, OpFlags.Ftz, OpFlags.Sat, OpFlags.Relu, OpFlags.Ftz | OpFlags.Sat];
        foreach (HalfKind kind in Enum.GetValues<HalfKind>())
        {
            PtxType type = Scalar(kind);
            bool pair = kind is HalfKind.F16x2 or HalfKind.BF16x2;
            foreach (OpCode code in s_codes)
            {
                bool minmax = code is OpCode.MinHalf or OpCode.MaxHalf;
                foreach (OpFlags f in minmax ? [0, OpFlags.Nan, OpFlags.Ftz, OpFlags.Nan | OpFlags.Ftz] : flags)
                {
                    for (int repeat = 0; repeat < 24; repeat++)
                    {
                        for (int row = 0; row < 3; row++)
                        {
                            for (int i = 0; i < 32; i++)
                            {
                                rows.Lanes(row)[i] = Patterns.NextHalf(random) | ((uint)Patterns.NextHalf(random) << 16);
                            }
                        }

                        uint mask = repeat == 0 ? LaneOps.Full : (uint)random.NextInt64(1L << 32);
                        rows.Lanes(3).Fill(0xDEAD_BEEF);
                        HalfOps.Row(code, kind, rows[3], rows[0], rows[1], rows[2], f, default, mask);
                        for (int i = 0; i < 32; i++)
                        {
                            uint a = rows.Lanes(0)[i], b = rows.Lanes(1)[i], c = rows.Lanes(2)[i];
                            uint expected = Expected(code, type, a & 0xFFFF, b & 0xFFFF, c & 0xFFFF, f) | (pair ? Expected(code, type, a >> 16, b >> 16, c >> 16, f) << 16 : 0);
                            expected = (mask & (1u << i)) == 0 ? 0xDEAD_BEEF : expected;
                            Assert.True(expected == rows.Lanes(3)[i], $"{code} {kind} {f}: {a:x8} {b:x8} {c:x8} gave {rows.Lanes(3)[i]:x8}, expected {expected:x8}");
                        }
                    }
                }
            }
        }
    }

    [Fact]
    public void Fused_products_feel_a_tail_below_double_precision()
    {
        // 1 * (1 + 2^-7) + ... : in bf16 the product of (1+2^-7)(1+2^-1) ties, and a term of 2^-100 breaks the tie.
        using var rows = new Rows(4);
        uint a = 0x3F81, tie = 0x3FC0; // 1.0078125 * 1.5 = 1.51171875 = between 0x3FC1 and 0x3FC2 exactly
        foreach ((uint tail, uint expected) in ((uint, uint)[])[(0x0000, 0x3FC2), (0x0D80, 0x3FC2), (0x8D80, 0x3FC1)])
        {
            rows.Lanes(0).Fill(a);
            rows.Lanes(1).Fill(tie);
            rows.Lanes(2).Fill(tail);
            HalfOps.Row(OpCode.FmaHalf, HalfKind.BF16, rows[3], rows[0], rows[1], rows[2], 0, default, LaneOps.Full);
            Assert.Equal(expected, rows.Lanes(3)[7]);
        }
    }

    [Fact]
    public void All_f16_sums_and_products_with_chosen_partners_match_System_Half()
    {
        using var rows = new Rows(4);
        foreach (ushort partner in Patterns.Half)
        {
            var p = BitConverter.UInt16BitsToHalf(partner);
            rows.Lanes(1).Fill(partner);
            for (uint first = 0; first < 65536; first += 32)
            {
                for (uint i = 0; i < 32; i++)
                {
                    rows.Lanes(0)[(int)i] = first + i;
                }

                HalfOps.Row(OpCode.AddHalf, HalfKind.F16, rows[2], rows[0], rows[1], null, 0, default, LaneOps.Full);
                HalfOps.Row(OpCode.MulHalf, HalfKind.F16, rows[3], rows[0], rows[1], null, 0, default, LaneOps.Full);
                for (uint i = 0; i < 32; i++)
                {
                    var h = BitConverter.UInt16BitsToHalf((ushort)(first + i));
                    if (Bits(h + p) != rows.Lanes(2)[(int)i] || Bits(h * p) != rows.Lanes(3)[(int)i])
                    {
                        Assert.Fail($"{first + i:x4} and {partner:x4}: sum {rows.Lanes(2)[(int)i]:x4}, product {rows.Lanes(3)[(int)i]:x4}");
                    }
                }
            }
        }

        static uint Bits(Half h) => Half.IsNaN(h) ? 0x7FFFu : BitConverter.HalfToUInt16Bits(h);
    }

    [Fact]
    public void Comparisons_follow_the_scalar_definition()
    {
        var random = new Random(2);
        using var rows = new Rows(3);
        foreach (HalfKind kind in Enum.GetValues<HalfKind>())
        {
            for (int i = 0; i < 32; i++)
            {
                rows.Lanes(0)[i] = Patterns.NextHalf(random) | ((uint)Patterns.NextHalf(random) << 16);
                rows.Lanes(1)[i] = i % 3 == 0 ? rows.Lanes(0)[i] : Patterns.NextHalf(random) | ((uint)Patterns.NextHalf(random) << 16);
            }

            foreach (Compare compare in Enum.GetValues<Compare>())
            {
                uint low = HalfOps.Compare(kind, compare, rows[0], rows[1], 0, 0), high = HalfOps.Compare(kind, compare, rows[0], rows[1], 0, 1);
                HalfOps.SetX2(kind, compare, rows[2], rows[0], rows[1], 0, LaneOps.Full);
                uint one = Scalar(kind) == PtxType.F16 ? 0x3C00u : 0x3F80;
                for (int i = 0; i < 32; i++)
                {
                    uint a = rows.Lanes(0)[i], b = rows.Lanes(1)[i];
                    bool expectLow = FloatOps.Compare(compare, Convert.ToDouble(Scalar(kind), a & 0xFFFF), Convert.ToDouble(Scalar(kind), b & 0xFFFF));
                    bool expectHigh = FloatOps.Compare(compare, Convert.ToDouble(Scalar(kind), a >> 16), Convert.ToDouble(Scalar(kind), b >> 16));
                    Assert.Equal(expectLow, (low & (1u << i)) != 0);
                    Assert.Equal(expectHigh, (high & (1u << i)) != 0);
                    if (kind is HalfKind.F16x2 or HalfKind.BF16x2)
                    {
                        Assert.Equal((expectLow ? one : 0) | (expectHigh ? one << 16 : 0), rows.Lanes(2)[i]);
                    }
                }
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Exponentials_and_tanh_of_every_half_stay_inside_their_bounds(bool noisy)
    {
        using var rows = new Rows(2);
        var noise = new ApproxNoise(noisy, 7);
        int moved = 0;
        foreach (HalfKind kind in (HalfKind[])[HalfKind.F16, HalfKind.BF16])
        {
            PtxType type = Scalar(kind);
            foreach (OpCode code in (OpCode[])[OpCode.Ex2Half, OpCode.TanhHalf])
            {
                for (uint first = 0; first < 65536; first += 32)
                {
                    for (uint i = 0; i < 32; i++)
                    {
                        rows.Lanes(0)[(int)i] = first + i;
                    }

                    HalfOps.Row(code, kind, rows[1], rows[0], null, null, 0, noise, LaneOps.Full);
                    for (uint i = 0; i < 32; i++)
                    {
                        uint r = rows.Lanes(1)[(int)i];
                        double x = Convert.ToDouble(type, first + i), y = Convert.ToDouble(type, r);
                        double exact = code == OpCode.Ex2Half ? Math.Pow(2, x) : Math.Tanh(x);
                        uint rounded = (uint)ExactFloat.Round(exact, Convert.Format(type), Rounding.Nearest);
                        moved += r != rounded ? 1 : 0;
                        if (double.IsNaN(x))
                        {
                            Assert.Equal(0x7FFFu, r);
                            continue;
                        }

                        double smallest = kind == HalfKind.F16 ? Math.ScaleB(1, -14) : Math.ScaleB(1, -126);
                        if (double.IsInfinity(Convert.ToDouble(type, rounded)) || exact < smallest)
                        {
                            continue; // subnormal results have no relative accuracy, infinite ones no error
                        }

                        double bound = (code, kind) switch
                        {
                            (OpCode.Ex2Half, HalfKind.F16) => exact * Math.Pow(2, -9.9),
                            (OpCode.Ex2Half, _) => exact * Math.Pow(2, -7),
                            (_, HalfKind.F16) => Math.Pow(2, -10.987),
                            _ => Math.Pow(2, -8),
                        };
                        Assert.True(Math.Abs(y - exact) <= bound, $"{code} {kind} of {x:R}: {y:R}, {exact:R} exactly");
                    }
                }
            }
        }

        Assert.True(noisy ? moved > 5000 : moved == 0, $"{moved} results differ from the rounded value");
    }
}
