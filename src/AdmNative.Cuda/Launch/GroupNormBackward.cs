using static AdmNative.Cuda.LaunchRule;

namespace AdmNative.Cuda;

/// <summary>Device addresses of a forward group normalisation.</summary>
public readonly record struct GroupNormArguments
{
    /// <summary>[N, H, W, C].</summary>
    public required ulong X { get; init; }

    /// <summary>[N, H', W', C]; not x.</summary>
    public required ulong Y { get; init; }

    /// <summary>[C] f32.</summary>
    public required ulong Gamma { get; init; }

    /// <summary>[C] f32.</summary>
    public required ulong Beta { get; init; }

    /// <summary>[N, C] f32 with <see cref="ModulationStride"/>, or 0.</summary>
    public ulong Scale { get; init; }

    /// <summary>[N, C] f32 with <see cref="ModulationStride"/>, or 0.</summary>
    public ulong Shift { get; init; }

    /// <summary>Elements between samples of scale and shift; 0 = C.</summary>
    public long ModulationStride { get; init; }

    /// <summary>[N, G] f32, written.</summary>
    public required ulong Mean { get; init; }

    /// <summary>[N, G] f32, written.</summary>
    public required ulong Rstd { get; init; }

    /// <summary>Elements between groups in mean and rstd: 2 where they alternate; 0 = 1.</summary>
    public int StatsStride { get; init; }

    /// <summary>[N, 2, C] f32, written: a and b of y = act(a x + b).</summary>
    public required ulong Ab { get; init; }

    /// <summary>Scratch memory of the plan's size.</summary>
    public ulong Workspace { get; init; }

    /// <summary>TicketBytes of the plan, all zero; zero again when the launches have ended. Launches that may run at the same time must not share them.</summary>
    public ulong Tickets { get; init; }

    /// <summary>Added to the variance.</summary>
    public required float Eps { get; init; }
}

/// <summary>Device addresses of a backward group normalisation.</summary>
public readonly record struct GroupNormGradArguments
{
    /// <summary>[N, H, W, C], as in forward.</summary>
    public required ulong X { get; init; }

    /// <summary>[N, H', W', C].</summary>
    public required ulong Dy { get; init; }

    /// <summary>[N, H, W, C]; may be dxIn, and dy where nothing is resampled.</summary>
    public required ulong Dx { get; init; }

    /// <summary>[N, H, W, C] added to dx, or 0.</summary>
    public ulong DxIn { get; init; }

    /// <summary>[C] f32.</summary>
    public required ulong Gamma { get; init; }

    /// <summary>[C] f32.</summary>
    public required ulong Beta { get; init; }

    /// <summary>[N, C] f32, or 0.</summary>
    public ulong Scale { get; init; }

    /// <summary>Elements between samples of scale; 0 = C.</summary>
    public long ModulationStride { get; init; }

    /// <summary>[N, G] f32 of forward.</summary>
    public required ulong Mean { get; init; }

    /// <summary>[N, G] f32 of forward.</summary>
    public required ulong Rstd { get; init; }

    /// <summary>Elements between groups in mean and rstd: 2 where they alternate; 0 = 1.</summary>
    public int StatsStride { get; init; }

    /// <summary>[N, 2, C] f32 of forward.</summary>
    public required ulong Ab { get; init; }

    /// <summary>[N, C] f32, written, or 0.</summary>
    public ulong DScale { get; init; }

    /// <summary>[N, C] f32, written, or 0.</summary>
    public ulong DShift { get; init; }

    /// <summary>Elements between samples of dscale and dshift; 0 = C.</summary>
    public long ModulationGradStride { get; init; }

    /// <summary>[C] f32; only when the plan has parameter gradients.</summary>
    public ulong DGamma { get; init; }

    /// <summary>[C] f32; only when the plan has parameter gradients.</summary>
    public ulong DBeta { get; init; }

    /// <summary>Adds to dgamma and dbeta instead of overwriting them.</summary>
    public bool Accumulate { get; init; }

    /// <summary>Scratch memory of the plan's size.</summary>
    public required ulong Workspace { get; init; }
}

