using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>Rows with a range of columns given and one value everywhere else. Strides are elements between rows; 0 = dense.</summary>
/// <param name="Rows">Rows.</param>
/// <param name="Columns">Elements of a row of the result.</param>
/// <param name="Begin">First column that is given.</param>
/// <param name="Count">Columns that are given; 0 for a tensor of one value.</param>
public readonly record struct PadShape(long Rows, long Columns, long Begin, long Count)
{
    /// <summary>Stride of a.</summary>
    public long StrideA { get; init; }

    /// <summary>Stride of y.</summary>
    public long StrideY { get; init; }

    /// <summary>What the other columns hold.</summary>
    public double Value { get; init; }

    /// <summary>True when an address is not 16-byte aligned.</summary>
    public bool Unaligned { get; init; }

    internal long A => StrideA == 0 ? Count : StrideA;

    internal long Y => StrideY == 0 ? Columns : StrideY;
}

/// <summary>A planned padding.</summary>
/// <param name="Shape">What it works on.</param>
/// <param name="DType">Element type.</param>
/// <param name="Narrow">One element per access instead of 16 bytes.</param>
/// <param name="Launch">One launch.</param>
public sealed record PadPlan(PadShape Shape, KernelDType DType, bool Narrow, PlannedLaunch Launch) : KernelPlan([Launch], 0);

/// <summary>Mirror of PadParams in kernels/pad.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 80)]
internal readonly record struct PadParams
{
    [field: FieldOffset(0)] public ulong A { get; init; }

    [field: FieldOffset(8)] public ulong Y { get; init; }

    [field: FieldOffset(16)] public long Lda { get; init; }

    [field: FieldOffset(24)] public long Ldy { get; init; }

    [field: FieldOffset(32)] public long Cols { get; init; }

    [field: FieldOffset(40)] public long Begin { get; init; }

    [field: FieldOffset(48)] public long Count { get; init; }

    [field: FieldOffset(56)] public uint Vectors { get; init; }

    [field: FieldOffset(60)] public uint Chunks { get; init; }

    [field: FieldOffset(64)] public uint Magic { get; init; }

    [field: FieldOffset(68)] public int Shift { get; init; }

    [field: FieldOffset(72)] public float Value { get; init; }

    [field: FieldOffset(76)] public int Reserved { get; init; }
}

/// <summary>Launcher of kernels/pad.cu.</summary>
public static class PadKernels
{
    private const string Operation = "pad";

    /// <summary>The launch.</summary>
    /// <exception cref="ArgumentException">Sizes or strides that no launch covers.</exception>
    public static PadPlan Plan(in PadShape shape, KernelDType dtype, in DeviceLimits limits)
    {
        PadShape s = shape;
        LaunchRule.Require(s.Rows >= 1 && s.Columns >= 1, Operation, $"{s.Rows} rows of {s.Columns} elements; both must be at least 1");
        LaunchRule.Require(s.Begin >= 0 && s.Count >= 0 && s.Begin <= s.Columns - s.Count, Operation, $"columns {s.Begin}..{s.Begin + s.Count} do not fit into {s.Columns}");
        LaunchRule.Require(s.Rows == 1 || (s.A >= s.Count && s.Y >= s.Columns), Operation, $"strides must be at least {s.Count} and {s.Columns}, not {s.A} and {s.Y}");
        PadShape d = Dense(s);
        int vector = 16 / dtype.Bytes();
        bool narrow = s.Unaligned || d.Begin % vector != 0 || d.Count % vector != 0
            || (d.Rows > 1 && (d.Columns % vector != 0 || d.Y % vector != 0 || (d.Count > 0 && d.A % vector != 0)));
        long vectors = LaunchRule.Vectors(Operation, d.Rows, d.Columns, narrow ? 1 : vector);
        LaunchShape launch = LaunchRule.Linear(Operation, LaunchRule.CeilDiv(vectors, 1024), 256, 0, limits);
        return new PadPlan(s, dtype, narrow, new PlannedLaunch($"pad_rows_{(narrow ? "narrow_" : "")}{dtype.Suffix()}", launch, s.Rows * (s.Columns + s.Count) * dtype.Bytes()));
    }

    /// <summary>The planned launch with addresses.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="a">[Rows, Count]; 0 if nothing is given.</param>
    /// <param name="y">[Rows, Columns]; not a.</param>
    /// <exception cref="ArgumentException">An address is missing, misaligned or not part of the plan.</exception>
    public static KernelLaunch Enqueue(PadPlan plan, ulong a, ulong y)
    {
        ArgumentNullException.ThrowIfNull(plan);
        PadShape s = Dense(plan.Shape);
        int bytes = plan.DType.Bytes(), vector = plan.Narrow ? 1 : 16 / bytes;
        LaunchRule.Address(Operation, a, s.Count > 0, vector * bytes, "a");
        LaunchRule.Address(Operation, y, true, vector * bytes, "y");
        LaunchRule.Require(a != y, Operation, $"y must not be a");
        uint chunks = (uint)LaunchRule.CeilDiv(s.Columns, vector);
        (uint magic, int shift) = LaunchRule.Divisor(chunks);
        return KernelLaunch.Of(plan.Launch, new PadParams
        {
            A = a,
            Y = y,
            Lda = s.A,
            Ldy = s.Y,
            Cols = s.Columns,
            Begin = s.Begin,
            Count = s.Count,
            Vectors = (uint)(s.Rows * chunks),
            Chunks = chunks,
            Magic = magic,
            Shift = shift,
            Value = (float)s.Value,
        });
    }

    /// <summary>Rows of one value without gaps are one row.</summary>
    private static PadShape Dense(in PadShape s) =>
        s.Count == 0 && s.Y == s.Columns ? new PadShape(1, checked(s.Rows * s.Columns), 0, 0) { Value = s.Value, Unaligned = s.Unaligned } : s;
}
