using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>Embeddings; names the entries.</summary>
public enum EmbedOp
{
    /// <summary>Sinusoids of the timestep: cosines, then sines.</summary>
    Timestep,

    /// <summary>Rows of a table by label, plus another embedding if there is one.</summary>
    Label,

    /// <summary>Gradient of the table, f32.</summary>
    LabelGrad,
}

/// <summary>Shape of an embedding.</summary>
/// <param name="Op">The operation.</param>
/// <param name="N">Samples.</param>
/// <param name="Columns">Of the embedding.</param>
/// <param name="Classes">Rows of the table; 0 for timesteps.</param>
public readonly record struct EmbedShape(EmbedOp Op, int N, int Columns, int Classes = 0)
{
    /// <summary>Elements between rows of y, or of dy; 0 = Columns.</summary>
    public long Stride { get; init; }

    /// <summary>Labels: another embedding is added.</summary>
    public bool Adds { get; init; }

    /// <summary>Gradient: added to what the table's gradient holds.</summary>
    public bool Accumulate { get; init; }

    internal long Row => Stride == 0 ? Columns : Stride;
}

/// <summary>A planned embedding.</summary>
/// <param name="Shape">Sizes.</param>
/// <param name="DType">Element type of the table, y and dy.</param>
/// <param name="Launch">One launch.</param>
public sealed record EmbedPlan(EmbedShape Shape, KernelDType DType, PlannedLaunch Launch) : KernelPlan([Launch], 0);

/// <summary>Mirror of EmbedParams in kernels/embed.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 96)]
internal readonly record struct EmbedParams
{
    [field: FieldOffset(0)] public ulong T { get; init; }

    [field: FieldOffset(8)] public ulong Labels { get; init; }

    [field: FieldOffset(16)] public ulong Table { get; init; }

    [field: FieldOffset(24)] public ulong Add { get; init; }

    [field: FieldOffset(32)] public ulong Dy { get; init; }

    [field: FieldOffset(40)] public ulong Y { get; init; }

    [field: FieldOffset(48)] public ulong Dtable { get; init; }

    [field: FieldOffset(56)] public long Ldy { get; init; }

    [field: FieldOffset(64)] public long Lda { get; init; }

    [field: FieldOffset(72)] public double Rate { get; init; }

    [field: FieldOffset(80)] public int N { get; init; }

    [field: FieldOffset(84)] public int E { get; init; }

    [field: FieldOffset(88)] public int K { get; init; }

    [field: FieldOffset(92)] public int Accumulate { get; init; }
}

/// <summary>Launchers of kernels/embed.cu.</summary>
public static class EmbedKernels
{
    private const string Operation = "embed";

    /// <summary>The launch of an embedding.</summary>
    /// <exception cref="ArgumentException">A clause of the kernels does not hold.</exception>
    public static EmbedPlan Plan(in EmbedShape shape, KernelDType dtype, in DeviceLimits limits)
    {
        EmbedShape s = shape;
        LaunchRule.Require(s.N >= 1 && s.Columns >= 1, Operation, $"{s.N} samples of {s.Columns} columns; both must be at least 1");
        LaunchRule.Require(s.Op == EmbedOp.Timestep || s.Classes >= 1, Operation, $"a table of {s.Classes} classes; there must be at least 1");
        LaunchRule.Require(s.Row >= s.Columns, Operation, $"the stride must be at least {s.Columns}, not {s.Row}");
        LaunchRule.Require(s.N <= int.MaxValue - 32 && s.Columns <= int.MaxValue - 256, Operation, $"{s.N} samples of {s.Columns} columns are beyond 32-bit indices");
        (long n, long e, long k, long b) = (s.N, s.Columns, s.Classes, dtype.Bytes());
        long across = LaunchRule.CeilDiv(e, 256);
        (string name, long blocks, long bytes) = s.Op switch
        {
            EmbedOp.Timestep => ("timestep", LaunchRule.CeilDiv(n * ((e + 1) / 2), 256), n * ((e * b) + (4 * ((e + 1) / 2)))),
            EmbedOp.Label => ("label", n * across, n * ((e * b * (s.Adds ? 3 : 2)) + (4 * LaunchRule.CeilDiv(e, 32)))),
            EmbedOp.LabelGrad => ("label_grad", k * across, (n * e * b) + (4 * k * e * (s.Accumulate ? 2 : 1)) + (k * across * 8 * 4 * n)),
            _ => throw new ArgumentOutOfRangeException(nameof(shape)),
        };
        return new EmbedPlan(s, dtype, new PlannedLaunch($"embed_{name}_{dtype.Suffix()}", LaunchRule.Linear(Operation, blocks, 256, 0, limits), bytes));
    }

