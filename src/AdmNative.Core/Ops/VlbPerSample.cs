using System.Numerics;

namespace AdmNative.Core;

/// <summary>
/// One term of the variational bound per sample, in bits per dimension (spec 4.11 vb_terms; Nichol and Dhariwal 2021, section 2):
/// KL(q(x_{t-1}|x_t,x_0) || p(x_{t-1}|x_t)) where Coef.NotFirst is not 0, otherwise -log p(x_0|x_1) of the discretised Gaussian with
/// bins of 2/255; mean over H, W, C, divided by ln 2. (meanOut[N,...,C], x0, xt, coef[N,16], varOut[N,...,C] if learned) -> [N].
/// </summary>
/// <param name="Mean">What meanOut predicts.</param>
/// <param name="Variance">Where the log-variance comes from.</param>
/// <param name="Clip">Whether the predicted x_0 is clamped to [-1,1] (likelihood evaluation); training does not.</param>
public sealed record VlbPerSample(MeanKind Mean, VarianceKind Variance, bool Clip) : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            VlbMath.Fits(Variance, inputs),
            $"meanOut, x0, xt of one shape [N,...,C], coef[N,{Coef.Columns}]{(Variance.IsLearned() ? ", varOut like meanOut" : "")}",
            inputs);
        return TensorType.F32([inputs[0].Shape[0]]);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        int count = Fit.PerSample(inputs[0].Shape);
        T toBits = Fit.Num<T>(1 / (count * Math.Log(2)));
        for (int n = 0; n < output.Data.Length; n++)
        {
            ReadOnlySpan<T> k = ModelMath.Row(inputs[3], n);
            T sum = T.Zero;
            for (int i = n * count; i < (n + 1) * count; i++)
            {
                sum += VlbMath.Term(
                    Mean, Variance, Clip, inputs[0].Data[i], inputs[1].Data[i], inputs[2].Data[i], VlbMath.Learned(inputs, i), k);
            }

            output.Data[n] = sum * toBits;
        }
    }

    /// <summary>Rules for meanOut and varOut. x0, xt and coef are data: asking for their gradient is an error, not a silent zero.</summary>
    /// <exception cref="NotSupportedException">A gradient with respect to x0, xt or coef is wanted.</exception>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted)
    {
        if (wanted[1] || wanted[2] || wanted[3])
        {
            throw new NotSupportedException($"{Name}: x0, xt and coef are data and have no gradient rule; wrap them in StopGradient");
        }

        var result = new Node?[wanted.Length];
        foreach ((int input, int side) in ((int, int)[])[(0, 0), (4, 1)])
        {
            if (input < wanted.Length && wanted[input])
            {
                result[input] = graph.Add(new VlbPerSampleGrad(Mean, Variance, Clip, side), [.. node.Inputs, dy]);
            }
        }

        return result;
    }

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        (var x, var coef) = (TensorType.F32([2, 3, 2, 3]), TensorType.F32([2, Coef.Columns]));
        foreach (MeanKind mean in Enum.GetValues<MeanKind>())
        {
            foreach (VarianceKind variance in Enum.GetValues<VarianceKind>())
            {
                foreach (bool clip in (bool[])[false, true])
                {
                    // Coefficients in [1,2]: NotFirst is not 0, so this is the KL branch.
                    yield return new(
                        new VlbPerSample(mean, variance, clip),
                        variance.IsLearned() ? [x, x, x, coef, x] : [x, x, x, coef],
                        Scale: variance.IsLearned() ? [1, 1, 1, 0.5, 1] : [1, 1, 1, 0.5],
                        Offset: variance.IsLearned() ? [0, 0, 0, 1.5, 0] : [0, 0, 0, 1.5]);
                }
            }
        }

        // Coefficients 0: the likelihood branch, with means near x0, as f32 cannot tell the CDFs of far tails apart. First with a wide
        // Gaussian and x0 in the edge bins too, then narrow as at the end of sampling.
        yield return new(
            new VlbPerSample(MeanKind.PreviousX, VarianceKind.Learned, false),
            [x, x, x, coef, x],
            Scale: [0.3, 1.3, 1, 0, 1],
            Offset: [0, 0, 0, 0, 1]);
        yield return new(
            new VlbPerSample(MeanKind.PreviousX, VarianceKind.Learned, true),
            [x, x, x, coef, x],
            Scale: [0.02, 0.02, 1, 0, 1],
            Offset: [0.5, 0.5, 0, 0, -8]);
        yield return new(new VlbPerSample(MeanKind.StartX, VarianceKind.FixedLarge, true), [x, x, x, coef], Scale: [1, 1.3, 1, 0]);
    }
}

