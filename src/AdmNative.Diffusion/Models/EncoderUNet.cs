using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// The noisy classifier (EncoderUNetModel of the reference): the first half of a U-Net and a pooling head.
/// </summary>
public static class EncoderUNet
{
    /// <summary>Describes the network.</summary>
    /// <param name="graph">The graph to build in.</param>
    /// <param name="config">What to build; parameters get the reference's names.</param>
    /// <param name="x">Images [N,H,W,C]; the attention head takes its own image size only.</param>
    /// <param name="t">Times [N], f32: original step numbers.</param>
    /// <param name="options">Name prefix and dropout.</param>
    /// <returns>Logits [N,OutChannels]</returns>
    /// <exception cref="ConfigException">No such network can be built.</exception>
    /// <exception cref="ShapeException">The inputs do not fit the configuration.</exception>
    public static Node Build(Graph graph, EncoderUNetConfig config, Node x, Node t, BuildOptions? options = null)
    {
        var network = new NetworkBuilder(graph, config, options);
        network.RequireImage(x);

        Node emb = network.TimeEmbedding(t);
        Node h = x;
        var maps = new List<Node>();
        foreach (BlockSpec block in (IEnumerable<BlockSpec>)[.. network.Layout.InputBlocks, network.Layout.MiddleBlock])
        {
            h = network.Block(block, h, emb);
            maps.Add(h);
        }

        return config.Pool switch
        {
            PoolKind.Adaptive => Adaptive(network, h),
            PoolKind.Attention => AttentionPool.Build(
                network["out.2"], config, network["out.1"].Silu(network["out.0"].GroupNorm(h)), config.OutChannels),
            PoolKind.Spatial => Spatial(network, maps),
            PoolKind.SpatialV2 => SpatialV2(network, maps),
            _ => throw new ConfigException($"classifier_pool {config.Pool} is unknown"),
        };
    }

    private static Node Adaptive(NetworkBuilder network, Node h)
    {
        h = network["out.1"].Silu(network["out.0"].GroupNorm(h));
        Node mean = network["out.2"].Do(g => g.MeanSpatial(h));
        return network["out.3"].Linear(mean, network.Config.OutChannels, kernelDims: 2);
    }

    private static Node Spatial(NetworkBuilder network, List<Node> maps)
    {
        Node h = network["out.0"].Linear(Features(network, maps), EncoderUNetConfig.SpatialHidden);
        h = network["out.1"].Do(g => g.Relu(h));
        return network["out.2"].Linear(h, network.Config.OutChannels);
    }

    private static Node SpatialV2(NetworkBuilder network, List<Node> maps)
    {
        Node h = network["out.0"].Linear(Features(network, maps), EncoderUNetConfig.SpatialHidden);
        h = network["out.2"].Silu(network["out.1"].GroupNorm(h));
        return network["out.3"].Linear(h, network.Config.OutChannels);
    }

    // The mean of every map, encoder blocks first: [N,F].
    private static Node Features(NetworkBuilder network, List<Node> maps) =>
        network["out"].Do(g => g.ConcatChannels([.. maps.Select(m => g.MeanSpatial(m))]));
}
