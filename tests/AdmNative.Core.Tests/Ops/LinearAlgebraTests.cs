namespace AdmNative.Core.Tests;

/// <summary>Linear, Conv2d and Attention against other ways of computing them.</summary>
public sealed class LinearAlgebraTests
{
    public static TheoryData<int> Convolutions() => [.. Enumerable.Range(0, new Conv2d(1, 0, 0).Cases().Count())];

    public static TheoryData<int> Attentions() => [.. Enumerable.Range(0, new Attention(1, false).Cases().Count())];

    [Fact]
    public void A_linear_layer_by_hand()
    {
        HostArray<double> x = OpTable.Array64([2, 2], 1, 2, 3, 4);
        HostArray<double> w = OpTable.Array64([3, 2], 1, 0, 0, 1, 1, 1);
        HostArray<double> bias = OpTable.Array64([3], 10, 20, 30);
        HostArray<double> residual = OpTable.Array64([2, 3], 100, 200, 300, 400, 500, 600);
        OpTable.Close([1, 2, 3, 3, 4, 7], OpTable.Run(new Linear(), x, w).Data, 0);
        OpTable.Close([111, 222, 333, 413, 524, 637], OpTable.Run(new Linear(), x, w, bias, residual).Data, 0);
        OpTable.Close([3, 5], OpTable.Run(new LinearInputGrad(), OpTable.Array64([1, 3], 1, 3, 2), w).Data, 0);
    }

    [Theory]
    [MemberData(nameof(Convolutions))]
    public void A_point_of_light_shows_the_kernel(int index)
    {
        // One pixel of x is 1: output (i,j) sees weight (h - i*Stride + PadH, w - j*Stride + PadW), or nothing.
        OpCase sample = new Conv2d(1, 0, 0).Cases().ElementAt(index);
        var op = (Conv2d)sample.Op;
        Shape shape = sample.Inputs[0].Shape;
        HostArray<double> weight = OpTable.Random64(sample.Inputs[1].Shape, 1);
        (int h, int w, int c) = (shape[1] / 2, shape[2] - 1, shape[3] / 2);
        var x = new HostArray<double>(shape);
        x[shape[0] - 1, h, w, c] = 1;
        HostArray<double> y = OpTable.Run(op, x, weight);
        for (int n = 0; n < y.Shape[0]; n++)
        {
            for (int i = 0; i < y.Shape[1]; i++)
            {
                for (int j = 0; j < y.Shape[2]; j++)
                {
                    (int r, int s) = (h - (i * op.Stride) + op.PadH, w - (j * op.Stride) + op.PadW);
                    bool seen = n == shape[0] - 1 && r >= 0 && r < weight.Shape[2] && s >= 0 && s < weight.Shape[3];
                    for (int k = 0; k < y.Shape[3]; k++)
                    {
                        Assert.Equal(seen ? weight[k, c, r, s] : 0, y[n, i, j, k]);
                    }
                }
            }
        }
    }

    [Theory]
    [InlineData(8, 3, 1, 1, 8)]
    [InlineData(8, 3, 2, 1, 4)]
    [InlineData(7, 3, 2, 1, 4)]
    [InlineData(8, 3, 2, 0, 3)]
    [InlineData(299, 3, 2, 0, 149)]
    public void Convolution_sizes(int size, int kernel, int stride, int pad, int expected) =>
        Assert.Equal(
            [1, expected, expected, 2],
            new Conv2d(stride, pad, pad).Infer([TensorType.F32([1, size, size, 3]), TensorType.F32([2, 3, kernel, kernel])]).Shape);

    [Fact]
    public void A_1x1_convolution_is_a_linear_layer()
    {
        HostArray<double> x = OpTable.Random64([2, 3, 5, 7], 1);
        HostArray<double> w = OpTable.Random64([4, 7, 1, 1], 2);
        HostArray<double> bias = OpTable.Random64([4], 3);
        HostArray<double> residual = OpTable.Random64([2, 3, 5, 4], 4);
        OpTable.Close(OpTable.Run(new Linear(), x, w, bias, residual), OpTable.Run(new Conv2d(1, 0, 0), x, w, bias, residual), 1e-15);
    }

