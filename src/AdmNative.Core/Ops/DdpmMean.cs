namespace AdmNative.Core;

/// <summary>
/// The model's mean of x_{t-1} (spec 4.5 step 4): c1 x_0 + c2 x_t with the processed x_0, or the first C channels of out for PreviousX.
/// (xt[N,...,C], out[N,...,C or 2C], x0, coef[N,16]) -> like xt.
/// </summary>
/// <param name="Mean">What out predicts.</param>
public sealed record DdpmMean(MeanKind Mean) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "sampler steps are not differentiated; guidance differentiates the classifier (spec 4.7)";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 4) && ModelMath.IsOutput(inputs[1].Shape, inputs[0].Shape, false) && inputs[2] == inputs[0]
                && ModelMath.IsCoef(inputs[3], inputs[0].Shape),
            $"xt[N,...,C], out[N,...,C or 2C], x0 like xt, coef[N,{Coef.Columns}]",
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        HostArray<T> net = inputs[1];
        (int count, int C) = (Fit.PerSample(inputs[0].Shape), inputs[0].Shape.Last);
        for (int i = 0; i < output.Data.Length; i++)
        {
            output.Data[i] = ModelMath.Mean(
                Mean,
                inputs[0].Data[i],
                net.Data[(i / C * net.Shape.Last) + (i % C)],
                inputs[2].Data[i],
                ModelMath.Row(inputs[3], i / count));
        }
    }

    /// <inheritdoc/>
    public override bool InPlace(int input) => input is 0 or 2;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        (var x, var twice, var coef) = (TensorType.F32([2, 3, 5, 3]), TensorType.F32([2, 3, 5, 6]), TensorType.F32([2, Coef.Columns]));
        foreach (MeanKind mean in Enum.GetValues<MeanKind>())
        {
            yield return new(new DdpmMean(mean), [x, x, x, coef]);
            yield return new(new DdpmMean(mean), [x, twice, x, coef]);
        }
    }
}

/// <summary>
/// The model's log-variance of x_{t-1} (spec 4.5 step 2), spread over x_t's shape: Learned: v; LearnedRange: f LogBeta + (1 - f)
/// PosteriorLogVar, f = (v + 1) / 2; fixed kinds: FixedLogVar. v = the last C channels of out.
/// (xt[N,...,C], out[N,...,C or 2C], coef[N,16]) -> like xt.
/// </summary>
/// <param name="Variance">Where it comes from; learned kinds need 2C channels.</param>
public sealed record ModelLogVariance(VarianceKind Variance) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "sampler steps are not differentiated; the bound has its own op (VlbPerSample)";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 3) && ModelMath.IsOutput(inputs[1].Shape, inputs[0].Shape, Variance.IsLearned())
                && ModelMath.IsCoef(inputs[2], inputs[0].Shape),
            $"xt[N,...,C], out[N,...,{(Variance.IsLearned() ? "2C" : "C or 2C")}], coef[N,{Coef.Columns}]",
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        HostArray<T> net = inputs[1];
        (int count, int C) = (Fit.PerSample(inputs[0].Shape), inputs[0].Shape.Last);
        for (int i = 0; i < output.Data.Length; i++)
        {
            // Fixed kinds ignore v, and out may have C channels only.
            T v = Variance.IsLearned() ? net.Data[(i / C * 2 * C) + C + (i % C)] : T.Zero;
            output.Data[i] = ModelMath.LogVariance(Variance, v, ModelMath.Row(inputs[2], i / count));
        }
    }

    /// <inheritdoc/>
    public override bool InPlace(int input) => input == 0;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        (var x, var twice, var coef) = (TensorType.F32([2, 3, 5, 3]), TensorType.F32([2, 3, 5, 6]), TensorType.F32([2, Coef.Columns]));
        foreach (VarianceKind variance in Enum.GetValues<VarianceKind>())
        {
            yield return new(new ModelLogVariance(variance), [x, twice, coef], Scale: [1, 1, 3]);
            if (!variance.IsLearned())
            {
                yield return new(new ModelLogVariance(variance), [x, x, coef]);
            }
        }
    }
}

/// <summary>Builders of <see cref="Core.DdpmMean"/> and <see cref="Core.ModelLogVariance"/>.</summary>
public static class DdpmMeanBuilder
{
    /// <summary>Adds <see cref="Core.DdpmMean"/>.</summary>
    public static Node DdpmMean(this Graph graph, Node xt, Node output, Node x0, Node coef, MeanKind mean) =>
        graph.Add(new DdpmMean(mean), xt, output, x0, coef);

    /// <summary>Adds <see cref="Core.ModelLogVariance"/>.</summary>
    public static Node ModelLogVariance(this Graph graph, Node xt, Node output, Node coef, VarianceKind variance) =>
        graph.Add(new ModelLogVariance(variance), xt, output, coef);
}
