namespace AdmNative.Core.Tests;

/// <summary>GroupNorm against its own definition in parts, and against what normalising means.</summary>
public sealed class NormalisationTests
{
    public static TheoryData<int> Variants() => [.. Enumerable.Range(0, new GroupNorm(1, 0).Cases().Count())];

    [Theory]
    [MemberData(nameof(Variants))]
    public void Statistics_then_apply_is_the_same_op(int index)
    {
        OpCase sample = new GroupNorm(1, 0).Cases().ElementAt(index);
        var op = (GroupNorm)sample.Op;
        HostArray<double>[] inputs = OpTable.Draw<double>(sample, index);
        HostArray<double> stats = OpTable.Run(new GroupNormStats(op.Groups, op.Eps), inputs[0]);
        HostArray<double> parts = OpTable.Run(
            new GroupNormApply(op.Groups, op.Silu, op.Resample), [inputs[0], stats, .. inputs[1..]]);
        Assert.Equal(OpTable.Run(op, inputs).Data, parts.Data);
    }

    [Theory]
    [MemberData(nameof(Variants))]
    public void Fused_variants_are_the_chain_of_separate_ops(int index)
    {
        OpCase sample = new GroupNorm(1, 0).Cases().ElementAt(index);
        var op = (GroupNorm)sample.Op;
        HostArray<double>[] inputs = OpTable.Draw<double>(sample, index);
        HostArray<double> y = Normalise(inputs[0], op.Groups, op.Eps, inputs[1].Data, inputs[2].Data);
        if (inputs.Length > 3)
        {
            y = OpTable.Run(new Modulate(), y, inputs[3]);
        }

        if (op.Silu)
        {
            y = OpTable.Run(new Silu(), y);
        }

        if (op.Resample != NormResample.None)
        {
            y = OpTable.Run(new Resample(op.Resample == NormResample.Up2 ? ResampleMode.Up2 : ResampleMode.Down2), y);
        }

        OpTable.Close(y, OpTable.Run(op, inputs), 1e-13);
    }

    [Fact]
    public void Statistics_survive_a_large_mean()
    {
        // Two-pass variance: the squares of the mean never appear.
        HostArray<double> x = OpTable.Array64([1, 4, 1], 1e8 + 1, 1e8 - 1, 1e8 + 1, 1e8 - 1);
        OpTable.Close(OpTable.Array64([1, 1, 2], 1e8, 1), OpTable.Run(new GroupNormStats(1, 0), x), 1e-15);
    }

    [Fact]
    public void A_spatial_head_normalises_features_of_one_sample()
    {
        HostArray<double> x = OpTable.Array64([2, 4], 1, 3, 10, 30, -1, -1, 5, 7);
        HostArray<double> ones = OpTable.Array64([4], 1, 1, 1, 1);
        HostArray<double> y = OpTable.Run(new GroupNorm(2, 0.0), x with { Data = [.. x.Data] }, ones, new HostArray<double>([4]));
        OpTable.Close([-1, 1, -1, 1], y.Data[..4], 1e-15);
        OpTable.Close([-1, 1], y.Data[6..], 1e-15);
        Assert.True(double.IsNaN(y.Data[4])); // a constant group with eps 0 is 0/0, and says so
    }

    /// <summary>Written from the formula with index arithmetic of its own.</summary>
    private static HostArray<double> Normalise(HostArray<double> x, int groups, double eps, double[] gamma, double[] beta)
    {
        var y = new HostArray<double>(x.Shape);
        int C = x.Shape.Last;
        int perSample = x.Data.Length / x.Shape[0];
        var members = Enumerable.Range(0, x.Data.Length).GroupBy(i => (i / perSample, i % C / (C / groups)));
        foreach (var group in members)
        {
            double mean = group.Average(i => x.Data[i]);
            double variance = group.Average(i => (x.Data[i] - mean) * (x.Data[i] - mean));
            foreach (int i in group)
            {
                y.Data[i] = (gamma[i % C] * (x.Data[i] - mean) / Math.Sqrt(variance + eps)) + beta[i % C];
            }
        }

        return y;
    }
}
