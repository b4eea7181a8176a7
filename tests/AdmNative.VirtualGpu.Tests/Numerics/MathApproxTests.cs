using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Tests.Numerics;

public sealed unsafe class MathApproxTests
{
    private const float Inf = float.PositiveInfinity, NaN = float.NaN;

    private static double Reference(OpCode code, double x, double y) => code switch
    {
        OpCode.Ex2F32 => Math.Pow(2, x),
        OpCode.Lg2F32 => Math.Log2(x),
        OpCode.SinF32 => Math.Sin(x),
        OpCode.CosF32 => Math.Cos(x),
        OpCode.TanhF32 => Math.Tanh(x),
        OpCode.RcpApproxF32 => 1 / x,
        OpCode.RsqrtApproxF32 => 1 / Math.Sqrt(x),
        OpCode.SqrtApproxF32 => Math.Sqrt(x),
        _ => x / y,
    };

    private static double Ulp(double value) => Math.ScaleB(1, Math.Max(Math.ILogB(value) - 23, -149));

    /// <summary>The documented bound at a point.</summary>
    private static double Bound(OpCode code, double x, double exact) => code switch
    {
        OpCode.RcpApproxF32 => Ulp(exact),
        OpCode.DivApproxF32 or OpCode.Ex2F32 => 2 * Ulp(exact),
        OpCode.SqrtApproxF32 => Math.Abs(exact) * Math.Pow(2, -23),
        OpCode.RsqrtApproxF32 => Math.Abs(exact) * Math.Pow(2, -22.9),
        OpCode.Lg2F32 => x is > 0.5 and < 2 ? Math.Pow(2, -22) : Math.Abs(exact) * Math.Pow(2, -22),
        OpCode.SinF32 or OpCode.CosF32 => Math.Pow(2, Math.Abs(x) <= 2 * Math.PI ? -20.5 : -14.7),
        _ => Math.Abs(exact) * Math.Pow(2, -11),
    };

    private static float Draw(OpCode code, Random random) => code switch
    {
        OpCode.Ex2F32 => (float)((random.NextDouble() * 280) - 151),
        OpCode.Lg2F32 => random.Next(2) == 0 ? Math.Abs(Patterns.NextSingle(random, 120)) : (float)(0.5 + (random.NextDouble() * 1.5)),
        OpCode.SinF32 or OpCode.CosF32 => (float)((random.NextDouble() - 0.5) * (random.Next(2) == 0 ? 4 : 200) * Math.PI),
        OpCode.TanhF32 => Patterns.NextSingle(random, 10),
        OpCode.RsqrtApproxF32 or OpCode.SqrtApproxF32 => Math.Abs(Patterns.NextSingle(random, 120)),
        OpCode.RcpApproxF32 => Patterns.NextSingle(random, 126),
        _ => Patterns.NextSingle(random, 60),
    };

    public static TheoryData<int> Codes() =>
        new(new[] { OpCode.Ex2F32, OpCode.Lg2F32, OpCode.SinF32, OpCode.CosF32, OpCode.TanhF32, OpCode.RcpApproxF32, OpCode.RsqrtApproxF32, OpCode.SqrtApproxF32, OpCode.DivApproxF32 }.Select(c => (int)c));

    [Theory]
    [MemberData(nameof(Codes))]
    public void Results_are_rounded_once_or_with_noise_inside_the_documented_bound(int codeValue)
    {
        var code = (OpCode)codeValue;
        var random = new Random(1);
        using var rows = new Rows(5);
        int moved = 0, total = 0;
        double largest = 0;
        for (int repeat = 0; repeat < 400; repeat++)
        {
            for (int i = 0; i < 32; i++)
            {
                rows.Lanes(0)[i] = BitConverter.SingleToUInt32Bits(Draw(code, random));
                rows.Lanes(1)[i] = BitConverter.SingleToUInt32Bits(Patterns.NextSingle(random, 60));
            }

            uint* b = code == OpCode.DivApproxF32 ? rows[1] : null;
            MathApprox.Row(code, rows[2], rows[0], b, false, 0, default, LaneOps.Full);
            MathApprox.Row(code, rows[3], rows[0], b, false, 0, new ApproxNoise(true, 42), LaneOps.Full);
            MathApprox.Row(code, rows[4], rows[0], b, false, 0, new ApproxNoise(true, 42), LaneOps.Full);
            for (int i = 0; i < 32; i++)
            {
                float x = At(0, i), y = At(1, i), plain = At(2, i), noisy = At(3, i);
                Assert.Equal(rows.Lanes(3)[i], rows.Lanes(4)[i]); // the same seed, the same error
                double exact = Reference(code, x, y);
                if (exact == 0 || Math.Abs(exact) < Math.ScaleB(1, -149) || Math.Abs(exact) > float.MaxValue)
                {
                    continue;
                }

                // One rounding of a double that is itself good to some of its own units.
                Assert.True(Math.Abs(plain - exact) <= (0.5 * Ulp(exact)) + (1e-13 * Math.Abs(exact)) + (code is OpCode.SinF32 or OpCode.CosF32 ? 1e-13 : 0), $"{code} {x:R} {y:R}: {plain:R} for {exact:R}");
                double error = Math.Abs(noisy - exact) / Bound(code, x, exact);
                Assert.True(error <= 1.0000001, $"{code} {x:R} {y:R} with noise: {noisy:R} for {exact:R}, {error} of the bound");
                largest = Math.Max(largest, error);
                moved += plain != noisy ? 1 : 0;
                total++;
            }
        }

        Assert.True(moved > total / 8, $"noise moved {moved} of {total} results");
        Assert.True(largest > 0.8, $"noise used at most {largest} of the bound");

        float At(int row, int lane) => BitConverter.UInt32BitsToSingle(rows.Lanes(row)[lane]);
    }

