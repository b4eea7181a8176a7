namespace AdmNative.Core;

/// <summary>
/// y[n,i,j,k] = sum over r,s,c of x[n, i*Stride+r-PadH, j*Stride+s-PadW, c] * w[k,c,r,s], plus bias[k], plus residual[n,i,j,k];
/// x is zero outside. x: [N,H,W,C], w: [K,C,R,S] (as in the checkpoint), bias: [K],
/// residual and result: [N,(H+2PadH-R)/Stride+1,(W+2PadW-S)/Stride+1,K].
/// </summary>
/// <param name="Stride">Step between windows, both ways.</param>
/// <param name="PadH">Zero rows above and below.</param>
/// <param name="PadW">Zero columns left and right.</param>
public sealed record Conv2d(int Stride, int PadH, int PadW) : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 2, 4) && inputs[0].Shape.Rank == 4 && inputs[1].Shape.Rank == 4 && inputs[0].Shape[3] == inputs[1].Shape[1],
            "x[N,H,W,C], w[K,C,R,S], then bias[K] and residual[N,Ho,Wo,K] if any",
            inputs);
        Shape? fit = ConvShapes.Result(inputs[0].Shape, inputs[1].Shape, Stride, PadH, PadW);
        Require(fit is not null, $"a window that fits the image (stride {Stride}, padding {PadH},{PadW})", inputs);
        var y = TensorType.F32(fit!);
        Require(inputs.Length < 3 || inputs[2].Shape == [y.Shape[3]], $"bias[{y.Shape[3]}]", inputs);
        Require(inputs.Length < 4 || inputs[3] == y, $"residual {y}", inputs);
        return y;
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (HostArray<T> x, HostArray<T> weight) = (inputs[0], inputs[1]);
        (int H, int W) = (x.Shape[1], x.Shape[2]);
        (int K, int C, int R, int S) = (weight.Shape[0], weight.Shape[1], weight.Shape[2], weight.Shape[3]);
        for (int n = 0; n < output.Shape[0]; n++)
        {
            for (int i = 0; i < output.Shape[1]; i++)
            {
                for (int j = 0; j < output.Shape[2]; j++)
                {
                    for (int k = 0; k < K; k++)
                    {
                        T sum = inputs.Length > 2 ? inputs[2].Data[k] : T.Zero;
                        for (int r = 0; r < R; r++)
                        {
                            for (int s = 0; s < S; s++)
                            {
                                (int h, int w) = ((i * Stride) + r - PadH, (j * Stride) + s - PadW);
                                if (h < 0 || h >= H || w < 0 || w >= W)
                                {
                                    continue;
                                }

                                for (int c = 0; c < C; c++)
                                {
                                    sum += x[n, h, w, c] * weight[k, c, r, s];
                                }
                            }
                        }

                        output[n, i, j, k] = inputs.Length > 3 ? sum + inputs[3][n, i, j, k] : sum;
                    }
                }
            }
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted)
    {
        (Node x, Node w) = (node.Inputs[0], node.Inputs[1]);
        var result = new Node?[wanted.Length];
        result[0] = wanted[0] ? graph.Add(new Conv2dInputGrad(Stride, PadH, PadW, x.Shape), dy, w) : null;
        result[1] = wanted[1] ? graph.Add(new Conv2dWeightGrad(Stride, PadH, PadW, w.Shape), x, dy) : null;
        if (wanted.Length > 2)
        {
            result[2] = wanted[2] ? graph.ChannelSum(dy) : null;
        }

        if (wanted.Length > 3)
        {
            result[3] = wanted[3] ? dy : null;
        }

        return result;
    }

    /// <summary>2 per multiply-add, padding counted as if multiplied.</summary>
    public override double Flops(ReadOnlySpan<TensorType> inputs, TensorType output) =>
        2.0 * output.Shape.Rows * inputs[1].Shape.Elements;

    /// <summary>Over the residual: each element of it is read once, before the same element of the result is written.</summary>
    public override bool InPlace(int input) => input == 3;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(new Conv2d(1, 1, 1), [TensorType.F32([2, 5, 4, 3]), TensorType.F32([7, 3, 3, 3])]),
        new(new Conv2d(1, 1, 1), [TensorType.F32([1, 3, 5, 17]), TensorType.F32([9, 17, 3, 3]), TensorType.F32([9])]),
        new(
            new Conv2d(1, 1, 1),
            [TensorType.F32([2, 4, 3, 5]), TensorType.F32([5, 5, 3, 3]), TensorType.F32([5]), TensorType.F32([2, 4, 3, 5])]),
        new(new Conv2d(2, 1, 1), [TensorType.F32([2, 6, 5, 3]), TensorType.F32([4, 3, 3, 3]), TensorType.F32([4])]),
        new(new Conv2d(2, 0, 0), [TensorType.F32([1, 7, 8, 3]), TensorType.F32([5, 3, 3, 3])]),
        new(new Conv2d(1, 0, 3), [TensorType.F32([1, 3, 8, 3]), TensorType.F32([5, 3, 1, 7]), TensorType.F32([5])]),
        new(new Conv2d(1, 2, 0), [TensorType.F32([1, 6, 3, 2]), TensorType.F32([3, 2, 5, 1]), TensorType.F32([3])]),
        new(new Conv2d(1, 0, 0), [TensorType.F32([1, 3, 2, 5]), TensorType.F32([4, 5, 1, 1]), TensorType.F32([4])]),
        new(new Conv2d(1, 1, 1), [TensorType.F32([1, 1, 1, 3]), TensorType.F32([2, 3, 3, 3]), TensorType.F32([2])]),
    ];
}

