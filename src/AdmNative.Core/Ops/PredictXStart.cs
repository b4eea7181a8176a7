namespace AdmNative.Core;

/// <summary>
/// The network's prediction of x_0 (spec 4.3, 4.5 step 3): StartX: out; Epsilon: SqrtRecip x_t - SqrtRecipM1 out; PreviousX:
/// out / c1 - (c2 / c1) x_t; then clamped to [-1,1] if Clip. (xt[N,...,C], out[N,...,C or 2C], coef[N,16]) -> like xt; only the first C
/// channels of out are read.
/// </summary>
/// <param name="Mean">What out predicts.</param>
/// <param name="Clip">Clamp the result.</param>
public sealed record PredictXStart(MeanKind Mean, bool Clip) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "sampler steps are not differentiated; guidance differentiates the classifier (spec 4.7)";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 3) && ModelMath.IsOutput(inputs[1].Shape, inputs[0].Shape, false)
                && ModelMath.IsCoef(inputs[2], inputs[0].Shape),
            $"xt[N,...,C], out[N,...,C or 2C], coef[N,{Coef.Columns}]",
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        (T[] xt, HostArray<T> net) = (inputs[0].Data, inputs[1]);
        (int count, int C) = (Fit.PerSample(inputs[0].Shape), inputs[0].Shape.Last);
        for (int i = 0; i < output.Data.Length; i++)
        {
            T x0 = ModelMath.XStart(Mean, xt[i], net.Data[(i / C * net.Shape.Last) + (i % C)], ModelMath.Row(inputs[2], i / count));
            output.Data[i] = Clip ? ModelMath.Clip(x0) : x0;
        }
    }

    /// <inheritdoc/>
    public override bool InPlace(int input) => input == 0;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        (var x, var twice, var coef) = (TensorType.F32([2, 3, 5, 3]), TensorType.F32([2, 3, 5, 6]), TensorType.F32([2, Coef.Columns]));
        foreach (MeanKind mean in Enum.GetValues<MeanKind>())
        {
            yield return new(new PredictXStart(mean, false), [x, x, coef], Scale: [1, 1, 0.5], Offset: [0, 0, 1.5]);
            yield return new(new PredictXStart(mean, true), [x, twice, coef], Scale: [2, 2, 0.5], Offset: [0, 0, 1.5]);
        }
    }
}

/// <summary>Builder of <see cref="Core.PredictXStart"/>.</summary>
public static class PredictXStartBuilder
{
    /// <summary>Adds <see cref="Core.PredictXStart"/>.</summary>
    public static Node PredictXStart(this Graph graph, Node xt, Node output, Node coef, MeanKind mean, bool clip) =>
        graph.Add(new PredictXStart(mean, clip), xt, output, coef);
}
