using AdmNative.Core;
using AdmNative.Diffusion;
using Newtonsoft.Json.Linq;

namespace AdmNative.Tests;

/// <summary>Reads the config.json and *.keys.json files of the reference vectors.</summary>
internal static class GoldenConfig
{
    /// <summary>A json file as an object whose members keep their order.</summary>
    public static JObject Read(string path) => JObject.Parse(File.ReadAllText(path));

    /// <summary>Names and shapes in file order.</summary>
    public static List<ParameterSpec> Keys(string path) =>
        [.. Read(path).Properties().Select(p => new ParameterSpec(p.Name, Shape.Create([.. p.Value.Select(v => (long)v)])))];

    /// <summary>The configuration of the model ("model") or classifier ("classifier") of a case.</summary>
    public static NetworkConfig Network(JObject config, string which = "model")
    {
        JObject c = config[which + "_config"] as JObject ?? config;
        string kind = which == "classifier" ? "EncoderUNetModel" : (string?)config["model"] ?? "UNetModel";
        return kind switch
        {
            "EncoderUNetModel" => new EncoderUNetConfig
            {
                ImageSize = (int)c["image_size"]!,
                ModelChannels = (int)c["model_channels"]!,
                OutChannels = (int)c["out_channels"]!,
                ResBlocks = (int)c["num_res_blocks"]!,
                AttentionRates = [.. c["attention_resolutions"]!.Select(v => (int)v)],
                ChannelMult = [.. c["channel_mult"]!.Select(v => (double)v)],
                InChannels = (int)c["in_channels"]!,
                NumHeadChannels = (int?)c["num_head_channels"],
                UseScaleShiftNorm = (bool)c["use_scale_shift_norm"]!,
                ResblockUpdown = (bool)c["resblock_updown"]!,
                Pool = Enum.Parse<PoolKind>(((string)c["pool"]!).Replace("_", "", StringComparison.Ordinal), ignoreCase: true),
            },
            "SuperResModel" => new SuperResConfig
            {
                ImageSize = (int)c["image_size"]!,
                SmallSize = 8,
                ModelChannels = (int)c["model_channels"]!,
                OutChannels = (int)c["out_channels"]!,
                ResBlocks = (int)c["num_res_blocks"]!,
                AttentionRates = [.. c["attention_resolutions"]!.Select(v => (int)v)],
                ChannelMult = [.. c["channel_mult"]!.Select(v => (double)v)],
                InChannels = (int)c["in_channels"]!,
                NumClasses = (int?)c["num_classes"],
                NumHeadChannels = (int?)c["num_head_channels"],
                UseScaleShiftNorm = (bool)c["use_scale_shift_norm"]!,
                ResblockUpdown = (bool)c["resblock_updown"]!,
            },
            "UNetModel" => new UNetConfig
            {
                ImageSize = (int)c["image_size"]!,
                ModelChannels = (int)c["model_channels"]!,
                OutChannels = (int)c["out_channels"]!,
                ResBlocks = (int)c["num_res_blocks"]!,
                AttentionRates = [.. c["attention_resolutions"]!.Select(v => (int)v)],
                ChannelMult = [.. c["channel_mult"]!.Select(v => (double)v)],
                InChannels = (int)c["in_channels"]!,
                NumClasses = (int?)c["num_classes"],
                NumHeads = (int?)c["num_heads"] ?? 1,
                NumHeadChannels = (int?)c["num_head_channels"],
                NumHeadsUpsample = (int?)c["num_heads_upsample"],
                ConvResample = (bool?)c["conv_resample"] ?? true,
                UseScaleShiftNorm = (bool)c["use_scale_shift_norm"]!,
                ResblockUpdown = (bool)c["resblock_updown"]!,
                UseNewAttentionOrder = (bool?)c["use_new_attention_order"] ?? false,
            },
            _ => throw new InvalidDataException($"unknown model kind {kind}"),
        };
    }
}
