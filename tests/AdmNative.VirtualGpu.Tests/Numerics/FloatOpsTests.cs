using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Tests.Numerics;

public sealed unsafe class FloatOpsTests
{
    private static readonly Rounding[] s_directed = [Rounding.Zero, Rounding.Down, Rounding.Up];

    /// <summary>
    /// True if r is the rounding of the exact result. For quotients and roots the comparison is made on r * divisor and r * r, so nothing is approximated.
    /// </summary>
    private static bool IsRounding(OpCode code, double x, double y, double z, double r, double below, double above, Rounding rounding)
    {
        // Sign of (candidate - exact result).
        int Against(double candidate)
        {
            if (double.IsInfinity(candidate))
            {
                return candidate > 0 ? 1 : -1;
            }

            Exact c = Exact.Of(candidate);
            switch (code)
            {
                case OpCode.AddF64 or OpCode.AddF32: return c.CompareTo(Exact.Of(x) + Exact.Of(y));
                case OpCode.SubF64 or OpCode.SubF32: return c.CompareTo(Exact.Of(x) - Exact.Of(y));
                case OpCode.MulF64 or OpCode.MulF32: return c.CompareTo(Exact.Of(x) * Exact.Of(y));
                case OpCode.FmaF64 or OpCode.FmaF32: return c.CompareTo((Exact.Of(x) * Exact.Of(y)) + Exact.Of(z));
                case OpCode.DivF64 or OpCode.DivF32: return (c * Exact.Of(y)).CompareTo(Exact.Of(x)) * Math.Sign(y);
                case OpCode.RcpF64 or OpCode.RcpF32: return (c * Exact.Of(x)).CompareTo(Exact.Of(1)) * Math.Sign(x);
                default: return candidate < 0 ? -1 : (c * c).CompareTo(Exact.Of(x));
            }
        }

        int side = Against(r);
        return rounding switch
        {
            Rounding.Down => side <= 0 && (side == 0 || Against(above) > 0),
            Rounding.Up => side >= 0 && (side == 0 || Against(below) < 0),
            _ => side == 0 || (r > 0 || (r == 0 && !double.IsNegative(r)) ? side < 0 && Against(above) > 0 : side > 0 && Against(below) < 0),
        };
    }

    private static bool Finite(OpCode code, double x, double y, double z) => double.IsFinite(x) && double.IsFinite(y) && double.IsFinite(z)
        && !(code is OpCode.DivF64 or OpCode.DivF32 && y == 0) && !(code is OpCode.RcpF64 or OpCode.RcpF32 && x == 0) && !(code is OpCode.SqrtF64 or OpCode.SqrtF32 && x < 0);

    [Fact]
    public void Directed_f64_results_are_the_neighbour_on_the_right_side()
    {
        var random = new Random(1);
        using var rows = new Rows(8);
        foreach (OpCode code in (OpCode[])[OpCode.AddF64, OpCode.SubF64, OpCode.MulF64, OpCode.FmaF64, OpCode.DivF64, OpCode.RcpF64, OpCode.SqrtF64])
        {
            foreach (Rounding rounding in s_directed)
            {
                for (int repeat = 0; repeat < 12; repeat++)
                {
                    for (int i = 0; i < 32; i++)
                    {
                        rows.Lanes64(0)[i] = repeat % 2 == 0 ? Patterns.NextDouble(random) : BitConverter.DoubleToUInt64Bits((random.NextDouble() - 0.3) * 8);
                        rows.Lanes64(2)[i] = repeat % 2 == 0 ? Patterns.NextDouble(random) : BitConverter.DoubleToUInt64Bits((random.NextDouble() - 0.5) * 8);
                        rows.Lanes64(4)[i] = repeat % 2 == 0 ? Patterns.NextDouble(random) : BitConverter.DoubleToUInt64Bits((random.NextDouble() - 0.5) * 8);
                    }

                    DoubleOps.Row(code, rows[6], rows[0], rows[2], rows[4], rounding, 0, LaneOps.Full);
                    for (int i = 0; i < 32; i++)
                    {
                        double x = At(0, i), y = At(2, i), z = At(4, i), r = At(6, i);
                        (y, z) = (code is OpCode.RcpF64 or OpCode.SqrtF64 ? 1 : y, code == OpCode.FmaF64 ? z : 0);
                        if (Finite(code, x, y, z))
                        {
                            Assert.True(IsRounding(code, x, y, z, r, Math.BitDecrement(r), Math.BitIncrement(r), rounding), $"{code} {rounding} {x:R} {y:R} {z:R} gave {r:R}");
                        }
                    }
                }
            }
        }

        double At(int row, int lane) => BitConverter.UInt64BitsToDouble(rows.Lanes64(row)[lane]);
    }

