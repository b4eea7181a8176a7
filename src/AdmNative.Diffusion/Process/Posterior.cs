namespace AdmNative.Diffusion;

/// <summary>
/// The relations between x_0, x_t, x_{t-1} and the noise, and the densities of the variational bound, as plain functions in double.
/// Sampling and training run them as graph ops; these serve whole-run quantities, tests and readers.
/// </summary>
public static class Posterior
{
    /// <summary>Smallest probability of a bin.</summary>
    private const double Floor = 1e-12;

    /// <summary>x_t = sqrt(alphaBar_t) x_0 + sqrt(1 - alphaBar_t) noise: a draw from q(x_t | x_0).</summary>
    public static double Sample(Schedule schedule, int t, double x0, double noise) =>
        (schedule.SqrtAlphaBar[t] * x0) + (schedule.SqrtOneMinusAlphaBar[t] * noise);

    /// <summary>Mean of q(x_{t-1} | x_t, x_0): c1 x_0 + c2 x_t.</summary>
    public static double Mean(Schedule schedule, int t, double x0, double xt) =>
        (schedule.PosteriorMeanX0[t] * x0) + (schedule.PosteriorMeanXt[t] * xt);

    /// <summary>x_0 from the noise in x_t.</summary>
    public static double XStartFromEpsilon(Schedule schedule, int t, double xt, double epsilon) =>
        (schedule.SqrtRecipAlphaBar[t] * xt) - (schedule.SqrtRecipM1AlphaBar[t] * epsilon);

    /// <summary>The noise in x_t from x_0.</summary>
    public static double EpsilonFromXStart(Schedule schedule, int t, double xt, double x0) =>
        ((schedule.SqrtRecipAlphaBar[t] * xt) - x0) / schedule.SqrtRecipM1AlphaBar[t];

    /// <summary>x_0 from the mean of x_{t-1}.</summary>
    public static double XStartFromPrevious(Schedule schedule, int t, double xt, double previous) =>
        (previous / schedule.PosteriorMeanX0[t]) - (schedule.PosteriorMeanXt[t] / schedule.PosteriorMeanX0[t] * xt);

    /// <summary>Log-variance of a step from a network output v in LearnedRange: v = 1 is log beta_t, v = -1 the posterior's.</summary>
    public static double LearnedRangeLogVariance(Schedule schedule, int t, double v)
    {
        double fraction = (v + 1) / 2;
        return (fraction * Math.Log(schedule.Betas[t])) + ((1 - fraction) * schedule.PosteriorLogVariance[t]);
    }

    /// <summary>KL(N(m1, exp l1) || N(m2, exp l2)) in nats.</summary>
    public static double NormalKl(double m1, double l1, double m2, double l2) =>
        0.5 * (-1 + l2 - l1 + Math.Exp(l1 - l2) + ((m1 - m2) * (m1 - m2) * Math.Exp(-l2)));

    /// <summary>The reference's approximation of the normal distribution function: (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2.</summary>
    public static double ApproximateNormalCdf(double z) =>
        0.5 * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (z + (0.044715 * z * z * z))));

    /// <summary>
    /// Log-probability in nats of the bin of width 2/255 around x in [-1,1] under N(mean, exp(2 logScale)); the outer bins reach to
    /// infinity and no probability is below 1e-12.
    /// </summary>
    public static double DiscretizedLogLikelihood(double x, double mean, double logScale)
    {
        double centred = x - mean;
        double inverse = Math.Exp(-logScale);
        double upper = ApproximateNormalCdf(inverse * (centred + (1.0 / 255)));
        double lower = ApproximateNormalCdf(inverse * (centred - (1.0 / 255)));
        double probability = x < -0.999 ? upper : x > 0.999 ? 1 - lower : upper - lower;
        return Math.Log(Math.Max(probability, Floor));
    }

    /// <summary>One element's term of the variational bound in bits: the likelihood at t = 0, else the KL divergence.</summary>
    public static double BoundTerm(Schedule schedule, int t, double x0, double xt, double modelMean, double modelLogVariance) =>
        (t == 0
            ? -DiscretizedLogLikelihood(x0, modelMean, 0.5 * modelLogVariance)
            : NormalKl(Mean(schedule, t, x0, xt), schedule.PosteriorLogVariance[t], modelMean, modelLogVariance)) / Math.Log(2);

    /// <summary>
    /// KL(q(x_T | x_0) || N(0, 1)) in bits per dimension: what the last level still tells about the image x_0 (any order of elements).
    /// </summary>
    public static double PriorBitsPerDimension(Schedule schedule, ReadOnlySpan<float> x0)
    {
        int last = schedule.Steps - 1;
        double sum = 0;
        foreach (float x in x0)
        {
            sum += NormalKl(schedule.SqrtAlphaBar[last] * x, schedule.LogOneMinusAlphaBar[last], 0, 0);
        }

        return sum / x0.Length / Math.Log(2);
    }
}
