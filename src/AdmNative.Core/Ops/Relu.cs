namespace AdmNative.Core;

/// <summary>y = max(x, 0). Any shape. Spec 2.1 (pool "spatial") and the FID feature network.</summary>
public sealed record Relu : Op
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
        for (int i = 0; i < output.Data.Length; i++)
        {
            // Not T.Max: -0 and NaN come out as themselves on every backend that writes x < 0 ? 0 : x.
            T x = inputs[0].Data[i];
            output.Data[i] = x < T.Zero ? T.Zero : x;
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.Add(new ReluGrad(), node.Inputs[0], dy) : null];

    /// <inheritdoc/>
    public override bool InPlace(int input) => true;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
        [new(this, [TensorType.F32([5])]), new(this, [TensorType.F32([2, 3, 5, 7])])];
}

/// <summary>dx = x &gt; 0 ? dy : 0. x and dy of one shape.</summary>
public sealed record ReluGrad : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Fit.F32(inputs, 2) && inputs[0] == inputs[1], "x and dy of one shape", inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        for (int i = 0; i < output.Data.Length; i++)
        {
            output.Data[i] = inputs[0].Data[i] > T.Zero ? inputs[1].Data[i] : T.Zero;
        }
    }

    /// <inheritdoc/>
    public override bool InPlace(int input) => true;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
        [new(this, [TensorType.F32([2, 3, 33]), TensorType.F32([2, 3, 33])])];
}

/// <summary>Builder of <see cref="Core.Relu"/>.</summary>
public static class ReluBuilder
{
    /// <summary>Adds <see cref="Core.Relu"/>.</summary>
    public static Node Relu(this Graph graph, Node x) => graph.Add(new Relu(), x);
}
