namespace AdmNative.Diffusion;

/// <summary>A model with everything its files do not say: flags, guidance, respacing, training recipe.</summary>
public sealed record Preset
{
    /// <summary>Name on the command line, e.g. "imagenet64".</summary>
    public required string Name { get; init; }

    /// <summary>One line for listings.</summary>
    public required string Description { get; init; }

    /// <summary>File name of the checkpoint; null when none exists (small and ablation models).</summary>
    public string? FileName { get; init; }

    /// <summary>The flags it was trained with.</summary>
    public required ModelFlags Flags { get; init; }

    /// <summary>Steps recommended for sampling; the empty string = all.</summary>
    public string Respacing { get; init; } = "250";

    /// <summary>Name of the classifier that guides it; null when it is not guided.</summary>
    public string? Classifier { get; init; }

    /// <summary>Recommended guidance scale with <see cref="Respacing"/>.</summary>
    public double? ClassifierScale { get; init; }

    /// <summary>Recommended guidance scale with 25 DDIM steps (Table 14).</summary>
    public double? DdimClassifierScale { get; init; }

    /// <summary>How it was trained; null when it is not told.</summary>
    public TrainingRecipe? Training { get; init; }

    /// <summary>Where the authors publish the checkpoint; null for others.</summary>
    public Uri? Address { get; init; }

    /// <summary>The network's configuration.</summary>
    public NetworkConfig Network => Flags.ToNetwork();
}
