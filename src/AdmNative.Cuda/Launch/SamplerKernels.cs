using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>What one pass of the sampler family computes; names the entry.</summary>
public enum SamplerPass
{
    /// <summary>Ancestral step with mean shift (paper Algorithm 1).</summary>
    Ddpm,

    /// <summary>DDIM step with score shift and eta (paper Algorithm 2).</summary>
    Ddim,

    /// <summary>Deterministic step towards noise.</summary>
    Reverse,

    /// <summary>The predicted x_0 alone, guided if a gradient is given.</summary>
    XStart,

    /// <summary>The mean of x_{t-1} alone.</summary>
    Mean,

    /// <summary>The log-variance of x_{t-1} alone.</summary>
    LogVariance,
}

/// <summary>Shape and operands of a sampler pass.</summary>
/// <param name="Pass">What is computed.</param>
/// <param name="Samples">Images.</param>
/// <param name="Pixels">Pixels per image.</param>
/// <param name="Channels">Channels of an image.</param>
/// <param name="Mean">What the network predicts: 0 x_{t-1}, 1 x_0, 2 epsilon (the order of MeanKind).</param>
/// <param name="Variance">0 learned, 1 fixed small, 2 fixed large, 3 learned range (the order of VarianceKind).</param>
/// <param name="GivenX0">x_0 is an operand instead of being predicted.</param>
/// <param name="Guided">A gradient is an operand.</param>
/// <param name="GivenNoise">Noise is an operand; otherwise it is drawn by Philox.</param>
/// <param name="WantsX0">The predicted x_0 is written.</param>
/// <param name="Clip">The predicted x_0 is clamped to [-1, 1].</param>
public readonly record struct SamplerShape(
    SamplerPass Pass, int Samples, int Pixels, int Channels, int Mean, int Variance, bool GivenX0, bool Guided, bool GivenNoise, bool WantsX0,
    bool Clip);

/// <summary>A planned sampler pass.</summary>
public sealed record SamplerPlan(SamplerShape Shape, KernelDType DType, PlannedLaunch Launch) : KernelPlan([Launch], 0);

/// <summary>Device addresses of a sampler pass; 0 where there is no operand. Images are [N, P, C] f32, dense.</summary>
public readonly record struct SamplerOperands
{
    /// <summary>x_t.</summary>
    public ulong X { get; init; }

    /// <summary>The network's output [N, P, C or 2 C] in the plan's type.</summary>
    public ulong Output { get; init; }

    /// <summary>Elements between pixels of the output.</summary>
    public long OutputStride { get; init; }

    /// <summary>The x_0 to take.</summary>
    public ulong GivenX0 { get; init; }

    /// <summary>Gradient of the classifier times its scale.</summary>
    public ulong Gradient { get; init; }

    /// <summary>Standard normals.</summary>
    public ulong Noise { get; init; }

    /// <summary>[N, 16] coefficients.</summary>
    public ulong Coefficients { get; init; }

    /// <summary>The result; may be X, GivenX0, Gradient or Noise.</summary>
    public ulong Y { get; init; }

    /// <summary>The predicted x_0.</summary>
    public ulong X0 { get; init; }

    /// <summary>Key of the noise.</summary>
    public ulong Seed { get; init; }

    /// <summary>Number of the first image in the run.</summary>
    public long FirstSample { get; init; }

    /// <summary>Step of the running process: names the noise.</summary>
    public int Step { get; init; }
}

/// <summary>Mirror of SamplerStepParams in kernels/sampler.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 120)]
internal readonly record struct SamplerStepParams
{
    [field: FieldOffset(0)] public ulong X { get; init; }

    [field: FieldOffset(8)] public ulong Out { get; init; }

    [field: FieldOffset(16)] public ulong X0In { get; init; }

    [field: FieldOffset(24)] public ulong Grad { get; init; }

    [field: FieldOffset(32)] public ulong Noise { get; init; }

    [field: FieldOffset(40)] public ulong Coef { get; init; }

    [field: FieldOffset(48)] public ulong Y { get; init; }

    [field: FieldOffset(56)] public ulong X0 { get; init; }

    [field: FieldOffset(64)] public long LdOut { get; init; }

    [field: FieldOffset(72)] public ulong Seed { get; init; }

    [field: FieldOffset(80)] public long FirstSample { get; init; }

    [field: FieldOffset(88)] public int Step { get; init; }

    [field: FieldOffset(92)] public int Samples { get; init; }

    [field: FieldOffset(96)] public int Pixels { get; init; }

    [field: FieldOffset(100)] public int Channels { get; init; }

    [field: FieldOffset(104)] public int Chunks { get; init; }

    [field: FieldOffset(108)] public int Mean { get; init; }

    [field: FieldOffset(112)] public int Variance { get; init; }

    [field: FieldOffset(116)] public int Clip { get; init; }
}

