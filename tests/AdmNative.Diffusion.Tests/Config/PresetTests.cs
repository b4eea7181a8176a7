using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>Presets against the published sizes, flags and tables.</summary>
public sealed class PresetTests
{
    [Theory]
    [InlineData("imagenet64", 295_904_454, 541)]
    [InlineData("imagenet128", 421_529_606, 493)]
    [InlineData("imagenet256", 553_838_086, 567)]
    [InlineData("imagenet256-uncond", 552_814_086, 566)]
    [InlineData("imagenet512", 558_997_638, 645)]
    [InlineData("lsun-bedroom", 552_814_086, 566)]
    [InlineData("lsun-cat", 552_814_086, 566)]
    [InlineData("lsun-horse", 552_814_086, 566)]
    [InlineData("lsun-horse-nodropout", 552_814_086, 566)]
    [InlineData("classifier64", 65_438_568, 307)]
    [InlineData("classifier128", 42_568_040, 221)]
    [InlineData("classifier256", 54_096_360, 249)]
    [InlineData("classifier512", 54_448_360, 281)]
    [InlineData("upsampler-64-256", 311_795_910, 567)]
    [InlineData("upsampler-128-512", 308_835_270, 537)]
    public void Published_models_have_their_published_sizes(string name, long parameters, int tensors)
    {
        NetworkConfig network = Presets.Find(name).Network;
        Assert.Equal((parameters, tensors), (ParameterList.Count(network), ParameterList.Of(network).Count));
    }

    [Fact]
    public void Flag_defaults_give_the_reference_default_model()
    {
        UNetConfig network = new ImageModelFlags().ToNetwork();
        Assert.Equal((92_025_731L, 338), (ParameterList.Count(network), ParameterList.Of(network).Count));
        Assert.Equal(new SuperResFlags { ClassCond = true }.ToNetwork().ChannelMult, [1, 1, 2, 2, 4, 4]);
        Assert.Equal(
            new EncoderUNetConfig
            {
                ImageSize = 64,
                ModelChannels = 128,
                OutChannels = 1000,
                ResBlocks = 2,
                AttentionRates = [2, 4, 8],
                ChannelMult = [1, 2, 3, 4],
                NumHeadChannels = 64,
                UseScaleShiftNorm = true,
                ResblockUpdown = true,
                Pool = PoolKind.Attention,
            },
            new ClassifierFlags().ToNetwork());
    }

    [Fact]
    public void The_spatial_heads_see_the_widths_of_all_maps()
    {
        string[] names = ["classifier64", "classifier128", "classifier256", "classifier512"];
        int[] features = [.. names.Select(n => ParameterList.SpatialFeatures(NetworkLayout.Of(Presets.Find(n).Network)))];
        Assert.Equal([6528, 4352, 5504, 5632], features);
    }

