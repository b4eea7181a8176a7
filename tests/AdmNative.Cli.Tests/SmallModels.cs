using AdmNative.Core;
using AdmNative.Diffusion;
using AdmNative.Formats;

namespace AdmNative.Tests;

/// <summary>Checkpoints of small networks with weights computed from their names.</summary>
internal static class SmallModels
{
    public static string[] UpsamplerFlags =>
    [
        "--large_size", "32", "--small_size", "8", "--num_channels", "32", "--num_res_blocks", "1", "--channel_mult", "1,1,2", "--num_head_channels", "32",
        "--attention_resolutions", "8", "--class_cond", "True", "--num_classes", "10", "--learn_sigma", "True", "--resblock_updown", "True",
    ];

    public static string Upsampler(string path) => Write(path, new SuperResConfig
    {
        ImageSize = 32,
        SmallSize = 8,
        ModelChannels = 32,
        OutChannels = 6,
        ResBlocks = 1,
        AttentionRates = [4],
        ChannelMult = [1, 1, 2],
        NumClasses = 10,
        NumHeadChannels = 32,
        UseScaleShiftNorm = true,
        ResblockUpdown = true,
    });

    /// <summary>A class-conditional model of grey 16x16 images.</summary>
    public static string Grey(string path) => Write(path, new UNetConfig
    {
        ImageSize = 16,
        InChannels = 1,
        ModelChannels = 32,
        OutChannels = 2,
        ResBlocks = 1,
        AttentionRates = [2],
        ChannelMult = [1, 2],
        NumClasses = 5,
        NumHeadChannels = 32,
        UseScaleShiftNorm = true,
        ResblockUpdown = true,
    });

    /// <summary>Writes computed weights; <paramref name="edit"/> may change a tensor's values.</summary>
    public static string Write(string path, NetworkConfig config, Action<string, float[]>? edit = null)
    {
        var weights = new ComputedWeights(new ReplayNetwork(config, new Dictionary<string, double>()), seed: 1);
        SafetensorsWriter.Write(path, weights.Tensors.Select(t =>
        {
            var values = new float[t.Value.Shape.Elements];
            weights.ReadFloats(t.Key, values);
            edit?.Invoke(t.Key, values);
            return TensorEntry.From(t.Key, Tensor.From(t.Value.Shape, values));
        }));
        return path;
    }
}