    [Fact]
    public void Directed_f32_results_are_the_neighbour_on_the_right_side()
    {
        var random = new Random(2);
        using var rows = new Rows(4);
        foreach (OpCode code in (OpCode[])[OpCode.AddF32, OpCode.SubF32, OpCode.MulF32, OpCode.FmaF32, OpCode.DivF32, OpCode.RcpF32, OpCode.SqrtF32])
        {
            foreach (Rounding rounding in s_directed)
            {
                for (int repeat = 0; repeat < 30; repeat++)
                {
                    for (int row = 0; row < 3; row++)
                    {
                        for (int i = 0; i < 32; i++)
                        {
                            rows.Lanes(row)[i] = repeat % 3 == 0 ? Patterns.NextSingle(random) : BitConverter.SingleToUInt32Bits(Patterns.NextSingle(random, repeat % 3 == 1 ? 3 : 60));
                        }
                    }

                    uint mask = repeat == 0 ? LaneOps.Full : (uint)random.NextInt64(1L << 32);
                    rows.Lanes(3).Fill(0xDEAD_BEEF);
                    FloatOps.Directed(code, rows[3], rows[0], rows[1], rows[2], rounding, 0, mask);
                    for (int i = 0; i < 32; i++)
                    {
                        float x = At(0, i), y = At(1, i), z = At(2, i), r = At(3, i);
                        if ((mask & (1u << i)) == 0)
                        {
                            Assert.Equal(0xDEAD_BEEF, rows.Lanes(3)[i]);
                            continue;
                        }

                        (y, z) = (code is OpCode.RcpF32 or OpCode.SqrtF32 ? 1 : y, code == OpCode.FmaF32 ? z : 0);
                        if (Finite(code, x, y, z))
                        {
                            Assert.True(IsRounding(code, x, y, z, r, MathF.BitDecrement(r), MathF.BitIncrement(r), rounding), $"{code} {rounding} {x:R} {y:R} {z:R} gave {r:R}");
                        }
                        else if (float.IsNaN(r))
                        {
                            Assert.Equal(FloatOps.CanonicalNan, rows.Lanes(3)[i]);
                        }
                    }
                }
            }
        }

        float At(int row, int lane) => BitConverter.UInt32BitsToSingle(rows.Lanes(row)[lane]);
    }

    [Fact]
    public void Cancelled_sums_are_minus_zero_only_when_rounding_down()
    {
        using var rows = new Rows(8);
        rows.Lanes(0).Fill(0x3F80_0000);
        rows.Lanes(1).Fill(0xBF80_0000);
        rows.Lanes64(2).Fill(0x3FF0_0000_0000_0000);
        rows.Lanes64(4).Fill(0xBFF0_0000_0000_0000);
        foreach (Rounding rounding in s_directed)
        {
            FloatOps.Directed(OpCode.AddF32, rows[6], rows[0], rows[1], null, rounding, 0, LaneOps.Full);
            Assert.Equal(rounding == Rounding.Down ? 0x8000_0000u : 0, rows.Lanes(6)[31]);
            DoubleOps.Row(OpCode.AddF64, rows[6], rows[2], rows[4], null, rounding, 0, LaneOps.Full);
            Assert.Equal(rounding == Rounding.Down ? 0x8000_0000_0000_0000u : 0, rows.Lanes64(6)[31]);
        }

        rows.Lanes(0).Clear();
        FloatOps.Directed(OpCode.AddF32, rows[6], rows[0], rows[0], null, Rounding.Down, 0, LaneOps.Full);
        Assert.Equal(0u, rows.Lanes(6)[0]);
    }

    [Fact]
    public void Nearest_f64_is_the_hosts_with_one_NaN()
    {
        var random = new Random(3);
        using var rows = new Rows(8);
        for (int repeat = 0; repeat < 50; repeat++)
        {
            for (int i = 0; i < 32; i++)
            {
                rows.Lanes64(0)[i] = Patterns.NextDouble(random);
                rows.Lanes64(2)[i] = Patterns.NextDouble(random);
                rows.Lanes64(4)[i] = Patterns.NextDouble(random);
            }

            foreach ((OpCode code, Func<double, double, double, double> f) in ((OpCode, Func<double, double, double, double>)[])
            [
                (OpCode.AddF64, (x, y, z) => x + y), (OpCode.SubF64, (x, y, z) => x - y), (OpCode.MulF64, (x, y, z) => x * y), (OpCode.FmaF64, Math.FusedMultiplyAdd),
                (OpCode.DivF64, (x, y, z) => x / y), (OpCode.RcpF64, (x, y, z) => 1 / x), (OpCode.SqrtF64, (x, y, z) => Math.Sqrt(x)), (OpCode.NegF64, (x, y, z) => -x),
                (OpCode.AbsF64, (x, y, z) => Math.Abs(x)),
                (OpCode.MinF64, (x, y, z) => double.IsNaN(x) ? y : double.IsNaN(y) ? x : Math.Min(x, y)), (OpCode.MaxF64, (x, y, z) => double.IsNaN(x) ? y : double.IsNaN(y) ? x : Math.Max(x, y)),
            ])
            {
                DoubleOps.Row(code, rows[6], rows[0], rows[2], rows[4], Rounding.Nearest, 0, 0xFFFF_0FFF);
                for (int i = 0; i < 12; i++)
                {
                    double r = f(BitConverter.UInt64BitsToDouble(rows.Lanes64(0)[i]), BitConverter.UInt64BitsToDouble(rows.Lanes64(2)[i]), BitConverter.UInt64BitsToDouble(rows.Lanes64(4)[i]));
                    Assert.Equal(double.IsNaN(r) ? DoubleOps.CanonicalNan : BitConverter.DoubleToUInt64Bits(r), rows.Lanes64(6)[i]);
                }

                Assert.Equal(0xDEAD_BEEF_DEAD_BEEF, rows.Lanes64(6)[12]);
            }
        }
    }
}
