using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>
/// The small networks of the specification's check values: configurations, weights by the fill rule, and the input
/// image.
/// </summary>
internal static class SpecNetworks
{
    public static readonly UNetConfig Common = new()
    {
        ImageSize = 8,
        ModelChannels = 32,
        OutChannels = 6,
        ResBlocks = 1,
        AttentionRates = [2],
        ChannelMult = [1, 2],
        NumClasses = 4,
        NumHeads = 2,
        UseScaleShiftNorm = true,
        ResblockUpdown = true,
    };

    public static UNetConfig UNet(char which) => which switch
    {
        'A' => Common,
        'B' => Common with { UseNewAttentionOrder = true },
        'C' => Common with { NumClasses = null, UseScaleShiftNorm = false, ResblockUpdown = false },
        'D' => Common with { NumHeadChannels = 16 },
        'I' => Common with { NumClasses = null, ChannelMult = [1, 1, 2], ResBlocks = 2, AttentionRates = [2, 4] },
        _ => throw new ArgumentOutOfRangeException(nameof(which)),
    };

    public static EncoderUNetConfig Classifier(PoolKind pool) => new()
    {
        ImageSize = 8,
        ModelChannels = 32,
        OutChannels = 5,
        ResBlocks = 1,
        AttentionRates = [2],
        ChannelMult = [1, 2],
        NumHeads = 2,
        NumHeadChannels = 32,
        UseScaleShiftNorm = true,
        ResblockUpdown = true,
        Pool = pool,
    };

    /// <summary>Tensor n, element i: sc * sin(1.3 (n+1) + 0.7 i); norm weights get + 1.</summary>
    public static Dictionary<string, HostArray<double>> Weights(NetworkConfig config)
    {
        var result = new Dictionary<string, HostArray<double>>();
        IReadOnlyList<ParameterSpec> specs = ParameterList.Of(config);
        for (int n = 0; n < specs.Count; n++)
        {
            (string name, Shape shape) = specs[n];
            bool positional = name.EndsWith("positional_embedding", StringComparison.Ordinal);
            bool norm = shape.Rank == 1 && name.EndsWith("weight", StringComparison.Ordinal);
            double scale = shape.Rank == 1 || positional ? 0.1
                : name.StartsWith("label_emb", StringComparison.Ordinal) ? 0.5 : 1 / Math.Sqrt(shape.Elements / (double)shape[0]);
            var value = new HostArray<double>(shape);
            for (int i = 0; i < value.Data.Length; i++)
            {
                value.Data[i] = (scale * Math.Sin((1.3 * (n + 1)) + (0.7 * i))) + (norm ? 1 : 0);
            }

            result.Add(name, value);
        }

        return result;
    }

    /// <summary>Channel c, pixel i: sin(0.37 (64 c + i)), as [1,8,8,3].</summary>
    public static HostArray<double> Image()
    {
        var x = new HostArray<double>([1, 8, 8, 3]);
        for (int c = 0; c < 3; c++)
        {
            for (int i = 0; i < 64; i++)
            {
                x.Data[(i * 3) + c] = Math.Sin(0.37 * ((c * 64) + i));
            }
        }

        return x;
    }
}

/// <summary>Weights given as arrays.</summary>
internal sealed class GivenWeights(IReadOnlyDictionary<string, HostArray<double>> values) : ITensorSource
{
    public string Description => "given weights";

    public IReadOnlyDictionary<string, TensorType> Tensors { get; } =
        values.ToDictionary(v => v.Key, v => TensorType.F32(v.Value.Shape));

    public void ReadFloats(string name, Span<float> destination)
    {
        for (int i = 0; i < destination.Length; i++)
        {
            destination[i] = (float)values[name].Data[i];
        }
    }
}
