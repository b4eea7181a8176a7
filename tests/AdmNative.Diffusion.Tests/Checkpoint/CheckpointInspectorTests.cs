using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>Enumerate the weights of a configuration, infer it back.</summary>
public sealed class CheckpointInspectorTests
{
    public static TheoryData<int> Seeds() => [.. Enumerable.Range(0, 60)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Random_diffusion_models_are_inferred_back(int seed)
    {
        var random = new Random(seed);
        UNetConfig config = RandomUNet(random);
        if (random.Next(3) == 0)
        {
            config = new SuperResConfig
            {
                ImageSize = config.ImageSize,
                SmallSize = 4,
                InChannels = random.Next(2) == 0 ? 1 : 3,
                ModelChannels = config.ModelChannels,
                OutChannels = 0,
                ResBlocks = config.ResBlocks,
                AttentionRates = config.AttentionRates,
                ChannelMult = config.ChannelMult,
                NumClasses = config.NumClasses,
                UseScaleShiftNorm = config.UseScaleShiftNorm,
                ResblockUpdown = config.ResblockUpdown,
                ConvResample = config.ConvResample,
            };
            config = config with { OutChannels = config.InChannels * (1 + random.Next(2)) };
        }

        Inspection inspection = CheckpointInspector.Infer(new ShapesOnly(config), BeyondShapes(config));
        Assert.Equal((NetworkConfig)config, inspection.Config);
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Random_classifiers_are_inferred_back(int seed)
    {
        var random = new Random(seed);
        UNetConfig unet = RandomUNet(random);
        var config = new EncoderUNetConfig
        {
            ImageSize = unet.ImageSize,
            InChannels = unet.InChannels,
            ModelChannels = unet.ModelChannels,
            OutChannels = 1 + random.Next(20),
            ResBlocks = unet.ResBlocks,
            AttentionRates = unet.AttentionRates,
            ChannelMult = unet.ChannelMult,
            NumHeadChannels = 32,
            UseScaleShiftNorm = unet.UseScaleShiftNorm,
            ResblockUpdown = unet.ResblockUpdown,
            ConvResample = unet.ConvResample,
            Pool = (PoolKind)random.Next(4),
        };
        InspectionHints hints = BeyondShapes(config);
        if (config.Pool == PoolKind.Attention)
        {
            hints = hints with { ImageSize = null };
        }

        Inspection inspection = CheckpointInspector.Infer(new ShapesOnly(config), hints);
        InspectedField depth = inspection.Fields.Single(f => f.Flag == "classifier_depth");
        if (depth.Provenance == Provenance.CannotBeInferred)
        {
            // Uniform widths and attention: several readings, all with these weights; the right one is named or chosen.
            Assert.True(config.ResblockUpdown || config.Levels == 1);
            Assert.Contains(config.ResBlocks, depth.Reason.Split(' ', ':').Append(depth.Value).Where(w => int.TryParse(w, out _)).Select(int.Parse));
            hints = hints with { ResBlocks = config.ResBlocks, ImageSize = config.ImageSize };
            inspection = CheckpointInspector.Infer(new ShapesOnly(config), hints);
        }

        Assert.Equal((NetworkConfig)config, inspection.Config);
    }

    public static TheoryData<string> PresetNames() => [.. Presets.All.Select(p => p.Name)];

    [Theory]
    [MemberData(nameof(PresetNames))]
    public void Published_models_are_inferred_back_up_to_what_shapes_cannot_tell(string name)
    {
        NetworkConfig config = Presets.Find(name).Network;
        var source = new ShapesOnly(config);
        Assert.Equal(config, CheckpointInspector.Infer(source, InspectionHints.From(config)).Config);

        Inspection alone = CheckpointInspector.Infer(source);
        NetworkConfig expected = config with
        {
            Dropout = 0,
            UseNewAttentionOrder = false,
            NumHeads = alone.Config.NumHeads,
            NumHeadChannels = alone.Config.NumHeadChannels,
        };

        // The larger upsampler has the multipliers of the smaller one; its size is the one wrong assumption.
        if (config is SuperResConfig { ImageSize: 512 } upsampler)
        {
            Assert.Equal(256, alone.Config.ImageSize);
            expected = (SuperResConfig)expected with { ImageSize = 256, SmallSize = upsampler.SmallSize / 2 };
        }

        Assert.Equal(expected, alone.Config);
        Assert.Contains(alone.Assumptions, f => f.Flag == "num_head_channels");
        Assert.Contains(alone.Assumptions, f => f.Flag == "use_new_attention_order");
        Assert.Equal(config is not EncoderUNetConfig, alone.Assumptions.Any(f => f.Flag is "image_size" or "large_size"));
    }

    [Fact]
    public void Every_field_says_where_it_comes_from()
    {
        Inspection inspection = CheckpointInspector.Infer(new ShapesOnly(Presets.ImageNet64.ToNetwork()), new() { ImageSize = 64 });
        string text = inspection.ToString();
        Assert.Contains("num_channels                         192              inferred: time_embed.0.weight [768,192]", text, StringComparison.Ordinal);
        Assert.Contains("class_cond                           True             inferred: label_emb.weight [1000,768]", text, StringComparison.Ordinal);
        Assert.Contains("image_size                           64               given", text, StringComparison.Ordinal);
        Assert.Contains("attention_resolutions                32,16,8          inferred", text, StringComparison.Ordinal);
        Assert.Contains("num_heads                            4                cannot be inferred", text, StringComparison.Ordinal);
        Assert.Equal(inspection.Fields.Count, inspection.Fields.Select(f => f.Flag).Distinct().Count());
    }

    [Fact]
    public void Four_channel_images_are_not_taken_for_an_upsampler()
    {
        UNetConfig latent = Presets.Digits32.ToNetwork() with { InChannels = 4, OutChannels = 4 };
        Assert.IsNotType<SuperResConfig>(CheckpointInspector.Infer(new ShapesOnly(latent)).Config);
        var told = CheckpointInspector.Infer(new ShapesOnly(latent), new() { IsSuperRes = true });
        Assert.Equal(2, Assert.IsType<SuperResConfig>(told.Config).InChannels);
    }

    [Fact]
    public void Truncated_widths_give_a_multiplier_that_truncates_the_same_way()
    {
        foreach (int channels in (int[])[32, 96, 129, 160, 193, 224])
        {
            for (int width = 32; width <= 1024; width += 32)
            {
                Assert.Equal(width, (int)(TensorFacts.Multiplier(width, channels) * channels));
            }
        }

        Assert.Equal(1.5, TensorFacts.Multiplier(192, 128));
        Assert.Equal(0.5, TensorFacts.Multiplier(64, 128));
    }

    [Fact]
    public void A_file_without_one_tensor_is_refused_by_name()
    {
        ParameterSpec[] parameters = [.. ParameterList.Of(Presets.Mnist16.ToNetwork())];
        foreach (ParameterSpec gone in parameters)
        {
            var source = new ShapesOnly(parameters.Where(p => p != gone));
            var e = Assert.Throws<CheckpointException>(() => CheckpointInspector.Infer(source, new() { IsSuperRes = false }));
            Assert.Contains("test.pt", e.Message, StringComparison.Ordinal);
            Assert.True(e.Message.Contains(gone.Name, StringComparison.Ordinal) || e.Message.Contains("does not tell", StringComparison.Ordinal),
                $"without {gone.Name}: {e.Message}");
        }
    }

    [Fact]
    public void Files_of_other_kinds_are_refused()
    {
        var e = Assert.Throws<CheckpointException>(() => CheckpointInspector.Infer(new ShapesOnly([new("conv1.weight", [64, 3, 7, 7])])));
        Assert.Contains("conv1.weight", e.Message, StringComparison.Ordinal);
        e = Assert.Throws<CheckpointException>(() => CheckpointInspector.Infer(new ShapesOnly([])));
        Assert.Contains("no tensors", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("input_blocks.999999999.0.in_layers.0.weight")]
    [InlineData("input_blocks.2147483647.0.in_layers.0.weight")]
    public void Absurd_block_numbers_are_refused_quickly(string name)
    {
        ParameterSpec[] parameters = [.. ParameterList.Of(Presets.Mnist16.ToNetwork()), new(name, [32])];
        Assert.Throws<CheckpointException>(() => CheckpointInspector.Infer(new ShapesOnly(parameters)));
        Assert.False(Mismatch.Report(Presets.Mnist16.ToNetwork(), new ShapesOnly(parameters)).IsMatch);
    }

    /// <summary>Only what shapes do not tell.</summary>
    private static InspectionHints BeyondShapes(NetworkConfig config) => InspectionHints.From(config) with { ResBlocks = null, IsSuperRes = null };

    private static UNetConfig RandomUNet(Random random)
    {
        int levels = 1 + random.Next(4);
        int channels = 32 * (1 + random.Next(3));
        double[] mult = [.. Enumerable.Range(0, levels).Select(_ => (1 + random.Next(4)) * 32.0 / channels)];
        if (channels == 96)
        {
            mult = [.. mult.Select(m => Math.Max(1, Math.Round(m)))];
        }

        int images = (int[])[1, 3, 4] is var options ? options[random.Next(3)] : 0;
        return new UNetConfig
        {
            ImageSize = (4 + random.Next(3)) << (levels - 1),
            InChannels = images,
            ModelChannels = channels,
            OutChannels = images * (1 + random.Next(2)),
            ResBlocks = 1 + random.Next(4),
            AttentionRates = [.. Enumerable.Range(0, levels).Where(_ => random.Next(2) == 0).Select(l => 1 << l)],
            ChannelMult = [.. mult],
            Dropout = random.Next(2) * 0.1,
            ConvResample = random.Next(2) == 0,
            NumHeads = 1 << random.Next(3),
            NumHeadChannels = random.Next(2) == 0 ? 32 : null,
            NumHeadsUpsample = random.Next(2) == 0 ? 2 : null,
            NumClasses = random.Next(2) == 0 ? 1 + random.Next(10) : null,
            UseScaleShiftNorm = random.Next(2) == 0,
            ResblockUpdown = random.Next(2) == 0,
            UseNewAttentionOrder = random.Next(2) == 0,
            RescaleResidual = random.Next(2) == 0,
        };
    }
}
