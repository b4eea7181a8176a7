namespace AdmNative.Diffusion;

/// <summary>Compares a configuration with the facts of a file, flag by flag.</summary>
internal static class Suspicions
{
    /// <summary>The flags whose values differ from what the file tells.</summary>
    public static List<Suspect> Find(NetworkConfig config, TensorFacts facts)
    {
        var suspects = new List<Suspect>();
        if (config is EncoderUNetConfig != facts.IsClassifier)
        {
            string file = facts.IsClassifier ? "a classifier or nothing of this kind" : "a diffusion model or an upsampler";
            suspects.Add(new(config is EncoderUNetConfig ? "classifier_path" : "model_path", $"a {CheckpointInspector.Kind(config)}", file,
                facts.IsClassifier ? "no output_blocks" : "output_blocks exist"));
            return suspects;
        }

        string prefix = config is EncoderUNetConfig ? "classifier_" : "";
        Compare(suspects, config.ModelChannelsFlag, config.ModelChannels, facts.ModelChannels);
        CompareWidths(suspects, config, facts);
        Compare(suspects, config.ResBlocksFlag, config.ResBlocks, facts.ResBlocks);
        CompareAttention(suspects, prefix, config, facts);
        Compare(suspects, $"{prefix}use_scale_shift_norm", config.UseScaleShiftNorm, facts.UseScaleShiftNorm);
        if (config.Levels > 1)
        {
            Compare(suspects, $"{prefix}resblock_updown", config.ResblockUpdown, facts.ResblockUpdown);
            if (!config.ResblockUpdown)
            {
                Compare(suspects, "conv_resample", config.ConvResample, facts.ConvResample);
            }
        }

        CompareChannels(suspects, config, facts);
        return suspects;
    }

    private static void CompareWidths(List<Suspect> suspects, NetworkConfig config, TensorFacts facts)
    {
        bool sizeTold = false;
        if (config is EncoderUNetConfig { Pool: PoolKind.Attention } classifier
            && facts is { PoolSize: Fact<int> side, Levels: Fact<int> levels } && levels.Value < 31
            && classifier.ImageSize != (long)side.Value << (levels.Value - 1))
        {
            suspects.Add(new("image_size", $"{config.ImageSize}", $"{(long)side.Value << (levels.Value - 1)}", side.Evidence));
            sizeTold = true;
        }

        if (facts.ChannelMult is not Fact<ValueList<double>> mult || mult.Value.Equals(config.ChannelMult) || SameWidths(config, facts))
        {
            return;
        }

        int[] sizes = config is SuperResConfig ? [64, 256] : [64, 128, 256, 512, 32];
        int? size = sizes.Where(s => mult.Value.Equals(
            config is SuperResConfig ? FlagText.SuperResChannelMult("", s) : FlagText.ChannelMult("", s))).Select(s => (int?)s).FirstOrDefault();
        suspects.Add(new("channel_mult", config.ChannelMult.ToString(), mult.Value.ToString(), mult.Evidence));
        if (size is int s && s != config.ImageSize && !sizeTold)
        {
            string file = config is SuperResConfig && s == 256 ? "256 or 512" : $"{s}";
            suspects.Add(new(config.ImageSizeFlag, $"{config.ImageSize}", $"perhaps {file}", "its default channel_mult is the file's"));
        }
    }

    /// <summary>Multipliers that differ only because the base width does are not a second fault.</summary>
    private static bool SameWidths(NetworkConfig config, TensorFacts facts) =>
        facts.ModelChannels?.Value == config.ModelChannels && facts.Widths is Fact<ValueList<int>> widths
        && widths.Value.SequenceEqual(Enumerable.Range(0, config.Levels).Select(config.Width));

    private static void CompareAttention(List<Suspect> suspects, string prefix, NetworkConfig config, TensorFacts facts)
    {
        if (facts.AttentionRates is not Fact<ValueList<int>> rates || facts.Levels is not Fact<int> levels)
        {
            return;
        }

        // Rates that the file's levels cannot have say nothing about the flag.
        int known = 1 << Math.Min(levels.Value, 31) - 1;
        int[] here = [.. config.AttentionRates.Where(r => r <= known && int.IsPow2(r)).Order()];
        if (!here.SequenceEqual(rates.Value))
        {
            string Text(IEnumerable<int> list) => list.Any()
                ? $"{string.Join(",", list.Select(r => config.ImageSize / r))} (downsample rates {string.Join(",", list)} at "
                    + $"{config.ImageSizeFlag} {config.ImageSize})"
                : "none";
            suspects.Add(new($"{prefix}attention_resolutions", Text(here), Text(rates.Value), rates.Evidence));
        }
    }

    private static void CompareChannels(List<Suspect> suspects, NetworkConfig config, TensorFacts facts)
    {
        if (config is EncoderUNetConfig classifier)
        {
            Compare(suspects, "image_channels", config.InChannels, facts.StemChannels);
            Compare(suspects, "num_classes", config.OutChannels, facts.OutChannels);
            if (facts.Pool is Fact<PoolKind> pool && pool.Value != classifier.Pool)
            {
                suspects.Add(new("classifier_pool", FlagText.Word(classifier.Pool), FlagText.Word(pool.Value), pool.Evidence));
            }

            return;
        }

        if (facts.StemChannels is Fact<int> stem && stem.Value != config.StemChannels)
        {
            string flag = "image_channels";
            string file = config is SuperResConfig && stem.Value % 2 == 0 ? $"{stem.Value / 2}" : $"{stem.Value}";
            if (config is SuperResConfig && stem.Value == config.InChannels)
            {
                (flag, file) = ("model_path", "a diffusion model that is not an upsampler");
            }
            else if (config is not SuperResConfig && stem.Value == 2 * config.InChannels)
            {
                (flag, file) = ("model_path", "an upsampler (super_res_sample)");
            }

            suspects.Add(new(flag, flag == "model_path" ? $"a{(config is SuperResConfig ? "n" : "")} {CheckpointInspector.Kind(config)}"
                : $"{config.InChannels}", file, stem.Evidence));
        }

        if (facts.OutChannels is Fact<int> output && output.Value != config.OutChannels)
        {
            int images = facts.StemChannels?.Value == config.StemChannels || facts.StemChannels is null
                ? config.InChannels
                : config is SuperResConfig ? facts.StemChannels.Value / 2 : facts.StemChannels.Value;
            bool here = config.OutChannels == 2 * config.InChannels;
            bool file = output.Value == 2 * images;
            if (here != file)
            {
                suspects.Add(new("learn_sigma", $"{here}", $"{file}", output.Evidence));
            }
        }

        var unet = (UNetConfig)config;
        int? labels = facts.Labels?.Value;
        if (unet.NumClasses is null != labels is null)
        {
            suspects.Add(new("class_cond", $"{unet.NumClasses is not null}", $"{labels is not null}{(labels is null ? "" : $", num_classes {labels}")}",
                facts.Labels?.Evidence ?? "no label_emb.weight"));
        }
        else if (unet.NumClasses != labels)
        {
            suspects.Add(new("num_classes", $"{unet.NumClasses}", $"{labels}", facts.Labels!.Evidence));
        }
    }

    private static void Compare<T>(List<Suspect> suspects, string flag, T here, Fact<T>? fact)
        where T : IEquatable<T>
    {
        if (fact is not null && !fact.Value.Equals(here))
        {
            suspects.Add(new(flag, $"{here}", $"{fact.Value}", fact.Evidence));
        }
    }
}
