namespace AdmNative.Core;

/// <summary>
/// y[n,p,c] = x[n,p,c] * (1 + m[n,c]) + m[n,C+c]: adaptive group normalisation after the norm (paper section 3.1, AdaGN;
/// the "1 +" is the code's, spec 1.5). x: [N,...,C], m: [N,2C], scale first.
/// </summary>
public sealed record Modulate : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 2) && inputs[0].Shape.Rank >= 2 && inputs[1].Shape == [inputs[0].Shape[0], 2L * inputs[0].Shape.Last],
            "x[N,...,C] and m[N,2C]",
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (HostArray<T> x, HostArray<T> m) = (inputs[0], inputs[1]);
        (int N, int P, int C) = (x.Shape[0], Fit.Middle(x.Shape), x.Shape.Last);
        for (int n = 0, i = 0; n < N; n++)
        {
            for (int p = 0; p < P; p++)
            {
                for (int c = 0; c < C; c++, i++)
                {
                    output.Data[i] = (x.Data[i] * (T.One + m[n, c])) + m[n, C + c];
                }
            }
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
    [
        wanted[0] ? graph.Add(new ModulateInputGrad(), dy, node.Inputs[1]) : null,
        wanted[1] ? graph.Add(new ModulateParamGrad(), node.Inputs[0], dy) : null,
    ];

    /// <inheritdoc/>
    public override bool InPlace(int input) => input == 0;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(this, [TensorType.F32([2, 3, 5, 7]), TensorType.F32([2, 14])]),
        new(this, [TensorType.F32([3, 5]), TensorType.F32([3, 10])]),
    ];
}

/// <summary>dx[n,p,c] = dy[n,p,c] * (1 + m[n,c]). dy: [N,...,C], m: [N,2C].</summary>
public sealed record ModulateInputGrad : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 2) && inputs[0].Shape.Rank >= 2 && inputs[1].Shape == [inputs[0].Shape[0], 2L * inputs[0].Shape.Last],
            "dy[N,...,C] and m[N,2C]",
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (HostArray<T> dy, HostArray<T> m) = (inputs[0], inputs[1]);
        (int N, int P, int C) = (dy.Shape[0], Fit.Middle(dy.Shape), dy.Shape.Last);
        for (int n = 0, i = 0; n < N; n++)
        {
            for (int p = 0; p < P; p++)
            {
                for (int c = 0; c < C; c++, i++)
                {
                    output.Data[i] = dy.Data[i] * (T.One + m[n, c]);
                }
            }
        }
    }

    /// <inheritdoc/>
    public override bool InPlace(int input) => input == 0;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(this, [TensorType.F32([2, 3, 5, 7]), TensorType.F32([2, 14])]),
        new(this, [TensorType.F32([3, 33]), TensorType.F32([3, 66])]),
    ];
}

/// <summary>dm[n,c] = sum_p x*dy, dm[n,C+c] = sum_p dy. x, dy: [N,...,C]; result [N,2C].</summary>
public sealed record ModulateParamGrad : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Fit.F32(inputs, 2) && inputs[0].Shape.Rank >= 2 && inputs[0] == inputs[1], "x and dy of one shape [N,...,C]", inputs);
        return TensorType.F32([inputs[0].Shape[0], 2L * inputs[0].Shape.Last]);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (HostArray<T> x, HostArray<T> dy) = (inputs[0], inputs[1]);
        (int N, int P, int C) = (x.Shape[0], Fit.Middle(x.Shape), x.Shape.Last);
        Array.Clear(output.Data);
        for (int n = 0, i = 0; n < N; n++)
        {
            for (int p = 0; p < P; p++)
            {
                for (int c = 0; c < C; c++, i++)
                {
                    output[n, c] += x.Data[i] * dy.Data[i];
                    output[n, C + c] += dy.Data[i];
                }
            }
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(this, [TensorType.F32([2, 3, 5, 7]), TensorType.F32([2, 3, 5, 7])]),
        new(this, [TensorType.F32([3, 33]), TensorType.F32([3, 33])]),
    ];
}

/// <summary>Builder of <see cref="Core.Modulate"/>.</summary>
public static class ModulateBuilder
{
    /// <summary>Adds <see cref="Core.Modulate"/>.</summary>
    public static Node Modulate(this Graph graph, Node x, Node m) => graph.Add(new Modulate(), x, m);
}
