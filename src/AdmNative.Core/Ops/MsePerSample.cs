namespace AdmNative.Core;

/// <summary>y[n] = mean of (a[n,...] - b[n,...])^2: L_simple (spec 4.11). a, b: [N,...] of one shape; result [N].</summary>
public sealed record MsePerSample : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 2) && inputs[0].Shape.Rank >= 1 && inputs[0] == inputs[1],
            "a and b of one shape [N,...]",
            inputs);
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
                T difference = inputs[0].Data[i] - inputs[1].Data[i];
                sum += difference * difference;
            }

            output.Data[n] = sum / Fit.Num<T>(count);
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted)
    {
        (Node a, Node b) = (node.Inputs[0], node.Inputs[1]);
        return
        [
            wanted[0] ? graph.Add(new MsePerSampleGrad(0), a, b, dy) : null,
            wanted[1] ? graph.Add(new MsePerSampleGrad(1), a, b, dy) : null,
        ];
    }

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(this, [TensorType.F32([2, 3, 5, 7]), TensorType.F32([2, 3, 5, 7])]),
        new(this, [TensorType.F32([3]), TensorType.F32([3])]),
    ];
}

/// <summary>Side 0: da = 2 (a - b) dy[n] / count; side 1: db = -da. a, b: [N,...], dy: [N].</summary>
/// <param name="Side">0 for a, 1 for b.</param>
public sealed record MsePerSampleGrad(int Side) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Side is 0 or 1, $"side 0 or 1, not {Side}", inputs);
        Require(
            Fit.F32(inputs, 3) && inputs[0].Shape.Rank >= 1 && inputs[0] == inputs[1] && inputs[2].Shape == [inputs[0].Shape[0]],
            "a and b of one shape [N,...] and dy[N]",
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        int count = Fit.PerSample(inputs[0].Shape);
        T factor = Fit.Num<T>((Side == 0 ? 2.0 : -2.0) / count);
        for (int i = 0; i < output.Data.Length; i++)
        {
            output.Data[i] = factor * (inputs[0].Data[i] - inputs[1].Data[i]) * inputs[2].Data[i / count];
        }
    }

    /// <inheritdoc/>
    public override bool InPlace(int input) => input is 0 or 1;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        (var x, var v) = (TensorType.F32([2, 3, 5, 7]), TensorType.F32([2]));
        return [new(new MsePerSampleGrad(0), [x, x, v]), new(new MsePerSampleGrad(1), [x, x, v])];
    }
}

/// <summary>Builder of <see cref="Core.MsePerSample"/>.</summary>
public static class MsePerSampleBuilder
{
    /// <summary>Adds <see cref="Core.MsePerSample"/>.</summary>
    public static Node MsePerSample(this Graph graph, Node a, Node b) => graph.Add(new MsePerSample(), a, b);
}
