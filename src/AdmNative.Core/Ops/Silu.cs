using System.Numerics;

namespace AdmNative.Core;

/// <summary>y = x * sigmoid(x) = x / (1 + exp(-x)). Any shape.</summary>
public sealed record Silu : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(inputs.Length == 1 && inputs[0].DType == DType.F32, "one f32 tensor", inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        T[] x = inputs[0].Data;
        for (int i = 0; i < x.Length; i++)
        {
            output.Data[i] = x[i] / (T.One + T.Exp(-x[i]));
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
        [wanted[0] ? graph.Add(new SiluGrad(), node.Inputs[0], dy) : null];

    /// <inheritdoc/>
    public override bool InPlace(int input) => true;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(this, [TensorType.F32([3])]),
        new(this, [TensorType.F32([2, 3, 5, 7])], Scale: [8]),
    ];
}

/// <summary>dx = dy * s * (1 + x * (1 - s)), s = sigmoid(x).</summary>
public sealed record SiluGrad : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(inputs.Length == 2 && inputs[0] == inputs[1], "x and dy of one shape", inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        for (int i = 0; i < output.Data.Length; i++)
        {
            T x = inputs[0].Data[i];
            T s = T.One / (T.One + T.Exp(-x));
            output.Data[i] = inputs[1].Data[i] * s * (T.One + (x * (T.One - s)));
        }
    }

    /// <inheritdoc/>
    public override bool InPlace(int input) => true;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
        [new(this, [TensorType.F32([2, 3, 33]), TensorType.F32([2, 3, 33])], Scale: [6, 1])];
}

/// <summary>Builders that read as the formula does.</summary>
public static class SiluBuilder
{
    /// <summary>Adds <see cref="Silu"/>.</summary>
    public static Node Silu(this Graph graph, Node x) => graph.Add(new Silu(), x);
}
