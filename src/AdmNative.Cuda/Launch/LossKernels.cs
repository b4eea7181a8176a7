using static AdmNative.Cuda.LaunchRule;

namespace AdmNative.Cuda;

/// <summary>A training loss per sample: mean squared error of the network's output, the variational bound, or both.</summary>
/// <param name="Samples">N.</param>
/// <param name="Pixels">Per sample.</param>
/// <param name="Channels">Of the image; the network's output has twice as many with a learned variance.</param>
public sealed record LossShape(int Samples, int Pixels, int Channels)
{
    /// <summary>What the output predicts: 0 x_{t-1}, 1 x_0, 2 the noise.</summary>
    public int Mean { get; init; } = 2;

    /// <summary>0 learned, 1 fixed small, 2 fixed large, 3 learned range.</summary>
    public int Variance { get; init; } = 3;

    /// <summary>The squared error is part of the loss.</summary>
    public bool Error { get; init; } = true;

    /// <summary>The bound is part of the loss, times <see cref="BoundFactor"/>.</summary>
    public bool Bound { get; init; } = true;

    /// <summary>T / 1000 of the rescaled hybrid loss, T of the rescaled bound, else 1.</summary>
    public double BoundFactor { get; init; } = 1;

    /// <summary>The bound's gradient reaches the mean channels: set where the bound is the loss, not set in the hybrid loss.</summary>
    public bool Through { get; init; }

    /// <summary>The bound clamps the predicted x_0 (likelihood evaluation).</summary>
    public bool Clip { get; init; }

    /// <summary>What the output should be is given; else it is the posterior mean.</summary>
    public bool GivenTarget { get; init; } = true;

    /// <summary>Values are wanted: loss, and where given room for, error and bound.</summary>
    public bool Values { get; init; } = true;

    /// <summary>The gradient of sum weight loss with respect to the output is wanted.</summary>
    public bool Gradient { get; init; }

    /// <summary>The gradient carries a loss scale from device memory.</summary>
    public bool Scaled { get; init; }

    /// <summary>True when the output has channels for a variance that the bound reads.</summary>
    public bool ReadsVariance => Bound && Variance is 0 or 3;

    /// <summary>True when x_0, x_t and coefficients are read.</summary>
    public bool ReadsProcess => Bound || !GivenTarget;

    /// <summary>Channels of the output that are read, and of its gradient that are written.</summary>
    public int Width => ReadsVariance ? 2 * Channels : Channels;
}

/// <summary>Addresses of a loss; 0 where there is no operand.</summary>
public readonly record struct LossOperands
{
    /// <summary>The network's output, [N, P, C or 2 C] in the plan's type.</summary>
    public ulong Output { get; init; }

    /// <summary>Elements between pixels of <see cref="Output"/>.</summary>
    public long OutputStride { get; init; }

    /// <summary>[N, P, C] f32.</summary>
    public ulong Target { get; init; }

    /// <summary>Clean images, [N, P, C] f32.</summary>
    public ulong X0 { get; init; }

    /// <summary>Noisy images, [N, P, C] f32.</summary>
    public ulong Xt { get; init; }

    /// <summary>[N, 16] f32.</summary>
    public ulong Coefficients { get; init; }

    /// <summary>[N] f32: factor of each sample's loss in the objective.</summary>
    public ulong Weight { get; init; }

    /// <summary>[1] f32: loss scale.</summary>
    public ulong Scale { get; init; }

    /// <summary>[N] f32, written.</summary>
    public ulong Loss { get; init; }

    /// <summary>[N] f32, written if given: mean squared error.</summary>
    public ulong Mse { get; init; }

    /// <summary>[N] f32, written if given: bound times its factor.</summary>
    public ulong Vb { get; init; }

    /// <summary>Gradient, like <see cref="Output"/>, written.</summary>
    public ulong Gradient { get; init; }

    /// <summary>Elements between pixels of <see cref="Gradient"/>.</summary>
    public long GradientStride { get; init; }

    /// <summary>The plan's workspace.</summary>
    public ulong Workspace { get; init; }
}

/// <summary>A planned loss: one pass over the image, and with values their ordered sums.</summary>
public sealed record LossPlan(LossShape Shape, KernelDType DType, int Chunks, IReadOnlyList<PlannedLaunch> Steps, long Workspace) : KernelPlan(Steps, Workspace);

/// <summary>A planned log-probability of labels, or cross-entropy.</summary>
/// <param name="Samples">N.</param>
/// <param name="Classes">K.</param>
/// <param name="CrossEntropy">The sign is turned.</param>
/// <param name="Values">Values are wanted.</param>
/// <param name="Gradient">The gradient with respect to the logits is wanted.</param>
/// <param name="Launch">The launch.</param>
public sealed record SelectPlan(int Samples, int Classes, bool CrossEntropy, bool Values, bool Gradient, PlannedLaunch Launch) : KernelPlan([Launch], 0);

