using static AdmNative.Cuda.LaunchRule;

namespace AdmNative.Cuda;

/// <summary>The kernels of kernels/gn_plain.cu: how a group normalisation is first written, and the steps from there.</summary>
public enum GroupNormVersion
{
    /// <summary>A block per sample and group, an element per access, the input read three times.</summary>
    Plain,

    /// <summary>Blocks for slices of pixels, sums of x and x^2, an element per access.</summary>
    Moments,

    /// <summary>As moments, 16 bytes per access.</summary>
    Wide,
}

public static partial class GroupNormKernels
{
    private const int SliceOfVersions = 128, SlicesOfVersions = 1024;

    /// <summary>
    /// Plans an earlier version, to compare ours with: f32 and f16, no resampling; moments need whole groups of at most 256 channels, wide ones (512)
    /// whole vectors too. <see cref="GroupNormArguments.Ab"/> is not written.
    /// </summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static GroupNormPlan PlanVersion(GroupNormShape shape, KernelDType dtype, GroupNormVersion version, in DeviceLimits limits)
    {
        Validate(shape);
        Require(dtype != KernelDType.BF16 && shape.Resample == KernelResample.Keep, Op, $"earlier versions have neither bf16 nor resampling");
        (long n, long p, long c) = (shape.N, shape.Pixels, shape.C);
        long activations = n * p * c * dtype.Bytes();
        if (version == GroupNormVersion.Plain)
        {
            Require(p * shape.D < 1L << 31, Op, $"a group may have 2^31 - 1 elements, not {p * shape.D}");
            LaunchShape grid = Linear(Op, n * shape.G, Threads, 0, limits);
            return new(shape, dtype, [new(new($"gn_plain_{dtype.Suffix()}", grid, 4 * activations), 1, shape.C, 1, (int)p)], 0, 4 * activations);
        }

        int vector = version == GroupNormVersion.Wide ? 16 / dtype.Bytes() : 1;
        long unit = Lcm(shape.D, vector), most = Math.Min(vector == 1 ? 256 : 512, 64L * shape.D);
        Require(unit <= most && c % unit == 0, Op, $"slabs of whole groups of {shape.D} channels and vectors of {vector} must fit {most} channels");
        Require(shape.X % vector == 0 && shape.Y % vector == 0, Op, $"strides must be multiples of {vector}");
        int cs = (int)Math.Min(c, most / unit * unit), rows = (int)Math.Max(SliceOfVersions, CeilDiv(p, SlicesOfVersions));
        string suffix = $"{(vector == 1 ? "" : "wide_")}{dtype.Suffix()}";
        GroupNormPlan.Step sums = Step($"gn_moments_{suffix}", n, p, shape.C, cs, rows, limits, channels => activations + (8 * channels));
        GroupNormPlan.Step apply = Step(
            $"gn_moments_apply_{suffix}", n, p, shape.C, cs, rows, limits, channels => (2 * activations) + (((8 * sums.Slices) + (shape.Modulated ? 16 : 8)) * channels));
        return new(shape, dtype, [sums, apply], RoundUp(8 * n * sums.Slices * c, 256), 3 * activations);
    }

    /// <summary>Launches of <see cref="PlanVersion"/> at addresses.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static IReadOnlyList<KernelLaunch> EnqueueVersion(GroupNormPlan plan, in GroupNormArguments a)
    {
        ArgumentNullException.ThrowIfNull(plan);
        string first = plan.Steps[0].Launch.Entry;
        Require(first.StartsWith("gn_plain", StringComparison.Ordinal) || first.StartsWith("gn_moments", StringComparison.Ordinal), Op, $"not a plan of an earlier version");
        Require(a.X != 0 && a.Y != 0 && a.Gamma != 0 && a.Beta != 0 && a.Mean != 0 && a.Rstd != 0, Op, $"x, y, gamma, beta, mean and rstd must be given");
        Require(a.X != a.Y && a.X % 16 == 0 && a.Y % 16 == 0, Op, $"x and y must be 16-byte aligned, and not the same");
        CheckModulation(plan.Shape, a.Scale, a.Shift, a.ModulationStride);
        CheckWorkspace(Op, plan, a.Workspace);
        GroupNormArguments arguments = a; // a lambda cannot see an in parameter
        return [.. plan.Steps.Select(step => KernelLaunch.Of(step.Launch, Parameters(plan.Shape, step, arguments)))];
    }
}
