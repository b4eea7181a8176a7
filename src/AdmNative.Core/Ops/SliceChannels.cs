namespace AdmNative.Core;

/// <summary>y[...,c] = x[...,Begin+c], c = 0..Count-1. x: [...,C]; result [...,Count]. Planned as a view.</summary>
/// <param name="Begin">First channel taken.</param>
/// <param name="Count">Channels taken.</param>
public sealed record SliceChannels(int Begin, int Count) : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 1) && inputs[0].Shape.Rank >= 1 && Begin >= 0 && Count > 0 && (long)Begin + Count <= inputs[0].Shape.Last,
            $"x[...,C] with channels {Begin}..{(long)Begin + Count - 1}",
            inputs);
        return TensorType.F32(Fit.WithLast(inputs[0].Shape, Count));
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        int C = inputs[0].Shape.Last;
        for (int r = 0; r < output.Shape.Rows; r++)
        {
            inputs[0].Data.AsSpan((r * C) + Begin, Count).CopyTo(output.Data.AsSpan(r * Count));
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.PadChannels(dy, Begin, node.Inputs[0].Shape.Last) : null];

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(new SliceChannels(2, 3), [TensorType.F32([2, 3, 5, 7])]),
        new(new SliceChannels(0, 33), [TensorType.F32([3, 40])]),
        new(new SliceChannels(0, 5), [TensorType.F32([3, 5])]),
    ];
}

/// <summary>y[...,Begin+c] = x[...,c], zero in all other channels. x: [...,C]; result [...,Total].</summary>
/// <param name="Begin">Where the channels of x go.</param>
/// <param name="Total">Channels of the result.</param>
public sealed record PadChannels(int Begin, int Total) : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 1) && inputs[0].Shape.Rank >= 1 && Begin >= 0 && (long)Begin + inputs[0].Shape.Last <= Total,
            $"x[...,C] that fits into {Total} channels from {Begin} on",
            inputs);
        return TensorType.F32(Fit.WithLast(inputs[0].Shape, Total));
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        int C = inputs[0].Shape.Last;
        Array.Clear(output.Data);
        for (int r = 0; r < inputs[0].Shape.Rows; r++)
        {
            inputs[0].Data.AsSpan(r * C, C).CopyTo(output.Data.AsSpan((r * Total) + Begin));
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.SliceChannels(dy, Begin, node.Inputs[0].Shape.Last) : null];

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(new PadChannels(2, 9), [TensorType.F32([2, 3, 5, 4])]),
        new(new PadChannels(0, 33), [TensorType.F32([3, 17])]),
        new(new PadChannels(28, 33), [TensorType.F32([3, 5])]),
    ];
}

/// <summary>Builders of <see cref="Core.SliceChannels"/> and its reverse.</summary>
public static class SliceChannelsBuilder
{
    /// <summary>Adds <see cref="Core.SliceChannels"/>.</summary>
    public static Node SliceChannels(this Graph graph, Node x, int begin, int count) => graph.Add(new SliceChannels(begin, count), x);

    /// <summary>Adds <see cref="Core.PadChannels"/>.</summary>
    public static Node PadChannels(this Graph graph, Node x, int begin, int total) => graph.Add(new PadChannels(begin, total), x);
}
