using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// Reads a configuration off the names and shapes of a checkpoint. Heads, the order of qkv, dropout, the U-Net's image size and the
/// diffusion process leave no trace there: they are assumed, marked as such, unless given.
/// </summary>
public static class CheckpointInspector
{
    /// <summary>The configuration whose weights are exactly the source's.</summary>
    /// <param name="source">Names and shapes; no data is read.</param>
    /// <param name="hints">What is known beyond shapes, e.g. <see cref="InspectionHints.From"/> a preset.</param>
    /// <exception cref="CheckpointException">The tensors are not those of a diffusion model, an upsampler or a classifier.</exception>
    public static Inspection Infer(ITensorSource source, InspectionHints? hints = null)
    {
        ArgumentNullException.ThrowIfNull(source);
        hints ??= new();
        var facts = new TensorFacts(source, hints.ResBlocks);
        var fields = new List<InspectedField>();
        NetworkConfig config;
        try
        {
            config = Assemble(facts, hints, fields, source);
            config.Validate();
        }
        catch (ConfigException e)
        {
            throw new CheckpointException($"{source.Description}: the shapes lead to a configuration that cannot be built: {e.Message}", inner: e);
        }

        Mismatch left = Mismatch.Compare(config, source);
        return left.IsMatch
            ? new Inspection(config, fields)
            : throw new CheckpointException(
                $"{source.Description}: incomplete, damaged or not of this kind. The nearest {Kind(config)} configuration differs in\n"
                + left.ListText());
    }

    internal static string Kind(NetworkConfig config) => config switch
    {
        EncoderUNetConfig => "classifier",
        SuperResConfig => "upsampler",
        _ => "diffusion model",
    };

    /// <summary>The configuration that the facts describe; adds a field for each.</summary>
    internal static NetworkConfig Assemble(TensorFacts facts, InspectionHints hints, List<InspectedField> fields, ITensorSource source)
    {
        Fact<int> channels = Need(facts.ModelChannels, "time_embed.0.weight", source);
        Fact<int> stem = Need(facts.StemChannels, "input_blocks.0.0.weight", source);
        Fact<int> outChannels = Need(facts.OutChannels, "the last layer (out.*)", source);
        Fact<int> levels = Need(facts.Levels, "the number of resolutions (resampling layers of input_blocks and output_blocks)", source);
        Fact<int> resBlocks = Need(facts.ResBlocks, "the residual blocks per resolution (numbers of input_blocks and output_blocks)", source);
        Fact<ValueList<double>> mult = Need(facts.ChannelMult, "the width of each resolution (input_blocks.*.0.out_layers.0.weight)", source);
        Fact<ValueList<int>> rates = Need(facts.AttentionRates, "attention (input_blocks.*.1.qkv.weight)", source);
        Fact<bool> scaleShift = Need(facts.UseScaleShiftNorm, "input_blocks.1.0.emb_layers.1.weight", source);
        bool isClassifier = facts.IsClassifier;
        bool isSuperRes = !isClassifier && IsSuperRes(facts, hints);
        string prefix = isClassifier ? "classifier_" : "";

        Add(fields, isClassifier ? "classifier_width" : "num_channels", channels.Value, channels);
        Add(fields, "channel_mult", mult.Value, mult);
        if (facts.OtherResBlocks.Count == 0 || hints.ResBlocks == resBlocks.Value)
        {
            Add(fields, isClassifier ? "classifier_depth" : "num_res_blocks", resBlocks.Value, resBlocks);
        }
        else
        {
            fields.Add(new("classifier_depth", $"{resBlocks.Value}", Provenance.CannotBeInferred,
                $"the shapes also fit {string.Join(" or ", facts.OtherResBlocks)}: widths and attention never change"));
        }

        Fact<int>? poolSize = facts.PoolSize;
        string sizeFlag = isSuperRes ? "large_size" : "image_size";
        int imageSize;
        if (poolSize is not null)
        {
            imageSize = checked(poolSize.Value << (levels.Value - 1));
            Add(fields, sizeFlag, imageSize, poolSize);
        }
        else
        {
            imageSize = Choose(fields, sizeFlag, hints.ImageSize, AssumedSize(mult.Value, isSuperRes),
                "the network takes any size; needed to read attention_resolutions as resolutions; assumed from channel_mult");
        }

        Add(fields, $"{prefix}attention_resolutions", string.Join(",", rates.Value.Select(r => imageSize / r)), rates);
        Add(fields, $"{prefix}use_scale_shift_norm", scaleShift.Value, scaleShift);

        bool updown = facts.ResblockUpdown is Fact<bool> u
            ? Add(fields, $"{prefix}resblock_updown", u.Value, u)
            : Choose(fields, $"{prefix}resblock_updown", hints.ResblockUpdown, false, "there is one resolution, nothing resamples");
        bool convResample = facts.ConvResample is Fact<bool> conv
            ? Add(fields, "conv_resample", conv.Value, conv)
            : hints.ConvResample ?? true;

        int? headChannels;
        int heads;
        if (hints.NumHeads is null && hints.NumHeadChannels is null)
        {
            const string Reason = "heads leave no trace in shapes";
            if (isClassifier)
            {
                heads = 1;
                headChannels = AssumedHeadChannels(facts.Widths!.Value);
                fields.Add(new("num_head_channels", $"{headChannels}", Provenance.CannotBeInferred, $"{Reason}; the reference's constant is 64"));
            }
            else
            {
                heads = 4;
                headChannels = null;
                fields.Add(new("num_heads", "4", Provenance.CannotBeInferred, $"{Reason}; 4 is the flag's default"));
                fields.Add(new("num_head_channels", "-1", Provenance.CannotBeInferred, $"{Reason}; most published models use 64"));
            }
        }
        else
        {
            heads = hints.NumHeads ?? 1;
            headChannels = hints.NumHeadChannels is int h && h != -1 ? h : null;
            fields.Add(new("num_heads", $"{heads}", Provenance.Given, headChannels is null ? "" : "not used: num_head_channels is set"));
            fields.Add(new("num_head_channels", $"{headChannels ?? -1}", Provenance.Given, ""));
        }

        bool newOrder = Choose(fields, "use_new_attention_order", hints.UseNewAttentionOrder, false,
            "the order of qkv channels leaves no trace; only the published 64x64 diffusion model has the new one");
        double dropout = Choose(fields, "dropout", hints.Dropout, 0, "leaves no trace; matters in training only");

        int imageChannels = isSuperRes ? stem.Value / 2 : stem.Value;
        Add(fields, "image_channels", imageChannels, stem);
        NetworkConfig config;
        if (isClassifier)
        {
            Fact<PoolKind> pool = Need(facts.Pool, "the head (out.*)", source);
            fields.Add(new("classifier_pool", FlagText.Word(pool.Value), Provenance.Inferred, pool.Evidence));
            Add(fields, "num_classes", outChannels.Value, outChannels);
            config = new EncoderUNetConfig
            {
                ImageSize = imageSize,
                ModelChannels = channels.Value,
                OutChannels = outChannels.Value,
                ResBlocks = resBlocks.Value,
                AttentionRates = rates.Value,
                ChannelMult = mult.Value,
                Pool = pool.Value,
            };
        }
        else
        {
            Add(fields, "learn_sigma", outChannels.Value == 2 * imageChannels, outChannels);
            Add(fields, "class_cond", facts.Labels is not null, facts.Labels ?? new(0, "no label_emb.weight"));
            if (facts.Labels is Fact<int> labels)
            {
                Add(fields, "num_classes", labels.Value, labels);
            }

            int headsUpsample = Choose(fields, "num_heads_upsample", hints.NumHeadsUpsample, -1, "leaves no trace; no published model sets it");
            UNetConfig unet = isSuperRes
                ? new SuperResConfig
                {
                    ImageSize = imageSize,
                    SmallSize = Choose(fields, "small_size", hints.SmallSize, Math.Max(imageSize / 4, 1),
                        "the network resizes any small image; published upsamplers enlarge by 4"),
                    ModelChannels = channels.Value,
                    OutChannels = outChannels.Value,
                    ResBlocks = resBlocks.Value,
                    AttentionRates = rates.Value,
                    ChannelMult = mult.Value,
                }
                : new UNetConfig
                {
                    ImageSize = imageSize,
                    ModelChannels = channels.Value,
                    OutChannels = outChannels.Value,
                    ResBlocks = resBlocks.Value,
                    AttentionRates = rates.Value,
                    ChannelMult = mult.Value,
                };
            config = unet with { NumClasses = facts.Labels?.Value, NumHeadsUpsample = headsUpsample == -1 ? null : headsUpsample };
        }

        return config with
        {
            InChannels = imageChannels,
            Dropout = dropout,
            ConvResample = convResample,
            NumHeads = heads,
            NumHeadChannels = headChannels,
            UseScaleShiftNorm = scaleShift.Value,
            ResblockUpdown = updown,
            UseNewAttentionOrder = newOrder,
            RescaleResidual = hints.RescaleResidual ?? false,
        };
    }

