using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>Settings of an optimiser step; constants are rounded to f32 once, from f64.</summary>
public sealed record OptimizerSettings
{
    /// <summary>Learning rate of this step.</summary>
    public double LearningRate { get; init; } = 1e-4;

    /// <summary>Decoupled weight decay, on every parameter.</summary>
    public double WeightDecay { get; init; }

    /// <summary>Decay of the first moment.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Decay of the second moment.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>Added to the root of the second moment.</summary>
    public double Epsilon { get; init; } = 1e-8;

    /// <summary>Decay of the average of the parameters.</summary>
    public double EmaRate { get; init; } = 0.9999;

    /// <summary>Whether gradients carry a loss scale that adapts; without one, norms that are not finite do not stop a step.</summary>
    public bool Scaled { get; init; }

    /// <summary>Gradients whose norm, without the loss scale, is larger are shortened to it; 0 = no limit.</summary>
    public double MaxNorm { get; init; }

    /// <summary>Added to the log2 of the loss scale after a step that was made.</summary>
    public double ScaleGrowth { get; init; } = 1e-3;
}

/// <summary>
/// What the optimiser keeps in device memory between steps, so that nothing is read back inside one: mirror of OptimState in
/// kernels/optim.cu.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = 64)]
public readonly record struct OptimizerState
{
    /// <summary>Norm of the unscaled gradients of the last step.</summary>
    [field: FieldOffset(0)] public float GradientNorm { get; init; }

    /// <summary>Norm of the parameters before the last step.</summary>
    [field: FieldOffset(4)] public float ParameterNorm { get; init; }

    /// <summary>log2 of <see cref="Scale"/>.</summary>
    [field: FieldOffset(8)] public float LgScale { get; init; }

    /// <summary>What the next loss is multiplied by.</summary>
    [field: FieldOffset(12)] public float Scale { get; init; }

    /// <summary>What the gradients of the last step had been multiplied by.</summary>
    [field: FieldOffset(16)] public float UsedScale { get; init; }

    /// <summary>What the last update multiplied gradients by: <see cref="Clip"/> over <see cref="UsedScale"/>.</summary>
    [field: FieldOffset(20)] public float Factor { get; init; }

    /// <summary>min(1, largest norm / norm) of the last step; 1 without a limit.</summary>
    [field: FieldOffset(24)] public float Clip { get; init; }

    /// <summary>Learning rate over 1 - b1^k.</summary>
    [field: FieldOffset(28)] public float StepSize { get; init; }

    /// <summary>1 / sqrt(1 - b2^k).</summary>
    [field: FieldOffset(32)] public float RootScale { get; init; }

    /// <summary>1 when the last step was left out.</summary>
    [field: FieldOffset(36)] public int Skip { get; init; }

    /// <summary>Steps really made, k.</summary>
    [field: FieldOffset(40)] public int Steps { get; init; }

    /// <summary>Steps left out one after the other; a caller gives up when it grows.</summary>
    [field: FieldOffset(44)] public int SkippedInRow { get; init; }

    /// <summary>b1^k.</summary>
    [field: FieldOffset(48)] public double Power1 { get; init; }

    /// <summary>b2^k.</summary>
    [field: FieldOffset(56)] public double Power2 { get; init; }

    /// <summary>Before the first step.</summary>
    /// <param name="lgScale">log2 of the loss scale: 20 for diffusion models, 16 for classifiers; 0 without a scale.</param>
    public static OptimizerState Start(float lgScale = 0) =>
        new() { LgScale = lgScale, Scale = MathF.Pow(2, lgScale), UsedScale = 1, Factor = 1, Clip = 1, Power1 = 1, Power2 = 1 };
}

/// <summary>Device addresses of an optimiser step, 16-byte aligned; 0 where there is no operand.</summary>
public readonly record struct OptimizerOperands
{
    /// <summary>Master parameters, [n] f32.</summary>
    public ulong Parameters { get; init; }

    /// <summary>First moment, [n] f32.</summary>
    public ulong Moment1 { get; init; }

    /// <summary>Second moment, [n] f32.</summary>
    public ulong Moment2 { get; init; }

    /// <summary>Average of the parameters, [n] f32.</summary>
    public ulong Ema { get; init; }

    /// <summary>Gradients times the loss scale, [n] f32.</summary>
    public ulong Gradients { get; init; }

    /// <summary>Copy of the parameters in the plan's type, [n].</summary>
    public ulong Copy { get; init; }

    /// <summary>One <see cref="OptimizerState"/>.</summary>
    public ulong State { get; init; }
}

