namespace AdmNative.Core.Tests;

/// <summary>One refusal per rule: the message names the op, what it wants and what it got.</summary>
public sealed class ShapeRuleTests
{
    private static readonly TensorType s_x = TensorType.F32([2, 4, 6, 8]);
    private static readonly TensorType s_c = TensorType.F32([8]);
    private static readonly TensorType s_m = TensorType.F32([2, 16]);
    private static readonly TensorType s_coef = TensorType.F32([2, 16]);
    private static readonly TensorType s_labels = new(DType.I32, [2]);

    private static readonly (Op Op, TensorType[] Inputs, string Expected)[] s_refusals =
    [
        (new Add(), [s_x, s_c], "one shape"),
        (new SiluGrad(), [s_x, s_c], "one shape"),
        (new ReluGrad(), [s_x, s_c], "one shape"),
        (new Constant(1, [2]), [s_x], "no inputs"),
        (new Modulate(), [s_x, F(2, 8)], "m[N,2C]"),
        (new Modulate(), [s_x, F(1, 16)], "m[N,2C]"),
        (new Modulate(), [s_c, F(8, 16)], "x[N,...,C]"),
        (new ModulateInputGrad(), [s_x, F(2, 8)], "m[N,2C]"),
        (new ModulateParamGrad(), [s_x, F(2, 4, 6, 7)], "one shape"),
        (new AddPerSample(), [s_x, F(2, 16)], "e[N,C]"),
        (new SumSpatial(), [s_c], "x[N,...,C]"),
        (new MeanSpatial(), [s_c], "x[N,...,C]"),
        (new BroadcastSpatial([2, 3, 8], 1), [F(2, 7)], "[2,3,8]"),
        (new ChannelSum(), [F()], "x[...,C]"),
        (new Dropout(0.1, 0), [s_x, new(DType.I32, [3])], "seed i32[2]"),
        (new Dropout(0.1, 0), [s_x, F(2)], "seed i32[2]"),
        (new Resample(ResampleMode.Up2), [F(2, 4, 8)], "x[N,H,W,C]"),
        (new Resample(ResampleMode.Down2), [F(2, 4, 5, 8)], "even H and W"),
        (new Resample(ResampleMode.Down2), [F(2, 3, 4, 8)], "even H and W"),
        (new ConcatChannels(), [s_x, F(2, 4, 5, 8)], "equal dimensions except the last"),
        (new ConcatChannels(), [s_x, F(2, 24, 8)], "equal dimensions except the last"),
        (new SliceChannels(6, 3), [s_x], "channels 6..8"),
        (new SliceChannels(-1, 3), [s_x], "channels -1..1"),
        (new SliceChannels(0, 0), [s_x], "channels 0..-1"),
        (new PadChannels(1, 8), [s_x], "fits into 8 channels from 1"),
        (new PadChannels(-1, 9), [s_x], "from -1"),
        (new Reshape([2, 3]), [s_x], "6 elements for [2,3]"),
        (new BilinearResize(0, 4), [s_x], "0x4"),
        (new BilinearResize(4, 4), [F(2, 0, 6, 8)], "with pixels"),
        (new Linear(), [s_x, F(5, 7)], "w[M,K]"),
        (new Linear(), [s_x, F(5, 8, 3)], "w[M,K,1]"),
        (new Linear(), [s_x, F(5, 8), F(4)], "bias[5]"),
        (new Linear(), [s_x, F(5, 8), F(5), s_x], "residual f32[2,4,6,5]"),
        (new LinearInputGrad(), [F(2, 5), F(6, 8)], "w[M,K]"),
        (new LinearInputGrad(), [F(2, 5), F(5, 8), F(2, 5)], "addend f32[2,8]"),
        (new LinearWeightGrad([5, 8]), [F(2, 8), F(3, 5)], "[5,8]"),
        (new Conv2d(1, 1, 1), [s_x, F(5, 7, 3, 3)], "w[K,C,R,S]"),
        (new Conv2d(1, 0, 0), [s_x, F(5, 8, 5, 5)], "fits the image (stride 1, padding 0,0)"),
        (new Conv2d(0, 1, 1), [s_x, F(5, 8, 3, 3)], "stride 0"),
        (new Conv2d(1, 1, 1), [s_x, F(5, 8, 3, 3), F(8)], "bias[5]"),
        (new Conv2d(2, 1, 1), [s_x, F(5, 8, 3, 3), F(5), s_x], "residual f32[2,2,3,5]"),
        (new Conv2dInputGrad(2, 1, 1, s_x.Shape), [F(2, 4, 6, 5), F(5, 8, 3, 3)], "stride 2"),
        (new Conv2dInputGrad(1, 1, 1, s_x.Shape), [F(2, 4, 6, 5), F(5, 8, 3, 3), F(2, 4, 6, 5)], "addend f32[2,4,6,8]"),
        (new Conv2dWeightGrad(1, 0, 0, [5, 8, 3, 3]), [s_x, F(2, 4, 6, 5)], "[5,8,3,3]"),
        (new GroupNorm(3, 1e-5), [s_x, s_c, s_c], "multiple of 3 groups"),
        (new GroupNorm(0, 1e-5), [s_x, s_c, s_c], "0 groups"),
        (new GroupNorm(2, 1e-5), [s_x, F(7), s_c], "gamma[C]"),
        (new GroupNorm(2, 1e-5), [s_x, s_c, F(7)], "beta[C]"),
        (new GroupNorm(2, 1e-5), [s_x, s_c, s_c, F(2, 8)], "m[N,2C]"),
        (new GroupNorm(2, 1e-5, true, NormResample.Up2), [F(2, 24, 8), s_c, s_c], "x[N,H,W,C]"),
        (new GroupNorm(2, 1e-5, true, NormResample.Down2), [F(2, 3, 4, 8), s_c, s_c], "even H and W"),
        (new GroupNormStats(2, 1e-5), [s_c], "x[N,...,C]"),
        (new GroupNormApply(2, false, default), [s_x, F(2, 4, 2), s_c, s_c], "stats[N,G,2]"),
        (new GroupNormGradSums(2, false, NormResample.Down2), [s_x, s_x, F(2, 2, 2), s_c, s_c], "dy"),
        (new GroupNormInputGrad(2, false, default, true), [s_x, s_x, F(2, 2, 2), F(2, 2, 8), s_c, s_c], "m[N,2C]"),
        (new GroupNormInputGrad(2, false, default, false), [s_x, s_x, F(2, 2, 2), F(2, 2, 8), s_c, s_c, s_m], "addend"),
        (new GroupNormInputGrad(2, false, default, false), [s_x, s_x, F(2, 2, 2), F(2, 3, 8), s_c, s_c], "sums[N,2,C]"),
        (new GroupNormParamGrad(GroupNormParam.Modulation), [F(2, 2, 8), s_c, s_c], "m[N,2C]"),
        (new GroupNormParamGrad(GroupNormParam.Gamma), [F(2, 3, 8), s_c, s_c], "sums[N,2,C]"),
        (new Attention(3, false), [F(2, 5, 24)], "multiple of 3 heads"),
        (new Attention(0, false), [F(2, 5, 24)], "0 heads"),
        (new AttentionGrad(2, false), [F(2, 5, 24), F(2, 5, 8), F(2, 4, 8)], "do[N,...,C]"),
        (new PrependMean(), [F(2, 8)], "with tokens"),
        (new PrependMeanGrad([2, 4, 8]), [F(2, 4, 8)], "dy[N,T+1,C]"),
        (new AddPositional(), [F(2, 5, 8), F(5, 8)], "p[C,T]"),
        (new PositionalGrad(), [s_x], "dy[N,T,C]"),
        (new TakeToken(5), [F(2, 5, 8)], "token 5"),
        (new PlaceToken(-1, 4), [F(2, 8)], "token -1"),
        (new TimestepEmbedding(1), [F(2)], "not 1"),
        (new TimestepEmbedding(8), [F(2, 1)], "t[N]"),
        (new Embedding(), [F(4, 8), F(2)], "y i32[N]"),
        (new EmbeddingGrad(4), [s_labels, F(3, 8)], "dy f32[N,E]"),
        (new LogSoftmaxSelect(), [F(3, 8), s_labels], "y i32[N]"),
        (new LogSoftmaxSelectGrad(), [F(2, 8), s_labels, F(3)], "dy f32[N]"),
        (new MeanPerSample(), [F()], "x[N,...]"),
        (new BroadcastPerSample([2, 3], 1), [F(3)], "[2,3]"),
        (new MsePerSample(), [s_x, F(2, 4, 6, 7)], "one shape"),
        (new MsePerSampleGrad(2), [s_x, s_x, F(2)], "side 0 or 1"),
        (new MsePerSampleGrad(0), [s_x, s_x, F(3)], "dy[N]"),
        (new VlbPerSample(default, VarianceKind.Learned, false), [s_x, s_x, s_x, s_coef], "varOut like meanOut"),
        (new VlbPerSample(default, VarianceKind.FixedLarge, false), [s_x, s_x, s_x, s_coef, s_x], "coef[N,16];"),
        (new VlbPerSample(default, VarianceKind.FixedLarge, false), [s_x, s_x, s_x, F(2, 15)], "coef[N,16]"),
        (new VlbPerSampleGrad(default, VarianceKind.FixedLarge, false, 1), [s_x, s_x, s_x, s_coef, F(2)], "side 1"),
        (new VlbPerSampleGrad(default, VarianceKind.FixedLarge, false, 0), [s_x, s_x, s_x, s_coef], "dy[N]"),
        (new PredictXStart(default, false), [s_x, F(2, 4, 6, 12), s_coef], "C or 2C"),
        (new PredictXStart(default, false), [s_x, s_x, F(1, 16)], "coef[N,16]"),
        (new DdpmMean(default), [s_x, s_x, F(2, 4, 6, 7), s_coef], "x0 like xt"),
        (new ModelLogVariance(VarianceKind.LearnedRange), [s_x, s_x, s_coef], "out[N,...,2C]"),
        (new DdpmStep(default, VarianceKind.Learned), [s_x, s_x, s_x, s_coef, s_x], "out[N,...,2C]"),
        (new DdpmStep(default, VarianceKind.FixedSmall), [s_x, s_x, s_x, s_coef, s_c], "noise like xt"),
        (new DdpmStep(default, VarianceKind.FixedSmall), [s_x, s_x, s_x, s_coef, s_x, s_c], "grad like xt"),
        (new DdimStep(), [s_x, s_x, s_coef, s_c], "noise like xt"),
        (new DdimXStart(), [s_x, s_x, s_coef, s_c], "grad like xt"),
        (new DdimReverseStep(), [s_x, s_c, s_coef], "x0 like xt"),
    ];

