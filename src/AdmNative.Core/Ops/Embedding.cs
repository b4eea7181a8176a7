namespace AdmNative.Core;

/// <summary>result[n] = table[y[n]]. table: [K,E], y: i32 [N], each 0..K-1; result [N,E]. Class labels (spec 1.4).</summary>
public sealed record Embedding : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            inputs.Length == 2 && inputs[0].DType == DType.F32 && inputs[0].Shape.Rank == 2
                && inputs[1].DType == DType.I32 && inputs[1].Shape.Rank == 1,
            "table f32[K,E] and y i32[N]",
            inputs);
        return TensorType.F32([inputs[1].Shape[0], inputs[0].Shape[1]]);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (int K, int E) = (inputs[0].Shape[0], inputs[0].Shape[1]);
        for (int n = 0; n < inputs[1].Data.Length; n++)
        {
            inputs[0].Data.AsSpan(Fit.Label(inputs[1].Data[n], K, Name) * E, E).CopyTo(output.Data.AsSpan(n * E));
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.Add(new EmbeddingGrad(node.Inputs[0].Shape[0]), node.Inputs[1], dy) : null, null];

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(this, [TensorType.F32([4, 7]), new(DType.I32, [6])], [0, 4]),
        new(this, [TensorType.F32([10, 33]), new(DType.I32, [1])], [0, 10]),
    ];
}

/// <summary>dtable[k] = sum of dy[n] over the n with y[n] = k. y: i32 [N], dy: [N,E]; result [Classes,E].</summary>
/// <param name="Classes">K.</param>
public sealed record EmbeddingGrad(int Classes) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            inputs.Length == 2 && inputs[0].DType == DType.I32 && inputs[0].Shape.Rank == 1
                && inputs[1].DType == DType.F32 && inputs[1].Shape.Rank == 2 && inputs[1].Shape[0] == inputs[0].Shape[0],
            "y i32[N] and dy f32[N,E]",
            inputs);
        return TensorType.F32([Classes, inputs[1].Shape[1]]);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        int E = inputs[1].Shape[1];
        Array.Clear(output.Data);
        for (int n = 0; n < inputs[0].Data.Length; n++)
        {
            int k = Fit.Label(inputs[0].Data[n], Classes, Name);
            for (int e = 0; e < E; e++)
            {
                output[k, e] += inputs[1][n, e];
            }
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(new EmbeddingGrad(4), [new(DType.I32, [6]), TensorType.F32([6, 7])], [4, 0]),
        new(new EmbeddingGrad(10), [new(DType.I32, [1]), TensorType.F32([1, 33])], [10, 0]),
    ];
}

/// <summary>Builder of <see cref="Core.Embedding"/>.</summary>
public static class EmbeddingBuilder
{
    /// <summary>Adds <see cref="Core.Embedding"/>.</summary>
    public static Node Embedding(this Graph graph, Node table, Node y) => graph.Add(new Embedding(), table, y);
}
