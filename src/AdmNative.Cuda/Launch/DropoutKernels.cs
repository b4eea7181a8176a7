using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>A planned dropout; its gradient is the same on dy.</summary>
/// <param name="Elements">Elements.</param>
/// <param name="DType">Element type.</param>
/// <param name="Probability">Chance of zero.</param>
/// <param name="Layer">Tells the dropout layers of a network apart.</param>
/// <param name="Launch">One launch.</param>
public sealed record DropoutPlan(long Elements, KernelDType DType, double Probability, int Layer, PlannedLaunch Launch) : KernelPlan([Launch], 0);

/// <summary>Mirror of DropoutParams in kernels/dropout.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 48)]
internal readonly record struct DropoutParams
{
    [field: FieldOffset(0)] public ulong X { get; init; }

    [field: FieldOffset(8)] public ulong Y { get; init; }

    [field: FieldOffset(16)] public ulong Seed { get; init; }

    [field: FieldOffset(24)] public long N { get; init; }

    [field: FieldOffset(32)] public float Scale { get; init; }

    [field: FieldOffset(36)] public uint Threshold { get; init; }

    [field: FieldOffset(40)] public uint Layer { get; init; }

    [field: FieldOffset(44)] public int Reserved { get; init; }
}

/// <summary>Launcher of kernels/dropout.cu.</summary>
public static class DropoutKernels
{
    private const string Operation = "dropout";

    /// <summary>The launch.</summary>
    /// <exception cref="ArgumentException">A clause of the kernel does not hold.</exception>
    public static DropoutPlan Plan(long elements, KernelDType dtype, double probability, int layer, in DeviceLimits limits)
    {
        LaunchRule.Require(elements >= 1, Operation, $"there must be at least one element, not {elements}");
        LaunchRule.Require(probability is >= 0 and < 1, Operation, $"the probability must lie in [0, 1), not {probability}");
        int perBlock = 256 * 16 / dtype.Bytes();
        LaunchShape launch = LaunchRule.Linear(Operation, LaunchRule.CeilDiv(elements, perBlock), 256, 0, limits);
        long warps = LaunchRule.CeilDiv(elements, perBlock / 8);
        return new DropoutPlan(elements, dtype, probability, layer, new PlannedLaunch($"dropout_apply_{dtype.Suffix()}", launch, (2 * elements * dtype.Bytes()) + (8 * warps)));
    }

    /// <summary>The planned launch with addresses; y may be x.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="x">Input, or dy.</param>
    /// <param name="seed">[2] i32, each 0..2^24 - 1.</param>
    /// <param name="y">Result, or dx.</param>
    /// <exception cref="ArgumentException">An address is missing or misaligned.</exception>
    public static KernelLaunch Enqueue(DropoutPlan plan, ulong x, ulong seed, ulong y)
    {
        ArgumentNullException.ThrowIfNull(plan);
        LaunchRule.Address(Operation, x, true, 16, "x");
        LaunchRule.Address(Operation, seed, true, 8, "the seed");
        LaunchRule.Address(Operation, y, true, 16, "y");
        return KernelLaunch.Of(plan.Launch, new DropoutParams
        {
            X = x,
            Y = y,
            Seed = seed,
            N = plan.Elements,
            Scale = (float)(1 / (1 - plan.Probability)),
            Threshold = (uint)Math.Ceiling(plan.Probability * (1 << 24)),
            Layer = unchecked((uint)plan.Layer),
        });
    }
}
