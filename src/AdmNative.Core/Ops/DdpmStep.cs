namespace AdmNative.Core;

/// <summary>
/// Ancestral step (spec 4.6, 4.7; paper Algorithm 1): x_{t-1} = mean + variance * grad + NotFirst * exp(logvar / 2) * noise.
/// variance is FixedVariance for the fixed kinds, otherwise exp(logvar). (xt[N,...,C], out[N,...,C or 2C], x0, coef[N,16], noise, grad?)
/// -> like xt; grad, already scaled, is the classifier's.
/// </summary>
/// <param name="Mean">What out predicts.</param>
/// <param name="Variance">Where the variance comes from; learned kinds need 2C channels.</param>
public sealed record DdpmStep(MeanKind Mean, VarianceKind Variance) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "sampler steps are not differentiated; guidance differentiates the classifier (spec 4.7)";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 5, 6) && ModelMath.IsOutput(inputs[1].Shape, inputs[0].Shape, Variance.IsLearned())
                && inputs[2] == inputs[0] && ModelMath.IsCoef(inputs[3], inputs[0].Shape) && inputs[4] == inputs[0]
                && (inputs.Length == 5 || inputs[5] == inputs[0]),
            $"xt[N,...,C], out[N,...,{(Variance.IsLearned() ? "2C" : "C or 2C")}], x0 like xt, coef[N,{Coef.Columns}], "
                + "noise like xt, then grad like xt if guided",
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        HostArray<T> net = inputs[1];
        (int count, int C, int channels) = (Fit.PerSample(inputs[0].Shape), inputs[0].Shape.Last, net.Shape.Last);
        for (int i = 0; i < output.Data.Length; i++)
        {
            ReadOnlySpan<T> k = ModelMath.Row(inputs[3], i / count);
            int at = (i / C * channels) + (i % C);
            T mean = ModelMath.Mean(Mean, inputs[0].Data[i], net.Data[at], inputs[2].Data[i], k);
            T logVar = ModelMath.LogVariance(Variance, Variance.IsLearned() ? net.Data[at + C] : T.Zero, k);
            if (inputs.Length > 5)
            {
                mean += (Variance.IsLearned() ? T.Exp(logVar) : k[Coef.FixedVariance]) * inputs[5].Data[i];
            }

            output.Data[i] = mean + (k[Coef.NotFirst] * T.Exp(Fit.Num<T>(0.5) * logVar) * inputs[4].Data[i]);
        }
    }

    /// <inheritdoc/>
    public override bool InPlace(int input) => input is 0 or 2 or 4 or 5;

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        (var x, var twice, var coef) = (TensorType.F32([2, 3, 5, 3]), TensorType.F32([2, 3, 5, 6]), TensorType.F32([2, Coef.Columns]));
        foreach (MeanKind mean in Enum.GetValues<MeanKind>())
        {
            foreach (VarianceKind variance in Enum.GetValues<VarianceKind>())
            {
                yield return new(new DdpmStep(mean, variance), [x, variance.IsLearned() ? twice : x, x, coef, x]);
                yield return new(new DdpmStep(mean, variance), [x, twice, x, coef, x, x], Scale: [1, 1, 1, 2, 1, 3]);
            }
        }

        // All coefficients 0: no noise is added.
        yield return new(
            new DdpmStep(MeanKind.PreviousX, VarianceKind.Learned), [x, twice, x, coef, x, x], Scale: [1, 1, 1, 0, 1, 1]);
    }
}

/// <summary>Builder of <see cref="Core.DdpmStep"/>.</summary>
public static class DdpmStepBuilder
{
    /// <summary>Adds <see cref="Core.DdpmStep"/>.</summary>
    public static Node DdpmStep(
        this Graph graph, Node xt, Node output, Node x0, Node coef, Node noise, Node? grad, MeanKind mean, VarianceKind variance) =>
        graph.Add(new DdpmStep(mean, variance), xt, output, x0, coef, noise, grad);
}
