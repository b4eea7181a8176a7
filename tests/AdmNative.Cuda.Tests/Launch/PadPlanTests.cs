using System.Runtime.InteropServices;
using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>Plans of padding.</summary>
public sealed class PadPlanTests
{
    [Fact]
    public void Every_legal_shape_has_a_plan_that_covers_it()
    {
        foreach ((long rows, long columns, long begin, long count) in new[] { (1L, 1L, 0L, 0L), (1, 7, 0, 7), (4096, 64, 32, 32), (3, 33, 28, 5), (257, 96, 0, 0), (4096L * 64 * 64, 192, 64, 64) })
        {
            foreach (long gap in new long[] { 0, 3, 8 })
            {
                foreach (KernelDType dtype in KernelDTypes.All)
                {
                    var shape = new PadShape(rows, columns, begin, count) { StrideY = columns + gap };
                    if (rows > 1 << 20 && gap == 3)
                    {
                        PlanAssert.Refused("beyond 32-bit indices", () => PadKernels.Plan(shape, dtype, DeviceLimits.Sm90));
                        continue;
                    }

                    PadPlan plan = PadKernels.Plan(shape, dtype, DeviceLimits.Sm90);
                    PlanAssert.Valid(plan, DeviceLimits.Sm90);
                    Assert.Equal(plan.Narrow, plan.Launch.Entry.Contains("narrow", StringComparison.Ordinal));
                    PadParams p = MemoryMarshal.Read<PadParams>(PadKernels.Enqueue(plan, count > 0 ? 256ul : 0, 1024).Parameters.Span);
                    long places = 1024L * plan.Launch.Shape.GridX;
                    Assert.True(places >= p.Vectors && places - p.Vectors < 1024, "blocks cover the vectors, none is empty");
                    Assert.True(p.Vectors * (long)(plan.Narrow ? 1 : 16 / dtype.Bytes()) >= rows * columns);
                }
            }
        }
    }

    [Fact]
    public void Broken_clauses_are_named()
    {
        static PadPlan Plan(PadShape shape) => PadKernels.Plan(shape, KernelDType.F16, DeviceLimits.Sm80);
        PlanAssert.Refused("both must be at least 1", () => Plan(new(0, 4, 0, 0)));
        PlanAssert.Refused("columns 8..24 do not fit into 20", () => Plan(new(2, 20, 8, 16)));
        PlanAssert.Refused("strides must be at least 16 and 64", () => Plan(new(2, 64, 8, 16) { StrideY = 63 }));
        PadPlan plan = Plan(new(2, 64, 8, 16));
        PlanAssert.Refused("a is missing", () => PadKernels.Enqueue(plan, 0, 512));
        PlanAssert.Refused("y must be 16-byte aligned", () => PadKernels.Enqueue(plan, 256, 520));
        PlanAssert.Refused("y must not be a", () => PadKernels.Enqueue(plan, 256, 256));
        PlanAssert.Refused("a is not part of this plan", () => PadKernels.Enqueue(Plan(new(2, 64, 0, 0)), 256, 512));
        Assert.True(Plan(new(2, 64, 4, 16)).Narrow);
    }
}