/// <summary>Mirror of OptimParams in kernels/optim.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 104)]
internal readonly record struct OptimParams
{
    [field: FieldOffset(0)] public ulong P { get; init; }

    [field: FieldOffset(8)] public ulong M { get; init; }

    [field: FieldOffset(16)] public ulong V { get; init; }

    [field: FieldOffset(24)] public ulong Ema { get; init; }

    [field: FieldOffset(32)] public ulong G { get; init; }

    [field: FieldOffset(40)] public ulong Copy { get; init; }

    [field: FieldOffset(48)] public ulong Partial { get; init; }

    [field: FieldOffset(56)] public ulong State { get; init; }

    [field: FieldOffset(64)] public long N { get; init; }

    [field: FieldOffset(72)] public float Keep { get; init; }

    [field: FieldOffset(76)] public float Beta1 { get; init; }

    [field: FieldOffset(80)] public float Grow1 { get; init; }

    [field: FieldOffset(84)] public float Beta2 { get; init; }

    [field: FieldOffset(88)] public float Grow2 { get; init; }

    [field: FieldOffset(92)] public float Eps { get; init; }

    [field: FieldOffset(96)] public float Follow { get; init; }

    [field: FieldOffset(100)] public int Reserved { get; init; }
}

/// <summary>Mirror of OptimControlParams in kernels/optim.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 56)]
internal readonly record struct OptimControlParams
{
    [field: FieldOffset(0)] public ulong Partial { get; init; }

    [field: FieldOffset(8)] public ulong State { get; init; }

    [field: FieldOffset(16)] public long Slices { get; init; }

    [field: FieldOffset(24)] public double Beta1 { get; init; }

    [field: FieldOffset(32)] public double Beta2 { get; init; }

    [field: FieldOffset(40)] public float Lr { get; init; }

    [field: FieldOffset(44)] public float Growth { get; init; }

    [field: FieldOffset(48)] public int Scaled { get; init; }

    [field: FieldOffset(52)] public float MaxNorm { get; init; }
}

/// <summary>Launches of an optimiser step: norms, control, update.</summary>
/// <param name="Elements">Parameters.</param>
/// <param name="WithEma">An average is kept.</param>
/// <param name="WithCopy">A copy in <paramref name="CopyType"/> is written.</param>
/// <param name="CopyType">Type of the copy.</param>
/// <param name="Steps">The launches.</param>
/// <param name="Workspace">Bytes of partial sums.</param>
public sealed record OptimizerPlan(
    long Elements, bool WithEma, bool WithCopy, KernelDType CopyType, IReadOnlyList<PlannedLaunch> Steps, long Workspace) : KernelPlan(Steps, Workspace);

/// <summary>A planned update of a further average of the parameters.</summary>
/// <param name="Elements">Parameters.</param>
/// <param name="Launch">One launch.</param>
public sealed record EmaPlan(long Elements, PlannedLaunch Launch) : KernelPlan([Launch], 0);

/// <summary>Launchers of kernels/optim.cu: AdamW, EMA, half copy, gradient norm and loss scale.</summary>
public static class OptimizerKernels
{
    private const int Slice = 4096;
    private const int BlockElements = 2048;
    private const string Operation = "optimizer";

    /// <summary>Norms, control and update of one flat array of parameters.</summary>
    /// <exception cref="ArgumentException">No elements, or more than a grid covers.</exception>
    public static OptimizerPlan Plan(long elements, bool withEma, bool withCopy, KernelDType copyType, in DeviceLimits limits)
    {
        LaunchRule.Require(elements >= 1, Operation, $"there must be at least one parameter, not {elements}");
        long slices = LaunchRule.CeilDiv(elements, Slice);
        LaunchShape norms = LaunchRule.Linear(Operation, slices, 256, 0, limits);
        LaunchShape control = LaunchRule.Linear(Operation, 1, 256, 0, limits);
        LaunchShape update = LaunchRule.Linear(Operation, LaunchRule.CeilDiv(elements, BlockElements), 256, 0, limits);
        string type = withCopy ? copyType.Suffix() : "f32";
        return new OptimizerPlan(
            elements, withEma, withCopy, copyType,
            [
                new PlannedLaunch("optim_norms_f32", norms, (8 * elements) + (8 * slices) + 4),
                new PlannedLaunch("optim_control_f32", control, (8 * slices) + 128),
                new PlannedLaunch($"optim_adamw_{type}", update, elements * (28 + (withEma ? 8 : 0) + (withCopy ? copyType.Bytes() : 0))),
            ],
            8 * slices);
    }

