using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>What relates pixels to samples and channels; names the entries.</summary>
public enum SpatialOp
{
    /// <summary>y = x (1 + scale) + shift.</summary>
    Modulate,

    /// <summary>y = factor shift, the same for every pixel.</summary>
    Broadcast,

    /// <summary>out = factor sum of x over pixels (+ out).</summary>
    Sum,

    /// <summary>out = factor sum of x dy, then of dy, over pixels (+ out): 2 C columns.</summary>
    Dot,
}

/// <summary>Shape of an operation on [N, Pixels, C]. Strides are elements; 0 = dense.</summary>
/// <param name="Op">The operation.</param>
/// <param name="N">Samples; 1 to sum over all rows.</param>
/// <param name="Pixels">Pixels per sample.</param>
/// <param name="C">Channels.</param>
public readonly record struct SpatialShape(SpatialOp Op, int N, int Pixels, int C)
{
    /// <summary>Between pixels of x.</summary>
    public long StrideX { get; init; }

    /// <summary>Between pixels of dy.</summary>
    public long StrideDy { get; init; }

    /// <summary>Between pixels of y.</summary>
    public long StrideY { get; init; }

    /// <summary>Between samples of scale and of shift, and of the result of sums.</summary>
    public long StrideRow { get; init; }

    /// <summary>There is a scale.</summary>
    public bool Scaled { get; init; }

    /// <summary>There is a shift.</summary>
    public bool Shifted { get; init; }

    /// <summary>Sums are added to what the result holds.</summary>
    public bool Accumulate { get; init; }

    /// <summary>True when an address is not 16-byte aligned.</summary>
    public bool Unaligned { get; init; }

    internal long X => StrideX == 0 ? C : StrideX;

    internal long Dy => StrideDy == 0 ? C : StrideDy;

    internal long Y => StrideY == 0 ? C : StrideY;

    internal long Row => StrideRow == 0 ? Columns : StrideRow;

    internal int Columns => Op == SpatialOp.Dot ? 2 * C : C;

    internal bool Reduces => Op is SpatialOp.Sum or SpatialOp.Dot;

    internal bool ReadsX => Op != SpatialOp.Broadcast;
}

/// <summary>A planned operation over pixels.</summary>
public sealed record SpatialPlan : KernelPlan
{
    internal SpatialPlan(SpatialShape shape, KernelDType dtype, KernelDType result, bool narrow, int cs, int rows, IReadOnlyList<PlannedLaunch> launches, long workspace)
        : base(launches, workspace)
    {
        (Shape, DType, Result, Narrow, SlabChannels, SliceRows) = (shape, dtype, result, narrow, cs, rows);
    }

    /// <summary>What it works on.</summary>
    public SpatialShape Shape { get; }

    /// <summary>Element type of x, dy and y.</summary>
    public KernelDType DType { get; }

    /// <summary>Element type of what sums give.</summary>
    public KernelDType Result { get; }

    /// <summary>One channel per access instead of 16 bytes.</summary>
    public bool Narrow { get; }

    internal int SlabChannels { get; }

    internal int SliceRows { get; }

    internal int Slabs => (int)LaunchRule.CeilDiv(Shape.C, SlabChannels);

    internal int Slices => (int)LaunchRule.CeilDiv(Shape.Pixels, SliceRows);
}

/// <summary>Device addresses; 0 where there is no operand.</summary>
/// <param name="X">[N, Pixels, C].</param>
/// <param name="Dy">[N, Pixels, C], of <see cref="SpatialOp.Dot"/>.</param>
/// <param name="Scale">[N, C] f32.</param>
/// <param name="Shift">[N, C] f32.</param>
/// <param name="Y">[N, Pixels, C], or [N, C or 2 C] of sums.</param>
/// <param name="Workspace">Of sums.</param>
/// <param name="Factor">Of <see cref="SpatialOp.Broadcast"/> and sums.</param>
public readonly record struct SpatialOperands(ulong X, ulong Dy, ulong Scale, ulong Shift, ulong Y, ulong Workspace, double Factor = 1);

