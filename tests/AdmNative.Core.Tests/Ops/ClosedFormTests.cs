namespace AdmNative.Core.Tests;

/// <summary>Twins against numbers worked out elsewhere: the specification's Appendix C, or by hand.</summary>
public sealed class ClosedFormTests
{
    private static readonly HostArray<double> s_x = OpTable.Array64([1, 2, 2, 1], 1, 2, 3, 4);

    [Theory]
    [InlineData(7, 8, new[] { 0.75390225, 0.76484219, 0.99755100, 0.99997550, 0.65698660, 0.64421769, 0.06994285, 0.00699994 })]
    [InlineData(999, 6, new[] { 0.99964985, -0.72867070, -0.54926458, -0.02646075, 0.68486423, 0.83564850 })]
    [InlineData(2.5, 5, new[] { -0.80114362, 0.99968752, 0.59847214, 0.02499740, 0 })]
    public void Timestep_embedding_of_C2(double t, int dim, double[] expected) =>
        OpTable.Close(expected, OpTable.Run(new TimestepEmbedding(dim), OpTable.Array64([1], t)).Data, 6e-9);

    [Theory]
    [InlineData(new[] { 0.0, 1, 2, 4 }, new[] { 0, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 4 })]
    [InlineData(new[] { 1.0, 5, 2 }, new[] { 1, 1.571429, 3.285714, 5, 3.714286, 2.428571, 2 })]
    public void Bilinear_resize_of_C5(double[] row, double[] expected)
    {
        HostArray<double> across = OpTable.Array64([1, 1, row.Length, 1], row);
        OpTable.Close(expected, OpTable.Run(new BilinearResize(1, expected.Length), across).Data, 6e-7);
        HostArray<double> down = OpTable.Array64([1, row.Length, 1, 1], row);
        OpTable.Close(expected, OpTable.Run(new BilinearResize(expected.Length, 1), down).Data, 6e-7);
    }

    [Fact]
    public void Bilinear_resize_is_separable_and_shrinks_without_averaging()
    {
        HostArray<double> x = OpTable.Random64([2, 5, 4, 3], 1);
        HostArray<double> twice = OpTable.Run(new BilinearResize(5, 9), OpTable.Run(new BilinearResize(5, 9), x));
        OpTable.Close(twice, OpTable.Run(new BilinearResize(5, 9), x), 0);
        HostArray<double> steps = OpTable.Run(new BilinearResize(8, 9), OpTable.Run(new BilinearResize(5, 9), x));
        OpTable.Close(steps, OpTable.Run(new BilinearResize(8, 9), x), 1e-14);
        HostArray<double> row = OpTable.Array64([1, 1, 6, 1], 0, 10, 20, 30, 40, 50);
        OpTable.Close([10, 40], OpTable.Run(new BilinearResize(1, 2), row).Data, 1e-14); // p = 1 and 4 exactly: one neighbour each
    }

    [Fact]
    public void Resampling()
    {
        OpTable.Close(
            [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4], OpTable.Run(new Resample(ResampleMode.Up2), s_x).Data, 0);
        OpTable.Close([2.5], OpTable.Run(new Resample(ResampleMode.Down2), s_x).Data, 0);
        OpTable.Close([10], OpTable.Run(new Resample(ResampleMode.Down2, 4), s_x).Data, 0);
        HostArray<double> x = OpTable.Random64([2, 3, 5, 7], 2);
        OpTable.Close(x, OpTable.Run(new Resample(ResampleMode.Down2), OpTable.Run(new Resample(ResampleMode.Up2), x)), 1e-15);
    }

    [Fact]
    public void Elementwise()
    {
        OpTable.Close([0, 2, 0], OpTable.Run(new Relu(), OpTable.Array64([3], -1, 2, 0)).Data, 0);
        Assert.True(double.IsNaN(OpTable.Run(new Relu(), OpTable.Array64([1], double.NaN)).Data[0]));
        OpTable.Close([0, 1.7615941559557649], OpTable.Run(new Silu(), OpTable.Array64([2], 0, 2)).Data, 1e-15);
        OpTable.Close([5, 5], OpTable.Run(new Add(), OpTable.Array64([2], 2, 3), OpTable.Array64([2], 3, 2)).Data, 0);
        OpTable.Close([-1, -2, -3, -4], OpTable.Run(new Scale(-1), s_x).Data, 0);
        OpTable.Close(s_x, OpTable.Run(new StopGradient(), s_x), 0);
        OpTable.Close([7, 7], OpTable.Run<double>(new Constant(7, [2])).Data, 0);
    }

