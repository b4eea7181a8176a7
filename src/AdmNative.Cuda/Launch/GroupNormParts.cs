using static AdmNative.Cuda.LaunchRule;

namespace AdmNative.Cuda;

/// <summary>Device addresses of a part of a group normalisation; 0 for what it does not have.</summary>
internal readonly record struct GroupNormPartArguments
{
    /// <summary>[N, H, W, C].</summary>
    public ulong X { get; init; }

    /// <summary>[N, H', W', C].</summary>
    public ulong Dy { get; init; }

    /// <summary>Added to dx; [N, H, W, C], or 0.</summary>
    public ulong Addend { get; init; }

    /// <summary>What the part makes: statistics, y, sums, dx.</summary>
    public ulong Result { get; init; }

    /// <summary>[N, G, 2] f32: mean, rstd.</summary>
    public ulong Stats { get; init; }

    /// <summary>[N, 2, C] f32, 16-byte aligned.</summary>
    public ulong Sums { get; init; }

    /// <summary>[C] f32.</summary>
    public ulong Gamma { get; init; }

    /// <summary>[C] f32.</summary>
    public ulong Beta { get; init; }

    /// <summary>[N, 2C] f32: scale, then shift; or 0.</summary>
    public ulong Modulation { get; init; }

    /// <summary>Elements between its samples.</summary>
    public long ModulationStride { get; init; }

    /// <summary>Scratch memory of the plan's size.</summary>
    public ulong Workspace { get; init; }

    /// <summary>TicketBytes of the plan, all zero, and zero again when the launch has ended.</summary>
    public ulong Tickets { get; init; }

    /// <summary>Added to the variance.</summary>
    public float Eps { get; init; }
}

/// <summary>
/// The parts of a group normalisation that a graph with gradients has apart: statistics, what is made with given ones, sums of the gradient, dx from
/// those, gradients of the parameters. Nobody keeps a and b of y = act(a x + b), nor the factors of dx: the kernels fold them from statistics, sums and
/// parameters where they would otherwise read them, 8 to 20 bytes more per channel of a block, so that no part needs a launch of its own for them.
/// </summary>
public static partial class GroupNormKernels
{
    /// <summary>Plans mean and rstd: one launch.</summary>
    internal static GroupNormPlan PlanStats(GroupNormShape shape, KernelDType dtype, in DeviceLimits limits)
    {
        GroupNormPlan whole = Plan(shape with { StrideY = shape.X }, dtype, limits);
        (long n, long c) = (shape.N, shape.C);
        long activations = n * shape.Pixels * c * dtype.Bytes();
        return new(
            shape, dtype,
            whole.IsSmall
                ? [WithTraffic(whole.Steps[0], activations + (8 * n * shape.G))]
                : [WithTraffic(whole.Steps[0], whole.Steps[0].Launch.TrafficBytes - (16 * n * c))],
            whole.WorkspaceBytes, activations);
    }

    /// <summary>The launch of <see cref="PlanStats"/>.</summary>
    internal static KernelLaunch EnqueueStats(GroupNormPlan plan, GroupNormPartArguments a)
    {
        CheckWorkspace(Op, plan, a.Workspace);
        CheckTickets(plan, a.Tickets);
        CheckAligned(plan, 16, a.X);
        return KernelLaunch.Of(plan.Launches[0], Forward(plan, plan.Steps[0], a, y: 0, stats: a.Result));
    }

    /// <summary>Plans y with given statistics: one launch.</summary>
    internal static GroupNormPlan PlanApply(GroupNormShape shape, KernelDType dtype, in DeviceLimits limits)
    {
        GroupNormPlan whole = Plan(shape with { Staged = true }, dtype, limits);
        GroupNormPlan.Step apply = whole.Steps[^1];
        long channels = (long)shape.N * apply.Slices * shape.C, activations = (long)shape.N * (shape.Pixels + shape.ResultPixels) * shape.C * dtype.Bytes();
        return new(shape, dtype, [WithTraffic(apply, activations + (Folded(shape) * channels))], 0, activations);
    }

    /// <summary>The launch of <see cref="PlanApply"/>.</summary>
    internal static KernelLaunch EnqueueApply(GroupNormPlan plan, GroupNormPartArguments a)
    {
        CheckAligned(plan, 16, a.X, a.Result);
        Require(a.X != a.Result, Op, $"y must not be x");
        Require(plan.Shape.Modulated == (a.Modulation != 0), Op, $"modulation must be given when the plan is modulated, else not");
        return KernelLaunch.Of(plan.Launches[0], Forward(plan, plan.Steps[0], a, a.Result, a.Stats));
    }

