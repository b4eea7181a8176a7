using System.Numerics;

namespace AdmNative.Cuda;

/// <summary>
/// A convolution or input gradient as the kernel sees it: a source, a result, and taps along an axis for each phase of the result (see
/// kernels/common/conv.cuh). Both axes have the same taps.
/// </summary>
internal sealed record ConvGeometry(int N, int H, int W, int C, int K, int Ho, int Wo, int Side, int Stride, int Spread, IReadOnlyList<(int Offset, int Filter)>[] Taps)
{
    /// <summary>Rows of a phase.</summary>
    public int RowsH => (Ho + Spread - 1) / Spread;

    /// <summary>Columns of a phase.</summary>
    public int RowsW => (Wo + Spread - 1) / Spread;

    /// <summary>1 or 4.</summary>
    public int Phases => Spread * Spread;

    /// <summary>Rows of a phase over all samples.</summary>
    public long Rows => (long)N * RowsH * RowsW;

    /// <summary>Pixels of the result.</summary>
    public long Pixels => (long)N * Ho * Wo;

    /// <summary>y from x.</summary>
    public static ConvGeometry Forward(ConvShape s) => s switch
    {
        { Upsample: true } => new(
            s.N, s.H, s.W, s.C, s.K, s.ResultH, s.ResultW, 3, 1, 2, [[.. Range(3).Select(r => (((r + 1) >> 1) - 1, r))], [.. Range(3).Select(r => (((r + 2) >> 1) - 1, r))]]),
        _ => new(s.N, s.H, s.W, s.C, s.K, s.ResultH, s.ResultW, s.Side, s.Stride, 1, [Plain(s.Side)]),
    };

    /// <summary>
    /// dx from dy; filters are transposed and flipped. With stride 2, row 2 i of dx meets only the middle of the filter, row 2 i + 1 both ends. With
    /// upsampling, dx gathers what its two upsampled rows 2 i and 2 i + 1 would.
    /// </summary>
    public static ConvGeometry InputGradient(ConvShape s) => s switch
    {
        { Upsample: true } => new(
            s.N, s.ResultH, s.ResultW, s.K, s.C, s.H, s.W, 3, 2, 1, [[.. Range(2).SelectMany(q => Range(3).Select(r => (q + r - 1, r)))]]),
        { Stride: 2 } => new(s.N, s.ResultH, s.ResultW, s.K, s.C, s.H, s.W, 3, 1, 2, [[(0, 1)], [(0, 0), (1, 2)]]),
        _ => new(s.N, s.ResultH, s.ResultW, s.K, s.C, s.H, s.W, s.Side, 1, 1, [Plain(s.Side)]),
    };

    /// <summary>Tiles of rows of one phase (and one sample).</summary>
    public long TilesOfPart(int tile, bool bySample) => LaunchRule.CeilDiv(bySample ? (long)RowsH * RowsW : Rows, tile);

    /// <summary>Tiles of rows.</summary>
    public long TilesM(int tile, bool bySample) => TilesOfPart(tile, bySample) * Phases * (bySample ? N : 1);

    /// <summary>Taps of a phase along both axes.</summary>
    public int TapsOf(int phase) => Vertical(phase).Count * Horizontal(phase).Count;

    /// <summary>Taps of all phases.</summary>
    public int TapsOfAllPhases => Enumerable.Range(0, Phases).Sum(TapsOf);

    /// <summary>Pairs of a row and a tap whose source pixel exists, over all phases and samples.</summary>
    public long ValidPairs => N * Enumerable.Range(0, Phases).Sum(f => Inside(Vertical(f), RowsH, H) * Inside(Horizontal(f), RowsW, W));

    /// <summary>Taps of an axis as the kernel takes them.</summary>
    public uint Packed(int phase) => Taps[Math.Min(phase, Taps.Length - 1)].Select((t, a) => (uint)(((t.Offset + 1) | (t.Filter << 2)) << (3 + (4 * a)))).Aggregate(
        (uint)Taps[Math.Min(phase, Taps.Length - 1)].Count, (all, one) => all | one);

    /// <summary>Factor and shift that divide by d: floor(n / d) = (2 n factor >> 32) >> shift for n below 2^31.</summary>
    public static (uint Factor, uint Shift) Magic(long d)
    {
        int shift = d == 1 ? 0 : 64 - BitOperations.LeadingZeroCount((ulong)d - 1);
        return (checked((uint)(((UInt128.One << (31 + shift)) + (ulong)d - 1) / (ulong)d)), (uint)shift);
    }

    private static IEnumerable<int> Range(int count) => Enumerable.Range(0, count);

    private static IReadOnlyList<(int Offset, int Filter)> Plain(int side) => [.. Range(side).Select(r => (r - (side / 2), r))];

    private long Inside(IReadOnlyList<(int Offset, int Filter)> taps, int rows, int size) =>
        taps.Sum(t => Math.Max(0, Math.Min(rows - 1, FloorDiv(size - 1 - t.Offset, Stride)) - Math.Max(0, -FloorDiv(t.Offset, Stride)) + 1L));

    private static int FloorDiv(int a, int b) => (int)Math.Floor((double)a / b);

    private IReadOnlyList<(int Offset, int Filter)> Vertical(int phase) => Taps[Spread == 1 ? 0 : phase >> 1];

    private IReadOnlyList<(int Offset, int Filter)> Horizontal(int phase) => Taps[Spread == 1 ? 0 : phase & 1];
}
