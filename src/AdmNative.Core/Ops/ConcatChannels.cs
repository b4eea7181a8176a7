namespace AdmNative.Core;

/// <summary>
/// Joins along the last dimension: a[...,C1], b[...,C2], ... -> [...,C1+C2+...]. Skip connections (spec 1.4: current map first).
/// The planner makes it free where the inputs can be born in the result.
/// </summary>
public sealed record ConcatChannels : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Fit.F32(inputs, 1, int.MaxValue) && inputs[0].Shape.Rank >= 1, "f32 tensors [...,C1], [...,C2], ...", inputs);
        int channels = 0;
        foreach (TensorType input in inputs)
        {
            channels = checked(channels + input.Shape.Last);
            Require(
                input.Shape.Rank == inputs[0].Shape.Rank && Fit.WithLast(input.Shape, 1) == Fit.WithLast(inputs[0].Shape, 1),
                "equal dimensions except the last",
                inputs);
        }

        return TensorType.F32(Fit.WithLast(inputs[0].Shape, channels));
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        int total = output.Shape.Last;
        int begin = 0;
        foreach (HostArray<T> x in inputs)
        {
            int C = x.Shape.Last;
            for (int r = 0; r < x.Shape.Rows; r++)
            {
                x.Data.AsSpan(r * C, C).CopyTo(output.Data.AsSpan((r * total) + begin));
            }

            begin += C;
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted)
    {
        var result = new Node?[wanted.Length];
        int begin = 0;
        for (int i = 0; i < result.Length; i++)
        {
            int count = node.Inputs[i].Shape.Last;
            result[i] = wanted[i] ? graph.SliceChannels(dy, begin, count) : null;
            begin += count;
        }

        return result;
    }

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(this, [TensorType.F32([2, 3, 5, 7]), TensorType.F32([2, 3, 5, 4])]),
        new(this, [TensorType.F32([3, 5]), TensorType.F32([3, 1]), TensorType.F32([3, 33])]),
        new(this, [TensorType.F32([2, 3])]),
    ];
}

/// <summary>Builder of <see cref="Core.ConcatChannels"/>.</summary>
public static class ConcatChannelsBuilder
{
    /// <summary>Adds <see cref="Core.ConcatChannels"/>.</summary>
    public static Node ConcatChannels(this Graph graph, params ReadOnlySpan<Node> inputs) =>
        graph.Add(new ConcatChannels(), (ReadOnlySpan<Node?>)inputs);
}
