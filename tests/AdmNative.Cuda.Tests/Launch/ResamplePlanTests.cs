using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>Plans of the resampling kernels.</summary>
public sealed class ResamplePlanTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(4096)]
    public void Every_legal_shape_has_a_plan(int n)
    {
        foreach (ResampleOp op in Enum.GetValues<ResampleOp>())
        {
            foreach ((int h, int w) in new[] { (1, 1), (7, 3), (8, 8), (33, 31), (64, 64) })
            {
                foreach (int c in new[] { 1, 3, 30, 32, 192, 1000 })
                {
                    foreach (KernelDType dtype in KernelDTypes.All)
                    {
                        int k = op == ResampleOp.Down2 ? 2 : 1;
                        var shape = new ResampleShape(op, n, k * h, k * w, c) { Height = h + 2, Width = w };
                        long items = (long)n * h * w * c;
                        if (items > 1L << 30)
                        {
                            continue; // beyond 32-bit indices when narrow; has its own test
                        }

                        ResamplePlan plan = ResampleKernels.Plan(shape, dtype, DeviceLimits.Sm86);
                        PlanAssert.Valid(plan, DeviceLimits.Sm86);
                        Assert.Equal(op == ResampleOp.Bilinear || c * dtype.Bytes() % 16 != 0, plan.Narrow);
                        Assert.Equal(plan.Launch.Entry, ResampleKernels.Enqueue(plan, 256, 512).Entry);
                    }
                }
            }
        }
    }

    [Fact]
    public void Broken_clauses_are_named()
    {
        static ResamplePlan Plan(ResampleShape s) => ResampleKernels.Plan(s, KernelDType.F16, DeviceLimits.Sm80);
        PlanAssert.Refused("every size must be at least 1", () => Plan(new(ResampleOp.Up2, 1, 0, 4, 8)));
        PlanAssert.Refused("every size must be at least 1", () => Plan(new(ResampleOp.Bilinear, 1, 4, 4, 8)));
        PlanAssert.Refused("even height and width", () => Plan(new(ResampleOp.Down2, 1, 4, 3, 8)));
        PlanAssert.Refused("strides must be at least 8", () => Plan(new(ResampleOp.Up2, 1, 4, 4, 8) { StrideY = 4 }));
        PlanAssert.Refused("beyond 32-bit indices", () => Plan(new(ResampleOp.Up2, 4096, 64, 64, 1001)));
        ResamplePlan plan = Plan(new(ResampleOp.Up2, 1, 4, 4, 8));
        PlanAssert.Refused("x must be 16-byte aligned", () => ResampleKernels.Enqueue(plan, 264, 512));
        PlanAssert.Refused("y must not be x", () => ResampleKernels.Enqueue(plan, 512, 512));
        PlanAssert.Refused("no factor", () => ResampleKernels.Enqueue(Plan(new(ResampleOp.Bilinear, 1, 4, 4, 8) { Height = 2, Width = 2 }), 256, 512, 2));
    }
}
