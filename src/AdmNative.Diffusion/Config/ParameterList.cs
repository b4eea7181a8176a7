using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>Name and shape of one weight.</summary>
public sealed record ParameterSpec(string Name, Shape Shape);

/// <summary>
/// The weights of a network in state-dictionary order: time_embed, label_emb, input_blocks, middle_block, output_blocks, out;
/// weight before bias. Optimiser state is numbered by this order.
/// </summary>
public static class ParameterList
{
    /// <summary>Enumerates the weights of a network.</summary>
    /// <exception cref="ConfigException">No such network can be built.</exception>
    public static IReadOnlyList<ParameterSpec> Of(NetworkConfig config)
    {
        NetworkLayout layout = NetworkLayout.Of(config);
        var list = new List<ParameterSpec>();
        int e = config.EmbeddingWidth;

        Layer(list, "time_embed.0", e, [config.ModelChannels]);
        Layer(list, "time_embed.2", e, [e]);
        if (config.LabelCount is int labels)
        {
            list.Add(new("label_emb.weight", [labels, e]));
        }

        foreach (BlockSpec block in (IEnumerable<BlockSpec>)[.. layout.InputBlocks, layout.MiddleBlock, .. layout.OutputBlocks])
        {
            foreach (LayerSpec layer in block.Layers)
            {
                Add(list, layer, config);
            }
        }

        AddHead(list, layout, config);
        return list;
    }

    /// <summary>Number of scalars in all weights.</summary>
    public static long Count(NetworkConfig config) => Of(config).Sum(p => p.Shape.Elements);

    /// <summary>Sum of the widths of all encoder maps and the middle block: the features of the spatial heads.</summary>
    internal static int SpatialFeatures(NetworkLayout layout) => layout.InputBlocks.Sum(b => b.Out) + layout.MiddleBlock.Out;

    private static void Add(List<ParameterSpec> list, LayerSpec layer, NetworkConfig config)
    {
        string p = layer.Path;
        switch (layer)
        {
            case StemSpec:
                Layer(list, p, layer.Out, [layer.In, 3, 3]);
                break;
            case ResSpec:
                Norm(list, $"{p}.in_layers.0", layer.In);
                Layer(list, $"{p}.in_layers.2", layer.Out, [layer.In, 3, 3]);
                Layer(list, $"{p}.emb_layers.1", config.UseScaleShiftNorm ? 2 * layer.Out : layer.Out, [config.EmbeddingWidth]);
                Norm(list, $"{p}.out_layers.0", layer.Out);
                Layer(list, $"{p}.out_layers.3", layer.Out, [layer.Out, 3, 3]);
                if (layer.In != layer.Out)
                {
                    Layer(list, $"{p}.skip_connection", layer.Out, [layer.In, 1, 1]);
                }

                break;
            case AttentionSpec:
                Norm(list, $"{p}.norm", layer.In);
                Layer(list, $"{p}.qkv", 3 * layer.In, [layer.In, 1]);
                Layer(list, $"{p}.proj_out", layer.In, [layer.In, 1]);
                break;
            case ResampleSpec { Conv: true } resample:
                Layer(list, $"{p}.{(resample.Resampling == Resampling.Down ? "op" : "conv")}", layer.Out, [layer.In, 3, 3]);
                break;
            case ResampleSpec:
                break;
            default:
                throw new NotSupportedException($"{p}: unknown layer {layer}");
        }
    }

    private static void AddHead(List<ParameterSpec> list, NetworkLayout layout, NetworkConfig config)
    {
        int c = layout.HeadWidth;
        if (config is not EncoderUNetConfig classifier)
        {
            Norm(list, "out.0", c);
            Layer(list, "out.2", config.OutChannels, [c, 3, 3]);
            return;
        }

        int hidden = EncoderUNetConfig.SpatialHidden;
        switch (classifier.Pool)
        {
            case PoolKind.Adaptive:
                Norm(list, "out.0", c);
                Layer(list, "out.3", config.OutChannels, [c, 1, 1]);
                break;
            case PoolKind.Attention:
                int tokens = checked((classifier.PoolSize * classifier.PoolSize) + 1);
                Norm(list, "out.0", c);
                list.Add(new("out.2.positional_embedding", [c, tokens]));
                Layer(list, "out.2.qkv_proj", 3 * c, [c, 1]);
                Layer(list, "out.2.c_proj", config.OutChannels, [c, 1]);
                break;
            case PoolKind.Spatial:
                Layer(list, "out.0", hidden, [SpatialFeatures(layout)]);
                Layer(list, "out.2", config.OutChannels, [hidden]);
                break;
            case PoolKind.SpatialV2:
                Layer(list, "out.0", hidden, [SpatialFeatures(layout)]);
                Norm(list, "out.1", hidden);
                Layer(list, "out.3", config.OutChannels, [hidden]);
                break;
            default:
                throw new ConfigException($"classifier_pool {classifier.Pool} is unknown");
        }
    }

    private static void Layer(List<ParameterSpec> list, string path, int rows, ReadOnlySpan<long> perRow)
    {
        list.Add(new($"{path}.weight", [rows, .. perRow]));
        list.Add(new($"{path}.bias", [rows]));
    }

    private static void Norm(List<ParameterSpec> list, string path, int width)
    {
        list.Add(new($"{path}.weight", [width]));
        list.Add(new($"{path}.bias", [width]));
    }
}