/// <summary>Mirror of SpatialParams in kernels/spatial.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 112)]
internal readonly record struct SpatialParams
{
    [field: FieldOffset(0)] public ulong X { get; init; }

    [field: FieldOffset(8)] public ulong Dy { get; init; }

    [field: FieldOffset(16)] public ulong Scale { get; init; }

    [field: FieldOffset(24)] public ulong Shift { get; init; }

    [field: FieldOffset(32)] public ulong Partial { get; init; }

    [field: FieldOffset(40)] public ulong Y { get; init; }

    [field: FieldOffset(48)] public long Ldx { get; init; }

    [field: FieldOffset(56)] public long Lddy { get; init; }

    [field: FieldOffset(64)] public long Ldy { get; init; }

    [field: FieldOffset(72)] public long Ldm { get; init; }

    [field: FieldOffset(80)] public int P { get; init; }

    [field: FieldOffset(84)] public int C { get; init; }

    [field: FieldOffset(88)] public int Slabs { get; init; }

    [field: FieldOffset(92)] public int Cs { get; init; }

    [field: FieldOffset(96)] public int Slices { get; init; }

    [field: FieldOffset(100)] public int Rows { get; init; }

    [field: FieldOffset(104)] public float Factor { get; init; }

    [field: FieldOffset(108)] public int Reserved { get; init; }
}

/// <summary>Mirror of SpatialFinishParams in kernels/spatial.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
internal readonly record struct SpatialFinishParams
{
    [field: FieldOffset(0)] public ulong Partial { get; init; }

    [field: FieldOffset(8)] public ulong Out { get; init; }

    [field: FieldOffset(16)] public long Ldo { get; init; }

    [field: FieldOffset(24)] public int Slices { get; init; }

    [field: FieldOffset(28)] public int K { get; init; }

    [field: FieldOffset(32)] public float Factor { get; init; }

    [field: FieldOffset(36)] public int Accumulate { get; init; }
}

/// <summary>Launchers of kernels/spatial.cu.</summary>
public static class SpatialKernels
{
    private const string Operation = "spatial";

    /// <summary>The launches of an operation.</summary>
    /// <param name="shape">Sizes.</param>
    /// <param name="dtype">Element type of x, dy, y.</param>
    /// <param name="limits">The device.</param>
    /// <param name="result">Element type of what sums give.</param>
    /// <exception cref="ArgumentException">A clause of the kernels does not hold.</exception>
    public static SpatialPlan Plan(in SpatialShape shape, KernelDType dtype, in DeviceLimits limits, KernelDType result = KernelDType.F32)
    {
        SpatialShape s = shape;
        LaunchRule.Require(s.N >= 1 && s.Pixels >= 1 && s.C >= 1, Operation, $"{s.N} x {s.Pixels} x {s.C}; every size must be at least 1");
        LaunchRule.Require(s.C <= 1 << 24 && s.Pixels <= 1 << 28, Operation, $"{s.Pixels} pixels and {s.C} channels are beyond 2^28 and 2^24");
        (int b, int full) = (dtype.Bytes(), 16 / dtype.Bytes());
        bool strides = Fits(s.X, s.ReadsX) && Fits(s.Dy, s.Op == SpatialOp.Dot) && Fits(s.Y, !s.Reduces);
        LaunchRule.Require(strides, Operation, $"strides must lie in {s.C}..2^20, not {s.X}, {s.Dy}, {s.Y}");
        LaunchRule.Require(s.Row >= s.Columns, Operation, $"rows per sample must be at least {s.Columns} apart, not {s.Row}");
        bool narrow = s.Unaligned || s.C % full != 0 || (s.ReadsX && s.X % full != 0) || (s.Op == SpatialOp.Dot && s.Dy % full != 0)
            || (!s.Reduces && (s.Y % full != 0 || s.Row % 4 != 0));
        (int cs, int rows) = GroupNormKernels.Divide(s.N, s.Pixels, s.C, narrow ? 1 : full, b, limits);
        long slabs = LaunchRule.CeilDiv(s.C, cs), slices = LaunchRule.CeilDiv(s.Pixels, rows);
        long m = s.N * slices * s.C, activations = (long)s.N * s.Pixels * s.C * b;
        string name = $"spatial_{s.Op.ToString().ToLowerInvariant()}{(narrow ? "_narrow" : "")}_{dtype.Suffix()}";
        long traffic = s.Op switch
        {
            SpatialOp.Modulate => (2 * activations) + (4 * m * ((s.Scaled ? 1 : 0) + (s.Shifted ? 1 : 0))),
            SpatialOp.Dot => (2 * activations) + (8 * m),
            _ => activations + (4 * m),
        };
        PlannedLaunch first = new(name, LaunchRule.Linear(Operation, s.N * slabs * slices, 256, 0, limits), traffic);
        if (!s.Reduces)
        {
            return new(s, dtype, result, narrow, cs, rows, [first], 0);
        }

        LaunchShape grid = LaunchRule.Linear(Operation, s.N * LaunchRule.CeilDiv(s.Columns, 64), 256, 0, limits);
        long written = (long)s.N * s.Columns * result.Bytes() * (s.Accumulate ? 2 : 1);
        PlannedLaunch finish = new($"spatial_finish_{result.Suffix()}", grid, (4 * s.N * slices * s.Columns) + written);
        return new(s, dtype, result, narrow, cs, rows, [first, finish], 4 * s.N * slices * s.Columns);

        bool Fits(long stride, bool used) => !used || (stride >= s.C && stride <= Math.Max(1 << 20, s.C));
    }

