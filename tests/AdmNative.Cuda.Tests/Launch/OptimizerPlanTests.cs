using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>Plans of the optimiser step.</summary>
public sealed class OptimizerPlanTests
{
    private static readonly OptimizerOperands s_operands = new()
    {
        Parameters = 256,
        Moment1 = 512,
        Moment2 = 1024,
        Ema = 2048,
        Gradients = 4096,
        Copy = 8192,
        State = 16384,
    };

    [Fact]
    public void Every_count_has_a_plan_that_covers_it()
    {
        foreach (long n in new[] { 1, 2, 3, 255, 2048, 2049, 4096, 4097, 553_838_086, 1L << 41 })
        {
            foreach (KernelDType dtype in KernelDTypes.All)
            {
                foreach (DeviceLimits limits in PlanAssert.Devices)
                {
                    OptimizerPlan plan = OptimizerKernels.Plan(n, withEma: true, withCopy: true, dtype, limits);
                    PlanAssert.Valid(plan, limits);
                    Assert.True(plan.Launches[0].Shape.GridX * 4096L >= n && plan.Launches[2].Shape.GridX * 2048L >= n);
                    Assert.Equal(plan.Launches[0].Shape.GridX * 8L, plan.WorkspaceBytes);
                    Assert.Equal(n * (36 + dtype.Bytes()), plan.Launches[2].TrafficBytes);
                    PlanAssert.Valid(OptimizerKernels.PlanEma(n, limits), limits);
                }
            }
        }
    }

    [Fact]
    public void Broken_clauses_are_named()
    {
        PlanAssert.Refused("at least one parameter", () => OptimizerKernels.Plan(0, true, true, KernelDType.F16, DeviceLimits.Sm80));
        PlanAssert.Refused("at least one parameter", () => OptimizerKernels.PlanEma(0, DeviceLimits.Sm80));
        PlanAssert.Refused("grid x must lie in", () => OptimizerKernels.Plan(1L << 43, true, true, KernelDType.F16, DeviceLimits.Sm80));
        OptimizerPlan plan = OptimizerKernels.Plan(100, withEma: true, withCopy: false, KernelDType.F16, DeviceLimits.Sm80);
        void Enqueue(OptimizerOperands operands, ulong workspace = 32768) => OptimizerKernels.Enqueue(plan, operands, new OptimizerSettings(), workspace);
        OptimizerOperands good = s_operands with { Copy = 0 };
        Enqueue(good);
        PlanAssert.Refused("the copy is not part of this plan", () => Enqueue(s_operands));
        PlanAssert.Refused("the average is missing", () => Enqueue(good with { Ema = 0 }));
        PlanAssert.Refused("the gradients is not 16-byte aligned", () => Enqueue(good with { Gradients = 4100 }));
        PlanAssert.Refused("the workspace is missing", () => Enqueue(good, 0));
        PlanAssert.Refused("the state is missing", () => OptimizerKernels.EnqueueEma(OptimizerKernels.PlanEma(100, DeviceLimits.Sm80), 256, 512, 0, 0.999));
    }

    /// <summary>1 - 0.9999 formed in f32 would be off by 2e-4: the host forms it in f64.</summary>
    [Fact]
    public void Constants_are_rounded_once()
    {
        OptimizerPlan plan = OptimizerKernels.Plan(100, withEma: true, withCopy: true, KernelDType.F16, DeviceLimits.Sm80);
        var settings = new OptimizerSettings { LearningRate = 3e-4, WeightDecay = 0.05 };
        IReadOnlyList<KernelLaunch> launches = OptimizerKernels.Enqueue(plan, s_operands, settings, 32768);
        OptimParams p = MemoryMarshal.Read<OptimParams>(launches[2].Parameters.Span);
        Assert.Equal(((float)(1 - 0.9999), (float)(1 - 0.999), (float)(1 - (3e-4 * 0.05))), (p.Follow, p.Grow2, p.Keep));
    }

    [Fact]
    public void The_state_is_as_large_as_the_kernels_think() => Assert.Equal(64, Unsafe.SizeOf<OptimizerState>());
}
