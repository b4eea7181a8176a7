using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>Resampling of images; names the entries.</summary>
public enum ResampleOp
{
    /// <summary>Nearest neighbour, twice the size.</summary>
    Up2,

    /// <summary>Mean of 2x2 pixels.</summary>
    Down2,

    /// <summary>Bilinear with half-pixel centres, to any size.</summary>
    Bilinear,
}

/// <summary>A resampling of x [N, H, W, C]. Strides are elements between pixels; 0 = C.</summary>
/// <param name="Op">The operation.</param>
/// <param name="N">Samples.</param>
/// <param name="H">Height of x.</param>
/// <param name="W">Width of x.</param>
/// <param name="C">Channels.</param>
public readonly record struct ResampleShape(ResampleOp Op, int N, int H, int W, int C)
{
    /// <summary>Height of y for <see cref="ResampleOp.Bilinear"/>.</summary>
    public int Height { get; init; }

    /// <summary>Width of y for <see cref="ResampleOp.Bilinear"/>.</summary>
    public int Width { get; init; }

    /// <summary>Stride of x.</summary>
    public long StrideX { get; init; }

    /// <summary>Stride of y.</summary>
    public long StrideY { get; init; }

    /// <summary>True when an address is not 16-byte aligned.</summary>
    public bool Unaligned { get; init; }

    /// <summary>Height of y.</summary>
    public int ResultHeight => Op switch { ResampleOp.Up2 => 2 * H, ResampleOp.Down2 => H / 2, _ => Height };

    /// <summary>Width of y.</summary>
    public int ResultWidth => Op switch { ResampleOp.Up2 => 2 * W, ResampleOp.Down2 => W / 2, _ => Width };

    internal long X => StrideX == 0 ? C : StrideX;

    internal long Y => StrideY == 0 ? C : StrideY;
}

/// <summary>A planned resampling.</summary>
/// <param name="Shape">Sizes.</param>
/// <param name="DType">Element type.</param>
/// <param name="Narrow">One channel per access instead of 16 bytes.</param>
/// <param name="Launch">One launch.</param>
public sealed record ResamplePlan(ResampleShape Shape, KernelDType DType, bool Narrow, PlannedLaunch Launch) : KernelPlan([Launch], 0);

/// <summary>Mirror of ResampleParams in kernels/resample.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 88)]
internal readonly record struct ResampleParams
{
    [field: FieldOffset(0)] public ulong X { get; init; }

    [field: FieldOffset(8)] public ulong Y { get; init; }

    [field: FieldOffset(16)] public long Ldx { get; init; }

    [field: FieldOffset(24)] public long Ldy { get; init; }

    [field: FieldOffset(32)] public uint Items { get; init; }

    [field: FieldOffset(36)] public uint Chunks { get; init; }

    [field: FieldOffset(40)] public uint MagicChunks { get; init; }

    [field: FieldOffset(44)] public int ShiftChunks { get; init; }

    [field: FieldOffset(48)] public uint MagicWidth { get; init; }

    [field: FieldOffset(52)] public int ShiftWidth { get; init; }

    [field: FieldOffset(56)] public int W { get; init; }

    [field: FieldOffset(60)] public int H { get; init; }

    [field: FieldOffset(64)] public int InW { get; init; }

    [field: FieldOffset(68)] public int InH { get; init; }

    [field: FieldOffset(72)] public float Factor { get; init; }

    [field: FieldOffset(76)] public float ScaleX { get; init; }

    [field: FieldOffset(80)] public float ScaleY { get; init; }

    [field: FieldOffset(84)] public int Reserved { get; init; }
}

/// <summary>Launchers of kernels/resample.cu.</summary>
public static class ResampleKernels
{
    private const string Operation = "resample";

