namespace AdmNative.Core;

/// <summary>y[n,p,c] = x[n,p,c] + e[n,c]: the embedding added without scale-shift (spec 1.5). x: [N,...,C], e: [N,C].</summary>
public sealed record AddPerSample : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 2) && inputs[0].Shape.Rank >= 2 && inputs[1].Shape == Fit.Ends(inputs[0].Shape),
            "x[N,...,C] and e[N,C]",
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (HostArray<T> x, HostArray<T> e) = (inputs[0], inputs[1]);
        (int N, int P, int C) = (x.Shape[0], Fit.Middle(x.Shape), x.Shape.Last);
        for (int n = 0, i = 0; n < N; n++)
        {
            for (int p = 0; p < P; p++)
            {
                for (int c = 0; c < C; c++, i++)
                {
                    output.Data[i] = x.Data[i] + e[n, c];
                }
            }
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? dy : null, wanted[1] ? graph.SumSpatial(dy) : null];

    /// <inheritdoc/>
    public override bool InPlace(int input) => input == 0;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(this, [TensorType.F32([2, 3, 5, 7]), TensorType.F32([2, 7])]),
        new(this, [TensorType.F32([3, 5]), TensorType.F32([3, 5])]),
    ];
}

/// <summary>y[n,c] = sum over p of x[n,p,c]. x: [N,...,C]; result [N,C].</summary>
public sealed record SumSpatial : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Fit.F32(inputs, 1) && inputs[0].Shape.Rank >= 2, "x[N,...,C]", inputs);
        return TensorType.F32(Fit.Ends(inputs[0].Shape));
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        HostArray<T> x = inputs[0];
        (int N, int P, int C) = (x.Shape[0], Fit.Middle(x.Shape), x.Shape.Last);
        Array.Clear(output.Data);
        for (int n = 0, i = 0; n < N; n++)
        {
            for (int p = 0; p < P; p++)
            {
                for (int c = 0; c < C; c++, i++)
                {
                    output[n, c] += x.Data[i];
                }
            }
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.BroadcastSpatial(dy, node.Inputs[0].Shape, 1) : null];

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
        [new(this, [TensorType.F32([2, 3, 5, 7])]), new(this, [TensorType.F32([3, 5])])];
}

/// <summary>Builders of <see cref="Core.AddPerSample"/> and its reverse.</summary>
public static class AddPerSampleBuilder
{
    /// <summary>Adds <see cref="Core.AddPerSample"/>.</summary>
    public static Node AddPerSample(this Graph graph, Node x, Node e) => graph.Add(new AddPerSample(), x, e);

    /// <summary>Adds <see cref="Core.SumSpatial"/>.</summary>
    public static Node SumSpatial(this Graph graph, Node x) => graph.Add(new SumSpatial(), x);
}
