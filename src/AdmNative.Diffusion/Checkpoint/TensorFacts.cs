using System.Globalization;
using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>A value read off tensors, and the tensor that tells.</summary>
internal sealed record Fact<T>(T Value, string Evidence);

/// <summary>
/// What single tensors tell about the network they belong to, each fact on its own: a file of another architecture, or an incomplete
/// one, yields the facts it still has and null for the rest.
/// </summary>
internal sealed class TensorFacts
{
    /// <summary>Numbers beyond this are no blocks of a network that exists; a hostile name must not cost time.</summary>
    private const int BlockLimit = 1000;

    private readonly Dictionary<string, Shape> _shapes;
    private readonly Dictionary<(string List, int Block), SortedDictionary<int, LayerKind>> _blocks = [];
    private readonly int _inputCount;
    private readonly int _outputCount;

    public TensorFacts(ITensorSource source, int? preferredResBlocks = null)
    {
        _shapes = source.Tensors.ToDictionary(t => t.Key, t => t.Value.Shape);
        foreach (string name in _shapes.Keys)
        {
            Place(name);
        }

        _inputCount = Count("input_blocks");
        _outputCount = Count("output_blocks");
        IsClassifier = _outputCount == 0;
        ModelChannels = Dim("time_embed.0.weight", 2, 1);
        StemChannels = Dim("input_blocks.0.0.weight", 4, 1);
        Labels = Dim("label_emb.weight", 2, 0);
        FindHead();
        FindScaleShift();
        FindLevels(preferredResBlocks);
        FindWidths();
    }

    private enum LayerKind
    {
        Stem,
        Res,
        Attention,
        DownConv,
        UpConv,
    }

    public bool IsClassifier { get; }

    public Fact<int>? ModelChannels { get; }

    public Fact<int>? StemChannels { get; }

    /// <summary>Rows of the label embedding; null when there is none.</summary>
    public Fact<int>? Labels { get; }

    public Fact<int>? OutChannels { get; private set; }

    public Fact<PoolKind>? Pool { get; private set; }

    /// <summary>Side of the map an attention head pools.</summary>
    public Fact<int>? PoolSize { get; private set; }

    public Fact<bool>? UseScaleShiftNorm { get; private set; }

    public Fact<bool>? ResblockUpdown { get; private set; }

    /// <summary>Null when residual blocks resample or nothing does.</summary>
    public Fact<bool>? ConvResample { get; private set; }

    public Fact<int>? Levels { get; private set; }

    public Fact<int>? ResBlocks { get; private set; }

    /// <summary>Other readings of the same shapes, as residual blocks per resolution; empty when there is only one.</summary>
    public IReadOnlyList<int> OtherResBlocks { get; private set; } = [];

    /// <summary>Width of each level.</summary>
    public Fact<ValueList<int>>? Widths { get; private set; }

    public Fact<ValueList<double>>? ChannelMult { get; private set; }

    public Fact<ValueList<int>>? AttentionRates { get; private set; }

    /// <summary>The multiplier that gives this width after truncation; the shortest decimal where one does.</summary>
    internal static double Multiplier(int width, int modelChannels)
    {
        double m = (double)width / modelChannels;
        for (int digits = 1; digits <= 6; digits++)
        {
            double rounded = Math.Round(m, digits);
            if (Math.Abs(rounded - m) < 1e-9 && (int)(rounded * modelChannels) == width)
            {
                return rounded;
            }
        }

        return (int)(m * modelChannels) == width ? m : Math.BitIncrement(m);
    }

    private void Place(string name)
    {
        string[] parts = name.Split('.', 4);
        if (parts.Length < 4 || parts[0] is not ("input_blocks" or "output_blocks")
            || !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int block) || block >= BlockLimit
            || !int.TryParse(parts[2], NumberStyles.None, CultureInfo.InvariantCulture, out int layer))
        {
            return;
        }

