using static AdmNative.Cuda.LaunchRule;

namespace AdmNative.Cuda;

/// <summary>
/// Group normalisation of what a convolution has just made, from the sums it stored on the way: x is read once instead of twice. The sums are of x -
/// bias and its square, so that the statistics lose what the guide promises for means far above the deviation when it is not the bias that is far.
/// </summary>
public static partial class GroupNormKernels
{
    /// <summary>Plans finalising and applying.</summary>
    /// <param name="shape">Of x, the convolution's result.</param>
    /// <param name="dtype">Of x and y.</param>
    /// <param name="slices">StatisticsSlices of the convolution's plan.</param>
    /// <param name="limits">Of the device.</param>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static GroupNormPlan PlanFromSums(GroupNormShape shape, KernelDType dtype, int slices, in DeviceLimits limits)
    {
        GroupNormPlan staged = Plan((shape ?? throw new ArgumentNullException(nameof(shape))) with { Staged = true }, dtype, limits);
        Require(slices >= 1, Op, $"there must be sums of at least one slice, not {slices}");
        (long n, long c) = (shape.N, shape.C);
        long other = (16 * n * c) + (4 * n * c) + (shape.Modulated ? 8 * n * c : 0) + (8 * n * shape.G);
        GroupNormPlan.Step apply = staged.Steps[^1];
        return new(shape, dtype, [FinalizeStep("gn_finalize_f32", shape, slices, limits, other), apply], 0, apply.Launch.TrafficBytes);
    }

    /// <summary>Launches of such a plan.</summary>
    /// <param name="plan">From <see cref="PlanFromSums"/>.</param>
    /// <param name="a">Addresses; the workspace is not used.</param>
    /// <param name="sums">What the convolution stored: f32 [N, slices, 2, C].</param>
    /// <param name="bias">The convolution's bias, f32 [C]: the pilot the sums are relative to.</param>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static IReadOnlyList<KernelLaunch> EnqueueFromSums(GroupNormPlan plan, in GroupNormArguments a, ulong sums, ulong bias)
    {
        ArgumentNullException.ThrowIfNull(plan);
        GroupNormShape s = plan.Shape;
        Require(plan.Steps.Count == 2 && plan.Launches[0].Entry == "gn_finalize_f32", Op, $"not a plan from sums");
        Require(sums != 0 && sums % 4 == 0 && bias != 0 && bias % 4 == 0, Op, $"sums and bias must be given, 4-byte aligned");
        CheckAddresses(plan, a);
        GnForwardParams finalize = Parameters(s, plan.Steps[0], a) with { X = bias, Ldx = 0, Partial = sums };
        return [KernelLaunch.Of(plan.Launches[0], finalize), KernelLaunch.Of(plan.Launches[1], Parameters(s, plan.Steps[1], a))];
    }
}
