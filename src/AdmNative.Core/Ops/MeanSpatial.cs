namespace AdmNative.Core;

/// <summary>y[n,c] = mean over p of x[n,p,c]: global average pooling (spec 2.1). x: [N,...,C]; result [N,C].</summary>
public sealed record MeanSpatial : Op
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
        for (int n = 0; n < N; n++)
        {
            for (int c = 0; c < C; c++)
            {
                T sum = T.Zero;
                for (int p = 0; p < P; p++)
                {
                    sum += x.Data[(((n * P) + p) * C) + c];
                }

                output[n, c] = sum / Fit.Num<T>(P);
            }
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.BroadcastSpatial(dy, node.Inputs[0].Shape, 1.0 / Fit.Middle(node.Inputs[0].Shape)) : null];

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
        [new(this, [TensorType.F32([2, 3, 5, 7])]), new(this, [TensorType.F32([3, 5])])];
}

/// <summary>y[n,p,c] = Factor * v[n,c]. v: [N,C]; result [N,...,C].</summary>
/// <param name="Shape">Shape of the result.</param>
/// <param name="Factor">1/P for the gradient of a mean, 1 for that of a sum.</param>
public sealed record BroadcastSpatial(Shape Shape, double Factor) : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 1) && Shape.Rank >= 2 && inputs[0].Shape == Fit.Ends(Shape),
            $"v[N,C] to spread over {Shape}",
            inputs);
        return TensorType.F32(Shape);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (int N, int P, int C) = (Shape[0], Fit.Middle(Shape), Shape.Last);
        for (int n = 0, i = 0; n < N; n++)
        {
            for (int p = 0; p < P; p++)
            {
                for (int c = 0; c < C; c++, i++)
                {
                    output.Data[i] = Fit.Num<T>(Factor) * inputs[0][n, c];
                }
            }
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.Scale(graph.SumSpatial(dy), Factor) : null];

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(new BroadcastSpatial([2, 3, 5, 7], 0.25), [TensorType.F32([2, 7])]),
        new(new BroadcastSpatial([3, 5], 1), [TensorType.F32([3, 5])]),
    ];
}

/// <summary>Builders of <see cref="Core.MeanSpatial"/> and its reverse.</summary>
public static class MeanSpatialBuilder
{
    /// <summary>Adds <see cref="Core.MeanSpatial"/>.</summary>
    public static Node MeanSpatial(this Graph graph, Node x) => graph.Add(new MeanSpatial(), x);

    /// <summary>Adds <see cref="Core.BroadcastSpatial"/>.</summary>
    public static Node BroadcastSpatial(this Graph graph, Node v, Shape shape, double factor) =>
        graph.Add(new BroadcastSpatial(shape, factor), v);
}
