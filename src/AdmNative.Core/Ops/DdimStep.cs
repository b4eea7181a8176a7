namespace AdmNative.Core;

/// <summary>
/// DDIM step (spec 4.8; Song, Meng, Ermon 2021): eps = (SqrtRecip x_t - x_0) / SqrtRecipM1;
/// x_{t-1} = SqrtAcPrev x_0 + DdimDirection eps + NotFirst DdimSigma noise. (xt[N,...,C], x0, coef[N,16], noise) -> like xt;
/// x0 is already guided.
/// </summary>
public sealed record DdimStep : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "sampler steps are not differentiated; guidance differentiates the classifier (spec 4.7)";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 4) && inputs[0].Shape.Rank >= 2 && inputs[1] == inputs[0] && ModelMath.IsCoef(inputs[2], inputs[0].Shape)
                && inputs[3] == inputs[0],
            $"xt[N,...,C], x0 like xt, coef[N,{Coef.Columns}], noise like xt",
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        int count = Fit.PerSample(inputs[0].Shape);
        for (int i = 0; i < output.Data.Length; i++)
        {
            (T xt, T x0, T noise) = (inputs[0].Data[i], inputs[1].Data[i], inputs[3].Data[i]);
            ReadOnlySpan<T> k = ModelMath.Row(inputs[2], i / count);
            output.Data[i] = (k[Coef.SqrtAcPrev] * x0) + (k[Coef.DdimDirection] * ModelMath.Epsilon(xt, x0, k))
                + (k[Coef.NotFirst] * k[Coef.DdimSigma] * noise);
        }
    }

    /// <inheritdoc/>
    public override bool InPlace(int input) => input is 0 or 1 or 3;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        var x = TensorType.F32([2, 3, 5, 3]);
        return [new(this, [x, x, TensorType.F32([2, Coef.Columns]), x], Scale: [1, 1, 0.5, 1], Offset: [0, 0, 1.5, 0])];
    }
}

/// <summary>
/// Guided x_0 (spec 4.7 condition_score; paper equation 14): eps' = eps - SqrtOneMinusAc grad, x_0' = SqrtRecip x_t - SqrtRecipM1 eps',
/// not clipped again. (xt[N,...,C], x0, coef[N,16], grad) -> like xt.
/// </summary>
public sealed record DdimXStart : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "sampler steps are not differentiated; guidance differentiates the classifier (spec 4.7)";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 4) && inputs[0].Shape.Rank >= 2 && inputs[1] == inputs[0] && ModelMath.IsCoef(inputs[2], inputs[0].Shape)
                && inputs[3] == inputs[0],
            $"xt[N,...,C], x0 like xt, coef[N,{Coef.Columns}], grad like xt",
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        int count = Fit.PerSample(inputs[0].Shape);
        for (int i = 0; i < output.Data.Length; i++)
        {
            T xt = inputs[0].Data[i];
            ReadOnlySpan<T> k = ModelMath.Row(inputs[2], i / count);
            T guided = ModelMath.Epsilon(xt, inputs[1].Data[i], k) - (k[Coef.SqrtOneMinusAc] * inputs[3].Data[i]);
            output.Data[i] = ModelMath.XStart(MeanKind.Epsilon, xt, guided, k);
        }
    }

    /// <inheritdoc/>
    public override bool InPlace(int input) => input is 0 or 1 or 3;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        var x = TensorType.F32([2, 3, 5, 3]);
        return [new(this, [x, x, TensorType.F32([2, Coef.Columns]), x], Scale: [1, 1, 0.5, 1], Offset: [0, 0, 1.5, 0])];
    }
}

/// <summary>
/// Deterministic step towards noise (spec 4.8 ddim_reverse_sample): x_{t+1} = SqrtAcNext x_0 + SqrtOneMinusAcNext eps.
/// (xt[N,...,C], x0, coef[N,16]) -> like xt.
/// </summary>
public sealed record DdimReverseStep : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "sampler steps are not differentiated; guidance differentiates the classifier (spec 4.7)";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 3) && inputs[0].Shape.Rank >= 2 && inputs[1] == inputs[0] && ModelMath.IsCoef(inputs[2], inputs[0].Shape),
            $"xt[N,...,C], x0 like xt, coef[N,{Coef.Columns}]",
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        int count = Fit.PerSample(inputs[0].Shape);
        for (int i = 0; i < output.Data.Length; i++)
        {
            (T xt, T x0) = (inputs[0].Data[i], inputs[1].Data[i]);
            ReadOnlySpan<T> k = ModelMath.Row(inputs[2], i / count);
            output.Data[i] = (k[Coef.SqrtAcNext] * x0) + (k[Coef.SqrtOneMinusAcNext] * ModelMath.Epsilon(xt, x0, k));
        }
    }

    /// <inheritdoc/>
    public override bool InPlace(int input) => input is 0 or 1;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        var x = TensorType.F32([2, 3, 5, 3]);
        return [new(this, [x, x, TensorType.F32([2, Coef.Columns])], Scale: [1, 1, 0.5], Offset: [0, 0, 1.5])];
    }
}

/// <summary>Builders of the DDIM ops.</summary>
public static class DdimStepBuilder
{
    /// <summary>Adds <see cref="Core.DdimStep"/>.</summary>
    public static Node DdimStep(this Graph graph, Node xt, Node x0, Node coef, Node noise) =>
        graph.Add(new DdimStep(), xt, x0, coef, noise);

    /// <summary>Adds <see cref="Core.DdimXStart"/>.</summary>
    public static Node DdimXStart(this Graph graph, Node xt, Node x0, Node coef, Node grad) =>
        graph.Add(new DdimXStart(), xt, x0, coef, grad);

    /// <summary>Adds <see cref="Core.DdimReverseStep"/>.</summary>
    public static Node DdimReverseStep(this Graph graph, Node xt, Node x0, Node coef) =>
        graph.Add(new DdimReverseStep(), xt, x0, coef);
}
