using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>A file that does not fit is explained by the flag that is wrong.</summary>
public sealed class MismatchTests
{
    private static readonly ImageModelFlags s_image = new()
    {
        ImageSize = 64,
        NumChannels = 32,
        NumResBlocks = 2,
        NumHeadChannels = 32,
        AttentionResolutions = "16,8",
        ClassCond = true,
        NumClasses = 10,
        ResblockUpdown = true,
        Diffusion = new() { LearnSigma = true },
    };

    private static readonly ClassifierFlags s_classifier = new()
    {
        ImageSize = 64,
        Width = 32,
        NumHeadChannels = 32,
        NumClasses = 10,
        AttentionResolutions = "16,8",
    };

    private static readonly SuperResFlags s_superRes = new()
    {
        LargeSize = 64,
        SmallSize = 16,
        NumChannels = 32,
        NumHeadChannels = 32,
        ResblockUpdown = true,
        Diffusion = new() { LearnSigma = true },
    };

    public static TheoryData<string, string, string> Wrong()
    {
        var data = new TheoryData<string, string, string>();
        foreach ((string mutation, string suspects, string value) in ((string, string, string)[])
        [
            ("num_channels", "num_channels", "num_channels is 64 here, the file has 32"),
            ("num_res_blocks", "num_res_blocks", "num_res_blocks is 3 here, the file has 2"),
            ("attention_resolutions", "attention_resolutions", "attention_resolutions is 32,16,8 (downsample rates 2,4,8 at image_size 64) here, the file has 16,8"),
            ("no attention", "attention_resolutions", "attention_resolutions is none here"),
            ("class_cond", "class_cond", "class_cond is False here, the file has True, num_classes 10 (label_emb.weight [10,128])"),
            ("num_classes", "num_classes", "num_classes is 7 here, the file has 10"),
            ("learn_sigma", "learn_sigma", "learn_sigma is False here, the file has True (out.2.weight [6,32,3,3])"),
            ("use_scale_shift_norm", "use_scale_shift_norm", "use_scale_shift_norm is False here, the file has True"),
            ("resblock_updown", "resblock_updown", "resblock_updown is False here, the file has True"),
            ("image_channels", "image_channels", "image_channels is 1 here, the file has 3"),
            ("channel_mult", "channel_mult", "channel_mult is 1,2,2,2 here, the file has 1,2,3,4"),
            ("levels", "channel_mult", "channel_mult is 1,2,3 here, the file has 1,2,3,4"),
            ("image_size", "channel_mult,image_size,attention_resolutions", "image_size is 128 here, the file has perhaps 64"),
            ("classifier_width", "classifier_width", "classifier_width is 64 here, the file has 32"),
            ("classifier_depth", "classifier_depth", "classifier_depth is 4 here, the file has 2"),
            ("classifier_attention", "classifier_attention_resolutions", "classifier_attention_resolutions is 32,16,8"),
            ("classifier_norm", "classifier_use_scale_shift_norm", "classifier_use_scale_shift_norm is False"),
            ("classifier_updown", "classifier_resblock_updown", "classifier_resblock_updown is False"),
            ("classifier_pool", "classifier_pool", "classifier_pool is spatial_v2 here, the file has attention"),
            ("classifier_classes", "num_classes", "num_classes is 1000 here, the file has 10"),
            ("classifier_size", "image_size,classifier_attention_resolutions", "image_size is 32 here, the file has 64"),
            ("large_size", "channel_mult,large_size,attention_resolutions", "large_size is 256 here, the file has perhaps 64"),
            ("sr_blocks", "num_res_blocks", "num_res_blocks is 1 here, the file has 2"),
        ])
        {
            data.Add(mutation, suspects, value);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Wrong))]
    public void One_wrong_flag_is_named(string mutation, string suspects, string text)
    {
        (ModelFlags file, ModelFlags here) = mutation switch
        {
            "num_channels" => (s_image, s_image with { NumChannels = 64 }),
            "num_res_blocks" => (s_image, s_image with { NumResBlocks = 3 }),
            "attention_resolutions" => (s_image, s_image with { AttentionResolutions = "32,16,8" }),
            "no attention" => (s_image, s_image with { AttentionResolutions = "" }),
            "class_cond" => (s_image, s_image with { ClassCond = false }),
            "num_classes" => (s_image, s_image with { NumClasses = 7 }),
            "learn_sigma" => (s_image, s_image with { Diffusion = new() }),
            "use_scale_shift_norm" => (s_image, s_image with { UseScaleShiftNorm = false }),
            "resblock_updown" => (s_image, s_image with { ResblockUpdown = false }),
            "image_channels" => (s_image, s_image with { ImageChannels = 1 }),
            "channel_mult" => (s_image, s_image with { ChannelMult = "1,2,2,2" }),
            "levels" => (s_image, s_image with { ChannelMult = "1,2,3" }),
            "image_size" => ((ModelFlags, ModelFlags))(s_image, s_image with { ImageSize = 128 }),
            "classifier_width" => (s_classifier, s_classifier with { Width = 64 }),
            "classifier_depth" => (s_classifier, s_classifier with { Depth = 4 }),
            "classifier_attention" => (s_classifier, s_classifier with { AttentionResolutions = "32,16,8" }),
            "classifier_norm" => (s_classifier, s_classifier with { UseScaleShiftNorm = false }),
            "classifier_updown" => (s_classifier, s_classifier with { ResblockUpdown = false }),
            "classifier_pool" => (s_classifier, s_classifier with { Pool = "spatial_v2" }),
            "classifier_classes" => (s_classifier, s_classifier with { NumClasses = 1000 }),
            "classifier_size" => (s_classifier, s_classifier with { ImageSize = 32, ChannelMult = "1,2,3,4" }),
            "large_size" => (s_superRes, s_superRes with { LargeSize = 256 }),
            "sr_blocks" => (s_superRes, s_superRes with { NumResBlocks = 1 }),
            _ => throw new ArgumentException(mutation),
        };
        Mismatch report = Mismatch.Report(here.ToNetwork(), new ShapesOnly(file.ToNetwork()));
        Assert.False(report.IsMatch);
        Assert.Equal(suspects, string.Join(",", report.Suspects.Select(s => s.Flag)));
        Assert.Equal(0, report.Unexplained);
        Assert.Contains(text, report.ToString(), StringComparison.Ordinal);
        Assert.Equal(report.ToString(),
            Assert.Throws<CheckpointException>(() => Mismatch.Check(here.ToNetwork(), new ShapesOnly(file.ToNetwork()))).Message);
    }

    [Fact]
    public void Resampling_without_residual_blocks_is_told_apart()
    {
        ImageModelFlags conv = s_image with { ResblockUpdown = false };
        ImageModelFlags pool = conv with { ConvResample = false };
        Assert.Equal("conv_resample", Assert.Single(Mismatch.Report(pool.ToNetwork(), new ShapesOnly(conv.ToNetwork())).Suspects).Flag);
        Assert.Equal("conv_resample", Assert.Single(Mismatch.Report(conv.ToNetwork(), new ShapesOnly(pool.ToNetwork())).Suspects).Flag);
    }

    [Fact]
    public void Two_wrong_flags_are_both_named()
    {
        UNetConfig here = (s_image with { NumChannels = 64, ClassCond = false }).ToNetwork();
        Mismatch report = Mismatch.Report(here, new ShapesOnly(s_image.ToNetwork()));
        Assert.Equal(["num_channels", "class_cond"], report.Suspects.Select(s => s.Flag));
        Assert.Equal(0, report.Unexplained);
    }

    [Fact]
    public void Swapped_files_are_recognised()
    {
        Suspect suspect = Assert.Single(Mismatch.Report(s_image.ToNetwork(), new ShapesOnly(s_classifier.ToNetwork())).Suspects);
        Assert.Equal(("model_path", "a diffusion model"), (suspect.Flag, suspect.Here));
        suspect = Assert.Single(Mismatch.Report(s_classifier.ToNetwork(), new ShapesOnly(s_image.ToNetwork())).Suspects);
        Assert.Equal(("classifier_path", "a diffusion model or an upsampler"), (suspect.Flag, suspect.InFile));
        ImageModelFlags plain = s_image with { ClassCond = false, AttentionResolutions = "16,8" };
        suspect = Assert.Single(Mismatch.Report(plain.ToNetwork(), new ShapesOnly(s_superRes.ToNetwork())).Suspects);
        Assert.Equal(("model_path", "an upsampler (super_res_sample)"), (suspect.Flag, suspect.InFile));
        suspect = Assert.Single(Mismatch.Report(s_superRes.ToNetwork(), new ShapesOnly(plain.ToNetwork())).Suspects);
        Assert.Equal("a diffusion model that is not an upsampler", suspect.InFile);
    }

    [Fact]
    public void Every_difference_is_listed()
    {
        UNetConfig config = s_image.ToNetwork();
        ParameterSpec[] parameters = [.. ParameterList.Of(config)];
        ParameterSpec[] changed =
        [
            .. parameters.Where(p => p.Name != "middle_block.1.qkv.bias")
                .Select(p => p.Name == "out.0.bias" ? p with { Shape = [33] } : p),
            new("optimizer.step", Shape.Scalar),
        ];
        Mismatch report = Mismatch.Report(config, new ShapesOnly(changed));
        Assert.Equal(new ParameterSpec("middle_block.1.qkv.bias", [384]), Assert.Single(report.Missing));
        Assert.Equal("optimizer.step", Assert.Single(report.Extra).Name);
        Assert.Equal(new Misshapen("out.0.bias", [32], [33]), Assert.Single(report.Misshapen));
        Assert.Empty(report.Suspects);
        Assert.Equal(3, report.Unexplained);
        string text = report.ToString();
        Assert.Contains("no flag explains this", text, StringComparison.Ordinal);
        Assert.Contains("missing: middle_block.1.qkv.bias [384]", text, StringComparison.Ordinal);
        Assert.Contains("extra: optimizer.step []", text, StringComparison.Ordinal);
        Assert.Contains("shape: out.0.bias is [33], the model needs [32]", text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_wrong_flag_and_a_damaged_file_are_both_told()
    {
        UNetConfig file = s_image.ToNetwork();
        var source = new ShapesOnly(ParameterList.Of(file).Where(p => p.Name != "out.0.bias"));
        Mismatch report = Mismatch.Report((s_image with { ClassCond = false }).ToNetwork(), source);
        Assert.Equal("class_cond", Assert.Single(report.Suspects).Flag);
        Assert.Equal(1, report.Unexplained);
        Assert.Contains("would remain with these flags: 1;", report.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Names_of_a_wrapper_are_recognised()
    {
        UNetConfig config = s_image.ToNetwork();
        var source = new ShapesOnly(ParameterList.Of(config).Select(p => p with { Name = "module." + p.Name }));
        Mismatch report = Mismatch.Report(config, source);
        Assert.Equal(("names", 0), (Assert.Single(report.Suspects).Flag, report.Unexplained));
        Assert.Contains("module.", report.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Long_lists_are_cut()
    {
        string text = Mismatch.Report((s_image with { NumChannels = 64 }).ToNetwork(), new ShapesOnly(s_image.ToNetwork())).ToString();
        Assert.InRange(text.Split('\n').Length, 5, 20);
        Assert.Matches("shape: [0-9]+ more", text);
    }

    [Fact]
    public void A_fitting_file_is_silent()
    {
        Mismatch.Check(s_superRes.ToNetwork(), new ShapesOnly(s_superRes.ToNetwork()));
        Assert.Contains("every tensor fits", Mismatch.Report(s_image.ToNetwork(), new ShapesOnly(s_image.ToNetwork())).ToString(), StringComparison.Ordinal);
    }
}
