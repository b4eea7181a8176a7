using System.Runtime.InteropServices;
using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>Plans of the elementwise kernels.</summary>
public sealed class EltwisePlanTests
{
    [Fact]
    public void Every_legal_shape_has_a_plan_that_covers_it()
    {
        foreach (EltwiseOp op in Enum.GetValues<EltwiseOp>())
        {
            foreach ((long rows, long columns) in new[] { (1L, 1L), (1, 7), (4096, 64), (4095, 125), (3, 30), (257, 1), (4096L * 64 * 64, 192), (1, 1L << 30) })
            {
                foreach (long gap in new long[] { 0, 3, 8, 64 })
                {
                    foreach (KernelDType dtype in KernelDTypes.All)
                    {
                        var shape = new EltwiseShape(op, rows, columns) { StrideA = columns + gap, StrideY = columns };
                        bool tooMany = rows > 1 << 20 && (gap == 3 || columns % (16 / dtype.Bytes()) != 0);
                        if (tooMany)
                        {
                            PlanAssert.Refused("beyond 32-bit indices", () => EltwiseKernels.Plan(shape, dtype, DeviceLimits.Sm90));
                            continue;
                        }

                        EltwisePlan plan = EltwiseKernels.Plan(shape, dtype, DeviceLimits.Sm90);
                        PlanAssert.Valid(plan, DeviceLimits.Sm90);
                        Assert.Equal(plan.Narrow, plan.Launch.Entry.Contains("narrow", StringComparison.Ordinal));
                        EltwiseRowsParams p = MemoryMarshal.Read<EltwiseRowsParams>(EltwiseKernels.Enqueue(plan, 256, shape.Binary ? 512ul : 0, 1024).Parameters.Span);
                        long places = 256L * (shape.Binary ? 2 : 4) * plan.Launch.Shape.GridX;
                        Assert.True(places >= p.Vectors && places - p.Vectors < 256 * 4, "blocks cover the vectors, none is empty");
                        Assert.True(p.Vectors * (long)(plan.Narrow ? 1 : 16 / dtype.Bytes()) >= rows * columns);
                    }
                }
            }
        }
    }

    [Fact]
    public void Divisors_give_exact_quotients()
    {
        foreach (uint d in new uint[] { 1, 2, 3, 5, 7, 24, 31, 64, 125, 641, 65535, 65537, 1 << 30, int.MaxValue })
        {
            (uint magic, int shift) = LaunchRule.Divisor(d);
            foreach (uint k in new uint[] { 0, 1, 2, 1000, int.MaxValue / d })
            {
                foreach (long q in new[] { ((long)k * d) - 1, (long)k * d, ((long)k * d) + 1, int.MaxValue })
                {
                    if (q is >= 0 and <= int.MaxValue)
                    {
                        Assert.Equal((ulong)q / d, ((ulong)q * magic) >> shift);
                    }
                }
            }
        }
    }

    [Fact]
    public void Broken_clauses_are_named()
    {
        static EltwisePlan Plan(EltwiseShape shape) => EltwiseKernels.Plan(shape, KernelDType.F16, DeviceLimits.Sm80);
        PlanAssert.Refused("both must be at least 1", () => Plan(new(EltwiseOp.Silu, 0, 4)));
        PlanAssert.Refused("strides must be at least 64", () => Plan(new(EltwiseOp.Silu, 2, 64) { StrideY = 63 }));
        EltwisePlan plan = Plan(new(EltwiseOp.Sum, 2, 64) { StrideA = 128 });
        PlanAssert.Refused("b is missing", () => EltwiseKernels.Enqueue(plan, 256, 0, 512));
        PlanAssert.Refused("a must be 16-byte aligned", () => EltwiseKernels.Enqueue(plan, 264, 512, 512));
        PlanAssert.Refused("b is not part of this plan", () => EltwiseKernels.Enqueue(Plan(new(EltwiseOp.Silu, 2, 64)), 256, 512, 1024));
        Assert.True(Plan(new(EltwiseOp.Sum, 2, 64) { StrideA = 128, Unaligned = true }).Narrow);
        CastPlan Cast(KernelDType from, KernelDType to, long stride = 0) => EltwiseKernels.PlanCast(3, 64, stride, 0, from, to, unaligned: false, DeviceLimits.Sm80);
        PlanAssert.Refused("casts are between f32 and f16 or bf16", () => Cast(KernelDType.F16, KernelDType.BF16));
        PlanAssert.Refused("strides must be at least 64", () => Cast(KernelDType.F16, KernelDType.F32, 63));
        CastPlan widen = Cast(KernelDType.F16, KernelDType.F32);
        PlanAssert.Valid(widen, DeviceLimits.Sm80);
        PlanAssert.Valid(Cast(KernelDType.F32, KernelDType.BF16, 65), DeviceLimits.Sm80);
        PlanAssert.Refused("a must be 8-byte aligned", () => EltwiseKernels.EnqueueCast(widen, 260, 512));
        PlanAssert.Refused("y must not be a", () => EltwiseKernels.EnqueueCast(widen, 512, 512));
    }
}
