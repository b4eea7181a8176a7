namespace AdmNative.Core;

/// <summary>
/// Several linear layers of one input as one: y = x [W1; W2; ...]^T + [b1, b2, ...], the weights' rows one after another.
/// (x[...,K], W1[M1,K], b1[M1], W2[M2,K], b2[M2], ...) -> [...,M1+M2+...]; layer i's result is a range of its columns.
/// </summary>
public sealed record StackedLinear : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "made by a pass after differentiation";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        const string Expected = "x[...,K], then W[M,K], W[M,K,1] or W[M,K,1,1] and bias[M] of every layer";
        Require(Fit.F32(inputs, 3, int.MaxValue) && inputs.Length % 2 == 1 && inputs[0].Shape.Rank >= 1, Expected, inputs);
        int columns = 0;
        for (int i = 1; i < inputs.Length; i += 2)
        {
            Shape w = inputs[i].Shape;
            Require(
                LinearShapes.IsWeight(w) && w[1] == inputs[0].Shape.Last && inputs[i + 1].Shape.Rank == 1 && inputs[i + 1].Shape[0] == w[0],
                Expected, inputs);
            columns = checked(columns + w[0]);
        }

        return TensorType.F32(Fit.WithLast(inputs[0].Shape, columns));
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        T[] x = inputs[0].Data;
        (int columns, int begin) = (output.Shape.Last, 0);
        for (int i = 1; i < inputs.Length; i += 2)
        {
            (T[] w, T[] bias) = (inputs[i].Data, inputs[i + 1].Data);
            (int M, int K) = (inputs[i].Shape[0], inputs[i].Shape[1]);
            for (int r = 0; r < output.Shape.Rows; r++)
            {
                for (int m = 0; m < M; m++)
                {
                    T sum = bias[m];
                    for (int k = 0; k < K; k++)
                    {
                        sum += x[(r * K) + k] * w[(m * K) + k];
                    }

                    output.Data[(r * columns) + begin + m] = sum;
                }
            }

            begin += M;
        }
    }

    /// <inheritdoc/>
    public override double Flops(ReadOnlySpan<TensorType> inputs, TensorType output) =>
        2.0 * output.Shape.Elements * inputs[0].Shape.Last;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(this, [TensorType.F32([3, 8]), .. Layer(12, 8), .. Layer(4, 8), .. Layer(20, 8)]),
        new(this, [TensorType.F32([2, 5]), .. Layer(7, 5), .. Layer(1, 5)]), // nothing is whole 16 bytes
        new(this, [TensorType.F32([2, 3, 9]), TensorType.F32([11, 9, 1]), TensorType.F32([11]), TensorType.F32([6, 9, 1, 1]), TensorType.F32([6])]),
        new(this, [TensorType.F32([1, 132]), .. Layer(33, 132)]),
    ];

    private static TensorType[] Layer(int rows, int columns) => [TensorType.F32([rows, columns]), TensorType.F32([rows])];
}
