namespace AdmNative.Core;

/// <summary>
/// y[r,m] = sum_k x[r,k] w[m,k] + bias[m] + residual[r,m]: linear layers, 1x1 convolutions, qkv and proj_out.
/// x: [...,K], w: [M,K] or [M,K,1] or [M,K,1,1] (as in the checkpoint), bias: [M], residual and result: [...,M].
/// </summary>
public sealed record Linear : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 2, 4) && inputs[0].Shape.Rank >= 1 && LinearShapes.IsWeight(inputs[1].Shape)
                && inputs[1].Shape[1] == inputs[0].Shape.Last,
            "x[...,K], w[M,K], w[M,K,1] or w[M,K,1,1], then bias[M] and residual[...,M] if any",
            inputs);
        var y = TensorType.F32(Fit.WithLast(inputs[0].Shape, inputs[1].Shape[0]));
        Require(inputs.Length < 3 || inputs[2].Shape == [y.Shape.Last], $"bias[{y.Shape.Last}]", inputs);
        Require(inputs.Length < 4 || inputs[3] == y, $"residual {y}", inputs);
        return y;
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (T[] x, T[] w) = (inputs[0].Data, inputs[1].Data);
        (int M, int K) = (inputs[1].Shape[0], inputs[1].Shape[1]);
        for (int r = 0; r < output.Shape.Rows; r++)
        {
            for (int m = 0; m < M; m++)
            {
                T sum = inputs.Length > 2 ? inputs[2].Data[m] : T.Zero;
                for (int k = 0; k < K; k++)
                {
                    sum += x[(r * K) + k] * w[(m * K) + k];
                }

                output.Data[(r * M) + m] = inputs.Length > 3 ? sum + inputs[3].Data[(r * M) + m] : sum;
            }
        }
    }

    /// <inheritdoc/>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted)
    {
        (Node x, Node w) = (node.Inputs[0], node.Inputs[1]);
        var result = new Node?[wanted.Length];
        result[0] = wanted[0] ? graph.Add(new LinearInputGrad(), dy, w) : null;
        result[1] = wanted[1] ? graph.Add(new LinearWeightGrad(w.Shape), x, dy) : null;
        if (wanted.Length > 2)
        {
            result[2] = wanted[2] ? graph.ChannelSum(dy) : null;
        }

        if (wanted.Length > 3)
        {
            result[3] = wanted[3] ? dy : null;
        }

        return result;
    }

    /// <inheritdoc/>
    public override double Flops(ReadOnlySpan<TensorType> inputs, TensorType output) =>
        2.0 * output.Shape.Elements * inputs[0].Shape.Last;

    /// <summary>Over the residual: each element of it is read once, before the same element of the result is written.</summary>
    public override bool InPlace(int input) => input == 3;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(this, [TensorType.F32([3, 5]), TensorType.F32([7, 5])]),
        new(this, [TensorType.F32([2, 3, 5, 7]), TensorType.F32([11, 7, 1, 1]), TensorType.F32([11])]),
        new(this, [TensorType.F32([2, 9, 17]), TensorType.F32([33, 17, 1]), TensorType.F32([33]), TensorType.F32([2, 9, 33])]),
    ];
}

