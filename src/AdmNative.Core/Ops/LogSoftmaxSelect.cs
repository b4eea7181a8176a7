namespace AdmNative.Core;

/// <summary>
/// result[n] = logits[n,y[n]] - log sum_k exp(logits[n,k]): the log-probability whose gradient guides (spec 4.7), and minus the
/// classifier's cross-entropy. logits: [N,K], y: i32 [N]; result [N].
/// </summary>
public sealed record LogSoftmaxSelect : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            inputs.Length == 2 && inputs[0].DType == DType.F32 && inputs[0].Shape.Rank == 2
                && inputs[1] == new TensorType(DType.I32, [inputs[0].Shape[0]]),
            "logits f32[N,K] and y i32[N]",
            inputs);
        return TensorType.F32([inputs[0].Shape[0]]);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        HostArray<T> logits = inputs[0];
        int K = logits.Shape[1];
        for (int n = 0; n < output.Data.Length; n++)
        {
            T max = T.NegativeInfinity;
            for (int k = 0; k < K; k++)
            {
                max = T.Max(max, logits[n, k]);
            }

            T sum = T.Zero;
            for (int k = 0; k < K; k++)
            {
                sum += T.Exp(logits[n, k] - max);
            }

            output.Data[n] = logits[n, Fit.Label(inputs[1].Data[n], K, Name)] - max - T.Log(sum);
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.Add(new LogSoftmaxSelectGrad(), node.Inputs[0], node.Inputs[1], dy) : null, null];

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(this, [TensorType.F32([3, 5]), new(DType.I32, [3])], [0, 5], Scale: [4, 1]),
        new(this, [TensorType.F32([1, 33]), new(DType.I32, [1])], [0, 33], Scale: [30, 1]),
    ];
}

/// <summary>dlogits[n,k] = dy[n] * ((k == y[n]) - softmax(logits[n])[k]). logits: [N,K], y: i32 [N], dy: [N].</summary>
public sealed record LogSoftmaxSelectGrad : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            inputs.Length == 3 && inputs[0].DType == DType.F32 && inputs[0].Shape.Rank == 2
                && inputs[1] == new TensorType(DType.I32, [inputs[0].Shape[0]])
                && inputs[2] == TensorType.F32([inputs[0].Shape[0]]),
            "logits f32[N,K], y i32[N] and dy f32[N]",
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        HostArray<T> logits = inputs[0];
        (int N, int K) = (logits.Shape[0], logits.Shape[1]);
        for (int n = 0; n < N; n++)
        {
            T max = T.NegativeInfinity;
            for (int k = 0; k < K; k++)
            {
                max = T.Max(max, logits[n, k]);
            }

            T sum = T.Zero;
            for (int k = 0; k < K; k++)
            {
                sum += T.Exp(logits[n, k] - max);
            }

            int label = Fit.Label(inputs[1].Data[n], K, Name);
            for (int k = 0; k < K; k++)
            {
                T softmax = T.Exp(logits[n, k] - max) / sum;
                output[n, k] = inputs[2].Data[n] * ((k == label ? T.One : T.Zero) - softmax);
            }
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(this, [TensorType.F32([3, 5]), new(DType.I32, [3]), TensorType.F32([3])], [0, 5, 0], Scale: [4, 1, 1]),
        new(this, [TensorType.F32([1, 33]), new(DType.I32, [1]), TensorType.F32([1])], [0, 33, 0], Scale: [30, 1, 1]),
    ];
}

/// <summary>Builder of <see cref="Core.LogSoftmaxSelect"/>.</summary>
public static class LogSoftmaxSelectBuilder
{
    /// <summary>Adds <see cref="Core.LogSoftmaxSelect"/>.</summary>
    public static Node LogSoftmaxSelect(this Graph graph, Node logits, Node y) => graph.Add(new LogSoftmaxSelect(), logits, y);
}