/// <summary>Addresses of a log-probability of labels; 0 where there is no operand.</summary>
public readonly record struct SelectOperands
{
    /// <summary>[N, K] f32.</summary>
    public ulong Logits { get; init; }

    /// <summary>Elements between rows of <see cref="Logits"/>; 0 = K.</summary>
    public long Stride { get; init; }

    /// <summary>[N] i32; one outside 0 .. K - 1 gives NaN.</summary>
    public ulong Labels { get; init; }

    /// <summary>[N] f32: factor of each sample in the objective.</summary>
    public ulong Weight { get; init; }

    /// <summary>[1] f32: loss scale, if there is one.</summary>
    public ulong Scale { get; init; }

    /// <summary>[N] f32, written.</summary>
    public ulong Value { get; init; }

    /// <summary>[N, K] f32, written.</summary>
    public ulong Gradient { get; init; }

    /// <summary>Elements between rows of <see cref="Gradient"/>; 0 = K.</summary>
    public long GradientStride { get; init; }
}

/// <summary>Launchers of kernels/loss.cu and loss_select.cu.</summary>
public static class LossKernels
{
    private const string Op = "loss";
    private const int ChunkElements = 1024;

    /// <summary>Plans a loss.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static LossPlan Plan(LossShape shape, KernelDType dtype, in DeviceLimits limits)
    {
        ArgumentNullException.ThrowIfNull(shape);
        LossShape s = shape;
        Require(s.Samples >= 1 && s.Pixels >= 1 && s.Channels >= 1, Op, $"{s.Samples} x {s.Pixels} x {s.Channels} elements; every size must be at least 1");
        long elements = (long)s.Pixels * s.Channels, all = elements * s.Samples;
        Require(elements <= int.MaxValue - ChunkElements, Op, $"an image of {elements} elements is beyond 32-bit indices");
        Require(s.Mean is >= 0 and <= 2, Op, $"mean must be 0..2, not {s.Mean}");
        Require(s.Variance is >= 0 and <= 3, Op, $"variance must be 0..3, not {s.Variance}");
        Require(s.Error || s.Bound, Op, $"a loss has the squared error, the bound or both");
        Require(s.Error || s.GivenTarget, Op, $"without the squared error there is no target to derive");
        Require(s.Values || s.Gradient, Op, $"values, the gradient or both must be wanted");
        Require(!s.Through || s.Bound, Op, $"without a bound none can pass its gradient through");
        int chunks = (int)CeilDiv(elements, ChunkElements);
        long blocks = checked((long)s.Samples * chunks), b = dtype.Bytes();
        long floats = (s.Error && s.GivenTarget ? 1 : 0) + (s.ReadsProcess ? 2 : 0);
        long traffic = (all * ((s.Width / s.Channels * b * (s.Gradient ? 2 : 1)) + (4 * floats)))
            + (s.ReadsProcess ? 64L * s.Samples : 0) + (s.Gradient ? 4L * s.Samples : 0) + (s.Values ? 8 * blocks : 0);
        List<PlannedLaunch> launches = [new($"loss_hybrid_{dtype.Suffix()}", Linear(Op, blocks, 256, 0, limits), traffic)];
        if (s.Values)
        {
            launches.Add(new("loss_finish_f32", Linear(Op, s.Samples, 256, 0, limits), (8 * blocks) + (12L * s.Samples)));
        }

        return new(shape, dtype, chunks, launches, s.Values ? RoundUp(8 * blocks, 256) : 0);
    }

