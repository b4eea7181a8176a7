using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// The rows of coefficients that sampler steps and the variational bound read (columns: <see cref="Coef"/>), for every step of a
/// schedule: computed in double, rounded once to float. Immutable.
/// </summary>
public sealed class Coefficients
{
    private readonly float[] _rows;

    /// <summary>Computes the table.</summary>
    /// <param name="schedule">The process, respaced or not.</param>
    /// <param name="variance">Decides the fixed variance; for learned kinds its two columns hold the posterior's and are not read.</param>
    /// <param name="eta">DDIM's share of fresh noise: 0 deterministic, 1 like the ancestral sampler.</param>
    /// <exception cref="ConfigException">eta is negative or so large that a step would need an imaginary direction.</exception>
    public Coefficients(Schedule schedule, VarianceKind variance, double eta = 0)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        if (!(eta >= 0 && double.IsFinite(eta)))
        {
            throw new ConfigException($"eta is {eta}; it must be 0 or more (1 = as much noise as the ancestral sampler)");
        }

        Steps = schedule.Steps;
        _rows = new float[Steps * Coef.Columns];
        for (int t = 0; t < Steps; t++)
        {
            double alphaBar = schedule.AlphaBar[t];
            double alphaBarPrev = schedule.AlphaBarPrev[t];
            double alphaBarNext = schedule.AlphaBarNext[t];
            double sigma = eta * Math.Sqrt((1 - alphaBarPrev) / (1 - alphaBar)) * Math.Sqrt(1 - (alphaBar / alphaBarPrev));
            double direction = 1 - alphaBarPrev - (sigma * sigma);
            if (direction < 0)
            {
                throw new ConfigException($"eta {eta} is too large: at step {t} the noise alone exceeds the variance of x_(t-1); 1 always works");
            }

            (double fixedVariance, double fixedLog) = Fixed(schedule, variance, t);
            Span<float> row = _rows.AsSpan(t * Coef.Columns, Coef.Columns);
            row[Coef.SqrtRecip] = (float)schedule.SqrtRecipAlphaBar[t];
            row[Coef.SqrtRecipM1] = (float)schedule.SqrtRecipM1AlphaBar[t];
            row[Coef.PosteriorX0] = (float)schedule.PosteriorMeanX0[t];
            row[Coef.PosteriorXt] = (float)schedule.PosteriorMeanXt[t];
            row[Coef.PosteriorLogVar] = (float)schedule.PosteriorLogVariance[t];
            row[Coef.LogBeta] = (float)Math.Log(schedule.Betas[t]);
            row[Coef.FixedVariance] = (float)fixedVariance;
            row[Coef.FixedLogVar] = (float)fixedLog;
            row[Coef.NotFirst] = t == 0 ? 0 : 1;
            row[Coef.SqrtAcPrev] = (float)Math.Sqrt(alphaBarPrev);
            row[Coef.SqrtOneMinusAc] = (float)schedule.SqrtOneMinusAlphaBar[t];
            row[Coef.DdimSigma] = (float)sigma;
            row[Coef.DdimDirection] = (float)Math.Sqrt(direction);
            row[Coef.SqrtAcNext] = (float)Math.Sqrt(alphaBarNext);
            row[Coef.SqrtOneMinusAcNext] = (float)Math.Sqrt(1 - alphaBarNext);
        }
    }

    /// <summary>Number of steps.</summary>
    public int Steps { get; }

    /// <summary>The row of step t.</summary>
    public ReadOnlySpan<float> Row(int t) => _rows.AsSpan(t * Coef.Columns, Coef.Columns);

    /// <summary>One row per sample.</summary>
    /// <param name="t">Step of each sample.</param>
    /// <param name="rows">[N,16].</param>
    public void Fill(ReadOnlySpan<int> t, Span<float> rows)
    {
        if (rows.Length != t.Length * Coef.Columns)
        {
            throw new ShapeException($"coefficients of {t.Length} samples are {t.Length * Coef.Columns} values, got room for {rows.Length}");
        }

        for (int n = 0; n < t.Length; n++)
        {
            if (t[n] < 0 || t[n] >= Steps)
            {
                throw new ShapeException($"sample {n}: step {t[n]} is outside 0..{Steps - 1}");
            }

            Row(t[n]).CopyTo(rows[(n * Coef.Columns)..]);
        }
    }

    /// <summary>The same row for every sample.</summary>
    /// <param name="t">Step of all samples.</param>
    /// <param name="rows">[N,16], filled to its end.</param>
    public void Fill(int t, Span<float> rows)
    {
        if (rows.Length % Coef.Columns != 0)
        {
            throw new ShapeException($"{rows.Length} values are no [N,{Coef.Columns}] coefficients");
        }

        for (int n = 0; n < rows.Length; n += Coef.Columns)
        {
            Fill([t], rows.Slice(n, Coef.Columns));
        }
    }

    /// <summary>The model's fixed variance and its logarithm (which disagree at t = 0 of FixedSmall, as in the reference).</summary>
    private static (double Variance, double Log) Fixed(Schedule schedule, VarianceKind kind, int t)
    {
        if (kind == VarianceKind.FixedLarge)
        {
            double variance = t == 0 ? schedule.PosteriorVariance[1] : schedule.Betas[t];
            return (variance, Math.Log(variance));
        }

        return (schedule.PosteriorVariance[t], schedule.PosteriorLogVariance[t]);
    }
}