    public static TheoryData<int> Refusals() => [.. Enumerable.Range(0, s_refusals.Length)];

    [Theory]
    [MemberData(nameof(Refusals))]
    public void Misfits_are_named(int index)
    {
        (Op op, TensorType[] inputs, string expected) = s_refusals[index];
        string message = Assert.Throws<ShapeException>(() => op.Infer(inputs)).Message;
        Assert.StartsWith(op.Name + ":", message, StringComparison.Ordinal);
        Assert.Contains(expected, message, StringComparison.Ordinal);
        Assert.All(inputs, t => Assert.Contains(t.ToString(), message, StringComparison.Ordinal));
    }

    [Fact]
    public void Builders_pass_inputs_and_attributes_on()
    {
        var graph = new Core.Graph();
        Node x = graph.Input("x", s_x);
        Node w = graph.Parameter("w", [8, 8, 3, 3]);
        Node b = graph.Parameter("b", [8]);
        Node m = graph.Input("m", s_m);
        Node y = graph.Conv2d(x, w, b, x, stride: 1, padH: 1, padW: 1);
        Assert.Equal(new Conv2d(1, 1, 1), y.Op);
        Assert.Equal([x, w, b, x], y.Inputs);
        Assert.Equal([x, w], graph.Conv2d(x, w, stride: 2, padH: 1, padW: 1).Inputs);
        Assert.Equal(new GroupNorm(32, 1e-5), graph.GroupNorm(graph.Input("wide", [2, 64]), graph.Parameter("g", [64]), graph.Parameter("h", [64])).Op);
        Node norm = graph.GroupNorm(x, b, b, m, groups: 4, silu: true, resample: NormResample.Down2);
        Assert.Equal(new GroupNorm(4, 1e-5, true, NormResample.Down2), norm.Op);
        Assert.Equal([2, 2, 3, 8], norm.Shape);
        Assert.Equal([x, b, b, m], norm.Inputs);
        Assert.Equal([2, 4, 6, 24], graph.ConcatChannels(x, y, x).Shape);
    }

    private static TensorType F(params ReadOnlySpan<long> dims) => TensorType.F32(Shape.Create(dims));
}
