namespace AdmNative.Diffusion;

/// <summary>
/// Command-line flags of one network with the reference's names and defaults. Flags the reference does not have (their
/// defaults are its constants) are marked "extension".
/// </summary>
public abstract record ModelFlags
{
    /// <summary>Residual blocks resample (resblock_updown, classifier_resblock_updown).</summary>
    public bool ResblockUpdown { get; init; }

    /// <summary>AdaGN (use_scale_shift_norm, classifier_use_scale_shift_norm).</summary>
    public bool UseScaleShiftNorm { get; init; } = true;

    /// <summary>Half-precision torso (use_fp16, classifier_use_fp16); a backend's business, the weights are the same.</summary>
    public bool UseFp16 { get; init; }

    /// <summary>Labels of a conditional network or logits of a classifier; extension, the reference's constant is 1000.</summary>
    public int NumClasses { get; init; } = 1000;

    /// <summary>Channels of the images; extension, the reference's constant is 3.</summary>
    public int ImageChannels { get; init; } = 3;

    /// <summary>Width multipliers, see <see cref="FlagText.ChannelMult"/>; for classifiers and upsamplers an extension.</summary>
    public string ChannelMult { get; init; } = "";

    /// <summary>Residuals over sqrt(2); extension for the paper's ablation.</summary>
    public bool RescaleResidual { get; init; }

    /// <summary>The diffusion process the network belongs to.</summary>
    public DiffusionFlags Diffusion { get; init; } = new();

    /// <summary>The network's configuration, validated.</summary>
    /// <exception cref="ConfigException">The flags do not fit together.</exception>
    public abstract NetworkConfig ToNetwork();
}

/// <summary>What the image model and the upsampler have in common.</summary>
public abstract record DiffusionModelFlags : ModelFlags
{
    /// <summary>Base width.</summary>
    public int NumChannels { get; init; } = 128;

    /// <summary>Residual blocks per resolution.</summary>
    public int NumResBlocks { get; init; } = 2;

    /// <summary>Attention heads where <see cref="NumHeadChannels"/> is -1.</summary>
    public int NumHeads { get; init; } = 4;

    /// <summary>Heads in the decoder; -1 = as <see cref="NumHeads"/>.</summary>
    public int NumHeadsUpsample { get; init; } = -1;

    /// <summary>Channels per head; -1 = use <see cref="NumHeads"/>.</summary>
    public int NumHeadChannels { get; init; } = -1;

    /// <summary>Image resolutions with attention.</summary>
    public string AttentionResolutions { get; init; } = "16,8";

    /// <summary>The network is told a label.</summary>
    public bool ClassCond { get; init; }

    /// <summary>Drop probability in training.</summary>
    public double Dropout { get; init; }

    /// <summary>Recompute residual blocks in the backward pass.</summary>
    public bool UseCheckpoint { get; init; }

    /// <summary>Learned convolutions in resampling layers; extension, the reference's constant is true.</summary>
    public bool ConvResample { get; init; } = true;

    private protected int OutChannels => Diffusion.LearnSigma ? 2 * ImageChannels : ImageChannels;

    private protected int? Labels => ClassCond ? NumClasses : null;

    private protected static int? OrNull(int flag) => flag == -1 ? null : flag;
}

/// <summary>Flags of the diffusion model (image_train, image_sample, classifier_sample, image_nll).</summary>
public sealed record ImageModelFlags : DiffusionModelFlags
{
    /// <summary>Height and width of the images.</summary>
    public int ImageSize { get; init; } = 64;

    /// <summary>Channel order of qkv; only the published 64x64 model sets it.</summary>
    public bool UseNewAttentionOrder { get; init; }

