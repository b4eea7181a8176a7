namespace AdmNative.Core;

/// <summary>y[n,0,c] = mean_t x[n,t,c]; y[n,1+t,c] = x[n,t,c] (spec 2.2). x: [N,...,C] of T tokens; result [N,T+1,C].</summary>
public sealed record PrependMean : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Fit.F32(inputs, 1) && inputs[0].Shape.Rank >= 3, "x[N,...,C] with tokens", inputs);
        Shape x = inputs[0].Shape;
        return TensorType.F32([x[0], Fit.Middle(x) + 1L, x.Last]);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        HostArray<T> x = inputs[0];
        (int N, int L, int C) = (x.Shape[0], Fit.Middle(x.Shape), x.Shape.Last);
        for (int n = 0; n < N; n++)
        {
            for (int c = 0; c < C; c++)
            {
                T sum = T.Zero;
                for (int t = 0; t < L; t++)
                {
                    T value = x.Data[(((n * L) + t) * C) + c];
                    sum += value;
                    output.Data[(((n * (L + 1)) + t + 1) * C) + c] = value;
                }

                output.Data[(n * (L + 1) * C) + c] = sum / Fit.Num<T>(L);
            }
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.Add(new PrependMeanGrad(node.Inputs[0].Shape), dy) : null];

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
        [new(this, [TensorType.F32([2, 3, 5, 7])]), new(this, [TensorType.F32([1, 4, 33])])];
}

/// <summary>dx[n,t,c] = dy[n,1+t,c] + dy[n,0,c] / T. dy: [N,T+1,C]; result InputShape.</summary>
/// <param name="InputShape">[N,...,C] of the forward op's x.</param>
public sealed record PrependMeanGrad(Shape InputShape) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 1) && InputShape.Rank >= 3
                && inputs[0].Shape == [InputShape[0], Fit.Middle(InputShape) + 1L, InputShape.Last],
            $"dy[N,T+1,C] for x {InputShape}",
            inputs);
        return TensorType.F32(InputShape);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        T[] dy = inputs[0].Data;
        (int N, int L, int C) = (InputShape[0], Fit.Middle(InputShape), InputShape.Last);
        for (int n = 0, i = 0; n < N; n++)
        {
            for (int t = 0; t < L; t++)
            {
                for (int c = 0; c < C; c++, i++)
                {
                    output.Data[i] = dy[(((n * (L + 1)) + t + 1) * C) + c] + (dy[(n * (L + 1) * C) + c] / Fit.Num<T>(L));
                }
            }
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(new PrependMeanGrad([2, 3, 5, 7]), [TensorType.F32([2, 16, 7])]),
        new(new PrependMeanGrad([1, 4, 33]), [TensorType.F32([1, 5, 33])]),
    ];
}

/// <summary>Builder of <see cref="Core.PrependMean"/>.</summary>
public static class PrependMeanBuilder
{
    /// <summary>Adds <see cref="Core.PrependMean"/>.</summary>
    public static Node PrependMean(this Graph graph, Node x) => graph.Add(new PrependMean(), x);
}
