namespace AdmNative.Cuda;

/// <summary>Resampling fused behind a normalisation.</summary>
public enum KernelResample
{
    /// <summary>None.</summary>
    Keep,

    /// <summary>Mean of 2x2 pixels.</summary>
    Down2,

    /// <summary>Nearest neighbour, twice the size.</summary>
    Up2,
}

/// <summary>What a group normalisation works on: x [N, H, W, C] in G groups, with SiLU and resampling behind it.</summary>
/// <param name="N">Samples.</param>
/// <param name="H">Height of x.</param>
/// <param name="W">Width of x.</param>
/// <param name="C">Channels.</param>
/// <param name="G">Groups; divides C.</param>
public sealed record GroupNormShape(int N, int H, int W, int C, int G)
{
    /// <summary>SiLU after the affine part.</summary>
    public bool Silu { get; init; }

    /// <summary>Resampling after the activation; Down2 needs even H and W.</summary>
    public KernelResample Resample { get; init; }

    /// <summary>True with AdaGN's scale and shift.</summary>
    public bool Modulated { get; init; }

    /// <summary>True to take two launches where one would do: for comparisons.</summary>
    public bool Staged { get; init; }

    /// <summary>Elements between pixels of x; 0 = C.</summary>
    public long StrideX { get; init; }

    /// <summary>Elements between pixels of y; 0 = C.</summary>
    public long StrideY { get; init; }

    /// <summary>Elements between pixels of dy; 0 = C.</summary>
    public long StrideDy { get; init; }

    /// <summary>Elements between pixels of dx; 0 = C.</summary>
    public long StrideDx { get; init; }

    /// <summary>Elements between pixels of dxIn; 0 = C.</summary>
    public long StrideDxIn { get; init; }

    /// <summary>Pixels of x per sample.</summary>
    public long Pixels => (long)H * W;

    /// <summary>Pixels of y per sample.</summary>
    public long ResultPixels => Resample switch { KernelResample.Down2 => Pixels / 4, KernelResample.Up2 => 4 * Pixels, _ => Pixels };

    internal int D => C / G;

    internal long X => StrideX == 0 ? C : StrideX;

    internal long Y => StrideY == 0 ? C : StrideY;

    internal long Dy => StrideDy == 0 ? C : StrideDy;

    internal long Dx => StrideDx == 0 ? C : StrideDx;

    internal long DxIn => StrideDxIn == 0 ? C : StrideDxIn;
}

/// <summary>A planned group normalisation, forward or backward.</summary>
public sealed record GroupNormPlan : KernelPlan
{
    internal GroupNormPlan(GroupNormShape shape, KernelDType dtype, IReadOnlyList<Step> steps, long workspaceBytes, long contractBytes)
        : base([.. steps.Select(s => s.Launch)], workspaceBytes)
    {
        (Shape, DType, Steps, ContractBytes) = (shape, dtype, steps, contractBytes);
    }

    /// <summary>What it works on.</summary>
    public GroupNormShape Shape { get; }

    /// <summary>Element type of x, y and their gradients.</summary>
    public KernelDType DType { get; }

    /// <summary>True when one launch does all of it.</summary>
    public bool IsSmall => Steps[0].Launch.Entry.StartsWith("gn_small", StringComparison.Ordinal);

    /// <summary>
    /// The traffic formula of the operation, with S = N P C elements of b bytes: forward 2 S b in one launch, 3 S b in two; backward 5 S b, 6 S b
    /// with dxIn; resampling changes the share of y (a quarter, or four times) or dy. Statistics and parameters, which it leaves out, are in the launches' own formulas.
    /// </summary>
    public long ContractBytes { get; }

    /// <summary>Bytes of the tickets, u32 words by which the last block with sums of the same channels knows that it is; 0 where none are taken.</summary>
    public long TicketBytes => Steps[0].Unit == 0 ? 0 : 4L * Shape.N * LaunchRule.CeilDiv(Shape.C, Steps[0].Unit);

    /// <summary>Tickets that all blocks together take.</summary>
    public long TicketsTaken => (long)Shape.N * Steps[0].Slices * Steps[0].TicketsOfSlice(Shape.C);

    internal IReadOnlyList<Step> Steps { get; }

    /// <summary>
    /// A launch and how it divides the work: slabs of channels per sample, channels of a slab, slices of pixels, pixels of a slice; channels that have a
    /// ticket together, 0 without tickets.
    /// </summary>
    internal sealed record Step(PlannedLaunch Launch, int Slabs, int Channels, int Slices, int Rows, int Unit = 0)
    {
        /// <summary>Tickets that the blocks of a sample's slice take: each one for every unit it has channels of.</summary>
        internal long TicketsOfSlice(int channels)
        {
            long all = 0;
            for (int first = 0; Unit > 0 && first < channels; first += Channels)
            {
                all += ((Math.Min(first + Channels, channels) - 1) / Unit) - (first / Unit) + 1;
            }

            return all;
        }
    }
}
