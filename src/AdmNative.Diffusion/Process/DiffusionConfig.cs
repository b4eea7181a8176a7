using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>What a training loss measures.</summary>
public enum LossKind : byte
{
    /// <summary>Squared error, plus the bound if the variance is learned.</summary>
    Mse,

    /// <summary>The same with the bound's part multiplied by T / 1000.</summary>
    RescaledMse,

    /// <summary>The variational bound.</summary>
    Kl,

    /// <summary>The bound multiplied by T, an estimate of the whole.</summary>
    RescaledKl,
}

/// <summary>Facts about loss kinds.</summary>
public static class LossKinds
{
    /// <summary>True when the loss is the variational bound alone.</summary>
    public static bool IsBound(this LossKind loss) => loss is LossKind.Kl or LossKind.RescaledKl;
}

/// <summary>A diffusion process and what its network predicts. Also covers what no flag reaches (PreviousX, Learned, Kl).</summary>
public sealed record DiffusionConfig
{
    /// <summary>Shape of beta.</summary>
    public NoiseSchedule NoiseSchedule { get; init; } = NoiseSchedule.Linear;

    /// <summary>Number of steps T0 in training.</summary>
    public int Steps { get; init; } = 1000;

    /// <summary>Steps kept in this run, see <see cref="Diffusion.Respacing"/>.</summary>
    public string Respacing { get; init; } = "";

    /// <summary>What the network's first channels predict.</summary>
    public MeanKind Mean { get; init; } = MeanKind.Epsilon;

    /// <summary>Where the variance of a step comes from.</summary>
    public VarianceKind Variance { get; init; } = VarianceKind.FixedLarge;

    /// <summary>What training minimises.</summary>
    public LossKind Loss { get; init; } = LossKind.Mse;

    /// <summary>Networks are told t * 1000 / T0.</summary>
    public bool RescaleTimesteps { get; init; }

    /// <summary>The schedule with the steps this run keeps.</summary>
    /// <exception cref="ConfigException">The fields do not fit together.</exception>
    public Schedule CreateSchedule() => Schedule.Create(NoiseSchedule, Steps, Respacing);

    /// <summary>Throws unless a network gives the channels this process reads.</summary>
    /// <exception cref="ConfigException">Names the flag at fault.</exception>
    public void Check(UNetConfig network)
    {
        ArgumentNullException.ThrowIfNull(network);
        int wanted = Variance.IsLearned() ? 2 * network.InChannels : network.InChannels;
        if (network.OutChannels != wanted)
        {
            throw new ConfigException(
                $"learn_sigma {Variance.IsLearned()} needs a network with {wanted} output channels for {network.InChannels}-channel images; "
                + $"this one has {network.OutChannels}");
        }
    }
}