/// <summary>Mirror of SamplerNoisingParams in kernels/sampler.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 72)]
internal readonly record struct SamplerNoisingParams
{
    [field: FieldOffset(0)] public ulong X0 { get; init; }

    [field: FieldOffset(8)] public ulong Noise { get; init; }

    [field: FieldOffset(16)] public ulong Ab { get; init; }

    [field: FieldOffset(24)] public ulong Y { get; init; }

    [field: FieldOffset(32)] public ulong Drawn { get; init; }

    [field: FieldOffset(40)] public ulong Seed { get; init; }

    [field: FieldOffset(48)] public long FirstSample { get; init; }

    [field: FieldOffset(56)] public int Step { get; init; }

    [field: FieldOffset(60)] public int Samples { get; init; }

    [field: FieldOffset(64)] public int Elements { get; init; }

    [field: FieldOffset(68)] public int Chunks { get; init; }
}

/// <summary>Plan of the forward process.</summary>
public sealed record NoisingPlan(int Samples, int Elements, bool GivenNoise, bool WantsNoise, PlannedLaunch Launch) : KernelPlan([Launch], 0);

/// <summary>Launchers of kernels/sampler.cu: the guided step and the forward process, one pass over the image each.</summary>
public static class SamplerKernels
{
    private const int Block = 256;
    private const int BlockElements = 1024;
    private const string Operation = "sampler";

    /// <summary>The launch of a pass.</summary>
    /// <exception cref="ArgumentException">A size that no grid or 32-bit index covers.</exception>
    public static SamplerPlan Plan(in SamplerShape shape, KernelDType dtype, in DeviceLimits limits)
    {
        (int chunks, long elements) = Chunks(shape.Samples, shape.Pixels, shape.Channels);
        LaunchRule.Require(shape.Mean is >= 0 and <= 2, Operation, $"mean must be 0..2, not {shape.Mean}");
        LaunchRule.Require(shape.Variance is >= 0 and <= 3, Operation, $"variance must be 0..3, not {shape.Variance}");
        long s = elements * shape.Samples, b = dtype.Bytes();
        bool readsX0 = shape.Pass != SamplerPass.LogVariance;
        bool noise = shape.Pass is SamplerPass.Ddpm or SamplerPass.Ddim;
        bool grad = shape.Guided && (noise || shape.Pass == SamplerPass.XStart);
        bool writesY = shape.Pass != SamplerPass.XStart;
        long bytes = (64L * shape.Samples)
            + (readsX0 ? 4 * s : 0)
            + (b * s * ((ReadsPrediction(shape) ? 1 : 0) + (ReadsVariance(shape) ? 1 : 0)))
            + (4 * s * ((readsX0 && shape.GivenX0 ? 1 : 0) + (grad ? 1 : 0) + (noise && shape.GivenNoise ? 1 : 0)))
            + (4 * s * ((writesY ? 1 : 0) + (readsX0 && WritesX0(shape) ? 1 : 0)));
        string pass = shape.Pass switch
        {
            SamplerPass.Ddpm => "ddpm",
            SamplerPass.Ddim => "ddim",
            SamplerPass.Reverse => "reverse",
            SamplerPass.XStart => "xstart",
            SamplerPass.Mean => "mean",
            SamplerPass.LogVariance => "logvar",
            _ => throw new ArgumentOutOfRangeException(nameof(shape)),
        };
        LaunchShape launch = LaunchRule.Linear(Operation, (long)shape.Samples * chunks, Block, 0, limits);
        return new SamplerPlan(shape, dtype, new PlannedLaunch($"sampler_{pass}_{dtype.Suffix()}", launch, bytes));
    }

    /// <summary>The launch of x_t = a x_0 + b noise.</summary>
    /// <exception cref="ArgumentException">A size that no grid or 32-bit index covers.</exception>
    public static NoisingPlan PlanNoising(int samples, int elements, bool givenNoise, bool wantsNoise, in DeviceLimits limits)
    {
        (int chunks, _) = Chunks(samples, elements, 1);
        LaunchShape launch = LaunchRule.Linear(Operation, (long)samples * chunks, Block, 0, limits);
        long bytes = samples * (8L + (4L * elements * (2 + (givenNoise ? 1 : 0) + (wantsNoise ? 1 : 0))));
        return new NoisingPlan(samples, elements, givenNoise, wantsNoise, new PlannedLaunch("sampler_qsample_f32", launch, bytes));
    }