    /// <summary>
    /// A U-Net gives as many channels as it takes, or twice as many; an upsampler takes twice as many as its images have. Where both
    /// readings are possible, images have 1 or 3 channels.
    /// </summary>
    private static bool IsSuperRes(TensorFacts facts, InspectionHints hints)
    {
        (int stem, int output) = (facts.StemChannels!.Value, facts.OutChannels!.Value);
        return hints.IsSuperRes ?? (stem % 2 == 0 && output != 2 * stem && (output == stem / 2 || (output == stem && stem is 2 or 6)));
    }

    /// <summary>The size whose default multipliers these are, else the one whose smallest map is 8x8.</summary>
    private static int AssumedSize(ValueList<double> mult, bool isSuperRes)
    {
        foreach (int size in (int[])(isSuperRes ? [64, 256, 512] : [64, 128, 256, 512, 32]))
        {
            if (mult.Equals(isSuperRes ? FlagText.SuperResChannelMult("", size) : FlagText.ChannelMult("", size)))
            {
                return size;
            }
        }

        return 8 << (mult.Count - 1);
    }

    private static int AssumedHeadChannels(ValueList<int> widths) => widths.All(w => w % 64 == 0) ? 64 : NetworkConfig.NormGroups;

    private static Fact<T> Need<T>(Fact<T>? fact, string what, ITensorSource source) => fact ?? throw new CheckpointException(
        $"{source.Description}: not a checkpoint of a diffusion model, upsampler or classifier of this kind: it does not tell {what}. "
        + Mismatch.FirstNames(source));

    private static T Add<T, TFact>(List<InspectedField> fields, string flag, T value, Fact<TFact> fact)
    {
        fields.Add(new(flag, $"{value}", Provenance.Inferred, fact.Evidence));
        return value;
    }

    private static T Choose<T>(List<InspectedField> fields, string flag, T? given, T assumed, string reason)
        where T : struct
    {
        fields.Add(given is T g
            ? new(flag, $"{g}", Provenance.Given, "")
            : new(flag, $"{assumed}", Provenance.CannotBeInferred, reason));
        return given ?? assumed;
    }
}