    /// <summary>Plans the sums of dz xhat and dz over the pixels: one launch, with tickets where pixels are cut into slices.</summary>
    internal static GroupNormPlan PlanGradSums(GroupNormShape shape, KernelDType dtype, in DeviceLimits limits)
    {
        GroupNormPlan whole = PlanBackward(shape with { StrideDx = shape.X }, dtype, addsDxIn: false, parameterGradients: false, limits);
        (long n, long c) = (shape.N, shape.C);
        GroupNormPlan.Step partial = whole.Steps[0];
        long channels = n * partial.Slices * c, activations = n * (shape.Pixels + shape.ResultPixels) * c * dtype.Bytes();
        partial = WithTraffic(partial, activations + ((16 + (shape.Silu ? Folded(shape) : 0)) * channels));
        return partial.Slices == 1
            ? new(shape, dtype, [partial], 0, activations)
            : new(
                shape, dtype, [WithTraffic(partial, partial.Launch.TrafficBytes + (8 * channels) + (8 * n * c) + (4 * partial.Launch.Shape.GridX)) with { Unit = partial.Channels }],
                RoundUp(8 * channels, 256), activations);
    }

    /// <summary>The launch of <see cref="PlanGradSums"/>.</summary>
    internal static KernelLaunch EnqueueGradSums(GroupNormPlan plan, GroupNormPartArguments a)
    {
        CheckWorkspace(Op, plan, a.Workspace);
        CheckTickets(plan, a.Tickets);
        CheckAligned(plan, 4 * plan.DType.Bytes(), a.X, a.Dy);
        CheckAligned(plan, 16, a.Result);
        ulong partial = plan.TicketBytes == 0 ? a.Result : a.Workspace;
        return KernelLaunch.Of(plan.Launches[0], Backward(plan, plan.Steps[0], a) with { Partial = partial, Sums = a.Result, Tickets = a.Tickets });
    }

    /// <summary>Plans dx from given sums: one launch.</summary>
    internal static GroupNormPlan PlanInputGrad(GroupNormShape shape, KernelDType dtype, bool adds, in DeviceLimits limits)
    {
        GroupNormPlan.Step apply = PlanBackward(shape, dtype, adds, parameterGradients: false, limits).Steps[2];
        (long n, long c, int b) = (shape.N, shape.C, dtype.Bytes());
        long activations = n * ((shape.Pixels * (adds ? 3 : 2)) + shape.ResultPixels) * c * b;

        // Every block adds up the groups its slab touches: A, B, gamma and scale of their channels, mean and rstd; then gamma and scale of its own.
        long blocks = n * apply.Slices, modulation = shape.Modulated ? 4 : 0, groups = 0;
        for (long first = 0; first < c; first += apply.Channels)
        {
            groups += ((Math.Min(first + apply.Channels, c) - 1) / shape.D) - (first / shape.D) + 1;
        }

        long factors = blocks * ((groups * (((12 + modulation) * shape.D) + 8)) + ((4 + modulation) * c));
        long folded = shape.Silu ? Folded(shape) * blocks * c : 0;
        return new(shape, dtype, [WithTraffic(apply, activations + factors + folded)], 0, activations);
    }

    /// <summary>The launch of <see cref="PlanInputGrad"/>.</summary>
    internal static KernelLaunch EnqueueInputGrad(GroupNormPlan plan, GroupNormPartArguments a)
    {
        CheckAligned(plan, 4 * plan.DType.Bytes(), a.X, a.Dy, a.Result, a.Addend);
        Require(a.X != a.Result, Op, $"dx must not be x");
        Require(plan.Shape.Modulated == (a.Modulation != 0), Op, $"modulation must be given when the plan is modulated, else not");
        return KernelLaunch.Of(plan.Launches[0], Backward(plan, plan.Steps[0], a) with { Sums = a.Sums, Dx = a.Result, DxIn = a.Addend });
    }