    /// <summary>The planned launches with addresses; y may be x.</summary>
    /// <exception cref="ArgumentException">An address is missing, misaligned or not part of the plan.</exception>
    public static IReadOnlyList<KernelLaunch> Enqueue(SpatialPlan plan, in SpatialOperands operands)
    {
        ArgumentNullException.ThrowIfNull(plan);
        SpatialShape s = plan.Shape;
        int unit = plan.Narrow ? plan.DType.Bytes() : 16, row = plan.Narrow ? 4 : 16;
        LaunchRule.Address(Operation, operands.X, s.ReadsX, unit, "x");
        LaunchRule.Address(Operation, operands.Dy, s.Op == SpatialOp.Dot, unit, "dy");
        LaunchRule.Address(Operation, operands.Scale, s.Op == SpatialOp.Modulate && s.Scaled, row, "scale");
        LaunchRule.Address(Operation, operands.Shift, s.Op == SpatialOp.Broadcast || (s.Op == SpatialOp.Modulate && s.Shifted), row, "shift");
        LaunchRule.Address(Operation, operands.Y, true, s.Reduces ? plan.Result.Bytes() : unit, "the result");
        LaunchRule.Address(Operation, operands.Workspace, s.Reduces, 16, "the workspace");
        KernelLaunch first = KernelLaunch.Of(plan.Launches[0], new SpatialParams
        {
            X = operands.X,
            Dy = operands.Dy,
            Scale = operands.Scale,
            Shift = operands.Shift,
            Partial = operands.Workspace,
            Y = s.Reduces ? 0 : operands.Y,
            Ldx = s.X,
            Lddy = s.Dy,
            Ldy = s.Y,
            Ldm = s.Row,
            P = s.Pixels,
            C = s.C,
            Slabs = plan.Slabs,
            Cs = plan.SlabChannels,
            Slices = plan.Slices,
            Rows = plan.SliceRows,
            Factor = (float)operands.Factor,
        });
        return !s.Reduces ? [first] :
        [
            first,
            KernelLaunch.Of(plan.Launches[1], new SpatialFinishParams
            {
                Partial = operands.Workspace,
                Out = operands.Y,
                Ldo = s.Row,
                Slices = plan.Slices,
                K = s.Columns,
                Factor = (float)operands.Factor,
                Accumulate = s.Accumulate ? 1 : 0,
            }),
        ];
    }
}
