namespace AdmNative.Diffusion;

/// <summary>Shapes of beta over time.</summary>
public enum NoiseSchedule : byte
{
    /// <summary>Evenly spaced betas from 0.1/T0 to 20/T0.</summary>
    Linear,

    /// <summary>alphaBar follows a squared cosine; betas capped at 0.999.</summary>
    Cosine,
}

/// <summary>
/// The tables of a Gaussian diffusion process in double precision. Index t = 0 is the least noisy of <see cref="Steps"/> levels.
/// Legend: beta_t; alpha_t = 1 - beta_t; alphaBar_t = product of alpha_0..alpha_t.
/// Immutable. A respaced process keeps its original step numbers in <see cref="TimestepMap"/>.
/// </summary>
public sealed class Schedule
{
    private readonly double[] _betas;
    private readonly double[] _alphaBar;
    private readonly double[] _alphaBarPrev;
    private readonly double[] _alphaBarNext;
    private readonly double[] _sqrtAlphaBar;
    private readonly double[] _sqrtOneMinusAlphaBar;
    private readonly double[] _logOneMinusAlphaBar;
    private readonly double[] _sqrtRecipAlphaBar;
    private readonly double[] _sqrtRecipM1AlphaBar;
    private readonly double[] _posteriorVariance;
    private readonly double[] _posteriorLogVariance;
    private readonly double[] _posteriorMeanX0;
    private readonly double[] _posteriorMeanXt;
    private readonly int[] _timestepMap;

    private Schedule(double[] betas, int[] timestepMap, int originalSteps)
    {
        int n = betas.Length;
        if (n < 2)
        {
            throw new ConfigException($"a diffusion process needs at least 2 steps, this one has {n}: "
                + "raise diffusion_steps or timestep_respacing");
        }

        for (int t = 0; t < n; t++)
        {
            // A beta of 1 would leave nothing of x_0, and 1 / alphaBar would be infinite.
            if (!(betas[t] > 0 && betas[t] < 1))
            {
                throw new ConfigException($"beta of step {t} is {betas[t]}, it must lie between 0 and 1"
                    + (originalSteps <= 20 ? ": a linear schedule needs diffusion_steps above 20" : ""));
            }
        }

        _betas = betas;
        _timestepMap = timestepMap;
        OriginalSteps = originalSteps;
        _alphaBar = new double[n];
        double product = 1;
        for (int t = 0; t < n; t++)
        {
            product *= 1 - betas[t];
            _alphaBar[t] = product;
        }

        double[] Table(Func<int, double> value) => [.. Enumerable.Range(0, n).Select(value)];

        // The order of operations is the reference's: near t = 0 the difference 1 - alphaBar magnifies any other rounding.
        _alphaBarPrev = Table(t => t == 0 ? 1 : _alphaBar[t - 1]);
        _alphaBarNext = Table(t => t == n - 1 ? 0 : _alphaBar[t + 1]);
        _sqrtAlphaBar = Table(t => Math.Sqrt(_alphaBar[t]));
        _sqrtOneMinusAlphaBar = Table(t => Math.Sqrt(1 - _alphaBar[t]));
        _logOneMinusAlphaBar = Table(t => Math.Log(1 - _alphaBar[t]));
        _sqrtRecipAlphaBar = Table(t => Math.Sqrt(1 / _alphaBar[t]));
        _sqrtRecipM1AlphaBar = Table(t => Math.Sqrt((1 / _alphaBar[t]) - 1));
        _posteriorVariance = Table(t => betas[t] * (1 - _alphaBarPrev[t]) / (1 - _alphaBar[t]));
        _posteriorLogVariance = Table(t => Math.Log(_posteriorVariance[Math.Max(t, 1)]));
        _posteriorMeanX0 = Table(t => betas[t] * Math.Sqrt(_alphaBarPrev[t]) / (1 - _alphaBar[t]));
        _posteriorMeanXt = Table(t => (1 - _alphaBarPrev[t]) * Math.Sqrt(1 - betas[t]) / (1 - _alphaBar[t]));
    }

    /// <summary>Number of steps T of this (possibly respaced) process.</summary>
    public int Steps => _betas.Length;

    /// <summary>Number of steps T0 of the process the networks were trained with (diffusion_steps).</summary>
    public int OriginalSteps { get; }

    /// <summary>Original step number of each step: what the networks are told.</summary>
    public ReadOnlySpan<int> TimestepMap => _timestepMap;

    /// <summary>beta_t.</summary>
    public ReadOnlySpan<double> Betas => _betas;

    /// <summary>alphaBar_t.</summary>
    public ReadOnlySpan<double> AlphaBar => _alphaBar;

    /// <summary>alphaBar_{t-1}, 1 at t = 0.</summary>
    public ReadOnlySpan<double> AlphaBarPrev => _alphaBarPrev;

    /// <summary>alphaBar_{t+1}, 0 at the last step.</summary>
    public ReadOnlySpan<double> AlphaBarNext => _alphaBarNext;

    /// <summary>sqrt(alphaBar_t).</summary>
    public ReadOnlySpan<double> SqrtAlphaBar => _sqrtAlphaBar;

    /// <summary>sqrt(1 - alphaBar_t).</summary>
    public ReadOnlySpan<double> SqrtOneMinusAlphaBar => _sqrtOneMinusAlphaBar;

    /// <summary>log(1 - alphaBar_t).</summary>
    public ReadOnlySpan<double> LogOneMinusAlphaBar => _logOneMinusAlphaBar;

