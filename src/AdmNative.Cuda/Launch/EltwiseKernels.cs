using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>Elementwise operations on rows; names the entry.</summary>
public enum EltwiseOp
{
    /// <summary>y = a sigmoid(a).</summary>
    Silu,

    /// <summary>y = b silu'(a), b the gradient of the result.</summary>
    SiluGrad,

    /// <summary>y = max(a, 0).</summary>
    Relu,

    /// <summary>y = a &gt; 0 ? b : 0, b the gradient of the result.</summary>
    ReluGrad,

    /// <summary>y = factor a.</summary>
    Scale,

    /// <summary>y = a: into or out of a range of columns.</summary>
    Copy,

    /// <summary>y = a + b.</summary>
    Sum,
}

/// <summary>Rows an elementwise operation works on. Strides are elements between rows; 0 = Columns.</summary>
/// <param name="Op">The operation.</param>
/// <param name="Rows">Rows.</param>
/// <param name="Columns">Elements of a row.</param>
public readonly record struct EltwiseShape(EltwiseOp Op, long Rows, long Columns)
{
    /// <summary>Stride of a.</summary>
    public long StrideA { get; init; }

    /// <summary>Stride of b, where there is one.</summary>
    public long StrideB { get; init; }

    /// <summary>Stride of y.</summary>
    public long StrideY { get; init; }

    /// <summary>The first row of b is taken for every row: positions added to tokens.</summary>
    public bool RepeatB { get; init; }

    /// <summary>True when an address is not 16-byte aligned: a range of columns that begins anywhere.</summary>
    public bool Unaligned { get; init; }

    internal long A => StrideA == 0 ? Columns : StrideA;

    internal long B => RepeatB ? 0 : StrideB == 0 ? Columns : StrideB;

    internal long Y => StrideY == 0 ? Columns : StrideY;

    internal bool Binary => Op is EltwiseOp.SiluGrad or EltwiseOp.ReluGrad or EltwiseOp.Sum;
}

/// <summary>A planned elementwise operation.</summary>
/// <param name="Shape">What it works on.</param>
/// <param name="DType">Element type.</param>
/// <param name="Narrow">One element per access instead of 16 bytes.</param>
/// <param name="Launch">One launch.</param>
public sealed record EltwisePlan(EltwiseShape Shape, KernelDType DType, bool Narrow, PlannedLaunch Launch) : KernelPlan([Launch], 0);

/// <summary>A planned conversion between f32 and a storage type.</summary>
/// <param name="Rows">Rows.</param>
/// <param name="Columns">Elements of a row.</param>
/// <param name="StrideA">Elements between rows of the input.</param>
/// <param name="StrideY">Elements between rows of the result.</param>
/// <param name="From">Type of the input.</param>
/// <param name="To">Type of the result.</param>
/// <param name="Narrow">One element per access.</param>
/// <param name="Launch">One launch.</param>
public sealed record CastPlan(
    long Rows, long Columns, long StrideA, long StrideY, KernelDType From, KernelDType To, bool Narrow, PlannedLaunch Launch) : KernelPlan([Launch], 0);

/// <summary>Mirror of EltwiseRowsParams in kernels/eltwise_rows.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 80)]
internal readonly record struct EltwiseRowsParams
{
    [field: FieldOffset(0)] public ulong A { get; init; }

    [field: FieldOffset(8)] public ulong B { get; init; }

    [field: FieldOffset(16)] public ulong Y { get; init; }

    [field: FieldOffset(24)] public long Lda { get; init; }

    [field: FieldOffset(32)] public long Ldb { get; init; }

    [field: FieldOffset(40)] public long Ldy { get; init; }

    [field: FieldOffset(48)] public long Cols { get; init; }

    [field: FieldOffset(56)] public uint Vectors { get; init; }

    [field: FieldOffset(60)] public uint Chunks { get; init; }

    [field: FieldOffset(64)] public uint Magic { get; init; }

    [field: FieldOffset(68)] public int Shift { get; init; }

    [field: FieldOffset(72)] public float Factor { get; init; }

    [field: FieldOffset(76)] public int Whole { get; init; }
}

