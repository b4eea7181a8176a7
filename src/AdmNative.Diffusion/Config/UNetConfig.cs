namespace AdmNative.Diffusion;

/// <summary>The diffusion network (UNetModel of the reference).</summary>
public record UNetConfig : NetworkConfig
{
    /// <summary>Number of labels the network is conditioned on; null = unconditional.</summary>
    public int? NumClasses { get; init; }

    /// <summary>Heads in the decoder; null means <see cref="NetworkConfig.NumHeads"/>. Ignored with head channels.</summary>
    public int? NumHeadsUpsample { get; init; }

    /// <summary>True when the result holds a mean and a variance for each image channel (learn_sigma).</summary>
    public bool LearnSigma => OutChannels == 2 * InChannels;

    internal override int? LabelCount => NumClasses;

    /// <summary>Heads of an attention layer of the given width in the decoder.</summary>
    public int UpsampleHeadsAt(int width) => HeadsAt(width, NumHeadsUpsample ?? NumHeads);

    /// <inheritdoc/>
    public override void Validate()
    {
        base.Validate();
        if (NumClasses is int classes)
        {
            Positive(classes, "the number of classes (if class_cond is set)");
        }

        if (NumHeadsUpsample is int heads)
        {
            Positive(heads, "num_heads_upsample (if it is not -1)");
            for (int level = 0; level < Levels; level++)
            {
                if (HasAttention(1 << level))
                {
                    RequireHeads(Width(level), heads, "num_heads_upsample");
                }
            }
        }
    }
}