    /// <summary>The planned launches with addresses.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="operands">Addresses.</param>
    /// <param name="settings">Settings of this step.</param>
    /// <param name="workspace">The plan's workspace.</param>
    /// <exception cref="ArgumentException">An operand the plan needs is missing or misaligned, or one it does not expect is there.</exception>
    public static IReadOnlyList<KernelLaunch> Enqueue(
        OptimizerPlan plan, in OptimizerOperands operands, OptimizerSettings settings, ulong workspace)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(settings);
        Present(operands.Parameters, true, "the parameters");
        Present(operands.Moment1, true, "the first moment");
        Present(operands.Moment2, true, "the second moment");
        Present(operands.Gradients, true, "the gradients");
        Present(operands.Ema, plan.WithEma, "the average");
        Present(operands.Copy, plan.WithCopy, "the copy");
        Present(operands.State, true, "the state");
        Present(workspace, true, "the workspace");
        var step = new OptimParams
        {
            P = operands.Parameters,
            M = operands.Moment1,
            V = operands.Moment2,
            Ema = operands.Ema,
            G = operands.Gradients,
            Copy = operands.Copy,
            Partial = workspace,
            State = operands.State,
            N = plan.Elements,
            Keep = (float)(1 - (settings.LearningRate * settings.WeightDecay)),
            Beta1 = (float)settings.Beta1,
            Grow1 = (float)(1 - settings.Beta1),
            Beta2 = (float)settings.Beta2,
            Grow2 = (float)(1 - settings.Beta2),
            Eps = (float)settings.Epsilon,
            Follow = (float)(1 - settings.EmaRate),
        };
        var control = new OptimControlParams
        {
            Partial = workspace,
            State = operands.State,
            Slices = LaunchRule.CeilDiv(plan.Elements, Slice),
            Beta1 = settings.Beta1,
            Beta2 = settings.Beta2,
            Lr = (float)settings.LearningRate,
            Growth = (float)settings.ScaleGrowth,
            Scaled = settings.Scaled ? 1 : 0,
            MaxNorm = (float)settings.MaxNorm,
        };
        return [KernelLaunch.Of(plan.Launches[0], step), KernelLaunch.Of(plan.Launches[1], control), KernelLaunch.Of(plan.Launches[2], step)];
    }

    /// <summary>The update of a further average.</summary>
    /// <exception cref="ArgumentException">No elements, or more than a grid covers.</exception>
    public static EmaPlan PlanEma(long elements, in DeviceLimits limits)
    {
        LaunchRule.Require(elements >= 1, Operation, $"there must be at least one parameter, not {elements}");
        LaunchShape shape = LaunchRule.Linear(Operation, LaunchRule.CeilDiv(elements, BlockElements), 256, 0, limits);
        return new EmaPlan(elements, new PlannedLaunch("optim_ema_f32", shape, 12 * elements));
    }

    /// <summary>The planned launch with addresses; to be launched after <see cref="Enqueue"/>'s, on the same state.</summary>
    /// <exception cref="ArgumentException">A bad address.</exception>
    public static KernelLaunch EnqueueEma(EmaPlan plan, ulong parameters, ulong ema, ulong state, double rate)
    {
        ArgumentNullException.ThrowIfNull(plan);
        Present(parameters, true, "the parameters");
        Present(ema, true, "the average");
        Present(state, true, "the state");
        return KernelLaunch.Of(plan.Launch, new OptimParams { P = parameters, Ema = ema, State = state, N = plan.Elements, Follow = (float)(1 - rate) });
    }

    private static void Present(ulong address, bool wanted, string what)
    {
        LaunchRule.Require(address != 0 || !wanted, Operation, $"{what} is missing");
        LaunchRule.Require(address == 0 || wanted, Operation, $"{what} is not part of this plan");
        LaunchRule.Require(address % 16 == 0, Operation, $"{what} is not 16-byte aligned");
    }
}
