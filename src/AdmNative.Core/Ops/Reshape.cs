namespace AdmNative.Core;

/// <summary>The same elements in row-major order under another shape. Planned as a view where the layout allows it.</summary>
/// <param name="Shape">Shape of the result.</param>
public sealed record Reshape(Shape Shape) : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Fit.F32(inputs, 1) && inputs[0].Shape.Elements == Shape.Elements, $"{Shape.Elements} elements for {Shape}", inputs);
        return TensorType.F32(Shape);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output) =>
        inputs[0].Data.CopyTo(output.Data, 0);

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.Reshape(dy, node.Inputs[0].Shape) : null];

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(new Reshape([2, 15, 7]), [TensorType.F32([2, 3, 5, 7])]),
        new(new Reshape([5, 3]), [TensorType.F32([15])]),
    ];
}

/// <summary>Builder of <see cref="Core.Reshape"/>.</summary>
public static class ReshapeBuilder
{
    /// <summary>Adds <see cref="Core.Reshape"/>.</summary>
    public static Node Reshape(this Graph graph, Node x, Shape shape) => graph.Add(new Reshape(shape), x);
}