/// <summary>
/// Gradient of <see cref="VlbPerSample"/> times dy[n]. Zero where the 1e-12 floor of a likelihood is active, and through the clamp
/// where it is. (meanOut, x0, xt, coef, varOut if learned, dy[N]) -> like meanOut.
/// </summary>
/// <param name="Mean">As in the forward op.</param>
/// <param name="Variance">As in the forward op.</param>
/// <param name="Clip">As in the forward op.</param>
/// <param name="Side">0: with respect to meanOut; 1: varOut, which must be learned.</param>
public sealed record VlbPerSampleGrad(MeanKind Mean, VarianceKind Variance, bool Clip, int Side) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "a gradient itself; second derivatives are not used";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Side == 0 || (Side == 1 && Variance.IsLearned()), $"side 0, or 1 with a learned variance; not side {Side}", inputs);
        Require(
            inputs.Length > 4 && VlbMath.Fits(Variance, inputs[..^1]) && inputs[^1] == TensorType.F32([inputs[0].Shape[0]]),
            $"meanOut, x0, xt of one shape [N,...,C], coef[N,{Coef.Columns}]{(Variance.IsLearned() ? ", varOut like meanOut" : "")}, dy[N]",
            inputs);
        return inputs[0];
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        int count = Fit.PerSample(inputs[0].Shape);
        T toBits = Fit.Num<T>(1 / (count * Math.Log(2)));
        for (int i = 0; i < output.Data.Length; i++)
        {
            int n = i / count;
            (T byMean, T byVariance) = VlbMath.Slopes(
                Mean,
                Variance,
                Clip,
                inputs[0].Data[i],
                inputs[1].Data[i],
                inputs[2].Data[i],
                VlbMath.Learned(inputs[..^1], i),
                ModelMath.Row(inputs[3], n));
            output.Data[i] = inputs[^1].Data[n] * toBits * (Side == 0 ? byMean : byVariance);
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases()
    {
        foreach (OpCase forward in new VlbPerSample(default, default, default).Cases())
        {
            var op = (VlbPerSample)forward.Op;
            for (int side = 0; side < (op.Variance.IsLearned() ? 2 : 1); side++)
            {
                yield return new(
                    new VlbPerSampleGrad(op.Mean, op.Variance, op.Clip, side),
                    [.. forward.Inputs, TensorType.F32([forward.Inputs[0].Shape[0]])],
                    Scale: [.. forward.Scale!, 1],
                    Offset: forward.Offset is null ? null : [.. forward.Offset, 0]);
            }
        }
    }
}

/// <summary>Spec 4.11 for one element.</summary>
internal static class VlbMath
{
    private const double Floor = 1e-12;

    /// <summary>meanOut, x0, xt of one shape, coef, and varOut exactly when the variance is learned.</summary>
    public static bool Fits(VarianceKind variance, ReadOnlySpan<TensorType> inputs) =>
        Fit.F32(inputs, variance.IsLearned() ? 5 : 4) && inputs[0].Shape.Rank >= 2
        && inputs[1] == inputs[0] && inputs[2] == inputs[0] && ModelMath.IsCoef(inputs[3], inputs[0].Shape)
        && (inputs.Length == 4 || inputs[4] == inputs[0]);

    /// <summary>varOut of element i; 0 when there is none.</summary>
    public static T Learned<T>(ReadOnlySpan<HostArray<T>> inputs, int i) where T : unmanaged, IFloatingPointIeee754<T> =>
        inputs.Length > 4 ? inputs[4].Data[i] : T.Zero;

