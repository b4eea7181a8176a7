using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>Plans of the operations over pixels.</summary>
public sealed class SpatialPlanTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(257)]
    [InlineData(4096)]
    public void Every_legal_shape_has_a_plan_that_covers_it(int n)
    {
        foreach (SpatialOp op in Enum.GetValues<SpatialOp>())
        {
            foreach (int pixels in new[] { 1, 2, 49, 64, 1009, 4096, 65536 })
            {
                foreach (int c in new[] { 1, 3, 30, 32, 125, 192, 513, 1000, 4096 })
                {
                    foreach (KernelDType dtype in KernelDTypes.All)
                    {
                        DeviceLimits limits = PlanAssert.Devices[(pixels + c) % 4];
                        SpatialPlan plan = SpatialKernels.Plan(new(op, n, pixels, c) { Shifted = true }, dtype, limits);
                        PlanAssert.Valid(plan, limits);
                        Assert.True((long)plan.Slabs * plan.SlabChannels >= c && (plan.Slabs - 1L) * plan.SlabChannels < c);
                        Assert.True((long)plan.Slices * plan.SliceRows >= pixels && (plan.Slices - 1L) * plan.SliceRows < pixels);
                        Assert.True(plan.SlabChannels % (plan.Narrow ? 1 : 16 / dtype.Bytes()) == 0 && plan.SlabChannels <= (plan.Narrow ? 256 : 512));
                        Assert.Equal((long)n * plan.Slabs * plan.Slices, plan.Launches[0].Shape.GridX);
                    }
                }
            }
        }
    }

    [Fact]
    public void Broken_clauses_are_named()
    {
        static SpatialPlan Plan(SpatialShape s) => SpatialKernels.Plan(s, KernelDType.F16, DeviceLimits.Sm80);
        PlanAssert.Refused("every size must be at least 1", () => Plan(new(SpatialOp.Sum, 1, 0, 8)));
        PlanAssert.Refused("beyond 2^28", () => Plan(new(SpatialOp.Sum, 1, 1 << 29, 8)));
        PlanAssert.Refused("strides must lie in 64", () => Plan(new(SpatialOp.Modulate, 1, 4, 64) { StrideY = 32 }));
        PlanAssert.Refused("at least 128 apart", () => Plan(new(SpatialOp.Dot, 2, 4, 64) { StrideRow = 64 }));
        SpatialPlan plan = Plan(new(SpatialOp.Modulate, 2, 4, 64) { Shifted = true });
        PlanAssert.Refused("shift is missing", () => SpatialKernels.Enqueue(plan, new(256, 0, 0, 0, 512, 0)));
        PlanAssert.Refused("scale is not part of this plan", () => SpatialKernels.Enqueue(plan, new(256, 0, 16, 16, 512, 0)));
        PlanAssert.Refused("x must be 16-byte aligned", () => SpatialKernels.Enqueue(plan, new(264, 0, 0, 16, 512, 0)));
        PlanAssert.Refused("the workspace is missing", () => SpatialKernels.Enqueue(Plan(new(SpatialOp.Sum, 1, 4, 64)), new(256, 0, 0, 0, 512, 0)));
        Assert.All(new[] { Plan(new(SpatialOp.Sum, 1, 4, 60)), Plan(new(SpatialOp.Sum, 1, 4, 64) { StrideX = 67 }) }, p => Assert.True(p.Narrow));
    }
}