    /// <summary>Plans dgamma or dbeta from given sums: one launch.</summary>
    internal static GroupNormPlan PlanParameterGrad(int samples, int channels, bool modulated, in DeviceLimits limits)
    {
        var shape = new GroupNormShape(samples, 1, 1, channels, channels) { Modulated = modulated };
        long n = samples, c = channels;
        LaunchShape grid = Linear(Op, CeilDiv(c, Threads), Threads, 0, limits);
        return new(shape, KernelDType.F32, [new(new("gn_param_grad_f32", grid, (n * c * (modulated ? 12 : 8)) + (4 * c)), 1, channels, 1, 0)], 0, 8 * n * c);
    }

    /// <summary>Plans the gradient of the modulation from given sums: one launch.</summary>
    internal static GroupNormPlan PlanModulationGrad(int samples, int channels, in DeviceLimits limits)
    {
        var shape = new GroupNormShape(samples, 1, 1, channels, channels);
        long all = (long)samples * channels;
        return new(shape, KernelDType.F32, [WithTraffic(FinalizeStep("gn_bwd_finalize_f32", shape, 1, limits, 0), 24 * all)], 0, 16 * all);
    }

    /// <summary>The launch of <see cref="PlanParameterGrad"/>: the result is dgamma or dbeta.</summary>
    internal static KernelLaunch EnqueueParameterGrad(GroupNormPlan plan, GroupNormPartArguments a, bool gamma) =>
        KernelLaunch.Of(plan.Launches[0], Backward(plan, plan.Steps[0], a) with { Sums = a.Sums, Dgamma = gamma ? a.Result : 0, Dbeta = gamma ? 0 : a.Result });

    /// <summary>The launch of <see cref="PlanModulationGrad"/>: the result is [N, 2C] with so many elements between samples.</summary>
    internal static KernelLaunch EnqueueModulationGrad(GroupNormPlan plan, GroupNormPartArguments a, long resultStride) =>
        KernelLaunch.Of(plan.Launches[0], Backward(plan, plan.Steps[0], a) with
        {
            Partial = a.Sums,
            Dscale = a.Result,
            Dshift = a.Result + (4 * (ulong)plan.Shape.C),
            Lddm = resultStride,
        });

    /// <summary>Bytes per channel of a block to fold a and b: mean, rstd, gamma, beta, and scale and shift.</summary>
    private static long Folded(GroupNormShape shape) => shape.Modulated ? 24 : 16;

    private static GroupNormPlan.Step WithTraffic(GroupNormPlan.Step step, long bytes) => step with { Launch = step.Launch with { TrafficBytes = bytes } };

    private static void CheckAligned(GroupNormPlan plan, int bytes, params ReadOnlySpan<ulong> addresses)
    {
        bool narrow = plan.Launches[^1].Entry.Contains("narrow", StringComparison.Ordinal) || plan.Launches[0].Entry.Contains("narrow", StringComparison.Ordinal);
        foreach (ulong address in addresses)
        {
            Require(narrow || address % (uint)bytes == 0, Op, $"activations must be {bytes}-byte aligned, not {address}");
        }
    }

    private static GnForwardParams Forward(GroupNormPlan plan, GroupNormPlan.Step step, GroupNormPartArguments a, ulong y, ulong stats) =>
        Parameters(plan.Shape, step, new GroupNormArguments
        {
            X = a.X,
            Y = y,
            Gamma = a.Gamma,
            Beta = a.Beta,
            Scale = a.Modulation,
            Shift = ShiftOf(plan, a),
            ModulationStride = a.ModulationStride,
            Mean = stats,
            Rstd = stats + 4,
            StatsStride = 2,
            Ab = 0,
            Workspace = a.Workspace,
            Tickets = a.Tickets,
            Eps = a.Eps,
        });

    private static GnBackwardParams Backward(GroupNormPlan plan, GroupNormPlan.Step step, GroupNormPartArguments a) =>
        Parameters(plan.Shape, step, new GroupNormGradArguments
        {
            X = a.X,
            Dy = a.Dy,
            Dx = 0,
            Gamma = a.Gamma,
            Beta = a.Beta,
            Scale = a.Modulation,
            ModulationStride = a.ModulationStride,
            Mean = a.Stats,
            Rstd = a.Stats == 0 ? 0 : a.Stats + 4,
            StatsStride = 2,
            Ab = 0,
            Workspace = a.Workspace,
        }) with
        {
            Shift = ShiftOf(plan, a),
        };

    private static ulong ShiftOf(GroupNormPlan plan, GroupNormPartArguments a) => a.Modulation == 0 ? 0 : a.Modulation + (4 * (ulong)plan.Shape.C);
}
