using System.Runtime.InteropServices;
using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>Plans of dropout.</summary>
public sealed class DropoutPlanTests
{
    [Fact]
    public void Every_count_has_a_plan_that_covers_it()
    {
        foreach (long n in new[] { 1, 7, 1024, 2049, 1L << 33, 1L << 40 })
        {
            foreach (KernelDType dtype in KernelDTypes.All)
            {
                DropoutPlan plan = DropoutKernels.Plan(n, dtype, 0.1, 3, DeviceLimits.Sm80);
                PlanAssert.Valid(plan, DeviceLimits.Sm80);
                long covered = plan.Launch.Shape.GridX * 256L * (16 / dtype.Bytes());
                Assert.True(covered >= n && covered - n < 256 * (16 / dtype.Bytes()));
            }
        }
    }

    [Fact]
    public void Broken_clauses_are_named()
    {
        PlanAssert.Refused("at least one element", () => DropoutKernels.Plan(0, KernelDType.F16, 0.1, 0, DeviceLimits.Sm80));
        PlanAssert.Refused("must lie in [0, 1)", () => DropoutKernels.Plan(1, KernelDType.F16, 1, 0, DeviceLimits.Sm80));
        DropoutPlan plan = DropoutKernels.Plan(100, KernelDType.F16, 0.1, -1, DeviceLimits.Sm80);
        PlanAssert.Refused("the seed must be 8-byte aligned", () => DropoutKernels.Enqueue(plan, 16, 4, 16));
        PlanAssert.Refused("x is missing", () => DropoutKernels.Enqueue(plan, 0, 8, 16));
        DropoutParams p = MemoryMarshal.Read<DropoutParams>(DropoutKernels.Enqueue(plan, 16, 8, 16).Parameters.Span);
        Assert.Equal((1677722u, uint.MaxValue, (float)(1 / 0.9)), (p.Threshold, p.Layer, p.Scale));
    }
}