    /// <inheritdoc/>
    public override UNetConfig ToNetwork()
    {
        var config = new UNetConfig
        {
            ImageSize = ImageSize,
            InChannels = ImageChannels,
            ModelChannels = NumChannels,
            OutChannels = OutChannels,
            ResBlocks = NumResBlocks,
            AttentionRates = FlagText.AttentionRates(AttentionResolutions, ImageSize),
            ChannelMult = FlagText.ChannelMult(ChannelMult, ImageSize),
            Dropout = Dropout,
            ConvResample = ConvResample,
            NumHeads = NumHeads,
            NumHeadChannels = OrNull(NumHeadChannels),
            NumHeadsUpsample = OrNull(NumHeadsUpsample),
            NumClasses = Labels,
            UseScaleShiftNorm = UseScaleShiftNorm,
            ResblockUpdown = ResblockUpdown,
            UseNewAttentionOrder = UseNewAttentionOrder,
            RescaleResidual = RescaleResidual,
        };
        config.Validate();
        return config;
    }
}

/// <summary>Flags of the upsampler (super_res_train, super_res_sample).</summary>
public sealed record SuperResFlags : DiffusionModelFlags
{
    /// <summary>Size of the result.</summary>
    public int LargeSize { get; init; } = 256;

    /// <summary>Size of the input.</summary>
    public int SmallSize { get; init; } = 64;

    /// <inheritdoc/>
    public override SuperResConfig ToNetwork()
    {
        var config = new SuperResConfig
        {
            ImageSize = LargeSize,
            SmallSize = SmallSize,
            InChannels = ImageChannels,
            ModelChannels = NumChannels,
            OutChannels = OutChannels,
            ResBlocks = NumResBlocks,
            AttentionRates = FlagText.AttentionRates(AttentionResolutions, LargeSize),
            ChannelMult = FlagText.SuperResChannelMult(ChannelMult, LargeSize),
            Dropout = Dropout,
            ConvResample = ConvResample,
            NumHeads = NumHeads,
            NumHeadChannels = OrNull(NumHeadChannels),
            NumHeadsUpsample = OrNull(NumHeadsUpsample),
            NumClasses = Labels,
            UseScaleShiftNorm = UseScaleShiftNorm,
            ResblockUpdown = ResblockUpdown,
            RescaleResidual = RescaleResidual,
        };
        config.Validate();
        return config;
    }
}

/// <summary>Flags of the classifier (classifier_train, classifier_sample).</summary>
public sealed record ClassifierFlags : ModelFlags
{
    /// <summary>The defaults of the reference: the classifier's residual blocks resample.</summary>
    public ClassifierFlags() => ResblockUpdown = true;

    /// <summary>Height and width of the images; classifier_sample shares the diffusion model's flag.</summary>
    public int ImageSize { get; init; } = 64;

    /// <summary>Base width (classifier_width).</summary>
    public int Width { get; init; } = 128;

    /// <summary>Residual blocks per resolution (classifier_depth).</summary>
    public int Depth { get; init; } = 2;

    /// <summary>Image resolutions with attention (classifier_attention_resolutions).</summary>
    public string AttentionResolutions { get; init; } = "32,16,8";

    /// <summary>The head (classifier_pool).</summary>
    public string Pool { get; init; } = "attention";

    /// <summary>Channels per head; extension, the reference's constant is 64.</summary>
    public int NumHeadChannels { get; init; } = 64;

    /// <inheritdoc/>
    public override EncoderUNetConfig ToNetwork()
    {
        var config = new EncoderUNetConfig
        {
            ImageSize = ImageSize,
            InChannels = ImageChannels,
            ModelChannels = Width,
            OutChannels = NumClasses,
            ResBlocks = Depth,
            AttentionRates = FlagText.AttentionRates(AttentionResolutions, ImageSize),
            ChannelMult = FlagText.ChannelMult(ChannelMult, ImageSize),
            NumHeadChannels = NumHeadChannels == -1 ? null : NumHeadChannels,
            UseScaleShiftNorm = UseScaleShiftNorm,
            ResblockUpdown = ResblockUpdown,
            RescaleResidual = RescaleResidual,
            Pool = FlagText.Pool(Pool),
        };
        config.Validate();
        return config;
    }
}
