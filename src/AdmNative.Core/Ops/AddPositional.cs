namespace AdmNative.Core;

/// <summary>y[n,t,c] = x[n,t,c] + p[c,t] (spec 2.2; p keeps the checkpoint's order). x: [N,T,C], p: [C,T].</summary>
public sealed record AddPositional : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 2) && inputs[0].Shape.Rank == 3 && inputs[1].Shape == [inputs[0].Shape[2], inputs[0].Shape[1]],
            "x[N,T,C] and p[C,T]",
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (HostArray<T> x, HostArray<T> position) = (inputs[0], inputs[1]);
        (int N, int L, int C) = (x.Shape[0], x.Shape[1], x.Shape[2]);
        for (int n = 0, i = 0; n < N; n++)
        {
            for (int t = 0; t < L; t++)
            {
                for (int c = 0; c < C; c++, i++)
                {
                    output.Data[i] = x.Data[i] + position[c, t];
                }
            }
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? dy : null, wanted[1] ? graph.Add(new PositionalGrad(), dy) : null];

    /// <inheritdoc/>
    public override bool InPlace(int input) => input == 0;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(this, [TensorType.F32([2, 5, 7]), TensorType.F32([7, 5])]),
        new(this, [TensorType.F32([1, 17, 33]), TensorType.F32([33, 17])]),
    ];
}

/// <summary>dp[c,t] = sum_n dy[n,t,c]. dy: [N,T,C]; result [C,T].</summary>
public sealed record PositionalGrad : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Fit.F32(inputs, 1) && inputs[0].Shape.Rank == 3, "dy[N,T,C]", inputs);
        return TensorType.F32([inputs[0].Shape[2], inputs[0].Shape[1]]);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        HostArray<T> dy = inputs[0];
        (int N, int L, int C) = (dy.Shape[0], dy.Shape[1], dy.Shape[2]);
        Array.Clear(output.Data);
        for (int n = 0, i = 0; n < N; n++)
        {
            for (int t = 0; t < L; t++)
            {
                for (int c = 0; c < C; c++, i++)
                {
                    output[c, t] += dy.Data[i];
                }
            }
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
        [new(this, [TensorType.F32([2, 5, 7])]), new(this, [TensorType.F32([3, 17, 33])])];
}

/// <summary>Builder of <see cref="Core.AddPositional"/>.</summary>
public static class AddPositionalBuilder
{
    /// <summary>Adds <see cref="Core.AddPositional"/>.</summary>
    public static Node AddPositional(this Graph graph, Node x, Node p) => graph.Add(new AddPositional(), x, p);
}