    [Fact]
    public void Per_sample_scale_shift_and_sum()
    {
        HostArray<double> x = OpTable.Array64([2, 2, 2], 1, 2, 3, 4, 5, 6, 7, 8);
        HostArray<double> m = OpTable.Array64([2, 4], 0, 1, 10, 20, -1, 2, 0, 0.5); // scale, scale, shift, shift
        OpTable.Close([11, 24, 13, 28, 0, 18.5, 0, 24.5], OpTable.Run(new Modulate(), x, m).Data, 0);
        HostArray<double> e = OpTable.Array64([2, 2], 10, 20, 30, 40);
        OpTable.Close([11, 22, 13, 24, 35, 46, 37, 48], OpTable.Run(new AddPerSample(), x, e).Data, 0);
        OpTable.Close([4, 6, 12, 14], OpTable.Run(new SumSpatial(), x).Data, 0);
        OpTable.Close([2, 3, 6, 7], OpTable.Run(new MeanSpatial(), x).Data, 0);
        OpTable.Close([16, 20], OpTable.Run(new ChannelSum(), x).Data, 0);
        OpTable.Close([5, 10, 5, 10], OpTable.Run(new BroadcastSpatial([1, 2, 2], 0.5), OpTable.Array64([1, 2], 10, 20)).Data, 0);
        OpTable.Close([2.5, 6.5], OpTable.Run(new MeanPerSample(), x).Data, 0);
        OpTable.Close([2, 2, -4, -4], OpTable.Run(new BroadcastPerSample([2, 2], 2), OpTable.Array64([2], 1, -2)).Data, 0);
        OpTable.Close([7.5, 0], OpTable.Run(new MsePerSample(), OpTable.Array64([2, 4], 1, 2, 3, 4, 1, 1, 1, 1),
            OpTable.Array64([2, 4], 0, 0, 0, 0, 1, 1, 1, 1)).Data, 0);
    }

    [Fact]
    public void Channels_are_joined_in_order_and_cut_out_again()
    {
        HostArray<double> a = OpTable.Array64([2, 2], 1, 2, 3, 4);
        HostArray<double> b = OpTable.Array64([2, 1], 9, 8);
        HostArray<double> joined = OpTable.Run(new ConcatChannels(), a, b, b);
        OpTable.Close(OpTable.Array64([2, 4], 1, 2, 9, 9, 3, 4, 8, 8), joined, 0);
        OpTable.Close(a, OpTable.Run(new SliceChannels(0, 2), joined), 0);
        OpTable.Close(b, OpTable.Run(new SliceChannels(2, 1), joined), 0);
        OpTable.Close(OpTable.Array64([2, 4], 0, 1, 2, 0, 0, 3, 4, 0), OpTable.Run(new PadChannels(1, 4), a), 0);
        OpTable.Close(OpTable.Array64([4], 1, 2, 3, 4), OpTable.Run(new Reshape([4]), a), 0);
    }

    [Fact]
    public void Tokens()
    {
        HostArray<double> x = OpTable.Array64([1, 2, 2], 1, 2, 3, 6);
        HostArray<double> with = OpTable.Run(new PrependMean(), x);
        OpTable.Close(OpTable.Array64([1, 3, 2], 2, 4, 1, 2, 3, 6), with, 0);
        OpTable.Close(
            [3, 8, 3, 7, 6, 12], OpTable.Run(new AddPositional(), with, OpTable.Array64([2, 3], 1, 2, 3, 4, 5, 6)).Data, 0);
        OpTable.Close([1, 2], OpTable.Run(new TakeToken(1), with).Data, 0);
        OpTable.Close([0, 0, 7, 8], OpTable.Run(new PlaceToken(1, 2), OpTable.Array64([1, 2], 7, 8)).Data, 0);
    }

    [Fact]
    public void Labels_pick_rows_and_log_probabilities()
    {
        HostArray<double> table = OpTable.Array64([3, 2], 1, 2, 3, 4, 5, 6);
        OpTable.Close([5, 6, 1, 2], OpTable.Run(new Embedding(), table, OpTable.Array64([2], 2, 0)).Data, 0);
        OpTable.Close(
            [0, 0, 4, 6, 0, 0],
            OpTable.Run(new EmbeddingGrad(3), OpTable.Array64([2], 1, 1), OpTable.Array64([2, 2], 1, 2, 3, 4)).Data,
            0);

        HostArray<double> logits = OpTable.Array64([2, 2], Math.Log(3), 0, 1000, 1000);
        OpTable.Close(
            [Math.Log(0.75), Math.Log(0.5)], OpTable.Run(new LogSoftmaxSelect(), logits, OpTable.Array64([2], 0, 1)).Data, 1e-15);
        Assert.Throws<ArgumentOutOfRangeException>(() => OpTable.Run(new Embedding(), table, OpTable.Array64([1], 3)));
        Assert.Throws<ArgumentOutOfRangeException>(() => OpTable.Run(new LogSoftmaxSelect(), logits, OpTable.Array64([2], 0, -1)));
    }

    [Fact]
    public void A_sine_of_the_reference_precision_is_enough_at_t_999()
    {
        float[] narrow = OpTable.Run(new TimestepEmbedding(128), new HostArray<float>([1], [999])).Data;
        double[] wide = OpTable.Run(new TimestepEmbedding(128), OpTable.Array64([1], 999)).Data;
        OpTable.Close(wide, [.. narrow.Select(v => (double)v)], 1.2e-4); // 999 rad rounds by 3e-5, the frequency's error doubles it
    }
}
