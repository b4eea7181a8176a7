using AdmNative.Diffusion;

namespace AdmNative.Tests;

public class ReplayConfigTests
{
    private const string Network =
        "\"image_size\": 8, \"in_channels\": 3, \"model_channels\": 32, \"out_channels\": 6, \"num_res_blocks\": 1, "
        + "\"attention_resolutions\": [2], \"channel_mult\": [1, 2]";

    [Fact]
    public void Defaults_are_those_of_the_constructor()
    {
        ReplayConfig config = ReplayConfig.Parse($"{{{Network}, \"num_heads_upsample\": -1, \"num_classes\": null, \"use_fp16\": true}}", ReplayKind.Model);

        var unet = Assert.IsType<UNetConfig>(config.Model.Config);
        Assert.Equal(
            new UNetConfig { ImageSize = 8, ModelChannels = 32, OutChannels = 6, ResBlocks = 1, AttentionRates = [2], ChannelMult = [1, 2] }, unet);
    }

    [Theory]
    [InlineData("{" + Network + ", \"num_head\": 4}", ReplayKind.Model, "unknown num_head")]
    [InlineData("{" + Network + ", \"dims\": 3}", ReplayKind.Model, "dims")]
    [InlineData("{" + Network + ", \"model\": \"VNet\"}", ReplayKind.Model, "VNet")]
    [InlineData("{" + Network + ", \"sampler\": \"ddim\"}", ReplayKind.Model, "unknown sampler")]
    [InlineData("{" + Network + ", \"image_size\": 8}", ReplayKind.Model, "image_size")]
    [InlineData("{\"image_size\": \"8\"}", ReplayKind.Model, "image_size must be a whole number")]
    [InlineData("{\"image_size\": 8}", ReplayKind.Model, "model_channels is missing")]
    [InlineData("{" + Network + ", \"weight_scale\": {\"out.2.weight\": \"x\"}}", ReplayKind.Model, "out.2.weight must be a number")]
    [InlineData("{\"image_size\": 3000000000}", ReplayKind.Model, "31 bits")]
    [InlineData("[1]", ReplayKind.Model, "a JSON object is needed")]
    [InlineData("{", ReplayKind.Model, "not valid JSON")]
    [InlineData("{\"steps\": 10}", ReplayKind.Bpd, "model_config is missing")]
    [InlineData("{\"model_config\": {" + Network + ", \"extra\": 1}}", ReplayKind.Bpd, "unknown extra")]
    [InlineData("{\"model_config\": {" + Network + "}, \"steps\": 10}", ReplayKind.Bpd, "schedule is missing")]
    [InlineData("{\"model_config\": {" + Network + "}, \"schedule\": \"cosine\", \"steps\": 10, \"sampler\": \"ddpm\"}", ReplayKind.Bpd, "unknown sampler")]
    [InlineData("{\"model_config\": {" + Network + "}, \"schedule\": \"cosine\", \"steps\": 10, \"sampler\": \"euler\"}", ReplayKind.Sample, "it can be ddpm, ddim")]
    [InlineData("{\"model_config\": {" + Network + "}, \"schedule\": \"cosine\", \"steps\": 10, \"var\": \"FIXED_LARGE\"}", ReplayKind.Bpd, "learn_sigma")]
    public void What_is_wrong_is_named(string json, ReplayKind kind, string expected) =>
        Assert.Contains(expected, Assert.Throws<ConfigException>(() => ReplayConfig.Parse(json, kind)).Message, StringComparison.Ordinal);

    [Fact]
    public void A_factor_on_a_weight_that_does_not_exist_is_an_error()
    {
        ReplayConfig config = ReplayConfig.Parse($"{{{Network}, \"weight_scale\": {{\"out.3.weight\": 2}}}}", ReplayKind.Model);

        Assert.Contains("out.3.weight", Assert.Throws<ConfigException>(() => new ComputedWeights(config.Model, 0)).Message, StringComparison.Ordinal);
    }
}