/// <summary>Launchers of kernels/eltwise_rows.cu.</summary>
public static class EltwiseKernels
{
    private const string Operation = "eltwise";

    /// <summary>The launch of an operation.</summary>
    /// <exception cref="ArgumentException">Sizes or strides that no launch covers.</exception>
    public static EltwisePlan Plan(in EltwiseShape shape, KernelDType dtype, in DeviceLimits limits)
    {
        LaunchRule.Require(shape.Rows >= 1 && shape.Columns >= 1, Operation, $"{shape.Rows} rows of {shape.Columns} elements; both must be at least 1");
        bool overlap = shape.Rows > 1 && (shape.A < shape.Columns || shape.Y < shape.Columns || (shape.Binary && !shape.RepeatB && shape.B < shape.Columns));
        LaunchRule.Require(!overlap, Operation, $"strides must be at least {shape.Columns}, not {shape.A}, {shape.B}, {shape.Y}");
        EltwiseShape dense = Dense(shape);
        int vector = 16 / dtype.Bytes();
        bool narrow = shape.Unaligned || (dense.Rows > 1 && (dense.Columns % vector != 0 || dense.A % vector != 0 || dense.Y % vector != 0 || (shape.Binary && dense.B % vector != 0)));
        long vectors = LaunchRule.Vectors(Operation, dense.Rows, dense.Columns, narrow ? 1 : vector);
        string entry = $"eltwise_{Name(shape.Op)}{(narrow ? "_narrow" : "")}_{dtype.Suffix()}";
        LaunchShape launch = LaunchRule.Linear(Operation, LaunchRule.CeilDiv(vectors, shape.Binary ? 512 : 1024), 256, 0, limits);
        return new EltwisePlan(shape, dtype, narrow, new PlannedLaunch(entry, launch, (shape.Binary ? 3 : 2) * shape.Rows * shape.Columns * dtype.Bytes()));
    }

    /// <summary>The planned launch with addresses; y may be a or b.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="a">First input.</param>
    /// <param name="b">Second input; 0 where there is none.</param>
    /// <param name="y">Result.</param>
    /// <param name="factor">Of <see cref="EltwiseOp.Scale"/>.</param>
    /// <exception cref="ArgumentException">An address is missing, misaligned or not part of the plan.</exception>
    public static KernelLaunch Enqueue(EltwisePlan plan, ulong a, ulong b, ulong y, double factor = 1)
    {
        ArgumentNullException.ThrowIfNull(plan);
        EltwiseShape shape = Dense(plan.Shape);
        int bytes = plan.DType.Bytes(), vector = plan.Narrow ? 1 : 16 / bytes;
        LaunchRule.Address(Operation, a, true, vector * bytes, "a");
        LaunchRule.Address(Operation, b, shape.Binary, vector * bytes, "b");
        LaunchRule.Address(Operation, y, true, vector * bytes, "y");
        uint chunks = (uint)LaunchRule.CeilDiv(shape.Columns, vector);
        (uint magic, int shift) = LaunchRule.Divisor(chunks);
        return KernelLaunch.Of(plan.Launch, new EltwiseRowsParams
        {
            A = a,
            B = b,
            Y = y,
            Lda = shape.A,
            Ldb = shape.B,
            Ldy = shape.Y,
            Cols = shape.Columns,
            Vectors = (uint)(shape.Rows * chunks),
            Chunks = chunks,
            Magic = magic,
            Shift = shift,
            Factor = (float)factor,
            Whole = shape.Columns % vector == 0 ? 1 : 0,
        });
    }