    /// <summary>Sinusoids of t [N] f32 to y.</summary>
    /// <exception cref="ArgumentException">An address is missing or misaligned, or the plan is another's.</exception>
    public static KernelLaunch EnqueueTimestep(EmbedPlan plan, ulong t, ulong y, double maxPeriod = 10000)
    {
        Expect(plan, EmbedOp.Timestep);
        LaunchRule.Address(Operation, t, true, 4, "t");
        LaunchRule.Address(Operation, y, true, plan.DType.Bytes(), "y");
        double rate = -Math.Log(maxPeriod) / Math.Max(1, plan.Shape.Columns / 2);
        return KernelLaunch.Of(plan.Launch, new EmbedParams { T = t, Y = y, Ldy = plan.Shape.Row, Rate = rate, N = plan.Shape.N, E = plan.Shape.Columns });
    }

    /// <summary>Rows of a table by label.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="labels">[N] i32.</param>
    /// <param name="table">[Classes, Columns], dense.</param>
    /// <param name="add">[N, Columns] or 0; may be y.</param>
    /// <param name="addStride">Elements between its rows; 0 = Columns.</param>
    /// <param name="y">[N, Columns].</param>
    /// <exception cref="ArgumentException">An address is missing or misaligned, or the plan is another's.</exception>
    public static KernelLaunch EnqueueLabel(EmbedPlan plan, ulong labels, ulong table, ulong add, long addStride, ulong y)
    {
        Expect(plan, EmbedOp.Label);
        EmbedShape s = plan.Shape;
        int b = plan.DType.Bytes();
        LaunchRule.Address(Operation, labels, true, 4, "the labels");
        LaunchRule.Address(Operation, table, true, b, "the table");
        LaunchRule.Address(Operation, add, s.Adds, b, "the embedding to add");
        LaunchRule.Address(Operation, y, true, b, "y");
        LaunchRule.Require(addStride == 0 || addStride >= s.Columns, Operation, $"the stride must be at least {s.Columns}, not {addStride}");
        return KernelLaunch.Of(plan.Launch, new EmbedParams
        {
            Labels = labels,
            Table = table,
            Add = add,
            Lda = addStride == 0 ? s.Columns : addStride,
            Y = y,
            Ldy = s.Row,
            N = s.N,
            E = s.Columns,
            K = s.Classes,
        });
    }

    /// <summary>Gradient of the table.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="labels">[N] i32.</param>
    /// <param name="dy">[N, Columns].</param>
    /// <param name="dtable">[Classes, Columns] f32, dense; every row is written.</param>
    /// <exception cref="ArgumentException">An address is missing or misaligned, or the plan is another's.</exception>
    public static KernelLaunch EnqueueLabelGrad(EmbedPlan plan, ulong labels, ulong dy, ulong dtable)
    {
        Expect(plan, EmbedOp.LabelGrad);
        EmbedShape s = plan.Shape;
        LaunchRule.Address(Operation, labels, true, 4, "the labels");
        LaunchRule.Address(Operation, dy, true, plan.DType.Bytes(), "dy");
        LaunchRule.Address(Operation, dtable, true, 4, "the table's gradient");
        return KernelLaunch.Of(plan.Launch, new EmbedParams
        {
            Labels = labels,
            Dy = dy,
            Dtable = dtable,
            Ldy = s.Row,
            N = s.N,
            E = s.Columns,
            K = s.Classes,
            Accumulate = s.Accumulate ? 1 : 0,
        });
    }

    private static void Expect(EmbedPlan plan, EmbedOp op)
    {
        ArgumentNullException.ThrowIfNull(plan);
        LaunchRule.Require(plan.Shape.Op == op, Operation, $"the plan is for {plan.Shape.Op}, not {op}");
    }
}