    /// <summary>The launch of a resampling.</summary>
    /// <exception cref="ArgumentException">A clause of the kernels does not hold.</exception>
    public static ResamplePlan Plan(in ResampleShape shape, KernelDType dtype, in DeviceLimits limits)
    {
        ResampleShape s = shape;
        bool sizes = s.N >= 1 && s.H >= 1 && s.W >= 1 && s.C >= 1 && (s.Op != ResampleOp.Bilinear || (s.Height >= 1 && s.Width >= 1));
        LaunchRule.Require(sizes, Operation, $"{s.N} x {s.H} x {s.W} x {s.C} to {s.ResultHeight} x {s.ResultWidth}; every size must be at least 1");
        LaunchRule.Require(s.Op != ResampleOp.Down2 || (s.H % 2 == 0 && s.W % 2 == 0), Operation, $"down2 wants even height and width, not {s.H} x {s.W}");
        LaunchRule.Require(s.X >= s.C && s.Y >= s.C, Operation, $"strides must be at least {s.C}, not {s.X} and {s.Y}");
        (int b, int vector) = (dtype.Bytes(), 16 / dtype.Bytes());
        bool narrow = s.Op == ResampleOp.Bilinear || s.Unaligned || s.C % vector != 0 || s.X % vector != 0 || s.Y % vector != 0;
        long small = s.Op switch
        {
            ResampleOp.Up2 => (long)s.N * s.H * s.W,
            ResampleOp.Down2 => (long)s.N * (s.H / 2) * (s.W / 2),
            _ => checked((long)s.N * s.Height * s.Width),
        };
        long items = checked(small * (narrow ? s.C : s.C / vector));
        LaunchRule.Require(items <= int.MaxValue && 4 * small <= int.MaxValue, Operation, $"{items} items of {small} pixels are beyond 32-bit indices");
        string type = $"{(narrow && s.Op != ResampleOp.Bilinear ? "_narrow" : "")}_{dtype.Suffix()}";
        LaunchShape launch = LaunchRule.Linear(Operation, LaunchRule.CeilDiv(items, 256 * PerThread(s.Op, narrow)), 256, 0, limits);
        return new ResamplePlan(s, dtype, narrow, new PlannedLaunch($"resample_{s.Op.ToString().ToLowerInvariant()}{type}", launch, 5 * small * s.C * b));
    }

    /// <summary>The planned launch with addresses; <paramref name="factor"/> is of the result, 4 and 1/4 in gradients; not for bilinear.</summary>
    /// <exception cref="ArgumentException">An address is missing or misaligned.</exception>
    public static KernelLaunch Enqueue(ResamplePlan plan, ulong x, ulong y, double factor = 1)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ResampleShape s = plan.Shape;
        int vector = plan.Narrow ? 1 : 16 / plan.DType.Bytes(), unit = vector * plan.DType.Bytes();
        LaunchRule.Address(Operation, x, true, unit, "x");
        LaunchRule.Address(Operation, y, true, unit, "y");
        LaunchRule.Require(x != y, Operation, $"y must not be x");
        LaunchRule.Require(s.Op != ResampleOp.Bilinear || factor == 1, Operation, $"bilinear resizing has no factor");
        int h = s.Op == ResampleOp.Up2 ? s.H : s.ResultHeight, w = s.Op == ResampleOp.Up2 ? s.W : s.ResultWidth, chunks = s.C / vector;
        ((uint magicChunks, int shiftChunks), (uint magicWidth, int shiftWidth)) = (LaunchRule.Divisor((uint)chunks), LaunchRule.Divisor((uint)w));
        return KernelLaunch.Of(plan.Launch, new ResampleParams
        {
            X = x,
            Y = y,
            Ldx = s.X,
            Ldy = s.Y,
            Items = checked((uint)((long)s.N * h * w * chunks)),
            Chunks = (uint)chunks,
            MagicChunks = magicChunks,
            ShiftChunks = shiftChunks,
            MagicWidth = magicWidth,
            ShiftWidth = shiftWidth,
            W = w,
            H = h,
            InW = s.W,
            InH = s.H,
            Factor = (float)(s.Op == ResampleOp.Down2 ? factor / 4 : factor),
            ScaleX = (float)((double)s.W / w),
            ScaleY = (float)((double)s.H / h),
        });
    }

    private static long PerThread(ResampleOp op, bool narrow) => op == ResampleOp.Bilinear ? 1 : narrow ? 4 : op == ResampleOp.Up2 ? 2 : 1;
}