public static partial class GroupNormKernels
{
    /// <summary>Plans dx, dscale and dshift, and dgamma and dbeta if wanted.</summary>
    /// <param name="shape">As in forward.</param>
    /// <param name="dtype">Element type of x, dy, dx.</param>
    /// <param name="addsDxIn">Whether dxIn is added to dx.</param>
    /// <param name="parameterGradients">Whether dgamma and dbeta are wanted; a guidance step does without.</param>
    /// <param name="limits">Of the device.</param>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static GroupNormPlan PlanBackward(
        GroupNormShape shape, KernelDType dtype, bool addsDxIn, bool parameterGradients, in DeviceLimits limits)
    {
        const int Vector = 4;
        Validate(shape);
        bool narrow = new[] { shape.C, shape.X, shape.Dy, shape.Dx, addsDxIn ? shape.DxIn : 0 }.Any(v => v % Vector != 0);
        int b = dtype.Bytes(), vector = narrow ? 1 : Vector;
        (long n, long p, long c) = (shape.N, shape.Pixels, shape.C);
        string type = dtype.Suffix(), mode = narrow ? "narrow" : $"{(shape.Silu ? "silu" : "none")}_{Name(shape.Resample)}";
        long items = shape.Resample == KernelResample.Down2 ? shape.ResultPixels : p;
        long activations = n * p * c * b, gradient = n * shape.ResultPixels * c * b, ab = shape.Silu ? 8 : 0;
        (int cs, int rows) = Divide(n, items, shape.C, vector, b, limits);
        GroupNormPlan.Step partial = Step(
            $"gn_bwd_partial_{mode}_{type}", n, items, shape.C, cs, rows, limits, channels => activations + gradient + (channels * (16 + ab)));
        long modulation = shape.Modulated ? 16 * n * c : 0; // scale, beta, dscale, dshift
        GroupNormPlan.Step finalize = FinalizeStep(
            "gn_bwd_finalize_f32", shape, partial.Slices, limits, (16 * n * c) + (4 * n * c) + modulation + (20 * n * shape.G));
        long added = addsDxIn ? activations : 0;
        GroupNormPlan.Step apply = Step(
            $"gn_bwd_apply_{mode}_{type}", n, items, shape.C, cs, rows, limits, channels => (2 * activations) + gradient + added + (channels * (12 + ab)));
        List<GroupNormPlan.Step> steps = [partial, finalize, apply];
        if (parameterGradients)
        {
            LaunchShape grid = Linear(Op, CeilDiv(c, Threads), Threads, 0, limits);
            steps.Add(new(new("gn_param_grad_f32", grid, (n * c * (shape.Modulated ? 12 : 8)) + (8 * c)), 1, shape.C, 1, 0));
        }

        (_, long bytes) = Workspace(shape, partial.Slices);
        return new(shape, dtype, steps, bytes, (3 * activations) + (2 * gradient) + added);
    }

    /// <summary>Launches of a backward plan at addresses.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static IReadOnlyList<KernelLaunch> EnqueueBackward(GroupNormPlan plan, in GroupNormGradArguments a)
    {
        ArgumentNullException.ThrowIfNull(plan);
        GroupNormShape s = plan.Shape;
        Require(plan.Steps[0].Launch.Entry.StartsWith("gn_bwd", StringComparison.Ordinal), Op, $"not a backward plan");
        Require(
            a.X != 0 && a.Dy != 0 && a.Dx != 0 && a.Gamma != 0 && a.Beta != 0 && a.Mean != 0 && a.Rstd != 0 && a.Ab != 0, Op,
            $"x, dy, dx, gamma, beta, mean, rstd and ab must be given");
        Require(a.X != a.Dx, Op, $"dx must not be x");
        Require(a.Dx != a.Dy || (s.Resample == KernelResample.Keep && s.Dx == s.Dy), Op, $"dx may be dy only without resampling and with the same stride");
        Require(s.Modulated == (a.Scale != 0), Op, $"scale must be given when the plan is modulated, else not");
        bool wantsParameters = plan.Steps.Count == 4;
        Require(wantsParameters == (a.DGamma != 0) && wantsParameters == (a.DBeta != 0), Op, $"dgamma and dbeta must be given when the plan has them, else not");
        CheckWorkspace(Op, plan, a.Workspace);
        ulong unit = 4UL * (ulong)plan.DType.Bytes();
        bool wide = !plan.Steps[0].Launch.Entry.Contains("narrow", StringComparison.Ordinal);
        Require(
            !wide || (a.X % unit == 0 && a.Dy % unit == 0 && a.Dx % unit == 0 && a.DxIn % unit == 0 && a.Ab % 16 == 0), Op,
            $"x, dy, dx and dxIn must be {unit}-byte aligned, ab 16-byte");
        (ulong[] at, _) = Workspace(s, plan.Steps[0].Slices);
        var launches = new KernelLaunch[plan.Steps.Count];
        for (int i = 0; i < launches.Length; i++)
        {
            GroupNormPlan.Step step = plan.Steps[i];
            GnBackwardParams parameters = Parameters(s, step, a) with
            {
                Partial = a.Workspace,
                Sums = a.Workspace + at[0],
                K1 = a.Workspace + at[1],
                K23 = a.Workspace + at[2],
            };
            bool last = i == 3; // gn_param_grad: it says there whether it adds
            launches[i] = KernelLaunch.Of(step.Launch, last ? parameters with { Act = a.Accumulate ? 1 : 0 } : parameters);
        }

        return launches;
    }

    /// <summary>Parameters of a launch, without what only passes between launches.</summary>
    private static GnBackwardParams Parameters(GroupNormShape s, GroupNormPlan.Step step, in GroupNormGradArguments a) => new()
    {
        X = a.X,
        Dy = a.Dy,
        DxIn = a.DxIn,
        Gamma = a.Gamma,
        Beta = a.Beta,
        Scale = a.Scale,
        Mean = a.Mean,
        Rstd = a.Rstd,
        Ab = a.Ab,
        Dx = a.Dx,
        Dscale = a.DScale,
        Dshift = a.DShift,
        Dgamma = a.DGamma,
        Dbeta = a.DBeta,
        Ldx = s.X,
        Lddy = s.Dy,
        LddxIn = s.DxIn,
        Lddx = s.Dx,
        Ldm = a.ModulationStride == 0 ? s.C : a.ModulationStride,
        Lddm = a.ModulationGradStride == 0 ? s.C : a.ModulationGradStride,
        N = s.N,
        P = (int)s.Pixels,
        C = s.C,
        G = s.G,
        W = s.W,
        Slabs = step.Slabs,
        Cs = step.Channels,
        Slices = step.Slices,
        Rows = step.Rows,
        Act = s.Silu ? 1 : 0,
        Resample = (int)s.Resample,
        Every = Math.Max(1, a.StatsStride),
    };

    /// <summary>Partial sums, then the sums, k1 and k2, k3; each 256-byte aligned.</summary>
    private static (ulong[] At, long Bytes) Workspace(GroupNormShape s, int slices)
    {
        long sums = RoundUp(8L * s.N * slices * s.C, 256), k1 = sums + RoundUp(8L * s.N * s.C, 256), k23 = k1 + RoundUp(4L * s.N * s.C, 256);
        return ([(ulong)sums, (ulong)k1, (ulong)k23], k23 + RoundUp(8L * s.N * s.G, 256));
    }
}
