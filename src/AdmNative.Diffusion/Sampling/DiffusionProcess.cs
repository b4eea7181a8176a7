using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>A diffusion process ready to run: the configuration and the schedule it gives.</summary>
public sealed class DiffusionProcess
{
    /// <summary>Computes the schedule of a configuration.</summary>
    /// <exception cref="ConfigException">The fields do not fit together.</exception>
    public DiffusionProcess(DiffusionConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        Config = config;
        Schedule = config.CreateSchedule();
    }

    /// <summary>What the network predicts and what training minimises.</summary>
    public DiffusionConfig Config { get; }

    /// <summary>The steps of this run.</summary>
    public Schedule Schedule { get; }

    /// <summary>Steps T of this run.</summary>
    public int Steps => Schedule.Steps;

    /// <summary>The time networks are told at step t.</summary>
    public float Time(int t) => Schedule.ModelTime(t, Config.RescaleTimesteps);

    /// <summary>
    /// x_t = sqrt(alphaBar_t) x_0 + sqrt(1 - alphaBar_t) noise, in any layout; sample n of the batch is at step t[n].
    /// </summary>
    public void Diffuse(ReadOnlySpan<float> x0, ReadOnlySpan<float> noise, ReadOnlySpan<int> t, Span<float> xt)
    {
        int perSample = xt.Length / t.Length;
        for (int n = 0; n < t.Length; n++)
        {
            float signal = (float)Schedule.SqrtAlphaBar[t[n]];
            float sigma = (float)Schedule.SqrtOneMinusAlphaBar[t[n]];
            for (int i = n * perSample; i < (n + 1) * perSample; i++)
            {
                xt[i] = (signal * x0[i]) + (sigma * noise[i]);
            }
        }
    }

    /// <summary>Shape of the network's result for images [N,H,W,C]: 2C channels when the variance is learned.</summary>
    internal Shape OutputShape(Shape images) =>
        Config.Variance.IsLearned() ? [images[0], images[1], images[2], 2 * images.Last] : images;
}