    /// <summary>The launch of a conversion between f32 and a storage type.</summary>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Elements of a row.</param>
    /// <param name="strideA">Elements between rows of the input; 0 = columns.</param>
    /// <param name="strideY">Elements between rows of the result; 0 = columns.</param>
    /// <param name="from">Type of the input.</param>
    /// <param name="to">Type of the result.</param>
    /// <param name="unaligned">True when an address is not aligned to four elements.</param>
    /// <param name="limits">The device.</param>
    /// <exception cref="ArgumentException">Types, sizes or strides that no launch covers.</exception>
    public static CastPlan PlanCast(
        long rows, long columns, long strideA, long strideY, KernelDType from, KernelDType to, bool unaligned, in DeviceLimits limits)
    {
        LaunchRule.Require(from != to && (from == KernelDType.F32 || to == KernelDType.F32), Operation, $"casts are between f32 and f16 or bf16, not {from} and {to}");
        EltwiseShape shape = new(EltwiseOp.Copy, rows, columns) { StrideA = strideA, StrideY = strideY };
        LaunchRule.Require(rows >= 1 && columns >= 1, Operation, $"{rows} rows of {columns} elements; both must be at least 1");
        LaunchRule.Require(rows == 1 || (shape.A >= columns && shape.Y >= columns), Operation, $"strides must be at least {columns}, not {shape.A} and {shape.Y}");
        EltwiseShape dense = Dense(shape);
        bool narrow = unaligned || (dense.Rows > 1 && (dense.Columns % 4 != 0 || dense.A % 4 != 0 || dense.Y % 4 != 0));
        long vectors = LaunchRule.Vectors(Operation, dense.Rows, dense.Columns, narrow ? 1 : 4);
        LaunchShape launch = LaunchRule.Linear(Operation, LaunchRule.CeilDiv(vectors, 1024), 256, 0, limits);
        string types = to == KernelDType.F32 ? $"{from.Suffix()}_f32" : to.Suffix();
        return new CastPlan(
            dense.Rows, dense.Columns, dense.A, dense.Y, from, to, narrow,
            new PlannedLaunch($"eltwise_cast_{(narrow ? "narrow_" : "")}{types}", launch, rows * columns * (from.Bytes() + to.Bytes())));
    }

    /// <summary>The planned conversion with addresses; not in place.</summary>
    /// <exception cref="ArgumentException">An address is missing or misaligned.</exception>
    public static KernelLaunch EnqueueCast(CastPlan plan, ulong a, ulong y)
    {
        ArgumentNullException.ThrowIfNull(plan);
        int vector = plan.Narrow ? 1 : 4;
        LaunchRule.Address(Operation, a, true, vector * plan.From.Bytes(), "a");
        LaunchRule.Address(Operation, y, true, vector * plan.To.Bytes(), "y");
        LaunchRule.Require(a != y, Operation, $"y must not be a");
        uint chunks = (uint)LaunchRule.CeilDiv(plan.Columns, vector);
        (uint magic, int shift) = LaunchRule.Divisor(chunks);
        return KernelLaunch.Of(plan.Launch, new EltwiseRowsParams
        {
            A = a,
            Y = y,
            Lda = plan.StrideA,
            Ldy = plan.StrideY,
            Cols = plan.Columns,
            Vectors = (uint)(plan.Rows * chunks),
            Chunks = chunks,
            Magic = magic,
            Shift = shift,
        });
    }

    /// <summary>Rows without gaps are one row.</summary>
    private static EltwiseShape Dense(in EltwiseShape s) =>
        s.A == s.Columns && s.Y == s.Columns && (!s.Binary || s.B == s.Columns)
            ? new EltwiseShape(s.Op, 1, checked(s.Rows * s.Columns)) { Unaligned = s.Unaligned }
            : s;

    private static string Name(EltwiseOp op) => op switch
    {
        EltwiseOp.Silu => "silu",
        EltwiseOp.SiluGrad => "silu_grad",
        EltwiseOp.Relu => "relu",
        EltwiseOp.ReluGrad => "relu_grad",
        EltwiseOp.Scale => "scale",
        EltwiseOp.Copy => "copy",
        EltwiseOp.Sum => "sum",
        _ => throw new ArgumentOutOfRangeException(nameof(op)),
    };
}
