namespace AdmNative.Core.Tests;

public sealed class DropoutTests
{
    private static readonly HostArray<double> s_seed = OpTable.Array64([2], 12345, 678);

    [Theory]
    [InlineData(0.1)]
    [InlineData(0.3)]
    [InlineData(0.5)]
    public void Keeps_the_right_share_and_the_mean(double probability)
    {
        const int Count = 40000;
        var ones = new HostArray<double>([Count], [.. Enumerable.Repeat(1.0, Count)]);
        double[] y = OpTable.Run(new Dropout(probability, 5), ones, s_seed).Data;

        Assert.All(y, v => Assert.True(v == 0 || v == 1 / (1 - probability)));

        // Five standard deviations of a binomial count.
        double kept = y.Count(v => v != 0);
        Assert.True(
            Math.Abs(kept - (Count * (1 - probability))) <= 5 * Math.Sqrt(Count * probability * (1 - probability)),
            $"{kept} of {Count} kept at p = {probability}");
    }

    [Fact]
    public void The_mask_is_the_documented_one()
    {
        HostArray<double> x = OpTable.Random64([11], 3);
        double[] y = OpTable.Run(new Dropout(0.4, 9), x, s_seed).Data;
        for (uint i = 0; i < y.Length; i++)
        {
            Philox.Block(12345, 678, i / 4, 0, 9, 0, out uint r0, out uint r1, out uint r2, out uint r3);
            uint word = new[] { r0, r1, r2, r3 }[i % 4];
            bool keep = (word >> 8) / 16777216.0 >= 0.4;
            Assert.Equal(keep ? x.Data[i] / 0.6 : 0, y[i], 1e-15);
        }
    }

    [Fact]
    public void The_threshold_is_exact()
    {
        // p at the very value element 0 draws keeps it; the next representable p drops it.
        Philox.Block(12345, 678, 0, 0, 9, 0, out uint word, out _, out _, out _);
        uint drawn = word >> 8;
        HostArray<double> one = OpTable.Array64([1], 1);
        Assert.NotEqual(0, OpTable.Run(new Dropout(drawn / 16777216.0, 9), one, s_seed).Data[0]);
        Assert.Equal(0, OpTable.Run(new Dropout((drawn + 1) / 16777216.0, 9), one, s_seed).Data[0]);
        Assert.Equal(0u, new Dropout(0, 0).Threshold);
        Assert.Equal(1u << 23, new Dropout(0.5, 0).Threshold);
        Assert.Equal(1677722u, new Dropout(0.1, 0).Threshold); // 0.1 * 2^24 = 1677721.6
    }

    [Fact]
    public void Seeds_streams_and_only_they_change_the_mask()
    {
        var ones = new HostArray<double>([512], [.. Enumerable.Repeat(1.0, 512)]);
        double[] mask = OpTable.Run(new Dropout(0.5, 0), ones, s_seed).Data;
        Assert.Equal(mask, OpTable.Run(new Dropout(0.5, 0), ones, s_seed).Data);
        Assert.Equal(mask, OpTable.Run(new Dropout(0.5, 0), ones with { Shape = [2, 16, 16] }, s_seed).Data);
        Assert.NotEqual(mask, OpTable.Run(new Dropout(0.5, 1), ones, s_seed).Data);
        Assert.NotEqual(mask, OpTable.Run(new Dropout(0.5, 0), ones, OpTable.Array64([2], 12346, 678)).Data);
        Assert.NotEqual(mask, OpTable.Run(new Dropout(0.5, 0), ones, OpTable.Array64([2], 12345, 679)).Data);
    }

    [Theory]
    [InlineData(-0.1)]
    [InlineData(1.0)]
    [InlineData(double.NaN)]
    public void A_probability_outside_the_unit_interval_is_refused(double probability) =>
        Assert.Throws<ShapeException>(() => new Dropout(probability, 0).Infer([TensorType.F32([3]), new(DType.I32, [2])]));
}