/// <summary>
/// dx[n,h,w,c] = sum over r,s,k of dy[n,i,j,k] * w[k,c,r,s] where i*Stride = h-r+PadH and j*Stride = w-s+PadW, plus addend[n,h,w,c].
/// dy: [N,Ho,Wo,K], w: [K,C,R,S]; addend and result: InputShape.
/// </summary>
/// <param name="Stride">As in the forward op.</param>
/// <param name="PadH">As in the forward op.</param>
/// <param name="PadW">As in the forward op.</param>
/// <param name="InputShape">[N,H,W,C] of the forward op's x.</param>
public sealed record Conv2dInputGrad(int Stride, int PadH, int PadW, Shape InputShape) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 2, 3) && InputShape.Rank == 4 && inputs[1].Shape.Rank == 4 && inputs[1].Shape[1] == InputShape[3]
                && inputs[0].Shape == ConvShapes.Result(InputShape, inputs[1].Shape, Stride, PadH, PadW),
            $"dy[N,Ho,Wo,K] and w[K,C,R,S] of a convolution of {InputShape} (stride {Stride}, padding {PadH},{PadW}), then addend if any",
            inputs);
        var dx = TensorType.F32(InputShape);
        Require(inputs.Length < 3 || inputs[2] == dx, $"addend {dx}", inputs);
        return dx;
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (HostArray<T> dy, HostArray<T> weight) = (inputs[0], inputs[1]);
        (int Ho, int Wo) = (dy.Shape[1], dy.Shape[2]);
        (int K, int C, int R, int S) = (weight.Shape[0], weight.Shape[1], weight.Shape[2], weight.Shape[3]);
        for (int n = 0; n < InputShape[0]; n++)
        {
            for (int h = 0; h < InputShape[1]; h++)
            {
                for (int w = 0; w < InputShape[2]; w++)
                {
                    for (int c = 0; c < C; c++)
                    {
                        T sum = inputs.Length > 2 ? inputs[2][n, h, w, c] : T.Zero;
                        for (int r = 0; r < R; r++)
                        {
                            for (int s = 0; s < S; s++)
                            {
                                (int si, int sj) = (h - r + PadH, w - s + PadW);
                                if (si < 0 || sj < 0 || si % Stride != 0 || sj % Stride != 0 || si / Stride >= Ho || sj / Stride >= Wo)
                                {
                                    continue;
                                }

                                for (int k = 0; k < K; k++)
                                {
                                    sum += dy[n, si / Stride, sj / Stride, k] * weight[k, c, r, s];
                                }
                            }
                        }

                        output[n, h, w, c] = sum;
                    }
                }
            }
        }
    }

    /// <summary>The forward op's: 2 per multiply-add, padding counted as if multiplied.</summary>
    public override double Flops(ReadOnlySpan<TensorType> inputs, TensorType output) =>
        2.0 * inputs[0].Shape.Rows * inputs[1].Shape.Elements;

    /// <summary>Over the addend: each element of it is read once, before the same element of the result is written.</summary>
    public override bool InPlace(int input) => input == 2;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        foreach (OpCase forward in new Conv2d(1, 0, 0).Cases())
        {
            (Conv2d op, TensorType x, TensorType w) = ((Conv2d)forward.Op, forward.Inputs[0], forward.Inputs[1]);
            var grad = new Conv2dInputGrad(op.Stride, op.PadH, op.PadW, x.Shape);
            TensorType dy = op.Infer([x, w]);
            yield return new(grad, forward.Inputs.Length == 4 ? [dy, w, x] : [dy, w]);
        }
    }
}