    [Fact]
    public void Names_and_files_are_unique_and_found_in_any_spelling()
    {
        Assert.Equal(Presets.All.Count, Presets.All.Select(p => p.Name).Distinct().Count());
        Assert.Equal(17, Presets.All.Where(p => p.FileName is not null).Select(p => p.FileName).Distinct().Count());
        foreach (Preset preset in Presets.All)
        {
            Assert.Same(preset, Presets.Find(preset.Name.ToUpperInvariant()));
            if (preset.FileName is string file)
            {
                Assert.Same(preset, Presets.Find(file));
                Assert.Same(preset, Presets.ForFile("/models/" + file));
            }
        }

        Assert.Equal("lsun-cat", Presets.Find("lsun_cat").Name);
        Assert.Null(Presets.ForFile("/models/my64x64_diffusion.pt"));
        Assert.Null(Presets.ForFile("diffusion.pt"));
        var e = Assert.Throws<ConfigException>(() => Presets.Find("imagenet32"));
        Assert.Contains("imagenet64", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Guided_presets_name_classifiers_of_their_own_size()
    {
        foreach (Preset preset in Presets.All.Where(p => p.Classifier is not null))
        {
            Assert.Equal(preset.Network.ImageSize, Presets.Find(preset.Classifier!).Network.ImageSize);
            Assert.IsType<EncoderUNetConfig>(Presets.Find(preset.Classifier!).Network);
            Assert.NotNull(preset.ClassifierScale);
        }
    }

    [Fact]
    public void Guidance_scales_are_those_of_the_best_sweep()
    {
        foreach (GuidanceSweep sweep in PaperTables.GuidanceSweeps)
        {
            Preset preset = Presets.Find($"imagenet{sweep.ImageSize}");
            Assert.Equal(sweep.Best, sweep.Respacing == "250" ? preset.ClassifierScale : preset.DdimClassifierScale);
            Assert.Contains(sweep.Best, sweep.Scales);
        }
    }

    [Theory]
    [InlineData("imagenet64", 2048, 540_000, 3e-4, 0, 0.1)]
    [InlineData("imagenet512", 256, 1_940_000, 1e-4, 0, 0)]
    [InlineData("lsun-cat", 256, 200_000, 1e-4, 0, 0.1)]
    [InlineData("upsampler-128-512", 256, 1_050_000, 1e-4, 0, 0)]
    [InlineData("classifier64", 1024, 300_000, 6e-4, 0.2, 0)]
    [InlineData("classifier256", 256, 500_000, 3e-4, 0.05, 0)]
    public void Recipes_are_the_columns_of_the_training_tables(
        string name, int batch, int iterations, double rate, double decay, double dropout)
    {
        Preset preset = Presets.Find(name);
        TrainingRecipe recipe = preset.Training!;
        Assert.Equal((batch, iterations, rate, decay), (recipe.BatchSize, recipe.Iterations, recipe.LearningRate, recipe.WeightDecay));
        Assert.Equal(dropout, preset.Network.Dropout);
        Assert.Equal(preset.Network is EncoderUNetConfig ? null : 0.9999, recipe.EmaRate);
    }

    [Fact]
    public void Only_the_64_model_uses_the_new_attention_order_and_a_cosine_schedule()
    {
        foreach (Preset preset in Presets.All.Where(p => p.Address is not null))
        {
            Assert.Equal(preset.Name == "imagenet64", preset.Network.UseNewAttentionOrder);
            Assert.Equal(preset.Name is "imagenet64" or "classifier64", preset.Flags.Diffusion.NoiseSchedule == NoiseSchedule.Cosine);
        }
    }

    [Fact]
    public void Ablations_build_and_say_what_they_change()
    {
        Ablation[] all = [.. PaperTables.Table1, .. PaperTables.Table2, .. PaperTables.Table3];
        Assert.Equal(16, all.Select(a => a.Name).Distinct().Count());
        foreach (Ablation ablation in all)
        {
            Assert.NotEmpty(ParameterList.Of(ablation.Flags.ToNetwork()));
        }

        // Every row of Table 1 differs from the first; heads and rescaling leave the weights' shapes alone.
        Assert.Equal(7, PaperTables.Table1.Select(a => a.Flags).Distinct().Count());
        Assert.Equal(12.19, PaperTables.Table1[^1].Fid700K, 1e-9);
        Assert.True(PaperTables.Table1[5].Flags.ToNetwork().RescaleResidual);
    }

    [Fact]
    public void Every_lsun_respacing_keeps_250_steps()
    {
        foreach (RespacingResult row in PaperTables.LsunRespacings)
        {
            Assert.Equal(250, Respacing.Steps(1000, row.Respacing).Length);
        }
    }

    [Fact]
    public void Small_presets_are_unconditional_with_learned_variance()
    {
        foreach (string name in (string[])["digits32", "mid64", "mnist16"])
        {
            var network = Assert.IsType<UNetConfig>(Presets.Find(name).Network);
            Assert.Equal((6, null), (network.OutChannels, network.NumClasses));
            Assert.True(network.LearnSigma && network.UseScaleShiftNorm && network.ResblockUpdown);
        }

        Assert.Equal([2, 4], ((UNetConfig)Presets.Find("digits32").Network).AttentionRates);
        Assert.Equal([2, 4, 8], ((UNetConfig)Presets.Find("mid64").Network).AttentionRates);
        Assert.Equal(1.4e6, ParameterList.Count(Presets.Find("digits32").Network), 0.1e6);
        Assert.Equal(25e6, ParameterList.Count(Presets.Find("mid64").Network), 1e6);
    }
}
