namespace AdmNative.Diffusion;

/// <summary>
/// What the U-Net and its encoder half (the classifier) have in common. The records mirror the constructor options of the
/// reference; messages speak of the command-line flags behind them.
/// </summary>
public abstract record NetworkConfig
{
    // Far beyond any network; a slip of the finger should not build a graph without end.
    private const int MaxResBlocks = 100;

    /// <summary>Groups of every GroupNorm; all widths are multiples of it.</summary>
    public const int NormGroups = 32;

    /// <summary>Added to the variance by every GroupNorm.</summary>
    public const double NormEps = 1e-5;

    /// <summary>Height and width of the images (image_size; large_size of an upsampler).</summary>
    public required int ImageSize { get; init; }

    /// <summary>Channels of x: 3 for colour, 1 for grey.</summary>
    public int InChannels { get; init; } = 3;

    /// <summary>Base width (num_channels, classifier_width).</summary>
    public required int ModelChannels { get; init; }

    /// <summary>Channels of the result; twice <see cref="InChannels"/> when the variance is learned; classes of a classifier.</summary>
    public required int OutChannels { get; init; }

    /// <summary>Residual blocks per resolution (num_res_blocks, classifier_depth).</summary>
    public required int ResBlocks { get; init; }

    /// <summary>
    /// Downsample rates (1, 2, 4, ...) whose blocks have attention, i.e. image_size divided by an attention resolution. Rates
    /// that no level has are ignored.
    /// </summary>
    public required ValueList<int> AttentionRates { get; init; }

    /// <summary>Width multiplier per level; may be fractional.</summary>
    public required ValueList<double> ChannelMult { get; init; }

    /// <summary>Drop probability inside residual blocks; training only, leaves no trace in a checkpoint.</summary>
    public double Dropout { get; init; }

    /// <summary>Without <see cref="ResblockUpdown"/>: a learned 3x3 convolution resamples, else plain pooling and nearest.</summary>
    public bool ConvResample { get; init; } = true;

    /// <summary>Attention heads where <see cref="NumHeadChannels"/> is null.</summary>
    public int NumHeads { get; init; } = 1;

    /// <summary>Channels per attention head; null means <see cref="NumHeads"/> heads (-1 on the command line).</summary>
    public int? NumHeadChannels { get; init; }

    /// <summary>AdaGN: the embedding scales and shifts the second norm; false adds it to the activations.</summary>
    public bool UseScaleShiftNorm { get; init; }

    /// <summary>Residual blocks do the resampling ("BigGAN up/downsample").</summary>
    public bool ResblockUpdown { get; init; }

    /// <summary>qkv channels are [Q all heads | K | V] instead of [q k v] per head.</summary>
    public bool UseNewAttentionOrder { get; init; }

    /// <summary>Residual blocks give (skip(x) + h) / sqrt(2): the paper's ablation switch; no published model uses it.</summary>
    public bool RescaleResidual { get; init; }

    /// <summary>Channels the first convolution sees.</summary>
    public virtual int StemChannels => InChannels;

    /// <summary>Width of the timestep embedding after its two layers: 4 * model channels.</summary>
    public int EmbeddingWidth => 4 * ModelChannels;

    /// <summary>Number of resolutions.</summary>
    public int Levels => ChannelMult.Count;

    /// <summary>Labels the network is conditioned on; null when there are none.</summary>
    internal virtual int? LabelCount => null;

    /// <summary>Flag behind <see cref="ImageSize"/>, for messages.</summary>
    internal virtual string ImageSizeFlag => "image_size";

    /// <summary>Flag behind <see cref="ModelChannels"/>, for messages.</summary>
    internal virtual string ModelChannelsFlag => "num_channels";

    /// <summary>Flag behind <see cref="ResBlocks"/>, for messages.</summary>
    internal virtual string ResBlocksFlag => "num_res_blocks";

    /// <summary>Width of a level: the product truncated to an integer.</summary>
    public int Width(int level) => (int)(ChannelMult[level] * ModelChannels);

    /// <summary>Heads of an attention layer of the given width in the encoder or the middle block.</summary>
    public int HeadsAt(int width) => HeadsAt(width, NumHeads);

    /// <summary>True when the level at this downsample rate has attention.</summary>
    public bool HasAttention(int rate) => AttentionRates.AsSpan().Contains(rate);

    /// <summary>Throws unless a network can be built from this configuration.</summary>
    /// <exception cref="ConfigException">Names the flag at fault and what it may be.</exception>
    public virtual void Validate()
    {
        Positive(ImageSize, ImageSizeFlag);
        Positive(InChannels, "the number of image channels");
        Positive(ModelChannels, ModelChannelsFlag);
        Positive(OutChannels, "the number of output channels");
        Positive(ResBlocks, ResBlocksFlag);
        if (ResBlocks > MaxResBlocks)
        {
            throw new ConfigException($"{ResBlocksFlag} is {ResBlocks}; at most {MaxResBlocks} are possible");
        }

        Positive(NumHeads, "num_heads");
        if (NumHeadChannels is int headChannels)
        {
            Positive(headChannels, "num_head_channels (if it is not -1)");
        }

        if (!(Dropout >= 0 && Dropout < 1))
        {
            throw new ConfigException($"dropout {Dropout}: a probability from 0 to below 1 is needed");
        }

        if (Levels is 0 or > 30)
        {
            throw new ConfigException($"channel_mult has {Levels} entries; 1 to 30 levels are possible");
        }

        for (int level = 0; level < Levels; level++)
        {
            double product = ChannelMult[level] * ModelChannels;
            if (!(product >= 1 && product <= int.MaxValue / 8) || Width(level) % NormGroups != 0)
            {
                throw new ConfigException(
                    $"{ModelChannelsFlag} {ModelChannels} times channel_mult entry {ChannelMult[level]} gives width "
                    + $"{product}; every width must be a positive multiple of {NormGroups}, the groups of the normalisation");
            }
        }

        int unit = 1 << (Levels - 1);
        if (ImageSize % unit != 0)
        {
            int usable = 1 + System.Numerics.BitOperations.TrailingZeroCount(ImageSize);
            throw new ConfigException(
                $"{ImageSizeFlag} {ImageSize} cannot be halved {Levels - 1} times: channel_mult {ChannelMult} has {Levels} levels, "
                + $"so the size must be a multiple of {unit}; or give channel_mult at most {usable} entries");
        }

        foreach (int rate in AttentionRates)
        {
            if (rate < 0)
            {
                throw new ConfigException($"attention_resolutions: downsample rate {rate} is negative");
            }
        }

        for (int level = 0; level < Levels; level++)
        {
            if (level == Levels - 1 || HasAttention(1 << level))
            {
                RequireHeads(Width(level), NumHeads, "num_heads");
            }
        }
    }

    private protected int HeadsAt(int width, int heads) => NumHeadChannels is int c ? width / c : heads;

    private protected void RequireHeads(int width, int heads, string flag)
    {
        if (NumHeadChannels is int c)
        {
            if (width % c != 0)
            {
                throw new ConfigException($"num_head_channels {c} does not divide the attention width {width}");
            }
        }
        else if (width % heads != 0)
        {
            throw new ConfigException($"{flag} {heads} does not divide the attention width {width}");
        }
    }

    private protected static void Positive(int value, string flag)
    {
        if (value < 1)
        {
            throw new ConfigException($"{flag} is {value}; it must be at least 1");
        }
    }
}
