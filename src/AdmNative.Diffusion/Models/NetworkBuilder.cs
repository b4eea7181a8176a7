using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// What the U-Net and the classifier share: the timestep embedding and the walk over the blocks of a layout.
/// </summary>
internal sealed class NetworkBuilder
{
    private readonly Graph _graph;
    private readonly string _prefix;
    private readonly Node? _dropoutSeed;
    private int _dropoutStream;

    public NetworkBuilder(Graph graph, NetworkConfig config, BuildOptions? options)
    {
        _graph = graph;
        _prefix = options?.Prefix ?? "";
        _dropoutSeed = options?.DropoutSeed;
        Config = config;
        Layout = NetworkLayout.Of(config);
    }

    public NetworkConfig Config { get; }

    public NetworkLayout Layout { get; }

    /// <summary>The place of a checkpoint path.</summary>
    public Module this[string path] => new(_graph, _prefix + path);

    /// <summary>emb = W2 silu(W0 sinusoid(t)): [N] -> [N,E].</summary>
    public Node TimeEmbedding(Node t)
    {
        Module at = this["time_embed"];
        Node wave = at.Do(g => g.TimestepEmbedding(t, Config.ModelChannels));
        Node h = at["1"].Silu(at["0"].Linear(wave, Config.EmbeddingWidth));
        return at["2"].Linear(h, Config.EmbeddingWidth);
    }

    /// <summary>Runs the layers of a block; only residual blocks see emb.</summary>
    public Node Block(BlockSpec block, Node h, Node emb)
    {
        foreach (LayerSpec layer in block.Layers)
        {
            h = layer switch
            {
                StemSpec stem => this[stem.Path].Conv3x3(h, stem.Out),
                ResSpec res => ResBlock.Build(this, res, h, emb),
                AttentionSpec attention => AttentionBlock.Build(this, attention, h),
                ResampleSpec resample => Resampler.Build(this, resample, h),
                _ => throw new NotSupportedException($"{layer.Path}: unknown layer {layer}"),
            };
        }

        return h;
    }

    /// <summary>
    /// Dropout in training builds (a seed was given), x itself otherwise. Each call takes the next stream.
    /// </summary>
    public Node Dropout(Module at, Node x) => _dropoutSeed is null || Config.Dropout == 0
        ? x
        : at.Do(g => g.Dropout(x, _dropoutSeed, Config.Dropout, _dropoutStream++));

    /// <summary>Throws unless x is [N,H,W,C] of this network's channels with sides that the levels can halve.</summary>
    public void RequireImage(Node x)
    {
        int unit = 1 << (Config.Levels - 1);
        if (x.Shape.Rank != 4 || x.Shape.Last != Config.StemChannels)
        {
            throw new ShapeException($"the network takes [N,H,W,{Config.StemChannels}], got {x.Shape}");
        }

        if (x.Shape[1] % unit != 0 || x.Shape[2] % unit != 0)
        {
            throw new ShapeException(
                $"images of {x.Shape[1]}x{x.Shape[2]} cannot be halved {Config.Levels - 1} times; "
                + $"height and width must be multiples of {unit}");
        }
    }
}