/// <summary>dx[r,k] = sum_m dy[r,m] w[m,k] + addend[r,k]. dy: [...,M], w: [M,K(,1)(,1)], addend and result: [...,K].</summary>
public sealed record LinearInputGrad : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 2, 3) && inputs[0].Shape.Rank >= 1 && LinearShapes.IsWeight(inputs[1].Shape)
                && inputs[1].Shape[0] == inputs[0].Shape.Last,
            "dy[...,M], w[M,K], w[M,K,1] or w[M,K,1,1], then addend[...,K] if any",
            inputs);
        var dx = TensorType.F32(Fit.WithLast(inputs[0].Shape, inputs[1].Shape[1]));
        Require(inputs.Length < 3 || inputs[2] == dx, $"addend {dx}", inputs);
        return dx;
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (T[] dy, T[] w) = (inputs[0].Data, inputs[1].Data);
        (int M, int K) = (inputs[1].Shape[0], inputs[1].Shape[1]);
        for (int r = 0; r < output.Shape.Rows; r++)
        {
            for (int k = 0; k < K; k++)
            {
                T sum = inputs.Length > 2 ? inputs[2].Data[(r * K) + k] : T.Zero;
                for (int m = 0; m < M; m++)
                {
                    sum += dy[(r * M) + m] * w[(m * K) + k];
                }

                output.Data[(r * K) + k] = sum;
            }
        }
    }

    /// <inheritdoc/>
    public override double Flops(ReadOnlySpan<TensorType> inputs, TensorType output) =>
        2.0 * output.Shape.Elements * inputs[0].Shape.Last;

    /// <summary>Over the addend: each element of it is read once, before the same element of the result is written.</summary>
    public override bool InPlace(int input) => input == 2;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(this, [TensorType.F32([3, 7]), TensorType.F32([7, 5])]),
        new(this, [TensorType.F32([2, 3, 5, 11]), TensorType.F32([11, 7, 1, 1])]),
        new(this, [TensorType.F32([2, 9, 33]), TensorType.F32([33, 17, 1]), TensorType.F32([2, 9, 17])]),
    ];
}

/// <summary>dw[m,k] = sum_r dy[r,m] x[r,k]. x: [...,K], dy: [...,M]; result: the weight's shape.</summary>
/// <param name="WeightShape">[M,K], [M,K,1] or [M,K,1,1].</param>
public sealed record LinearWeightGrad(Shape WeightShape) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 2) && inputs[0].Shape.Rank >= 1 && LinearShapes.IsWeight(WeightShape)
                && inputs[0].Shape.Last == WeightShape[1]
                && inputs[1].Shape == Fit.WithLast(inputs[0].Shape, WeightShape[0]),
            $"x[...,K] and dy[...,M] for a weight {WeightShape}",
            inputs);
        return TensorType.F32(WeightShape);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (T[] x, T[] dy) = (inputs[0].Data, inputs[1].Data);
        (int M, int K) = (WeightShape[0], WeightShape[1]);
        long rows = inputs[0].Shape.Rows;
        for (int m = 0; m < M; m++)
        {
            for (int k = 0; k < K; k++)
            {
                T sum = T.Zero;
                for (int r = 0; r < rows; r++)
                {
                    sum += dy[(r * M) + m] * x[(r * K) + k];
                }

                output.Data[(m * K) + k] = sum;
            }
        }
    }

    /// <inheritdoc/>
    public override double Flops(ReadOnlySpan<TensorType> inputs, TensorType output) =>
        2.0 * output.Shape.Elements * inputs[0].Shape.Rows;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(new LinearWeightGrad([7, 5]), [TensorType.F32([3, 5]), TensorType.F32([3, 7])]),
        new(new LinearWeightGrad([11, 7, 1, 1]), [TensorType.F32([2, 3, 5, 7]), TensorType.F32([2, 3, 5, 11])]),
        new(new LinearWeightGrad([33, 17, 1]), [TensorType.F32([2, 9, 17]), TensorType.F32([2, 9, 33])]),
    ];
}

/// <summary>What counts as the weight of a linear layer.</summary>
internal static class LinearShapes
{
    /// <summary>[M,K], [M,K,1] or [M,K,1,1].</summary>
    public static bool IsWeight(Shape w) => w.Rank is >= 2 and <= 4 && w.Elements == w.Dim(0) * w.Dim(1);
}

/// <summary>Builder of <see cref="Core.Linear"/>.</summary>
public static class LinearBuilder
{
    /// <summary>Adds <see cref="Core.Linear"/>.</summary>
    public static Node Linear(this Graph graph, Node x, Node w, Node? bias = null, Node? residual = null) =>
        graph.Add(new Linear(), x, w, bias, residual);
}
