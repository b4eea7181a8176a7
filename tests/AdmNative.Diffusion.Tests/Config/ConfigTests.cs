using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>Flags to configurations, and messages that name the flag at fault.</summary>
public sealed class ConfigTests
{
    private static readonly ImageModelFlags s_good = Presets.Digits32;

    [Theory]
    [InlineData(512, "", "0.5,1,1,2,2,4,4")]
    [InlineData(256, "", "1,1,2,2,4,4")]
    [InlineData(128, "", "1,1,2,3,4")]
    [InlineData(64, "", "1,2,3,4")]
    [InlineData(32, "", "1,2,2,2")]
    [InlineData(28, "", "1,2,2")]
    [InlineData(224, "0.5, 1,2", "0.5,1,2")]
    public void Channel_mult_has_defaults_and_takes_decimals(int size, string flag, string expected) =>
        Assert.Equal(expected, FlagText.ChannelMult(flag, size).ToString());

    [Theory]
    [InlineData(64, "32,16,8", "2,4,8")]
    [InlineData(128, "32,16", "4,8")]
    [InlineData(28, "14,7", "2,4")]
    [InlineData(28, "16,8", "1,3")]      // floor division, as the reference does; no level has rate 3
    [InlineData(16, "32,8", "2")]        // 16 // 32 = 0: never a rate
    [InlineData(64, "", "")]
    public void Attention_resolutions_become_downsample_rates(int size, string flag, string expected) =>
        Assert.Equal(expected, FlagText.AttentionRates(flag, size).ToString());

    [Fact]
    public void Widths_are_truncated()
    {
        UNetConfig config = (s_good with { NumChannels = 64, ChannelMult = "0.5,1.5", ImageSize = 16 }).ToNetwork();
        Assert.Equal([32, 96], [config.Width(0), config.Width(1)]);
        UNetConfig truncated = new()
        {
            ImageSize = 8,
            ModelChannels = 65,
            OutChannels = 3,
            ResBlocks = 1,
            AttentionRates = [],
            ChannelMult = [0.5],
        };
        Assert.Equal(32, truncated.Width(0));
        truncated.Validate();
    }

    [Fact]
    public void Equal_flags_give_equal_configurations()
    {
        Assert.Equal(s_good.ToNetwork(), Presets.Digits32.ToNetwork());
        Assert.Equal(s_good.ToNetwork().GetHashCode(), Presets.Digits32.ToNetwork().GetHashCode());
        Assert.NotEqual(s_good.ToNetwork(), (s_good with { ChannelMult = "1,2,3" }).ToNetwork());
    }

    public static TheoryData<string, string> Wrong() => new()
    {
        { "width", "num_channels 48" },
        { "size", "image_size 34" },
        { "levels", "channel_mult 1,2,2,2,2,2,2" },
        { "heads", "num_heads 3" },
        { "headChannels", "num_head_channels 48" },
        { "headsUpsample", "num_heads_upsample 5" },
        { "dropout", "dropout 1" },
        { "dropoutNaN", "dropout NaN" },
        { "blocks", "num_res_blocks" },
        { "mult", "channel_mult \"1,x\"" },
        { "multZero", "channel_mult \"1,0\"" },
        { "noMult", "image_size 96 has no default channel_mult" },
        { "attention", "attention_resolutions \"16,a\"" },
        { "classes", "class_cond" },
        { "zeroHeadChannels", "num_head_channels" },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public void A_wrong_flag_is_named(string what, string expected)
    {
        ImageModelFlags flags = what switch
        {
            "width" => s_good with { NumChannels = 48 },
            "size" => s_good with { ImageSize = 34 },
            "levels" => s_good with { ChannelMult = "1,2,2,2,2,2,2" },
            "heads" => s_good with { NumHeadChannels = -1, NumHeads = 3 },
            "headChannels" => s_good with { NumHeadChannels = 48 },
            "headsUpsample" => s_good with { NumHeadChannels = -1, NumHeads = 4, NumHeadsUpsample = 5 },
            "dropout" => s_good with { Dropout = 1 },
            "dropoutNaN" => s_good with { Dropout = double.NaN },
            "blocks" => s_good with { NumResBlocks = 0 },
            "mult" => s_good with { ChannelMult = "1,x" },
            "multZero" => s_good with { ChannelMult = "1,0" },
            "noMult" => s_good with { ImageSize = 96, ChannelMult = "" },
            "attention" => s_good with { AttentionResolutions = "16,a" },
            "classes" => s_good with { ClassCond = true, NumClasses = 0 },
            "zeroHeadChannels" => s_good with { NumHeadChannels = 0 },
            _ => throw new ArgumentException(what),
        };
        var e = Assert.Throws<ConfigException>(flags.ToNetwork);
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_suggested_channel_mult_of_an_unknown_size_works()
    {
        foreach (int size in (int[])[16, 20, 48, 96, 224, 1024, 7])
        {
            var e = Assert.Throws<ConfigException>(() => FlagText.ChannelMult("", size));
            string suggested = e.Message.Split("--channel_mult ")[1].Split(' ')[0];
            (s_good with { ImageSize = size, ChannelMult = suggested }).ToNetwork();
        }
    }

    [Fact]
    public void Upsamplers_and_classifiers_speak_of_their_own_flags()
    {
        var e = Assert.Throws<ConfigException>(() => new SuperResFlags { LargeSize = 128 }.ToNetwork());
        Assert.Contains("large_size 128", e.Message, StringComparison.Ordinal);
        e = Assert.Throws<ConfigException>(() => new ClassifierFlags { Width = 40 }.ToNetwork());
        Assert.Contains("classifier_width 40", e.Message, StringComparison.Ordinal);
        e = Assert.Throws<ConfigException>(() => new ClassifierFlags { NumHeadChannels = -1 }.ToNetwork());
        Assert.Contains("classifier_pool attention needs num_head_channels", e.Message, StringComparison.Ordinal);
        e = Assert.Throws<ConfigException>(() => new ClassifierFlags { Pool = "max" }.ToNetwork());
        Assert.Contains("\"max\"", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_layout_of_the_64_model_is_the_worked_one()
    {
        NetworkLayout layout = NetworkLayout.Of(Presets.ImageNet64.ToNetwork());
        Assert.Equal(16, layout.InputBlocks.Count);
        Assert.Equal(16, layout.OutputBlocks.Count);
        var five = Assert.IsType<ResSpec>(layout.InputBlocks[5].Layers[0]);
        Assert.Equal((192, 384), (five.In, five.Out));
        Assert.Equal(new AttentionSpec("input_blocks.5.1", 384, 6), layout.InputBlocks[5].Layers[1]);
        Assert.Equal(new ResSpec("input_blocks.4.0", 192, 192, Resampling.Down), layout.InputBlocks[4].Layers[0]);
        Assert.Equal((2, 1), (layout.InputBlocks[4].Rate, layout.InputBlocks[3].Rate));
        BlockSpec seven = layout.OutputBlocks[7];
        Assert.Equal((576 + 384, 576, 384), (seven.Layers[0].In, seven.Layers[0].Out, seven.Skip));
        Assert.Equal(new ResSpec("output_blocks.7.2", 576, 576, Resampling.Up), seven.Layers[2]);
        Assert.Equal(2, seven.Rate);
        Assert.Single(layout.OutputBlocks[12].Layers);
        Assert.Equal(192, layout.HeadWidth);
    }
}
