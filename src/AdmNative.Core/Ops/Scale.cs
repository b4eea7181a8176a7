namespace AdmNative.Core;

/// <summary>y = Factor * x. Any shape.</summary>
/// <param name="Factor">The constant; rounded to f32 by f32 backends.</param>
public sealed record Scale(double Factor) : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Fit.F32(inputs, 1), "one f32 tensor", inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        T factor = Fit.Num<T>(Factor);
        for (int i = 0; i < output.Data.Length; i++)
        {
            output.Data[i] = factor * inputs[0].Data[i];
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.Scale(dy, Factor) : null];

    /// <inheritdoc/>
    public override bool InPlace(int input) => true;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(new Scale(-2.5), [TensorType.F32([2, 3, 5, 7])]),
        new(new Scale(0.1), [TensorType.F32([19])]),
    ];
}

/// <summary>Builder of <see cref="Core.Scale"/>.</summary>
public static class ScaleBuilder
{
    /// <summary>Adds <see cref="Core.Scale"/>.</summary>
    public static Node Scale(this Graph graph, Node x, double factor) => graph.Add(new Scale(factor), x);
}