    /// <summary>The launches of a plan.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static IReadOnlyList<KernelLaunch> Enqueue(LossPlan plan, in LossOperands a)
    {
        ArgumentNullException.ThrowIfNull(plan);
        LossShape s = plan.Shape;
        Present(a.Target, s.Error && s.GivenTarget, "the target");
        Present(a.X0, s.ReadsProcess, "x_0");
        Present(a.Xt, s.ReadsProcess, "x_t");
        Present(a.Coefficients, s.ReadsProcess, "the coefficients");
        Present(a.Weight, s.Gradient, "the weight");
        Present(a.Scale, s.Gradient && s.Scaled, "the loss scale");
        Present(a.Loss, s.Values, "room for the loss");
        Require(s.Values || (a.Mse == 0 && a.Vb == 0), Op, $"values are not part of this plan");
        Require(plan.WorkspaceBytes == 0 || (a.Workspace != 0 && a.Workspace % 256 == 0), Op, $"needs {plan.WorkspaceBytes} bytes of workspace, 256-byte aligned");
        ulong size = (ulong)plan.DType.Bytes();
        Require(a.Output != 0 && a.Output % size == 0, Op, $"the output is missing or not aligned to its elements");
        Require(a.OutputStride >= s.Width, Op, $"the output's stride must be at least {s.Width}, not {a.OutputStride}");
        Require(s.Gradient == (a.Gradient != 0) && a.Gradient % size == 0, Op, $"the gradient must be given, aligned to its elements, when it is wanted, else not");
        Require(!s.Gradient || a.GradientStride >= s.Width, Op, $"the gradient's stride must be at least {s.Width}, not {a.GradientStride}");
        Require(!s.Gradient || a.Gradient != a.Output, Op, $"the gradient must not be the output");
        double count = (double)s.Pixels * s.Channels;
        (float perElement, float perBound) = ((float)(1 / count), (float)(s.BoundFactor / (count * Math.Log(2))));
        var pass = KernelLaunch.Of(plan.Launches[0], new LossHybridParams
        {
            Out = a.Output,
            Target = a.Target,
            X0 = a.X0,
            Xt = a.Xt,
            Coef = a.Coefficients,
            Weight = a.Weight,
            Scale = a.Scale,
            Partial = s.Values ? a.Workspace : 0,
            DOut = a.Gradient,
            LdOut = a.OutputStride,
            LdD = a.GradientStride,
            Pixels = s.Pixels,
            Channels = s.Channels,
            Chunks = plan.Chunks,
            Mean = s.Mean,
            Variance = s.Variance,
            Clip = s.Clip ? 1 : 0,
            Error = s.Error ? 1 : 0,
            Bound = s.Bound ? 1 : 0,
            Through = s.Through ? 1 : 0,
            PerElement = perElement,
            PerBound = perBound,
        });
        return !s.Values ? [pass] : [pass, KernelLaunch.Of(plan.Launches[1], new LossFinishParams
        {
            Partial = a.Workspace,
            Loss = a.Loss,
            Mse = a.Mse,
            Vb = a.Vb,
            Chunks = plan.Chunks,
            PerElement = perElement,
            PerBound = perBound,
        })];
    }

    /// <summary>Plans log softmax at a label, or cross-entropy, and their gradients.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static SelectPlan PlanSelect(int samples, int classes, bool crossEntropy, bool values, bool gradient, in DeviceLimits limits)
    {
        Require(samples >= 1 && classes >= 1, Op, $"there must be at least one row and one class, not {samples} and {classes}");
        Require(values || gradient, Op, $"values, the gradient or both must be wanted");
        long traffic = samples * (4 + (8L * classes) + (values ? 8 : 0) + (gradient ? (8L * classes) + 16 : 0));
        return new(samples, classes, crossEntropy, values, gradient, new("loss_select_f32", Linear(Op, samples, 128, 0, limits), traffic));
    }

    /// <summary>The launch of a plan.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static KernelLaunch EnqueueSelect(SelectPlan plan, in SelectOperands a)
    {
        ArgumentNullException.ThrowIfNull(plan);
        Present(a.Logits, true, "logits");
        Present(a.Labels, true, "labels");
        Present(a.Weight, plan.Gradient, "the weight");
        Present(a.Value, plan.Values, "room for values");
        Present(a.Gradient, plan.Gradient, "the gradient");
        Require(a.Scale == 0 || plan.Gradient, Op, $"the loss scale is not part of this plan");
        Require(a.Gradient != a.Logits, Op, $"the gradient must not be the logits");
        (long stride, long strideD) = (a.Stride != 0 ? a.Stride : plan.Classes, a.GradientStride != 0 ? a.GradientStride : plan.Classes);
        Require(stride >= plan.Classes && strideD >= plan.Classes, Op, $"row strides must be at least {plan.Classes}, not {stride} and {strideD}");
        return KernelLaunch.Of(plan.Launch, new LossSelectParams
        {
            Logits = a.Logits,
            Labels = a.Labels,
            Weight = a.Weight,
            Scale = a.Scale,
            Value = a.Value,
            Dlogits = a.Gradient,
            Ld = stride,
            LdD = strideD,
            K = plan.Classes,
            Sign = plan.CrossEntropy ? -1 : 1,
        });
    }

    private static void Present(ulong address, bool wanted, string what)
    {
        Require(address != 0 || !wanted, Op, $"{what} is missing");
        Require(address == 0 || wanted, Op, $"{what} is not part of this plan");
        Require(address % 4 == 0, Op, $"{what} is not aligned to 4 bytes");
    }
}
