using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// The diffusion network (UNetModel of the reference): encoder, middle and decoder blocks of residual, attention and
/// resampling layers. Each decoder block starts from [current map, remembered map] along channels.
/// </summary>
public static class UNet
{
    /// <summary>Describes the network.</summary>
    /// <param name="graph">The graph to build in.</param>
    /// <param name="config">What to build; parameters get the reference's names.</param>
    /// <param name="x">Images [N,H,W,C], C = <see cref="NetworkConfig.StemChannels"/>; any H and W that the levels can
    /// halve.</param>
    /// <param name="t">Times [N], f32; original step numbers, possibly rescaled.</param>
    /// <param name="y">Labels [N], i32: given exactly when the network has classes.</param>
    /// <param name="options">Name prefix and dropout.</param>
    /// <returns>[N,H,W,OutChannels]</returns>
    /// <exception cref="ConfigException">No such network can be built.</exception>
    /// <exception cref="ShapeException">The inputs do not fit the configuration.</exception>
    public static Node Build(
        Graph graph, UNetConfig config, Node x, Node t, Node? y = null, BuildOptions? options = null)
    {
        var network = new NetworkBuilder(graph, config, options);
        network.RequireImage(x);

        Node emb = network.TimeEmbedding(t);
        emb = AddLabels(network, emb, y);

        Node h = x;
        var remembered = new Stack<Node>();
        foreach (BlockSpec block in network.Layout.InputBlocks)
        {
            h = network.Block(block, h, emb);
            remembered.Push(h);
        }

        h = network.Block(network.Layout.MiddleBlock, h, emb);
        foreach (BlockSpec block in network.Layout.OutputBlocks)
        {
            Node current = h;
            h = network[block.Path].Do(g => g.ConcatChannels(current, remembered.Pop()));
            h = network.Block(block, h, emb);
        }

        h = network["out.1"].Silu(network["out.0"].GroupNorm(h));
        return network["out.2"].Conv3x3(h, config.OutChannels);
    }

    private static Node AddLabels(NetworkBuilder network, Node emb, Node? y)
    {
        if (network.Config.LabelCount is not int classes)
        {
            return y is null ? emb : throw new ShapeException("labels were given to an unconditional network");
        }

        if (y is null)
        {
            throw new ShapeException($"the network is conditioned on {classes} classes; give the labels y");
        }

        Module at = network["label_emb"];
        Node table = at.Parameter("weight", [classes, network.Config.EmbeddingWidth]);
        return at.Do(g => g.Plus(emb, g.Embedding(table, y)));
    }
}
