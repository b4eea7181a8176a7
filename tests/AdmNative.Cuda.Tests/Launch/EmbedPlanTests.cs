using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>Plans of the embeddings.</summary>
public sealed class EmbedPlanTests
{
    [Fact]
    public void Every_legal_shape_has_a_plan_that_covers_it()
    {
        foreach (int n in new[] { 1, 2, 31, 257, 4096 })
        {
            foreach (int e in new[] { 1, 2, 3, 33, 192, 256, 257, 1024 })
            {
                foreach (KernelDType dtype in KernelDTypes.All)
                {
                    foreach (EmbedOp op in Enum.GetValues<EmbedOp>())
                    {
                        EmbedPlan plan = EmbedKernels.Plan(new(op, n, e, 1000), dtype, DeviceLimits.Sm89);
                        PlanAssert.Valid(plan, DeviceLimits.Sm89);
                        long threads = 256L * plan.Launch.Shape.GridX, work = op switch { EmbedOp.Timestep => n * ((e + 1L) / 2), EmbedOp.Label => (long)n * e, _ => 1000L * e };
                        Assert.True(threads >= work, $"{op}: {threads} threads for {work}");
                    }
                }
            }
        }
    }

    [Fact]
    public void Broken_clauses_are_named()
    {
        static EmbedPlan Plan(EmbedShape s) => EmbedKernels.Plan(s, KernelDType.F16, DeviceLimits.Sm80);
        PlanAssert.Refused("both must be at least 1", () => Plan(new(EmbedOp.Timestep, 0, 4)));
        PlanAssert.Refused("there must be at least 1", () => Plan(new(EmbedOp.Label, 1, 4)));
        PlanAssert.Refused("stride must be at least 4", () => Plan(new(EmbedOp.Label, 1, 4, 2) { Stride = 3 }));
        PlanAssert.Refused("grid x must lie in", () => Plan(new(EmbedOp.LabelGrad, 1, 1 << 20, 1 << 20)));
        EmbedPlan label = Plan(new(EmbedOp.Label, 2, 4, 2) { Adds = true });
        PlanAssert.Refused("the embedding to add is missing", () => EmbedKernels.EnqueueLabel(label, 4, 8, 0, 0, 16));
        PlanAssert.Refused("stride must be at least 4", () => EmbedKernels.EnqueueLabel(label, 4, 8, 32, 3, 16));
        PlanAssert.Refused("the plan is for Label", () => EmbedKernels.EnqueueTimestep(label, 4, 8));
        PlanAssert.Refused("the table's gradient is missing", () => EmbedKernels.EnqueueLabelGrad(Plan(new(EmbedOp.LabelGrad, 2, 4, 2)), 4, 8, 0));
        PlanAssert.Refused("y must be 2-byte aligned", () => EmbedKernels.EnqueueTimestep(Plan(new(EmbedOp.Timestep, 2, 4)), 4, 9));
    }
}