    /// <summary>The planned launch with addresses.</summary>
    /// <exception cref="ArgumentException">An operand the plan needs is missing, or one it does not expect is there.</exception>
    public static KernelLaunch Enqueue(SamplerPlan plan, in SamplerOperands operands)
    {
        ArgumentNullException.ThrowIfNull(plan);
        SamplerShape s = plan.Shape;
        bool noise = s.Pass is SamplerPass.Ddpm or SamplerPass.Ddim, image = s.Pass != SamplerPass.LogVariance;
        Present(operands.X, image, "x");
        Present(operands.GivenX0, image && s.GivenX0, "the given x_0");
        Present(operands.Gradient, s.Guided && (noise || s.Pass == SamplerPass.XStart), "the gradient");
        Present(operands.Noise, noise && s.GivenNoise, "noise");
        Present(operands.Y, s.Pass != SamplerPass.XStart, "y");
        Present(operands.X0, image && WritesX0(s), "x_0");
        Present(operands.Coefficients, true, "the coefficients");
        bool reads = ReadsPrediction(s) || ReadsVariance(s);
        LaunchRule.Require(!reads || operands.Output != 0, Operation, $"the network's output is missing");
        long width = ReadsVariance(s) ? 2L * s.Channels : s.Channels;
        LaunchRule.Require(!reads || operands.OutputStride >= width, Operation, $"the output's stride must be at least {width}, not {operands.OutputStride}");
        LaunchRule.Require(operands.Output % (ulong)plan.DType.Bytes() == 0, Operation, $"the output is not aligned to its elements");
        return KernelLaunch.Of(plan.Launch, new SamplerStepParams
        {
            X = operands.X,
            Out = operands.Output,
            X0In = operands.GivenX0,
            Grad = operands.Gradient,
            Noise = operands.Noise,
            Coef = operands.Coefficients,
            Y = operands.Y,
            X0 = operands.X0,
            LdOut = operands.OutputStride,
            Seed = operands.Seed,
            FirstSample = operands.FirstSample,
            Step = operands.Step,
            Samples = s.Samples,
            Pixels = s.Pixels,
            Channels = s.Channels,
            Chunks = Chunks(s.Samples, s.Pixels, s.Channels).Count,
            Mean = s.Mean,
            Variance = s.Variance,
            Clip = s.Clip ? 1 : 0,
        });
    }

    /// <summary>The planned forward process with addresses.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="x0">[N, elements] f32.</param>
    /// <param name="noise">[N, elements] f32; 0 = drawn by Philox.</param>
    /// <param name="scales">[N, 2]: sqrt(alpha bar), sqrt(1 - alpha bar).</param>
    /// <param name="y">x_t; may be x0 or noise.</param>
    /// <param name="drawn">Where the noise used goes; 0 = nowhere.</param>
    /// <param name="seed">Key of the noise.</param>
    /// <param name="firstSample">Number of the first image in the run.</param>
    /// <param name="step">Names the noise.</param>
    /// <exception cref="ArgumentException">An operand the plan needs is missing, or one it does not expect is there.</exception>
    public static KernelLaunch EnqueueNoising(
        NoisingPlan plan, ulong x0, ulong noise, ulong scales, ulong y, ulong drawn, ulong seed = 0, long firstSample = 0, int step = 0)
    {
        ArgumentNullException.ThrowIfNull(plan);
        Present(x0, true, "x_0");
        Present(noise, plan.GivenNoise, "noise");
        Present(scales, true, "the scales");
        Present(y, true, "y");
        Present(drawn, plan.WantsNoise, "room for the noise");
        return KernelLaunch.Of(plan.Launch, new SamplerNoisingParams
        {
            X0 = x0,
            Noise = noise,
            Ab = scales,
            Y = y,
            Drawn = drawn,
            Seed = seed,
            FirstSample = firstSample,
            Step = step,
            Samples = plan.Samples,
            Elements = plan.Elements,
            Chunks = Chunks(plan.Samples, plan.Elements, 1).Count,
        });
    }

    private static bool WritesX0(in SamplerShape s) => s.WantsX0 || s.Pass == SamplerPass.XStart;

    private static bool ReadsPrediction(in SamplerShape s) =>
        s.Pass != SamplerPass.LogVariance && (!s.GivenX0 || (s.Mean == 0 && s.Pass is SamplerPass.Ddpm or SamplerPass.Mean));

    private static bool ReadsVariance(in SamplerShape s) => s.Pass is SamplerPass.Ddpm or SamplerPass.LogVariance && s.Variance is 0 or 3;

    private static (int Count, long Elements) Chunks(int samples, int pixels, int channels)
    {
        LaunchRule.Require(samples >= 1 && pixels >= 1 && channels >= 1, Operation, $"{samples} x {pixels} x {channels} elements; every size must be at least 1");
        long elements = (long)pixels * channels;
        LaunchRule.Require(elements <= int.MaxValue - BlockElements, Operation, $"an image of {elements} elements is beyond 32-bit indices");
        return ((int)LaunchRule.CeilDiv(elements, BlockElements), elements);
    }

    private static void Present(ulong address, bool wanted, string what)
    {
        LaunchRule.Require(address != 0 || !wanted, Operation, $"{what} is missing");
        LaunchRule.Require(address == 0 || wanted, Operation, $"{what} is not part of this plan");
        LaunchRule.Require(address % 4 == 0, Operation, $"{what} is not aligned to 4 bytes");
    }
}
