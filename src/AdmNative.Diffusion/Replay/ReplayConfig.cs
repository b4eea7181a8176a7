using AdmNative.Core;
using AdmNative.Formats;

namespace AdmNative.Diffusion;

/// <summary>What a recorded case holds; decides which fields its configuration may have.</summary>
public enum ReplayKind : byte
{
    /// <summary>One evaluation of a network, perhaps with gradients.</summary>
    Model,

    /// <summary>A sampling trajectory.</summary>
    Sample,

    /// <summary>A likelihood evaluation.</summary>
    Bpd,

    /// <summary>A DDIM inversion.</summary>
    DdimReverse,

    /// <summary>A training loss.</summary>
    Loss,
}

/// <summary>A network of a recorded case: its configuration, and factors on some of its computed weights.</summary>
/// <param name="Config">The constructor options.</param>
/// <param name="WeightScale">Factors by parameter name, for <see cref="ComputedWeights"/>.</param>
public sealed record ReplayNetwork(NetworkConfig Config, IReadOnlyDictionary<string, double> WeightScale);

/// <summary>
/// The config.json of a recorded case, with the reference's constructor options (attention_resolutions are downsample
/// rates). Fields that are not known are errors.
/// </summary>
public sealed record ReplayConfig
{
    /// <summary>Seed of computed weights.</summary>
    public ulong Seed { get; init; }

    /// <summary>The network.</summary>
    public required ReplayNetwork Model { get; init; }

    /// <summary>The classifier of a sampling case.</summary>
    public ReplayNetwork? Classifier { get; init; }

    /// <summary>The process; null for a model case.</summary>
    public DiffusionConfig? Diffusion { get; init; }

    /// <summary>DDIM instead of ancestral sampling.</summary>
    public bool Ddim { get; init; }

    /// <summary>DDIM's share of fresh noise.</summary>
    public double Eta { get; init; }

    /// <summary>Factor of the classifier's gradient.</summary>
    public double ClassifierScale { get; init; }

    /// <summary>Clamp the predicted x_0.</summary>
    public bool ClipDenoised { get; init; } = true;

    /// <summary>Reads a file.</summary>
    /// <exception cref="ConfigException">It is no such configuration; names the field.</exception>
    /// <exception cref="CheckpointException">The file cannot be read as a text.</exception>
    public static ReplayConfig Load(string path, ReplayKind kind) => Parse(SmallText.Read(path), kind, path);

    /// <summary>Parses a text.</summary>
    /// <param name="json">A JSON object.</param>
    /// <param name="kind">What the case holds.</param>
    /// <param name="where">Its origin, for messages.</param>
    /// <exception cref="ConfigException">It is no such configuration; names the field.</exception>
    public static ReplayConfig Parse(string json, ReplayKind kind, string where = "config")
    {
        ConfigReader reader = ConfigReader.Parse(json, where);
        ulong seed = unchecked((ulong)reader.Long("seed", 0));
        ReplayConfig result;
        if (kind == ReplayKind.Model)
        {
            string model = reader.Text("model", "UNetModel");
            result = new ReplayConfig { Seed = seed, Model = Network(reader, model) };
        }
        else
        {
            ConfigReader child = reader.Child("model_config") ?? throw reader.Error("model_config is missing");
            ReplayNetwork network = Network(child, child.Text("model", "UNetModel"));
            child.Finish();
            result = Process(reader, kind, new ReplayConfig { Seed = seed, Model = network });
        }

        reader.Finish();
        return result;
    }

    private static ReplayConfig Process(ConfigReader reader, ReplayKind kind, ReplayConfig config)
    {
        bool learned = config.Model.Config is UNetConfig { LearnSigma: true };
        var diffusion = new DiffusionConfig
        {
            NoiseSchedule = FlagText.NoiseSchedule(reader.Text("schedule")),
            Steps = reader.Int("steps"),
            Respacing = reader.Text("respacing", ""),
            RescaleTimesteps = reader.Bool("rescale_timesteps", false),
            Mean = reader.Word("mean", "EPSILON",
                ("EPSILON", MeanKind.Epsilon), ("START_X", MeanKind.StartX), ("PREVIOUS_X", MeanKind.PreviousX)),
            Variance = reader.Word("var", learned ? "LEARNED_RANGE" : "FIXED_LARGE",
                ("LEARNED_RANGE", VarianceKind.LearnedRange), ("LEARNED", VarianceKind.Learned),
                ("FIXED_LARGE", VarianceKind.FixedLarge), ("FIXED_SMALL", VarianceKind.FixedSmall)),
        };
        config = config with { Diffusion = diffusion, ClipDenoised = reader.Bool("clip_denoised", true) };
        switch (kind)
        {
            case ReplayKind.Loss:
                LossKind loss = reader.Word("loss", null, ("MSE", LossKind.Mse), ("RESCALED_MSE", LossKind.RescaledMse),
                    ("KL", LossKind.Kl), ("RESCALED_KL", LossKind.RescaledKl));
                config = config with { Diffusion = diffusion with { Loss = loss } };
                break;
            case ReplayKind.Sample:
                config = config with
                {
                    Ddim = reader.Word("sampler", null, ("ddpm", false), ("ddim", true)),
                    Eta = reader.Double("eta", 0),
                    ClassifierScale = reader.Double("classifier_scale", 0),
                    Classifier = ReadClassifier(reader.Child("classifier_config")),
                };
                break;
            default:
                break;
        }

        if (config.Model.Config is UNetConfig unet)
        {
            config.Diffusion.Check(unet);
            return config;
        }

        throw reader.Error("model_config must describe a UNetModel or a SuperResModel");
    }

