using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>The flags of the diffusion process that all programs share, with the reference's defaults.</summary>
public sealed record DiffusionFlags
{
    /// <summary>The network gives a mean and a variance.</summary>
    public bool LearnSigma { get; init; }

    /// <summary>Number of steps T0 in training.</summary>
    public int DiffusionSteps { get; init; } = 1000;

    /// <summary>Shape of beta.</summary>
    public NoiseSchedule NoiseSchedule { get; init; } = NoiseSchedule.Linear;

    /// <summary>Steps kept in this run, see <see cref="Respacing"/>.</summary>
    public string TimestepRespacing { get; init; } = "";

    /// <summary>Train on the rescaled variational bound.</summary>
    public bool UseKl { get; init; }

    /// <summary>The network predicts x_0 instead of the noise.</summary>
    public bool PredictXstart { get; init; }

    /// <summary>Networks are told t * 1000 / T0.</summary>
    public bool RescaleTimesteps { get; init; }

    /// <summary>The bound's part of the hybrid loss is multiplied by T / 1000.</summary>
    public bool RescaleLearnedSigmas { get; init; }

    /// <summary>Fixed variance = posterior variance instead of beta; a library argument in the reference, a flag in its parent.</summary>
    public bool SigmaSmall { get; init; }

    /// <summary>The process these flags mean.</summary>
    public DiffusionConfig ToConfig() => new()
    {
        NoiseSchedule = NoiseSchedule,
        Steps = DiffusionSteps,
        Respacing = TimestepRespacing,
        Mean = PredictXstart ? MeanKind.StartX : MeanKind.Epsilon,
        Variance = LearnSigma ? VarianceKind.LearnedRange : SigmaSmall ? VarianceKind.FixedSmall : VarianceKind.FixedLarge,
        Loss = UseKl ? LossKind.RescaledKl : RescaleLearnedSigmas ? LossKind.RescaledMse : LossKind.Mse,
        RescaleTimesteps = RescaleTimesteps,
    };

    /// <summary>The schedule with the steps this run keeps.</summary>
    /// <exception cref="ConfigException">The flags do not fit together.</exception>
    public Schedule CreateSchedule() => ToConfig().CreateSchedule();
}
