using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>Plans of linear layers.</summary>
public sealed class LinearPlanTests
{
    private static readonly LinearShape s_shape = new(8, 100, 64) { Residual = true };

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(32)]
    [InlineData(33)]
    [InlineData(257)]
    [InlineData(4096)]
    public void Every_legal_shape_has_plans(int rows)
    {
        foreach ((int m, int k) in new[] { (1, 8), (6, 192), (37, 104), (768, 768), (1000, 2048), (65_537, 1024) })
        {
            foreach (KernelDType dtype in KernelDTypes.All)
            {
                foreach (DeviceLimits limits in PlanAssert.Devices)
                {
                    var shape = new LinearShape(rows, m, k);
                    PlanAssert.Valid(LinearKernels.Plan(shape, dtype, limits), limits);
                    PlanAssert.Valid(LinearKernels.PlanWeightGradient(shape, dtype, true, limits), limits);
                    LinearInputPlan input = LinearKernels.PlanInputGradient(shape, dtype, limits);
                    PlanAssert.Valid(input, limits);
                    Assert.True((long)input.Slices * input.Rows >= m && (input.Slices - 1L) * input.Rows < m && input.Rows % 64 == 0);
                    Assert.Equal(input.Slices > 1 ? 2 : 1, input.Launches.Count);
                }
            }
        }
    }

    /// <summary>One row in f16: the weights once, x for each 16 results, bias, y; one product of 16 rows, 8 columns per 16 inputs.</summary>
    [Fact]
    public void Traffic_and_products_of_a_row()
    {
        LinearPlan plan = LinearKernels.Plan(new(1, 768, 192), KernelDType.F16, DeviceLimits.Sm80);
        Assert.Equal((768L * 192 * 2) + (192 * 2 * 48) + (768 * 4) + (768 * 2), plan.TrafficBytes);
        Assert.Equal(12L * 48, plan.MmaInstructions);
        LinearInputPlan input = LinearKernels.PlanInputGradient(new(1, 20_352, 768), KernelDType.F16, DeviceLimits.Sm80);
        Assert.Equal((18, 1152), (input.Slices, input.Rows));
        Assert.Equal((20_352L * 768 * 2) + (20_352 * 2 * 12) + (4 * 18 * 768), input.Launches[0].TrafficBytes);
        Assert.Equal(RoundUp(4L * 18 * 768), input.WorkspaceBytes);
    }

    [Fact]
    public void Broken_clauses_are_named()
    {
        DeviceLimits limits = DeviceLimits.Sm80;
        PlanAssert.Refused("N, M and K must be at least 1", () => LinearKernels.Plan(s_shape with { N = 0 }, KernelDType.F16, limits));
        PlanAssert.Refused("K must be a multiple of 8 in f16, not 60", () => LinearKernels.Plan(s_shape with { K = 60 }, KernelDType.F16, limits));
        LinearKernels.Plan(s_shape with { K = 60 }, KernelDType.F32, limits);
        PlanAssert.Refused("N may be 2^20", () => LinearKernels.PlanWeightGradient(s_shape with { M = 1 << 25 }, KernelDType.F16, false, limits));
        PlanAssert.Refused("the row stride of y must be a multiple of 8 and at least 100, not 100", () => LinearKernels.Plan(s_shape with { StrideY = 100 }, KernelDType.F16, limits));
        PlanAssert.Refused("the row stride of x must be a multiple of 8 and at least 64, not 56", () => LinearKernels.PlanInputGradient(s_shape with { StrideX = 56 }, KernelDType.F16, limits));
        PlanAssert.Refused("slices must not be negative", () => LinearKernels.PlanInputGradient(s_shape, KernelDType.F16, limits, -1));

        LinearPlan plan = LinearKernels.Plan(s_shape, KernelDType.F16, limits);
        var good = new LinearArguments(256, 512, 1024) { Bias = 2048, Residual = 4096 };
        LinearKernels.Enqueue(plan, good);
        PlanAssert.Refused("x is missing", () => LinearKernels.Enqueue(plan, good with { X = 0 }));
        PlanAssert.Refused("the bias is missing", () => LinearKernels.Enqueue(plan, good with { Bias = 0 }));
        PlanAssert.Refused("the weights is not 16-byte aligned", () => LinearKernels.Enqueue(plan, good with { Weights = 520 }));
        PlanAssert.Refused("y must be neither x nor the weights", () => LinearKernels.Enqueue(plan, good with { Y = 256 }));
        PlanAssert.Refused("the residual is not part of this plan", () => LinearKernels.Enqueue(LinearKernels.Plan(s_shape with { Residual = false }, KernelDType.F16, limits), good));

        LinearInputPlan input = LinearKernels.PlanInputGradient(s_shape, KernelDType.F16, limits, slices: 2);
        Assert.Equal(2, LinearKernels.EnqueueInputGradient(input, new(256, 512, 1024, 2048, 4096)).Count);
        PlanAssert.Refused("the addend is missing", () => LinearKernels.EnqueueInputGradient(input, new(256, 512, 1024, 0, 4096)));
        PlanAssert.Refused("bytes of workspace", () => LinearKernels.EnqueueInputGradient(input, new(256, 512, 1024, 2048, 0)));
        PlanAssert.Refused("dx must be neither", () => LinearKernels.EnqueueInputGradient(input, new(256, 512, 256, 2048, 4096)));
        LinearWeightPlan weight = LinearKernels.PlanWeightGradient(s_shape, KernelDType.F16, false, limits);
        Assert.Equal(3, LinearKernels.EnqueueWeightGradient(weight, new(256, 512, 1024, 2048, 4096)).Count);
        PlanAssert.Refused("db is missing", () => LinearKernels.EnqueueWeightGradient(weight, new(256, 512, 1024, 0, 4096)));
        PlanAssert.Refused("bytes of workspace", () => LinearKernels.EnqueueWeightGradient(weight, new(256, 512, 1024, 2048, 4100)));
    }

    private static long RoundUp(long bytes) => (bytes + 255) / 256 * 256;
}