    private static ReplayNetwork? ReadClassifier(ConfigReader? reader)
    {
        if (reader is null)
        {
            return null;
        }

        ReplayNetwork network = Network(reader, reader.Text("model", "EncoderUNetModel"));
        reader.Finish();
        return network.Config is EncoderUNetConfig
            ? network
            : throw reader.Error("the classifier must be an EncoderUNetModel");
    }

    private static ReplayNetwork Network(ConfigReader reader, string model)
    {
        if (reader.Int("dims", 2) != 2)
        {
            throw reader.Error("dims: only 2-dimensional networks are supported");
        }

        // Storage and recomputation choices of the reference that do not change results.
        reader.Bool("use_checkpoint", false);
        reader.Bool("use_fp16", false);

        int size = reader.Int("image_size");
        int width = reader.Int("model_channels");
        int outputs = reader.Int("out_channels");
        int depth = reader.Int("num_res_blocks");
        ValueList<int> attention = [.. reader.Ints("attention_resolutions")];
        ValueList<double> mult = [.. reader.Doubles("channel_mult", [1, 2, 4, 8])];
        int? headsUpsample = Given(reader, "num_heads_upsample"); // a classifier may have it, and no use for it
        NetworkConfig config = model switch
        {
            "UNetModel" => new UNetConfig
            {
                ImageSize = size,
                ModelChannels = width,
                OutChannels = outputs,
                ResBlocks = depth,
                AttentionRates = attention,
                ChannelMult = mult,
                NumClasses = Classes(reader),
                NumHeadsUpsample = headsUpsample,
            },
            "SuperResModel" => new SuperResConfig
            {
                ImageSize = size,
                ModelChannels = width,
                OutChannels = outputs,
                ResBlocks = depth,
                AttentionRates = attention,
                ChannelMult = mult,
                NumClasses = Classes(reader),
                NumHeadsUpsample = headsUpsample,
                SmallSize = 1, // the network takes small images of any size; a case brings its own
            },
            "EncoderUNetModel" => new EncoderUNetConfig
            {
                ImageSize = size,
                ModelChannels = width,
                OutChannels = outputs,
                ResBlocks = depth,
                AttentionRates = attention,
                ChannelMult = mult,
                Pool = FlagText.Pool(reader.Text("pool", "adaptive")),
            },
            _ => throw reader.Error($"model \"{model}\" is unknown; UNetModel, SuperResModel and EncoderUNetModel are"),
        };
        config = config with
        {
            InChannels = reader.Int("in_channels"),
            Dropout = reader.Double("dropout", 0),
            ConvResample = reader.Bool("conv_resample", true),
            NumHeads = reader.Int("num_heads", 1),
            NumHeadChannels = Given(reader, "num_head_channels"),
            UseScaleShiftNorm = reader.Bool("use_scale_shift_norm", false),
            ResblockUpdown = reader.Bool("resblock_updown", false),
            UseNewAttentionOrder = reader.Bool("use_new_attention_order", false),
        };
        config.Validate();
        return new ReplayNetwork(config, WeightScale(reader));
    }

    private static Dictionary<string, double> WeightScale(ConfigReader reader)
    {
        var result = new Dictionary<string, double>();
        if (reader.Child("weight_scale") is ConfigReader child)
        {
            foreach (string name in child.Names())
            {
                result.Add(name, child.Double(name));
            }
        }

        return result;
    }

    // null stands for "none" in the reference.
    private static int? Classes(ConfigReader reader)
    {
        int classes = reader.Int("num_classes", 0);
        return reader.Has("num_classes") ? classes : null;
    }

    // -1 stands for "not given" in the reference.
    private static int? Given(ConfigReader reader, string name)
    {
        int value = reader.Int(name, -1);
        return value == -1 ? null : value;
    }
}
