namespace AdmNative.Core;

/// <summary>
/// half = Dim / 2, f_i = exp(-ln(MaxPeriod) * i / half): y[n] = [cos(t f_0..), sin(t f_0..)], and a final 0 when Dim is odd
/// (spec 1.10). t: f32 [N], may be fractional; result [N,Dim].
/// </summary>
/// <param name="Dim">Width of the result.</param>
/// <param name="MaxPeriod">Lowest frequency is about 1 / MaxPeriod.</param>
public sealed record TimestepEmbedding(int Dim, double MaxPeriod = 10000) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "timesteps are given, never learned";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Fit.F32(inputs, 1) && inputs[0].Shape.Rank == 1 && Dim >= 2, $"t[N] for a width of at least 2, not {Dim}", inputs);
        return TensorType.F32([inputs[0].Shape[0], Dim]);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        int half = Dim / 2;
        T minusLog = Fit.Num<T>(-Math.Log(MaxPeriod));
        Array.Clear(output.Data);
        for (int n = 0; n < inputs[0].Data.Length; n++)
        {
            for (int i = 0; i < half; i++)
            {
                T angle = inputs[0].Data[n] * T.Exp(minusLog * Fit.Num<T>(i) / Fit.Num<T>(half));
                output[n, i] = T.Cos(angle);
                output[n, half + i] = T.Sin(angle);
            }
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        // Small t: an f32 angle near 1000 is itself only good to 6e-5 (spec Appendix C).
        new(new TimestepEmbedding(8), [TensorType.F32([3])], Scale: [10], Offset: [10]),
        new(new TimestepEmbedding(33, 1000), [TensorType.F32([2])], Scale: [5], Offset: [5]),
    ];
}

/// <summary>Builder of <see cref="Core.TimestepEmbedding"/>.</summary>
public static class TimestepEmbeddingBuilder
{
    /// <summary>Adds <see cref="Core.TimestepEmbedding"/>.</summary>
    public static Node TimestepEmbedding(this Graph graph, Node t, int dim, double maxPeriod = 10000) =>
        graph.Add(new TimestepEmbedding(dim, maxPeriod), t);
}
