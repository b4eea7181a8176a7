using System.Runtime.InteropServices;
using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>Plans of losses.</summary>
public sealed class LossPlanTests
{
    private static readonly DeviceLimits s_limits = DeviceLimits.Sm80;
    private static readonly LossShape s_hybrid = new(2, 64, 3) { Gradient = true };

    private static readonly LossOperands s_operands = new()
    {
        Output = 256,
        OutputStride = 8,
        Target = 512,
        X0 = 1024,
        Xt = 2048,
        Coefficients = 4096,
        Weight = 8192,
        Loss = 12_288,
        Gradient = 16_384,
        GradientStride = 8,
        Workspace = 32_768,
    };

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(257)]
    [InlineData(4096)]
    public void Every_legal_shape_has_a_plan(int samples)
    {
        foreach ((int pixels, int channels) in new[] { (1, 1), (7, 3), (341, 3), (342, 3), (64 * 64, 3), (512 * 512, 3) })
        {
            foreach (KernelDType dtype in KernelDTypes.All)
            {
                LossPlan plan = LossKernels.Plan(new(samples, pixels, channels), dtype, s_limits);
                PlanAssert.Valid(plan, s_limits);
                long chunks = (((long)pixels * channels) + 1023) / 1024;
                Assert.Equal((chunks, samples * chunks), (plan.Chunks, plan.Launches[0].Shape.GridX));
                Assert.Equal((samples * chunks * 8 + 255) / 256 * 256, plan.WorkspaceBytes);
                PlanAssert.Valid(LossKernels.Plan(new(samples, pixels, channels) { Bound = false, Values = false, Gradient = true }, dtype, s_limits), s_limits);
            }
        }

        PlanAssert.Valid(LossKernels.PlanSelect(samples, 1000, true, true, true, s_limits), s_limits);
        PlanAssert.Valid(LossKernels.PlanSelect(samples, 1, false, true, false, s_limits), s_limits);
    }

    /// <summary>Hybrid in f16, value and gradient: 2 x 2 channels of output, as many of gradient, three images of f32.</summary>
    [Fact]
    public void Traffic_follows_the_operands()
    {
        const long Elements = 2 * 64 * 3;
        Assert.Equal((Elements * (4 + 4 + 12)) + (2 * 64) + (2 * 4) + (2 * 8), LossKernels.Plan(s_hybrid, KernelDType.F16, s_limits).Launches[0].TrafficBytes);
        LossShape error = s_hybrid with { Bound = false, Gradient = false };
        Assert.Equal((Elements * (2 + 4)) + (2 * 8), LossKernels.Plan(error, KernelDType.BF16, s_limits).Launches[0].TrafficBytes);
        Assert.Equal(2 * (4 + (16 * 10) + 24), LossKernels.PlanSelect(2, 10, true, true, true, s_limits).TrafficBytes);
    }

    /// <summary>Factors are formed in f64 and rounded once; where there are no values, no sums are stored.</summary>
    [Fact]
    public void Parameters_hold_what_the_shape_says()
    {
        LossPlan plan = LossKernels.Plan(s_hybrid with { BoundFactor = 4, Through = true }, KernelDType.F16, s_limits);
        LossHybridParams p = MemoryMarshal.Read<LossHybridParams>(LossKernels.Enqueue(plan, s_operands)[0].Parameters.Span);
        Assert.Equal(((float)(1 / 192.0), (float)(4 / (192 * Math.Log(2))), 1, 32_768ul), (p.PerElement, p.PerBound, p.Through, p.Partial));
        LossPlan gradient = LossKernels.Plan(s_hybrid with { Values = false }, KernelDType.F16, s_limits);
        KernelLaunch only = Assert.Single(LossKernels.Enqueue(gradient, s_operands with { Loss = 0, Workspace = 0 }));
        Assert.Equal(0ul, MemoryMarshal.Read<LossHybridParams>(only.Parameters.Span).Partial);
        SelectPlan select = LossKernels.PlanSelect(2, 10, true, true, false, s_limits);
        LossSelectParams s = MemoryMarshal.Read<LossSelectParams>(LossKernels.EnqueueSelect(select, new() { Logits = 256, Labels = 512, Value = 1024 }).Parameters.Span);
        Assert.Equal((-1f, 10L), (s.Sign, s.Ld));
    }

    [Fact]
    public void Broken_clauses_are_named()
    {
        static void Plan(LossShape shape) => LossKernels.Plan(shape, KernelDType.F16, s_limits);
        PlanAssert.Refused("every size must be at least 1", () => Plan(s_hybrid with { Pixels = 0 }));
        PlanAssert.Refused("beyond 32-bit indices", () => Plan(s_hybrid with { Pixels = 1 << 30 }));
        PlanAssert.Refused("mean must be 0..2", () => Plan(s_hybrid with { Mean = 3 }));
        PlanAssert.Refused("variance must be 0..3", () => Plan(s_hybrid with { Variance = -1 }));
        PlanAssert.Refused("the squared error, the bound or both", () => Plan(s_hybrid with { Error = false, Bound = false }));
        PlanAssert.Refused("no target to derive", () => Plan(s_hybrid with { Error = false, GivenTarget = false }));
        PlanAssert.Refused("values, the gradient or both", () => Plan(s_hybrid with { Values = false, Gradient = false }));
        PlanAssert.Refused("without a bound", () => Plan(s_hybrid with { Bound = false, Through = true }));
        PlanAssert.Refused("grid x must lie in", () => Plan(s_hybrid with { Samples = int.MaxValue, Pixels = 1024 }));

        LossPlan plan = LossKernels.Plan(s_hybrid, KernelDType.F16, s_limits);
        void Enqueue(LossOperands operands) => LossKernels.Enqueue(plan, operands);
        Enqueue(s_operands);
        PlanAssert.Refused("the target is missing", () => Enqueue(s_operands with { Target = 0 }));
        PlanAssert.Refused("x_t is missing", () => Enqueue(s_operands with { Xt = 0 }));
        PlanAssert.Refused("the loss scale is not part of this plan", () => Enqueue(s_operands with { Scale = 4 }));
        PlanAssert.Refused("the weight is not aligned to 4 bytes", () => Enqueue(s_operands with { Weight = 2 }));
        PlanAssert.Refused("bytes of workspace", () => Enqueue(s_operands with { Workspace = 0 }));
        PlanAssert.Refused("the output is missing", () => Enqueue(s_operands with { Output = 257 }));
        PlanAssert.Refused("the output's stride must be at least 6, not 5", () => Enqueue(s_operands with { OutputStride = 5 }));
        PlanAssert.Refused("the gradient must be given", () => Enqueue(s_operands with { Gradient = 0 }));
        PlanAssert.Refused("the gradient's stride must be at least 6, not 3", () => Enqueue(s_operands with { GradientStride = 3 }));
        PlanAssert.Refused("the gradient must not be the output", () => Enqueue(s_operands with { Gradient = 256 }));

        PlanAssert.Refused("at least one row and one class", () => LossKernels.PlanSelect(1, 0, true, true, true, s_limits));
        PlanAssert.Refused("values, the gradient or both", () => LossKernels.PlanSelect(1, 1, true, false, false, s_limits));
        SelectPlan select = LossKernels.PlanSelect(2, 10, true, true, true, s_limits);
        var good = new SelectOperands { Logits = 256, Labels = 512, Weight = 1024, Value = 2048, Gradient = 4096 };
        LossKernels.EnqueueSelect(select, good);
        PlanAssert.Refused("labels is missing", () => LossKernels.EnqueueSelect(select, good with { Labels = 0 }));
        PlanAssert.Refused("row strides must be at least 10", () => LossKernels.EnqueueSelect(select, good with { Stride = 9 }));
        PlanAssert.Refused("the gradient must not be the logits", () => LossKernels.EnqueueSelect(select, good with { Gradient = 256 }));
    }
}
