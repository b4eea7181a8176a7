namespace AdmNative.Core;

/// <summary>y[c] = sum over all rows of x[r,c]: the gradient of a bias. x: [...,C]; result [C].</summary>
public sealed record ChannelSum : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "made inside gradient rules; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Fit.F32(inputs, 1) && inputs[0].Shape.Rank >= 1, "x[...,C]", inputs);
        return TensorType.F32([inputs[0].Shape.Last]);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        T[] x = inputs[0].Data;
        int C = inputs[0].Shape.Last;
        Array.Clear(output.Data);
        for (int i = 0; i < x.Length; i++)
        {
            output.Data[i % C] += x[i];
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
        [new(this, [TensorType.F32([2, 3, 5, 7])]), new(this, [TensorType.F32([65, 33])]), new(this, [TensorType.F32([4])])];
}

/// <summary>Builder of <see cref="Core.ChannelSum"/>.</summary>
public static class ChannelSumBuilder
{
    /// <summary>Adds <see cref="Core.ChannelSum"/>.</summary>
    public static Node ChannelSum(this Graph graph, Node x) => graph.Add(new ChannelSum(), x);
}
