namespace AdmNative.Core;

/// <summary>y = x, and no gradient passes: the frozen mean output of the hybrid loss (spec 4.11). Planned as a view.</summary>
public sealed record StopGradient : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Fit.F32(inputs, 1), "one f32 tensor", inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output) =>
        inputs[0].Data.CopyTo(output.Data, 0);

    /// <summary>None: that is the point of the op.</summary>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) => [null];

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() => [new(this, [TensorType.F32([2, 3, 5, 7])])];
}

/// <summary>Builder of <see cref="Core.StopGradient"/>.</summary>
public static class StopGradientBuilder
{
    /// <summary>Adds <see cref="Core.StopGradient"/>.</summary>
    public static Node StopGradient(this Graph graph, Node x) => graph.Add(new StopGradient(), x);
}
