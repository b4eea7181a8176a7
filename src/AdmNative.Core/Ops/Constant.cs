namespace AdmNative.Core;

/// <summary>A tensor filled with one value; no inputs. Seeds and zero gradients.</summary>
/// <param name="Value">The value of each element.</param>
/// <param name="Shape">Shape of the result.</param>
public sealed record Constant(double Value, Shape Shape) : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(inputs.Length == 0, "no inputs", inputs);
        return TensorType.F32(Shape);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output) =>
        Array.Fill(output.Data, Fit.Num<T>(Value));

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) => [];

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() => [new(new Constant(0, [3]), []), new(new Constant(-1.5, [2, 3, 5]), [])];
}

/// <summary>Builder of <see cref="Core.Constant"/>.</summary>
public static class ConstantBuilder
{
    /// <summary>Adds <see cref="Core.Constant"/>.</summary>
    public static Node Constant(this Graph graph, double value, Shape shape) => graph.Add(new Constant(value, shape));
}