    [Fact]
    public void Noise_depends_on_seed_operation_and_operand()
    {
        double[] units =
        [
            new ApproxNoise(true, 1).Unit(OpCode.Ex2F32, 5, 0), new ApproxNoise(true, 2).Unit(OpCode.Ex2F32, 5, 0),
            new ApproxNoise(true, 1).Unit(OpCode.Lg2F32, 5, 0), new ApproxNoise(true, 1).Unit(OpCode.Ex2F32, 6, 0), new ApproxNoise(true, 1).Unit(OpCode.Ex2F32, 5, 1),
        ];
        Assert.Equal(units.Length, units.Distinct().Count());
        double sum = 0, square = 0;
        for (uint i = 0; i < 10000; i++)
        {
            double u = new ApproxNoise(true, 9).Unit(OpCode.SinF32, i, 0);
            Assert.InRange(u, -1, 1);
            sum += u;
            square += u * u;
        }

        // Uniform on [-1, 1]: mean 0 +- 5 sqrt(1/3/n), variance 1/3 +- 5 sqrt(4/45/n).
        Assert.InRange(sum / 10000, -0.029, 0.029);
        Assert.InRange(square / 10000, 0.333 - 0.015, 0.333 + 0.015);
    }

    [Theory]
    [InlineData((int)OpCode.Ex2F32, -Inf, 0f)]
    [InlineData((int)OpCode.Ex2F32, Inf, Inf)]
    [InlineData((int)OpCode.Ex2F32, -0f, 1f)]
    [InlineData((int)OpCode.Ex2F32, 128f, Inf)]
    [InlineData((int)OpCode.Ex2F32, -149f, 1.401298464324817e-45f)]
    [InlineData((int)OpCode.Ex2F32, 10f, 1024f)]
    [InlineData((int)OpCode.Ex2F32, NaN, NaN)]
    [InlineData((int)OpCode.Lg2F32, 0f, -Inf)]
    [InlineData((int)OpCode.Lg2F32, -1f, NaN)]
    [InlineData((int)OpCode.Lg2F32, Inf, Inf)]
    [InlineData((int)OpCode.Lg2F32, 1f, 0f)]
    [InlineData((int)OpCode.Lg2F32, 1.401298464324817e-45f, -149f)]
    [InlineData((int)OpCode.Lg2F32, NaN, NaN)]
    [InlineData((int)OpCode.SinF32, -0f, -0f)]
    [InlineData((int)OpCode.SinF32, Inf, NaN)]
    [InlineData((int)OpCode.SinF32, NaN, NaN)]
    [InlineData((int)OpCode.SinF32, 1e-40f, 1e-40f)]
    [InlineData((int)OpCode.CosF32, -0f, 1f)]
    [InlineData((int)OpCode.CosF32, -Inf, NaN)]
    [InlineData((int)OpCode.TanhF32, -Inf, -1f)]
    [InlineData((int)OpCode.TanhF32, -0f, -0f)]
    [InlineData((int)OpCode.TanhF32, 1e-40f, 1e-40f)]
    [InlineData((int)OpCode.TanhF32, NaN, NaN)]
    [InlineData((int)OpCode.RcpApproxF32, -0f, -Inf)]
    [InlineData((int)OpCode.RcpApproxF32, -Inf, -0f)]
    [InlineData((int)OpCode.RcpApproxF32, 1.7014118e38f, 5.8774718e-39f)]
    [InlineData((int)OpCode.RsqrtApproxF32, -0f, -Inf)]
    [InlineData((int)OpCode.RsqrtApproxF32, Inf, 0f)]
    [InlineData((int)OpCode.RsqrtApproxF32, -1f, NaN)]
    [InlineData((int)OpCode.SqrtApproxF32, -0f, -0f)]
    [InlineData((int)OpCode.SqrtApproxF32, -1f, NaN)]
    [InlineData((int)OpCode.SqrtApproxF32, Inf, Inf)]
    public void Special_values_are_those_of_the_manual_with_and_without_noise(int code, float x, float expected)
    {
        uint bits = float.IsNaN(expected) ? FloatOps.CanonicalNan : BitConverter.SingleToUInt32Bits(expected);
        Assert.Equal(bits, BitConverter.SingleToUInt32Bits(MathApprox.One((OpCode)code, x)));
        bool defined = x == 0 || !float.IsFinite(x) || float.IsNaN(expected) || float.IsInfinity(expected);
        if (defined)
        {
            using var rows = new Rows(2);
            rows.Lanes(0).Fill(BitConverter.SingleToUInt32Bits(x));
            MathApprox.Row((OpCode)code, rows[1], rows[0], null, false, 0, new ApproxNoise(true, 3), LaneOps.Full);
            Assert.Equal(bits, rows.Lanes(1)[17]);
        }
    }