    [Fact]
    public void Addends_are_added()
    {
        foreach (OpCase sample in ((Op[])[new LinearInputGrad(), new Conv2dInputGrad(1, 0, 0, [1]), new GroupNormInputGrad(1, false, default, false)])
            .SelectMany(op => op.Cases()))
        {
            int addend = sample.Op is GroupNormInputGrad norm ? norm.AddendInput : 2;
            if (sample.Inputs.Length <= addend)
            {
                continue;
            }

            HostArray<double>[] inputs = OpTable.Draw<double>(sample, 1);
            HostArray<double> without = OpTable.Run(sample.Op, inputs[..addend]);
            OpTable.Close(OpTable.Run(new Add(), without, inputs[addend]), OpTable.Run(sample.Op, inputs), 1e-14);
        }
    }

    [Theory]
    [MemberData(nameof(Attentions))]
    public void Attention_is_the_textbook_formula(int index)
    {
        OpCase sample = new Attention(1, false).Cases().ElementAt(index);
        var op = (Attention)sample.Op;
        HostArray<double> qkv = OpTable.Draw<double>(sample, index)[0];
        HostArray<double> actual = OpTable.Run(op, qkv);
        (int N, int C) = (actual.Shape[0], actual.Shape.Last);
        (int L, int d) = (actual.Data.Length / N / C, C / op.Heads);

        // Spec 1.6: legacy head h has q at 3dh, k at 3dh+d, v at 3dh+2d; the new order has Q, K, V at 0, C, 2C, head h at dh inside.
        double At(int n, int token, int head, int part, int a) => qkv.Data[
            (((n * L) + token) * 3 * C) + a + (op.NewOrder ? (part * C) + (d * head) : (3 * d * head) + (part * d))];
        for (int n = 0; n < N; n++)
        {
            for (int head = 0; head < op.Heads; head++)
            {
                for (int i = 0; i < L; i++)
                {
                    double[] e = [.. Enumerable.Range(0, L).Select(j =>
                        Math.Exp(Enumerable.Range(0, d).Sum(a => At(n, i, head, 0, a) * At(n, j, head, 1, a)) / Math.Sqrt(d)))];
                    for (int a = 0; a < d; a++)
                    {
                        double expected = Enumerable.Range(0, L).Sum(j => e[j] * At(n, j, head, 2, a)) / e.Sum();
                        Assert.Equal(expected, actual.Data[(((n * L) + i) * C) + (head * d) + a], 1e-13);
                    }
                }
            }
        }
    }

    [Fact]
    public void Large_scores_do_not_overflow()
    {
        HostArray<double> qkv = OpTable.Array64([1, 2, 3], 1e3, 1e3, 1, 1e3, 1e3, 3);
        OpTable.Close([2, 2], OpTable.Run(new Attention(1, true), qkv).Data, 0);
    }

    [Fact]
    public void Multiply_adds_are_counted_twice()
    {
        (TensorType x, TensorType w) = (TensorType.F32([2, 4, 6, 8]), TensorType.F32([16, 8, 3, 3]));
        var conv = new Conv2d(1, 1, 1);
        TensorType y = conv.Infer([x, w]);
        const double Expected = 2.0 * 2 * 4 * 6 * 16 * 8 * 9;
        Assert.Equal(Expected, conv.Flops([x, w], y));
        Assert.Equal(Expected, new Conv2dInputGrad(1, 1, 1, x.Shape).Flops([y, w], x));
        Assert.Equal(Expected, new Conv2dWeightGrad(1, 1, 1, w.Shape).Flops([x, y], w));

        (TensorType a, TensorType b, TensorType c) = (TensorType.F32([2, 5, 7]), TensorType.F32([11, 7]), TensorType.F32([2, 5, 11]));
        Assert.Equal(2.0 * 10 * 7 * 11, new Linear().Flops([a, b], c));
        Assert.Equal(2.0 * 10 * 7 * 11, new LinearInputGrad().Flops([c, b], a));
        Assert.Equal(2.0 * 10 * 7 * 11, new LinearWeightGrad(b.Shape).Flops([a, c], b));

        (TensorType qkv, TensorType o) = (TensorType.F32([2, 9, 24]), TensorType.F32([2, 9, 8]));
        Assert.Equal(2 * 2.0 * 2 * 9 * 9 * 8, new Attention(2, false).Flops([qkv], o));
        Assert.Equal(5 * 2.0 * 2 * 9 * 9 * 8, new AttentionGrad(2, false).Flops([qkv, o, o], qkv));
    }
}
