using AdmNative.Core;
using AdmNative.Core.Tests;

namespace AdmNative.Cpu.Tests;

/// <summary>The normalisation family on the design's shape list and on hostile data.</summary>
public sealed class NormTests
{
    private static readonly int[][] s_shapes =
    [
        [1, 1, 1, 32, 32],
        [2, 7, 7, 64, 32],
        [1, 8, 8, 1024, 32],
        [3, 8, 8, 1344, 32],
        [2, 9, 5, 192, 32],
        [2, 28, 28, 96, 32],
        [1, 64, 64, 160, 32],
        [5, 14, 14, 160, 32],
        [65, 2, 2, 64, 32],
        [1, 3, 3, 30, 3],
        [1, 33, 31, 125, 5],
        [2, 40, 42, 48, 16],
    ];

    public static TheoryData<Isa, int> Cases()
    {
        var data = new TheoryData<Isa, int>();
        foreach (Isa isa in IsaSupport.Available)
        {
            for (int i = 0; i < s_shapes.Length; i++)
            {
                data.Add(isa, i);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Forward_and_backward_match_the_twins(Isa isa, int shape)
    {
        (int[] s, bool even) = (s_shapes[shape], s_shapes[shape][1] % 2 == 0 && s_shapes[shape][2] % 2 == 0);
        Shape x = [s[0], s[1], s[2], s[3]];
        foreach (NormResample resample in Enum.GetValues<NormResample>())
        {
            if ((resample == NormResample.Down2 && !even) || (resample != NormResample.None && x.Elements > 100_000))
            {
                continue;
            }

            foreach (bool silu in (bool[])[true, false])
            {
                CheckAll(isa, x, s[4], silu, resample);
            }
        }
    }

    [Theory]
    [InlineData(0.0, 1e-30)]
    [InlineData(5.0, 0.0)]
    [InlineData(1e3, 1.0)]
    [InlineData(-1e3, 1.0)]
    public void Constant_and_far_from_zero_inputs(double mean, double spread)
    {
        // f32 holds x = mean + spread * u to mean * 2^-24; the normalised value is off by that over spread, twice (input and fold).
        var sample = new OpCase(new GroupNorm(4, 1e-5, true), [TensorType.F32([2, 16, 16, 32]), TensorType.F32([32]), TensorType.F32([32])]);
        HostArray<double>[] values = OpTable.Draw<double>(sample, 3);
        for (int i = 0; i < values[0].Data.Length; i++)
        {
            values[0].Data[i] = (float)(mean + (spread * values[0].Data[i]));
        }

        double[] expected = OpTable.Run(sample.Op, values).Data;
        foreach (Isa isa in IsaSupport.Available)
        {
            SingleOp.AssertClose(
                $"{isa} mean {mean} spread {spread}", expected, SingleOp.Run(isa, 2, sample, values, 3), Math.Abs(mean) >= 1e3 ? 1e-4 : 2e-5);
        }
    }

    [Fact]
    public void An_outlier_at_the_pilot_pixel()
    {
        var sample = new OpCase(new GroupNorm(2, 1e-5), [TensorType.F32([1, 20, 20, 16]), TensorType.F32([16]), TensorType.F32([16])]);
        HostArray<double>[] values = OpTable.Draw<double>(sample, 3);
        for (int c = 0; c < 16; c++)
        {
            values[0].Data[c] = 1000;
        }

        double[] expected = OpTable.Run(sample.Op, values).Data;
        foreach (Isa isa in IsaSupport.Available)
        {
            // A pilot 1000 standard deviations off would cost the sums of squares three digits.
            SingleOp.AssertClose($"{isa}", expected, SingleOp.Run(isa, 1, sample, values, 0), 2e-6);
        }
    }

    [Fact]
    public void Nan_in_one_sample_does_not_leak()
    {
        var sample = new OpCase(new GroupNorm(4, 1e-5, true), [TensorType.F32([3, 9, 9, 20]), TensorType.F32([20]), TensorType.F32([20])]);
        HostArray<double>[] clean = OpTable.Draw<double>(sample, 3);
        HostArray<double>[] dirty = [new(clean[0].Shape, (double[])clean[0].Data.Clone()), clean[1], clean[2]];
        dirty[0].Data[(81 * 20) + 777] = double.NaN;
        foreach (Isa isa in IsaSupport.Available)
        {
            float[] expected = SingleOp.Run(isa, 2, sample, clean, 0), actual = SingleOp.Run(isa, 2, sample, dirty, 0);
            for (int i = 0; i < expected.Length; i++)
            {
                bool sameSample = i / (81 * 20) == 1, sameGroup = sameSample && i % 20 / 5 == 777 % 20 / 5;
                if (!(sameGroup ? float.IsNaN(actual[i]) : sameSample || actual[i] == expected[i]))
                {
                    Assert.Fail($"{isa}: element {i} is {actual[i]}");
                }
            }
        }
    }

    private static void CheckAll(Isa isa, Shape x, int groups, bool silu, NormResample resample)
    {
        (TensorType c, TensorType m) = (TensorType.F32([x.Last]), TensorType.F32([x[0], 2L * x.Last]));
        var forward = new OpCase(
            new GroupNorm(groups, 1e-5, silu, resample), [TensorType.F32(x), c, c, m], Scale: [2, 0.5, 0.5, 0.5], Offset: [0.5, 1, 0, 0]);
        HostArray<double>[] values = OpTable.Draw<double>(forward, 3);
        HostArray<double> stats = Rounded(OpTable.Run(new GroupNormStats(groups, 1e-5), values[0]));
        Check(isa, forward, values);

        TensorType dy = forward.Op.Infer(forward.Inputs);
        HostArray<double> dyValues = OpTable.Random64(dy.Shape, 9);
        var sums = new OpCase(
            new GroupNormGradSums(groups, silu, resample), [TensorType.F32(x), dy, TensorType.F32(stats.Shape), c, c, m]);
        HostArray<double>[] sumValues = [values[0], Rounded(dyValues), stats, values[1], values[2], values[3]];
        Check(isa, sums, sumValues);

        HostArray<double> sumResult = Rounded(OpTable.Run(sums.Op, sumValues));
        HostArray<double> addend = Rounded(OpTable.Random64(x, 10));
        var grad = new OpCase(
            new GroupNormInputGrad(groups, silu, resample, true),
            [TensorType.F32(x), dy, TensorType.F32(stats.Shape), TensorType.F32(sumResult.Shape), c, c, m, TensorType.F32(x)]);

        // dx is a difference of terms as large as rstd g dz, which may cancel entirely (groups of one element): 8 roundings of that.
        double rstd = stats.Data.Where((_, i) => i % 2 == 1).Max(), g = values[1].Data.Max(Math.Abs) * (1 + values[3].Data.Max(Math.Abs));
        Check(
            isa, grad, [values[0], sumValues[1], stats, sumResult, values[1], values[2], values[3], addend],
            8 * Math.ScaleB(1, -24) * rstd * g * sumValues[1].Data.Max(Math.Abs) * (resample == NormResample.Up2 ? 4 : 1));
    }

    private static void Check(Isa isa, OpCase sample, HostArray<double>[] values, double cancellation = 0)
    {
        double[] expected = OpTable.Run(sample.Op, values).Data;
        double tolerance = OpCaseTests.Tolerance(sample, values, expected) + (cancellation / expected.Max(Math.Abs));
        float[] one = SingleOp.Run(isa, 1, sample, values, 0);
        SingleOp.AssertClose($"{isa} {sample.Op} {sample.Inputs[0]}", expected, one, tolerance);
        OpCaseTests.AssertSame($"{sample.Op} {sample.Inputs[0]} strided, 2 threads", one, SingleOp.Run(isa, 2, sample, values, 5));
        OpCaseTests.AssertSame($"{sample.Op} {sample.Inputs[0]} 3 threads", one, SingleOp.Run(isa, 3, sample, values, 0));
    }

    private static HostArray<double> Rounded(HostArray<double> x) => new(x.Shape, Array.ConvertAll(x.Data, v => (double)(float)v));
}