/// <summary>
/// dw[k,c,r,s] = sum over n,i,j of dy[n,i,j,k] * x[n, i*Stride+r-PadH, j*Stride+s-PadW, c]. x: [N,H,W,C], dy: [N,Ho,Wo,K].
/// </summary>
/// <param name="Stride">As in the forward op.</param>
/// <param name="PadH">As in the forward op.</param>
/// <param name="PadW">As in the forward op.</param>
/// <param name="WeightShape">[K,C,R,S]; the shape of the result.</param>
public sealed record Conv2dWeightGrad(int Stride, int PadH, int PadW, Shape WeightShape) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 2) && inputs[0].Shape.Rank == 4 && WeightShape.Rank == 4 && WeightShape[1] == inputs[0].Shape[3]
                && inputs[1].Shape == ConvShapes.Result(inputs[0].Shape, WeightShape, Stride, PadH, PadW),
            $"x[N,H,W,C] and dy[N,Ho,Wo,K] of a convolution with {WeightShape} (stride {Stride}, padding {PadH},{PadW})",
            inputs);
        return TensorType.F32(WeightShape);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (HostArray<T> x, HostArray<T> dy) = (inputs[0], inputs[1]);
        (int K, int C, int R, int S) = (WeightShape[0], WeightShape[1], WeightShape[2], WeightShape[3]);
        for (int k = 0; k < K; k++)
        {
            for (int c = 0; c < C; c++)
            {
                for (int r = 0; r < R; r++)
                {
                    for (int s = 0; s < S; s++)
                    {
                        output[k, c, r, s] = Correlate(x, dy, k, c, r, s);
                    }
                }
            }
        }
    }

    /// <summary>The forward op's: 2 per multiply-add, padding counted as if multiplied.</summary>
    public override double Flops(ReadOnlySpan<TensorType> inputs, TensorType output) =>
        2.0 * inputs[1].Shape.Rows * output.Shape.Elements;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        foreach (OpCase forward in new Conv2d(1, 0, 0).Cases())
        {
            (Conv2d op, TensorType x, TensorType w) = ((Conv2d)forward.Op, forward.Inputs[0], forward.Inputs[1]);
            yield return new(new Conv2dWeightGrad(op.Stride, op.PadH, op.PadW, w.Shape), [x, op.Infer([x, w])]);
        }
    }

    private T Correlate<T>(HostArray<T> x, HostArray<T> dy, int k, int c, int r, int s)
        where T : unmanaged, System.Numerics.IFloatingPointIeee754<T>
    {
        T sum = T.Zero;
        for (int n = 0; n < dy.Shape[0]; n++)
        {
            for (int i = 0; i < dy.Shape[1]; i++)
            {
                for (int j = 0; j < dy.Shape[2]; j++)
                {
                    (int h, int w) = ((i * Stride) + r - PadH, (j * Stride) + s - PadW);
                    if (h >= 0 && h < x.Shape[1] && w >= 0 && w < x.Shape[2])
                    {
                        sum += dy[n, i, j, k] * x[n, h, w, c];
                    }
                }
            }
        }

        return sum;
    }
}

/// <summary>The size rule of a convolution.</summary>
internal static class ConvShapes
{
    /// <summary>[N,Ho,Wo,K], or null when no window fits.</summary>
    public static Shape? Result(Shape x, Shape w, int stride, int padH, int padW)
    {
        if (stride < 1 || padH < 0 || padW < 0)
        {
            return null;
        }

        (long h, long s) = (x[1] + (2L * padH) - w[2], x[2] + (2L * padW) - w[3]);
        return h < 0 || s < 0 ? null : [x[0], (h / stride) + 1, (s / stride) + 1, w[0]];
    }
}

/// <summary>Builder of <see cref="Core.Conv2d"/>.</summary>
public static class Conv2dBuilder
{
    /// <summary>Adds <see cref="Core.Conv2d"/>.</summary>
    public static Node Conv2d(
        this Graph graph, Node x, Node w, Node? bias = null, Node? residual = null, int stride = 1, int padH = 0, int padW = 0) =>
        graph.Add(new Conv2d(stride, padH, padW), x, w, bias, residual);
}