    /// <summary>sqrt(1 / alphaBar_t).</summary>
    public ReadOnlySpan<double> SqrtRecipAlphaBar => _sqrtRecipAlphaBar;

    /// <summary>sqrt(1 / alphaBar_t - 1).</summary>
    public ReadOnlySpan<double> SqrtRecipM1AlphaBar => _sqrtRecipM1AlphaBar;

    /// <summary>Variance of q(x_{t-1} | x_t, x_0): beta_t (1 - alphaBar_{t-1}) / (1 - alphaBar_t); 0 at t = 0.</summary>
    public ReadOnlySpan<double> PosteriorVariance => _posteriorVariance;

    /// <summary>Its logarithm, with the value of t = 1 at t = 0.</summary>
    public ReadOnlySpan<double> PosteriorLogVariance => _posteriorLogVariance;

    /// <summary>Weight c1 of x_0 in the mean of q(x_{t-1} | x_t, x_0): beta_t sqrt(alphaBar_{t-1}) / (1 - alphaBar_t).</summary>
    public ReadOnlySpan<double> PosteriorMeanX0 => _posteriorMeanX0;

    /// <summary>Weight c2 of x_t in that mean: (1 - alphaBar_{t-1}) sqrt(alpha_t) / (1 - alphaBar_t).</summary>
    public ReadOnlySpan<double> PosteriorMeanXt => _posteriorMeanXt;

    /// <summary>A schedule with all its T0 = <paramref name="steps"/> steps.</summary>
    /// <exception cref="ConfigException">Fewer steps than the schedule can have.</exception>
    public static Schedule Create(NoiseSchedule kind, int steps) => kind switch
    {
        NoiseSchedule.Linear => Linear(steps),
        NoiseSchedule.Cosine => Cosine(steps),
        _ => throw new ConfigException($"noise_schedule {kind} is unknown; linear and cosine are"),
    };

    /// <summary>A schedule with the steps that a timestep_respacing flag keeps; the empty string keeps all.</summary>
    /// <exception cref="ConfigException">The flag cannot be honoured; the message says why.</exception>
    public static Schedule Create(NoiseSchedule kind, int steps, string respacing)
    {
        Schedule full = Create(kind, steps);
        return full.Keep(Respacing.Steps(steps, respacing));
    }

    /// <summary>T0 betas evenly spaced from 1000/T0 * 1e-4 to 1000/T0 * 0.02.</summary>
    public static Schedule Linear(int steps)
    {
        RequireSteps(steps);
        double scale = 1000.0 / steps;
        double start = scale * 0.0001;
        double end = scale * 0.02;
        double step = (end - start) / (steps - 1);
        var betas = new double[steps];
        for (int t = 0; t < steps; t++)
        {
            betas[t] = (t * step) + start;
        }

        betas[^1] = end;
        return FromBetas(betas);
    }

    /// <summary>beta_t = min(1 - f((t+1)/T0) / f(t/T0), 0.999), f(u) = cos((u + 0.008) / 1.008 * pi/2)^2.</summary>
    public static Schedule Cosine(int steps)
    {
        RequireSteps(steps);
        static double F(double u)
        {
            double c = Math.Cos((u + 0.008) / 1.008 * Math.PI / 2);
            return c * c;
        }

        var betas = new double[steps];
        for (int t = 0; t < steps; t++)
        {
            betas[t] = Math.Min(1 - (F((double)(t + 1) / steps) / F((double)t / steps)), 0.999);
        }

        return FromBetas(betas);
    }

    /// <summary>A process with the given betas, each between 0 and 1 (exclusive).</summary>
    public static Schedule FromBetas(ReadOnlySpan<double> betas) =>
        new(betas.ToArray(), [.. Enumerable.Range(0, betas.Length)], betas.Length);

    /// <summary>
    /// The process that keeps only some steps: the new betas are 1 - alphaBar_i / (last kept alphaBar), so alphaBar at a kept
    /// step is unchanged.
    /// </summary>
    /// <param name="kept">Step numbers of this process, ascending.</param>
    /// <exception cref="ConfigException">Out of range, not ascending, or fewer than two.</exception>
    public Schedule Keep(ReadOnlySpan<int> kept)
    {
        var betas = new double[kept.Length];
        var map = new int[kept.Length];
        double last = 1;
        for (int k = 0; k < kept.Length; k++)
        {
            int i = kept[k];
            if (i < 0 || i >= Steps || (k > 0 && i <= kept[k - 1]))
            {
                throw new ConfigException($"kept steps must ascend within 0..{Steps - 1}; entry {k} is {i}");
            }

            betas[k] = 1 - (_alphaBar[i] / last);
            last = _alphaBar[i];
            map[k] = _timestepMap[i];
        }

        return new Schedule(betas, map, OriginalSteps);
    }

    /// <summary>
    /// The time the networks are told at step t: the original step number, times 1000/T0 if <paramref name="rescaleTimesteps"/>.
    /// </summary>
    public float ModelTime(int t, bool rescaleTimesteps) =>
        rescaleTimesteps ? _timestepMap[t] * (float)(1000.0 / OriginalSteps) : _timestepMap[t];

    /// <summary>One line for logs.</summary>
    public override string ToString() => Steps == OriginalSteps ? $"{Steps} steps" : $"{Steps} of {OriginalSteps} steps";

    private static void RequireSteps(int steps)
    {
        // The paper goes to 4000; tables beyond a million are a typing error that would fill the memory.
        if (steps is < 2 or > 1_000_000)
        {
            throw new ConfigException($"diffusion_steps is {steps}; 2 to 1000000 are possible");
        }
    }
}
