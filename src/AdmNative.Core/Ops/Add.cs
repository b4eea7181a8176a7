namespace AdmNative.Core;

/// <summary>y = a + b, both of one shape.</summary>
public sealed record Add : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Fit.F32(inputs, 2) && inputs[0] == inputs[1], "two f32 tensors of one shape", inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        for (int i = 0; i < output.Data.Length; i++)
        {
            output.Data[i] = inputs[0].Data[i] + inputs[1].Data[i];
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? dy : null, wanted[1] ? dy : null];

    /// <inheritdoc/>
    public override bool InPlace(int input) => true;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(this, [TensorType.F32([3]), TensorType.F32([3])]),
        new(this, [TensorType.F32([2, 3, 5, 7]), TensorType.F32([2, 3, 5, 7])]),
    ];
}

/// <summary>Builder of <see cref="Core.Add"/>; <see cref="Graph.Add"/> is the method that adds any op.</summary>
public static class AddBuilder
{
    /// <summary>Adds <see cref="Core.Add"/>.</summary>
    public static Node Plus(this Graph graph, Node a, Node b) => graph.Add(new Add(), a, b);
}