        LayerKind? kind = parts[3].Split('.')[0] switch
        {
            "in_layers" or "emb_layers" or "out_layers" or "skip_connection" => LayerKind.Res,
            "norm" or "qkv" or "proj_out" => LayerKind.Attention,
            "op" => LayerKind.DownConv,
            "conv" => LayerKind.UpConv,
            "weight" or "bias" => LayerKind.Stem,
            _ => null,
        };
        if (kind is LayerKind k)
        {
            if (!_blocks.TryGetValue((parts[0], block), out SortedDictionary<int, LayerKind>? layers))
            {
                _blocks.Add((parts[0], block), layers = []);
            }

            layers.TryAdd(layer, k);
        }
    }

    private int Count(string list) =>
        _blocks.Keys.Where(k => k.List == list).Select(k => k.Block + 1).DefaultIfEmpty(0).Max();

    private bool Has(string list, int block, LayerKind kind, int from = 0) =>
        _blocks.TryGetValue((list, block), out SortedDictionary<int, LayerKind>? layers)
        && layers.Any(l => l.Key >= from && l.Value == kind);

    private Fact<int>? Dim(string name, int rank, int index) =>
        _shapes.TryGetValue(name, out Shape? shape) && shape.Rank == rank && shape.Dim(index) is > 0 and <= int.MaxValue
            ? new(shape[index], $"{name} {shape}")
            : null;

    private void FindHead()
    {
        if (!IsClassifier)
        {
            OutChannels = Dim("out.2.weight", 4, 0);
        }
        else if (_shapes.TryGetValue("out.2.positional_embedding", out Shape? embedding))
        {
            Pool = new(PoolKind.Attention, "out.2.positional_embedding exists");
            OutChannels = Dim("out.2.c_proj.weight", 3, 0);
            if (embedding.Rank == 2 && Root(embedding.Dim(1) - 1) is int side)
            {
                PoolSize = new(side, $"out.2.positional_embedding {embedding} = {side}x{side} places and their mean");
            }
        }
        else if (Dim("out.3.weight", 4, 0) is Fact<int> adaptive)
        {
            Pool = new(PoolKind.Adaptive, "out.3 is a 1x1 convolution");
            OutChannels = adaptive;
        }
        else if (Dim("out.3.weight", 2, 0) is Fact<int> second)
        {
            Pool = new(PoolKind.SpatialV2, "out.0 and out.3 are dense");
            OutChannels = second;
        }
        else if (Dim("out.2.weight", 2, 0) is Fact<int> first)
        {
            Pool = new(PoolKind.Spatial, "out.0 and out.2 are dense");
            OutChannels = first;
        }
    }

    private static int? Root(long square)
    {
        long root = (long)Math.Round(Math.Sqrt(Math.Max(square, 0)));
        return root > 0 && root <= 1 << 20 && root * root == square ? (int)root : null;
    }

    private void FindScaleShift()
    {
        for (int i = 1; i < _inputCount && UseScaleShiftNorm is null; i++)
        {
            if (Dim($"input_blocks.{i}.0.emb_layers.1.weight", 2, 0) is Fact<int> rows
                && Dim($"input_blocks.{i}.0.out_layers.0.weight", 1, 0) is Fact<int> width)
            {
                UseScaleShiftNorm = rows.Value == 2 * width.Value
                    ? new(true, $"{rows.Evidence}: two rows per channel")
                    : rows.Value == width.Value ? new(false, $"{rows.Evidence}: one row per channel") : null;
            }
        }
    }

    private void FindLevels(int? preferredResBlocks)
    {
        int[] blocks = [.. Enumerable.Range(1, Math.Max(_inputCount - 1, 0))];
        int convs = blocks.Count(i => Has("input_blocks", i, LayerKind.DownConv));
        int gaps = blocks.Count(i => !_blocks.ContainsKey(("input_blocks", i)));
        int ups = Enumerable.Range(0, _outputCount).Count(i => Has("output_blocks", i, LayerKind.Res, from: 1));
        int convUps = Enumerable.Range(0, _outputCount).Count(i => Has("output_blocks", i, LayerKind.UpConv));
        if (convs > 0 || convUps > 0)
        {
            Levels = new(Math.Max(convs, convUps) + 1, $"{convs} down-sampling convolutions (*.op.weight)");
            ResblockUpdown = new(false, convs > 0 ? "*.op.weight exists" : "*.conv.weight exists");
            ConvResample = new(true, ResblockUpdown.Evidence);
        }
        else if (ups > 0)
        {
            Levels = new(ups + 1, $"{ups} output blocks have a second residual block, which up-samples");
            ResblockUpdown = new(true, Levels.Evidence);
        }
        else if (gaps > 0)
        {
            Levels = new(gaps + 1, $"{gaps} numbers of input_blocks have no weights: plain pooling");
            ResblockUpdown = new(false, Levels.Evidence);
            ConvResample = new(false, Levels.Evidence);
        }
        else if (IsClassifier)
        {
            FindLevelsByPattern(preferredResBlocks);
            return;
        }
        else if (_outputCount > 0)
        {
            Levels = new(1, "no block resamples");
        }

        int total = Math.Max(_inputCount, _outputCount);
        if (Levels is Fact<int> levels && total % levels.Value == 0 && total / levels.Value >= 2)
        {
            ResBlocks = new((total / levels.Value) - 1, $"{total} blocks on {levels.Value} resolutions, one of each resamples or starts");
        }
    }

    /// <summary>
    /// A classifier whose residual blocks resample: a down-sampling block looks like any block that keeps its width and has no
    /// attention. All (L, R) with L (R + 1) blocks are tried against widths and attention.
    /// </summary>
    private void FindLevelsByPattern(int? preferred)
    {
        var readings = new List<(int L, int R)>();
        for (int r = 1; r < _inputCount; r++)
        {
            if (_inputCount % (r + 1) == 0 && Fits(_inputCount / (r + 1), r))
            {
                readings.Add((_inputCount / (r + 1), r));
            }
        }

        if (readings.Count == 0)
        {
            return;
        }

        // Where several fit: what the caller prefers, else the depths in use (2, 1, 3, 4), else the shallowest.
        static int Rank(int r) => r switch { 2 => 0, 1 => 1, _ => r };
        (int levels, int blocks) = readings.OrderBy(x => x.R == preferred ? 0 : 1).ThenBy(x => Rank(x.R)).First();
        Levels = new(levels, $"{_inputCount} input_blocks, their widths and attention");
        ResBlocks = new(blocks, Levels.Evidence);
        OtherResBlocks = [.. readings.Where(x => x.R != blocks).Select(x => x.R)];
        ResblockUpdown = levels > 1 ? new(true, "down-sampling blocks have residual weights") : null;
    }

    private bool Fits(int levels, int resBlocks)
    {
        for (int i = 1; i < _inputCount; i++)
        {
            int place = i % (resBlocks + 1);
            bool down = place == 0;
            bool first = place == 1;
            bool attention = Has("input_blocks", i, LayerKind.Attention);
            if ((Width(i) is int width && Width(i - 1) is int before && width != before && !(first && i > 1))
                || (down && attention)
                || (!down && !first && attention != Has("input_blocks", i - 1, LayerKind.Attention)))
            {
                return false;
            }
        }

        return levels >= 1;
    }

    private int? Width(int block) => block == 0
        ? Dim("input_blocks.0.0.weight", 4, 0)?.Value
        : Dim($"input_blocks.{block}.0.out_layers.0.weight", 1, 0)?.Value ?? Dim($"input_blocks.{block}.0.op.weight", 4, 0)?.Value;

    private void FindWidths()
    {
        if (Levels is not Fact<int> levels || ResBlocks is not Fact<int> resBlocks)
        {
            return;
        }

        var widths = new List<int>();
        var rates = new List<int>();
        for (int level = 0; level < levels.Value && level < 31; level++)
        {
            int block = 1 + (level * (resBlocks.Value + 1));
            if (Width(block) is not int width)
            {
                return;
            }

            widths.Add(width);
            if (Has("input_blocks", block, LayerKind.Attention))
            {
                rates.Add(1 << level);
            }
        }

        Widths = new([.. widths], $"widths of input_blocks: {string.Join(",", widths)}");
        AttentionRates = new([.. rates], rates.Count == 0
            ? "no qkv in input_blocks"
            : $"qkv in input_blocks at downsample rate {string.Join(",", rates)}");
        if (ModelChannels is Fact<int> channels)
        {
            ChannelMult = new([.. widths.Select(w => Multiplier(w, channels.Value))], $"{Widths.Evidence}; base width {channels.Value}");
        }
    }
}
