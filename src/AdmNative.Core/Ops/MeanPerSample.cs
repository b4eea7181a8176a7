namespace AdmNative.Core;

/// <summary>y[n] = mean of x[n,...]. x: [N,...]; result [N].</summary>
public sealed record MeanPerSample : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Fit.F32(inputs, 1) && inputs[0].Shape.Rank >= 1, "x[N,...]", inputs);
        return TensorType.F32([inputs[0].Shape[0]]);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        int count = Fit.PerSample(inputs[0].Shape);
        for (int n = 0; n < output.Data.Length; n++)
        {
            T sum = T.Zero;
            for (int i = n * count; i < (n + 1) * count; i++)
            {
                sum += inputs[0].Data[i];
            }

            output.Data[n] = sum / Fit.Num<T>(count);
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted)
    {
        Shape x = node.Inputs[0].Shape;
        return [wanted[0] ? graph.BroadcastPerSample(dy, x, 1.0 / Fit.PerSample(x)) : null];
    }

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
        [new(this, [TensorType.F32([2, 3, 5, 7])]), new(this, [TensorType.F32([3])])];
}

/// <summary>y[n,...] = Factor * v[n]. v: [N]; result Shape.</summary>
/// <param name="Shape">[N,...].</param>
/// <param name="Factor">1 / elements per sample for the gradient of a mean.</param>
public sealed record BroadcastPerSample(Shape Shape, double Factor) : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Fit.F32(inputs, 1) && Shape.Rank >= 1 && inputs[0].Shape == [Shape[0]], $"v[N] to spread over {Shape}", inputs);
        return TensorType.F32(Shape);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        int count = Fit.PerSample(Shape);
        for (int i = 0; i < output.Data.Length; i++)
        {
            output.Data[i] = Fit.Num<T>(Factor) * inputs[0].Data[i / count];
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.Scale(graph.MeanPerSample(dy), Factor * Fit.PerSample(Shape)) : null];

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(new BroadcastPerSample([2, 3, 5, 7], 0.01), [TensorType.F32([2])]),
        new(new BroadcastPerSample([3], -2), [TensorType.F32([3])]),
    ];
}

/// <summary>Builders of <see cref="Core.MeanPerSample"/> and its reverse.</summary>
public static class MeanPerSampleBuilder
{
    /// <summary>Adds <see cref="Core.MeanPerSample"/>.</summary>
    public static Node MeanPerSample(this Graph graph, Node x) => graph.Add(new MeanPerSample(), x);

    /// <summary>Adds <see cref="Core.BroadcastPerSample"/>.</summary>
    public static Node BroadcastPerSample(this Graph graph, Node v, Shape shape, double factor) =>
        graph.Add(new BroadcastPerSample(shape, factor), v);
}