    /// <summary>The term of one element in nats.</summary>
    public static T Term<T>(
        MeanKind kind, VarianceKind variance, bool clip, T output, T x0, T xt, T v, ReadOnlySpan<T> k)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        (T mean, T logVar, _) = Model(kind, variance, clip, output, xt, v, k);
        return k[Coef.NotFirst] == T.Zero
            ? -LogLikelihood(x0, mean, logVar / Fit.Num<T>(2))
            : Kl((k[Coef.PosteriorX0] * x0) + (k[Coef.PosteriorXt] * xt), k[Coef.PosteriorLogVar], mean, logVar);
    }

    /// <summary>Derivatives of <see cref="Term"/> by the mean output and by v.</summary>
    public static (T ByMean, T ByVariance) Slopes<T>(
        MeanKind kind, VarianceKind variance, bool clip, T output, T x0, T xt, T v, ReadOnlySpan<T> k)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T half = Fit.Num<T>(0.5);
        (T mean, T logVar, T dMean) = Model(kind, variance, clip, output, xt, v, k);
        T byMean;
        T byLogVar;
        if (k[Coef.NotFirst] == T.Zero)
        {
            (T m, T s) = LogLikelihoodGrad(x0, mean, half * logVar);
            (byMean, byLogVar) = (-m, -half * s);
        }
        else
        {
            T difference = mean - ((k[Coef.PosteriorX0] * x0) + (k[Coef.PosteriorXt] * xt));
            T precision = T.Exp(-logVar);
            byMean = difference * precision;
            byLogVar = half * (T.One - T.Exp(k[Coef.PosteriorLogVar] - logVar) - (difference * difference * precision));
        }

        T dLogVar = variance == VarianceKind.LearnedRange ? half * (k[Coef.LogBeta] - k[Coef.PosteriorLogVar]) : T.One;
        return (byMean * dMean, byLogVar * dLogVar);
    }

    /// <summary>Mean and log-variance of p(x_{t-1}|x_t), and the derivative of the mean by the network's output.</summary>
    private static (T Mean, T LogVar, T DMean) Model<T>(
        MeanKind kind, VarianceKind variance, bool clip, T output, T xt, T v, ReadOnlySpan<T> k)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T logVar = ModelMath.LogVariance(variance, v, k);
        if (kind == MeanKind.PreviousX)
        {
            return (output, logVar, T.One);
        }

        T x0 = ModelMath.XStart(kind, xt, output, k);
        bool clipped = clip && T.Abs(x0) > T.One;
        T slope = kind == MeanKind.StartX ? k[Coef.PosteriorX0] : -k[Coef.PosteriorX0] * k[Coef.SqrtRecipM1];
        T mean = ModelMath.Mean(kind, xt, output, clip ? ModelMath.Clip(x0) : x0, k);
        return (mean, logVar, clipped ? T.Zero : slope);
    }

    /// <summary>KL of two Gaussians given by mean and log-variance.</summary>
    private static T Kl<T>(T mean1, T logVar1, T mean2, T logVar2)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T difference = mean1 - mean2;
        return Fit.Num<T>(0.5)
            * (logVar2 - logVar1 - T.One + T.Exp(logVar1 - logVar2) + (difference * difference * T.Exp(-logVar2)));
    }

    /// <summary>Log-probability of the bin of x under a Gaussian with the given mean and log standard deviation.</summary>
    private static T LogLikelihood<T>(T x, T mean, T logScale)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        (T upper, T lower) = Edges(x, mean, logScale);
        return T.Log(T.Max(Probability(x, upper, lower), Fit.Num<T>(Floor)));
    }

    /// <summary>Derivatives of <see cref="LogLikelihood"/> by mean and log standard deviation; zero under the floor.</summary>
    private static (T ByMean, T ByLogScale) LogLikelihoodGrad<T>(T x, T mean, T logScale)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        (T upper, T lower) = Edges(x, mean, logScale);
        T p = Probability(x, upper, lower);
        if (p < Fit.Num<T>(Floor))
        {
            return (T.Zero, T.Zero);
        }

        // Both edges move by -1/scale per unit of mean and by -edge per unit of log scale.
        T dUpper = x > Fit.Num<T>(0.999) ? T.Zero : CdfSlope(upper);
        T dLower = x < Fit.Num<T>(-0.999) ? T.Zero : CdfSlope(lower);
        return ((dLower - dUpper) * T.Exp(-logScale) / p, ((dLower * lower) - (dUpper * upper)) / p);
    }

    private static (T Upper, T Lower) Edges<T>(T x, T mean, T logScale)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T inverse = T.Exp(-logScale);
        T bin = Fit.Num<T>(1 / 255.0);
        return (inverse * (x - mean + bin), inverse * (x - mean - bin));
    }

    private static T Probability<T>(T x, T upper, T lower)
        where T : unmanaged, IFloatingPointIeee754<T> =>
        x < Fit.Num<T>(-0.999) ? Cdf(upper) : x > Fit.Num<T>(0.999) ? T.One - Cdf(lower) : Cdf(upper) - Cdf(lower);

    /// <summary>Phi(z) = (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2.</summary>
    private static T Cdf<T>(T z)
        where T : unmanaged, IFloatingPointIeee754<T> => Fit.Num<T>(0.5) * (T.One + T.Tanh(Inner(z)));

    private static T CdfSlope<T>(T z)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T tanh = T.Tanh(Inner(z));
        return Fit.Num<T>(0.5 * Math.Sqrt(2 / Math.PI)) * (T.One - (tanh * tanh))
            * (T.One + (Fit.Num<T>(3 * 0.044715) * z * z));
    }

    private static T Inner<T>(T z)
        where T : unmanaged, IFloatingPointIeee754<T> =>
        Fit.Num<T>(Math.Sqrt(2 / Math.PI)) * (z + (Fit.Num<T>(0.044715) * z * z * z));
}

/// <summary>Builder of <see cref="Core.VlbPerSample"/>.</summary>
public static class VlbPerSampleBuilder
{
    /// <summary>Adds <see cref="Core.VlbPerSample"/>; varOut exactly when the variance is learned.</summary>
    public static Node VlbPerSample(
        this Graph graph, Node meanOut, Node x0, Node xt, Node coef, Node? varOut, MeanKind mean, VarianceKind variance, bool clip) =>
        graph.Add(new VlbPerSample(mean, variance, clip), meanOut, x0, xt, coef, varOut);
}
