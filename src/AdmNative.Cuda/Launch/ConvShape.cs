namespace AdmNative.Cuda;

/// <summary>
/// A convolution: x [N, H, W, C] with filters [K, side, side, C] to y [N, Ho, Wo, K], zero padding of side / 2 pixels. Weights are dense, with C
/// rounded up to whole 16 bytes; the kernels never read what lies beyond C, weight gradients are zero there.
/// </summary>
/// <param name="N">Samples.</param>
/// <param name="H">Height of x.</param>
/// <param name="W">Width of x.</param>
/// <param name="C">Channels of x.</param>
/// <param name="K">Channels of y.</param>
public sealed record ConvShape(int N, int H, int W, int C, int K)
{
    /// <summary>Side of the filters: 3 or 1.</summary>
    public int Side { get; init; } = 3;

    /// <summary>Pixels of x per pixel of y: 1, or 2 for 3x3.</summary>
    public int Stride { get; init; } = 1;

    /// <summary>x is read as if upsampled to twice its size by nearest neighbour; 3x3 with stride 1.</summary>
    public bool Upsample { get; init; }

    /// <summary>A bias is added (forward).</summary>
    public bool Bias { get; init; } = true;

    /// <summary>A residual is added to y (forward), or an addend to dx (input gradient).</summary>
    public bool Residual { get; init; }

    /// <summary>Elements between pixels of x or dx; 0 = C in whole 16 bytes.</summary>
    public long StrideX { get; init; }

    /// <summary>Elements between pixels of y or dy; 0 = K in whole 16 bytes.</summary>
    public long StrideY { get; init; }

    /// <summary>Elements between pixels of the residual or addend; 0 = its channels in whole 16 bytes.</summary>
    public long StrideResidual { get; init; }

    /// <summary>Height of y.</summary>
    public int ResultH => Upsample ? 2 * H : ((H - 1) / Stride) + 1;

    /// <summary>Width of y.</summary>
    public int ResultW => Upsample ? 2 * W : ((W - 1) / Stride) + 1;

    /// <summary>Pixels of y in all samples.</summary>
    public long ResultPixels => (long)N * ResultH * ResultW;

    /// <summary>Elements of the weights and of their gradient, padding included.</summary>
    public long WeightElements(KernelDType dtype) => K * (long)Side * Side * Padded(C, dtype);

    /// <summary>Channels in whole 16 bytes.</summary>
    public static int Padded(int channels, KernelDType dtype) => (int)LaunchRule.RoundUp(channels, 16 / dtype.Bytes());
}

/// <summary>Which product of a convolution.</summary>
public enum ConvPass
{
    /// <summary>y.</summary>
    Forward,

    /// <summary>dx, from dy and flipped weights.</summary>
    InputGradient,
}

/// <summary>A planned convolution or input gradient: one launch, whose blocks may each have a slice of the depth of the product.</summary>
public sealed record ConvPlan : KernelPlan
{
    internal ConvPlan(ConvShape shape, KernelDType dtype, ConvPass pass, ConvGeometry geometry, int tile, int slices, bool statistics, IReadOnlyList<PlannedLaunch> launches, long workspaceBytes)
        : base(launches, workspaceBytes)
    {
        (Shape, DType, Pass, Geometry, Tile, Slices, HasStatistics) = (shape, dtype, pass, geometry, tile, slices, statistics);
    }

    /// <summary>The forward convolution it belongs to.</summary>
    public ConvShape Shape { get; }

    /// <summary>Element type of activations and weights.</summary>
    public KernelDType DType { get; }

    /// <summary>Which product.</summary>
    public ConvPass Pass { get; }

    /// <summary>Rows and columns of a block's tile: 64 or 128.</summary>
    public int Tile { get; }

    /// <summary>Slices of the depth.</summary>
    public int Slices { get; }

    /// <summary>Bytes of the tickets, a u32 per tile, by which the last slice of a tile knows that it is; 0 with one slice.</summary>
    public long TicketBytes => Slices > 1 ? 4 * (Launches[0].Shape.GridX / Slices) : 0;

    /// <summary>Sums for a following group norm are stored.</summary>
    public bool HasStatistics { get; }

    /// <summary>Slices of pixels per sample in those sums.</summary>
    public int StatisticsSlices => (int)Geometry.TilesOfPart(Tile, bySample: true) * Geometry.Phases;

    /// <summary>Bytes of those sums, f32 [N, slices, 2, K]; 0 without.</summary>
    public long StatisticsBytes => HasStatistics ? 8L * Geometry.N * StatisticsSlices * Geometry.K : 0;

    internal ConvGeometry Geometry { get; }
}

/// <summary>A planned weight gradient: the product, the sum of its slices if there are several, and the same for the bias.</summary>
public sealed record ConvGradientPlan : KernelPlan
{
    internal ConvGradientPlan(
        ConvShape shape, KernelDType dtype, int tile, (int Slices, int Rows) weights, (int Slices, int Rows) bias, bool accumulate, IReadOnlyList<PlannedLaunch> launches, long weightBytes, long workspaceBytes)
        : base(launches, workspaceBytes)
    {
        (Shape, DType, Tile, Weights, BiasSlices, Accumulate, WeightWorkspaceBytes) = (shape, dtype, tile, weights, bias, accumulate, weightBytes);
    }

    /// <summary>The forward convolution.</summary>
    public ConvShape Shape { get; }

    /// <summary>Element type of x and dy.</summary>
    public KernelDType DType { get; }

    /// <summary>Rows and columns of a block's tile: 64 or 128.</summary>
    public int Tile { get; }

    /// <summary>Gradients are added to what is there.</summary>
    public bool Accumulate { get; }

    /// <summary>Slices of the pixels.</summary>
    public int Slices => Weights.Slices;

    internal (int Slices, int Rows) Weights { get; }

    /// <summary>Slices and rows of the bias gradient; none without.</summary>
    internal (int Slices, int Rows) BiasSlices { get; }

    /// <summary>Where the partial sums of the bias begin in the workspace.</summary>
    internal long WeightWorkspaceBytes { get; }
}

/// <summary>A planned preparation of weights for an input gradient.</summary>
/// <param name="Shape">The forward convolution.</param>
/// <param name="DType">Element type.</param>
/// <param name="Launches">One.</param>
public sealed record ConvFlipPlan(ConvShape Shape, KernelDType DType, IReadOnlyList<PlannedLaunch> Launches) : KernelPlan(Launches, 0);
