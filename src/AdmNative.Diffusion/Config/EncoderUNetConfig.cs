namespace AdmNative.Diffusion;

/// <summary>How the classifier turns its maps into logits.</summary>
public enum PoolKind : byte
{
    /// <summary>Norm, SiLU, mean over the image, 1x1 convolution.</summary>
    Adaptive,

    /// <summary>Norm, SiLU, attention with one extra token holding the mean.</summary>
    Attention,

    /// <summary>Means of all maps, two dense layers with ReLU.</summary>
    Spatial,

    /// <summary>Means of all maps, two dense layers with norm and SiLU.</summary>
    SpatialV2,
}

/// <summary>The noisy classifier (EncoderUNetModel of the reference): the first half of the U-Net and a pooling head.</summary>
public sealed record EncoderUNetConfig : NetworkConfig
{
    /// <summary>Width of the hidden layer of the spatial heads.</summary>
    public const int SpatialHidden = 2048;

    /// <summary>The head (classifier_pool).</summary>
    public PoolKind Pool { get; init; }

    /// <summary>Logits, i.e. <see cref="NetworkConfig.OutChannels"/>.</summary>
    public int NumClasses => OutChannels;

    /// <summary>Side of the map the attention head pools: image size over the last downsample rate.</summary>
    public int PoolSize => ImageSize >> (Levels - 1);

    internal override string ModelChannelsFlag => "classifier_width";

    internal override string ResBlocksFlag => "classifier_depth";

    /// <inheritdoc/>
    public override void Validate()
    {
        base.Validate();
        if (Pool == PoolKind.Attention && NumHeadChannels is null)
        {
            throw new ConfigException("classifier_pool attention needs num_head_channels (64 in all published classifiers)");
        }
    }
}
