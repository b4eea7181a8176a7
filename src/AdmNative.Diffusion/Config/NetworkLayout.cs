namespace AdmNative.Diffusion;

/// <summary>What a residual block or a resampling layer does to the map.</summary>
public enum Resampling : byte
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>Halves height and width.</summary>
    Down,

    /// <summary>Doubles height and width.</summary>
    Up,
}

/// <summary>One layer of a block. <paramref name="Path"/> is its checkpoint prefix, e.g. "input_blocks.4.1".</summary>
public abstract record LayerSpec(string Path, int In, int Out);

/// <summary>The first 3x3 convolution.</summary>
public sealed record StemSpec(string Path, int In, int Out) : LayerSpec(Path, In, Out);

/// <summary>A residual block; a 1x1 skip convolution exists when the widths differ.</summary>
public sealed record ResSpec(string Path, int In, int Out, Resampling Resampling = Resampling.None) : LayerSpec(Path, In, Out);

/// <summary>A self-attention layer.</summary>
public sealed record AttentionSpec(string Path, int Width, int Heads) : LayerSpec(Path, Width, Width);

/// <summary>A resampling layer of a network without resblock_updown; <paramref name="Conv"/> = with a learned 3x3 convolution.</summary>
public sealed record ResampleSpec(string Path, int Width, Resampling Resampling, bool Conv) : LayerSpec(Path, Width, Width);

/// <summary>
/// Layers that run one after the other. <paramref name="Rate"/> is the downsample rate of the block's result;
/// <paramref name="Skip"/> is the width of the remembered map concatenated before it (0 in the encoder).
/// </summary>
public sealed record BlockSpec(string Path, ValueList<LayerSpec> Layers, int Rate, int Skip = 0)
{
    /// <summary>Width of the block's result.</summary>
    public int Out => Layers[^1].Out;
}

/// <summary>
/// The blocks of a network in creation order, which fixes parameter names and their order. Parameter enumeration, graph
/// builders and checkpoint inspection all walk this one list.
/// </summary>
public sealed class NetworkLayout
{
    private NetworkLayout(List<BlockSpec> input, BlockSpec middle, List<BlockSpec> output)
    {
        InputBlocks = input;
        MiddleBlock = middle;
        OutputBlocks = output;
    }

    /// <summary>The encoder, stem included.</summary>
    public IReadOnlyList<BlockSpec> InputBlocks { get; }

    /// <summary>Residual block, attention, residual block.</summary>
    public BlockSpec MiddleBlock { get; }

    /// <summary>The decoder; empty for a classifier.</summary>
    public IReadOnlyList<BlockSpec> OutputBlocks { get; }

    /// <summary>Width that the head ("out") sees.</summary>
    public int HeadWidth => OutputBlocks.Count == 0 ? MiddleBlock.Out : OutputBlocks[^1].Out;

    /// <summary>Validates the configuration and lays its blocks out.</summary>
    /// <exception cref="ConfigException">No such network can be built.</exception>
    public static NetworkLayout Of(NetworkConfig config)
    {
        config.Validate();
        var input = new List<BlockSpec>();
        var skips = new Stack<int>();
        int ch = config.Width(0);
        int rate = 1;

        void Encode(params ReadOnlySpan<LayerSpec> layers)
        {
            input.Add(new BlockSpec($"input_blocks.{input.Count}", ValueList.Create(layers), rate));
            skips.Push(ch);
        }

        string At(int layer) => $"input_blocks.{input.Count}.{layer}";

        Encode(new StemSpec(At(0), config.StemChannels, ch));
        for (int level = 0; level < config.Levels; level++)
        {
            int width = config.Width(level);
            for (int i = 0; i < config.ResBlocks; i++)
            {
                var res = new ResSpec(At(0), ch, width);
                ch = width;
                if (config.HasAttention(rate))
                {
                    Encode(res, new AttentionSpec(At(1), ch, config.HeadsAt(ch)));
                }
                else
                {
                    Encode(res);
                }
            }

            if (level < config.Levels - 1)
            {
                LayerSpec down = Resample(config, At(0), ch, Resampling.Down);
                rate *= 2;
                Encode(down);
            }
        }

        var middle = new BlockSpec("middle_block",
        [
            new ResSpec("middle_block.0", ch, ch),
            new AttentionSpec("middle_block.1", ch, config.HeadsAt(ch)),
            new ResSpec("middle_block.2", ch, ch),
        ], rate);

        var output = new List<BlockSpec>();
        if (config is UNetConfig unet)
        {
            for (int level = config.Levels - 1; level >= 0; level--)
            {
                int width = config.Width(level);
                for (int i = 0; i <= config.ResBlocks; i++)
                {
                    string path = $"output_blocks.{output.Count}";
                    int skip = skips.Pop();
                    var layers = new List<LayerSpec> { new ResSpec($"{path}.0", ch + skip, width) };
                    ch = width;
                    if (config.HasAttention(rate))
                    {
                        layers.Add(new AttentionSpec($"{path}.1", ch, unet.UpsampleHeadsAt(ch)));
                    }

                    if (level > 0 && i == config.ResBlocks)
                    {
                        layers.Add(Resample(config, $"{path}.{layers.Count}", ch, Resampling.Up));
                        rate /= 2;
                    }

                    output.Add(new BlockSpec(path, [.. layers], rate, skip));
                }
            }
        }

        return new NetworkLayout(input, middle, output);
    }

    private static LayerSpec Resample(NetworkConfig config, string path, int width, Resampling resampling) =>
        config.ResblockUpdown
            ? new ResSpec(path, width, width, resampling)
            : new ResampleSpec(path, width, resampling, config.ConvResample);
}