    [Fact]
    public void Flushing_takes_subnormals_for_zeros()
    {
        Assert.Equal(float.NegativeInfinity, MathApprox.One(OpCode.RcpApproxF32, -1e-40f, ftz: true));
        Assert.Equal(Inf, MathApprox.One(OpCode.RsqrtApproxF32, 1e-40f, ftz: true));
        Assert.Equal(0x8000_0000u, BitConverter.SingleToUInt32Bits(MathApprox.One(OpCode.RcpApproxF32, -1.7014118e38f, ftz: true)));
        Assert.Equal(0f, MathApprox.One(OpCode.Ex2F32, -130f, ftz: true));
        Assert.Equal(-Inf, MathApprox.One(OpCode.Lg2F32, 1e-40f, ftz: true));
        Assert.Equal(-Inf, MathApprox.One(OpCode.Lg2F32, -0f));
        Assert.Equal(0f, MathApprox.One(OpCode.SqrtApproxF32, 1e-40f, ftz: true));
        Assert.Equal(0x8000_0000u, BitConverter.SingleToUInt32Bits(MathApprox.One(OpCode.SinF32, -1e-40f, ftz: true)));
        Assert.Equal(Inf, MathApprox.One(OpCode.DivApproxF32, 1, 1e-40f, ftz: true));
    }

    [Fact]
    public void Approximate_division_loses_large_divisors_and_full_division_does_not()
    {
        float huge = 1.2e38f, edge = 8.507059e37f; // 2^126
        Assert.Equal(0f, MathApprox.One(OpCode.DivApproxF32, 1e38f, huge));
        Assert.Equal(0x8000_0000u, BitConverter.SingleToUInt32Bits(MathApprox.One(OpCode.DivApproxF32, -1e38f, huge)));
        Assert.True(float.IsNaN(MathApprox.One(OpCode.DivApproxF32, Inf, huge)));
        Assert.Equal(1e38f / edge, MathApprox.One(OpCode.DivApproxF32, 1e38f, edge));
        Assert.Equal(1e38f / huge, MathApprox.One(OpCode.DivApproxF32, 1e38f, huge, full: true));
        Assert.Equal(0f, MathApprox.One(OpCode.DivApproxF32, 5, Inf));
        Assert.Equal(Inf, MathApprox.One(OpCode.DivApproxF32, 5, 0));
        Assert.True(float.IsNaN(MathApprox.One(OpCode.DivApproxF32, 0, 0)));
    }

    [Fact]
    public void Masked_lanes_keep_their_value()
    {
        using var rows = new Rows(2);
        rows.Lanes(0).Fill(0x3F80_0000);
        MathApprox.Row(OpCode.Ex2F32, rows[1], rows[0], null, false, 0, default, 0x8000_0001);
        Assert.Equal(0x4000_0000u, rows.Lanes(1)[0]);
        Assert.Equal(0x4000_0000u, rows.Lanes(1)[31]);
        Assert.Equal(0xDEAD_BEEFu, rows.Lanes(1)[1]);
        Assert.Equal(0xDEAD_BEEFu, rows.Lanes(1)[30]);
    }

    [Fact]
    public void Sine_of_large_arguments_is_reduced()
    {
        foreach (float x in (float[])[1e5f, 999999f, 1e7f, -3e20f, 3e38f])
        {
            Assert.Equal((float)Math.Sin(x), MathApprox.One(OpCode.SinF32, x), 1e-7f);
            Assert.Equal((float)Math.Cos(x), MathApprox.One(OpCode.CosF32, x), 1e-7f);
        }
    }
}
