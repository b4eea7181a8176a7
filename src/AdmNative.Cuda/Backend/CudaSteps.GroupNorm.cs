using AdmNative.Core;

namespace AdmNative.Cuda;

// Group normalisation.
internal static partial class CudaSteps
{
    private static void Norm(StepBuilder b, GroupNorm op)
    {
        (Operand x, Operand y) = (b.In(0), b.Out);
        bool modulated = b.Has(3);
        GroupNormShape shape = ShapeOf(x, op.Groups, op.Silu, op.Resample, modulated) with { StrideY = y.Stride };
        GroupNormPlan plan = GroupNormKernels.Plan(shape, b.Type, b.Limits);
        Operand m = modulated ? b.InF32(3) : default;
        b.Add(GroupNormKernels.Enqueue(plan, new GroupNormArguments
        {
            X = x.Address,
            Y = y.Address,
            Gamma = b.Vector(1),
            Beta = b.Vector(2),
            Scale = m.Address,
            Shift = modulated ? m.Address + ((ulong)shape.C * 4) : 0,
            ModulationStride = modulated ? ModulationStride(m) : 0,
            Mean = b.Scratch(4L * shape.N * op.Groups),
            Rstd = b.Scratch(4L * shape.N * op.Groups),
            Ab = b.Scratch(8L * shape.N * shape.C),
            Workspace = b.Scratch(plan.WorkspaceBytes),
            Tickets = b.Tickets(plan.TicketBytes),
            Eps = (float)op.Eps,
        }));
    }

    private static void Statistics(StepBuilder b, GroupNormStats op)
    {
        (Operand x, Operand stats) = (b.In(0), b.OutF32);
        GroupNormPlan plan = GroupNormKernels.PlanStats(ShapeOf(x, op.Groups, false, NormResample.None, false), b.Type, b.Limits);
        b.Add(GroupNormKernels.EnqueueStats(plan, new()
        {
            X = x.Address,
            Result = stats.Address,
            Workspace = b.Scratch(plan.WorkspaceBytes),
            Tickets = b.Tickets(plan.TicketBytes),
            Eps = (float)op.Eps,
        }));
    }

    /// <summary>(x, stats, gamma, beta, m?).</summary>
    private static void Normalise(StepBuilder b, GroupNormApply op)
    {
        (Operand x, Operand y) = (b.In(0), b.Out);
        GroupNormShape shape = ShapeOf(x, op.Groups, op.Silu, op.Resample, b.Has(4)) with { StrideY = y.Stride };
        GroupNormPlan plan = GroupNormKernels.PlanApply(shape, b.Type, b.Limits);
        b.Add(GroupNormKernels.EnqueueApply(plan, Part(b, stats: 1, gamma: 2, b.Has(4)) with { X = x.Address, Result = y.Address }));
    }

    /// <summary>(x, dy, stats, gamma, beta, m?).</summary>
    private static void GradientSums(StepBuilder b, GroupNormGradSums op)
    {
        (Operand x, Operand dy, Operand sums) = (b.In(0), b.In(1), b.OutF32);
        GroupNormShape shape = ShapeOf(x, op.Groups, op.Silu, op.Resample, b.Has(5)) with { StrideDy = dy.Stride };
        GroupNormPlan plan = GroupNormKernels.PlanGradSums(shape, b.Type, b.Limits);
        b.Add(GroupNormKernels.EnqueueGradSums(plan, Part(b, stats: 2, gamma: 3, b.Has(5)) with
        {
            X = x.Address,
            Dy = dy.Address,
            Result = sums.Address,
            Workspace = b.Scratch(plan.WorkspaceBytes),
            Tickets = b.Tickets(plan.TicketBytes),
        }));
    }

    /// <summary>(x, dy, stats, sums, gamma, beta, m?, addend?).</summary>
    private static void NormInputGradient(StepBuilder b, GroupNormInputGrad op)
    {
        (Operand x, Operand dy, Operand dx) = (b.In(0), b.In(1), b.Out);
        Operand? addend = b.Maybe(op.AddendInput);
        GroupNormShape shape = ShapeOf(x, op.Groups, op.Silu, op.Resample, op.Modulated) with
        {
            StrideDy = dy.Stride,
            StrideDx = dx.Stride,
            StrideDxIn = addend?.Stride ?? 0,
        };
        GroupNormPlan plan = GroupNormKernels.PlanInputGrad(shape, b.Type, addend is not null, b.Limits);
        b.Add(GroupNormKernels.EnqueueInputGrad(plan, Part(b, stats: 2, gamma: 4, op.Modulated) with
        {
            X = x.Address,
            Dy = dy.Address,
            Addend = addend?.Address ?? 0,
            Sums = b.InF32(3).Address,
            Result = dx.Address,
        }));
    }

    /// <summary>(sums, gamma, beta, m?).</summary>
    private static void NormParameterGradient(StepBuilder b, GroupNormParamGrad op)
    {
        Operand sums = b.InF32(0), y = b.OutF32;
        (int n, int c, bool modulated) = (sums.Samples, sums.Columns, b.Has(3));
        Operand m = modulated ? b.InF32(3) : default;
        var part = new GroupNormPartArguments
        {
            Sums = sums.Address,
            Gamma = b.Vector(1),
            Beta = b.Vector(2),
            Modulation = m.Address,
            ModulationStride = modulated ? ModulationStride(m) : 0,
            Result = y.Address,
        };
        b.Add(op.Which == GroupNormParam.Modulation
            ? GroupNormKernels.EnqueueModulationGrad(GroupNormKernels.PlanModulationGrad(n, c, b.Limits), part, ModulationStride(y))
            : GroupNormKernels.EnqueueParameterGrad(GroupNormKernels.PlanParameterGrad(n, c, modulated, b.Limits), part, op.Which == GroupNormParam.Gamma));
    }

    /// <summary>Statistics, gamma, beta behind it, and m behind beta or, of an input gradient, behind that too: always two behind gamma.</summary>
    private static GroupNormPartArguments Part(StepBuilder b, int stats, int gamma, bool modulated)
    {
        Operand m = modulated ? b.InF32(gamma + 2) : default;
        return new()
        {
            Stats = b.InF32(stats).Address,
            Gamma = b.Vector(gamma),
            Beta = b.Vector(gamma + 1),
            Modulation = m.Address,
            ModulationStride = modulated ? ModulationStride(m) : 0,
        };
    }

    private static GroupNormShape ShapeOf(Operand x, int groups, bool silu, NormResample resample, bool modulated)
    {
        bool image = x.Shape.Rank == 4;
        return new GroupNormShape(x.Samples, image ? x.Shape[1] : x.RowsPerSample, image ? x.Shape[2] : 1, x.Columns, groups)
        {
            Silu = silu,
            Resample = resample switch { NormResample.Up2 => KernelResample.Up2, NormResample.Down2 => KernelResample.Down2, _ => KernelResample.Keep },
            Modulated = modulated,
            StrideX = x.Stride,
        };
    }

    /// <summary>A single sample has no stride; that of its columns stands for it.</summary>
    private static long ModulationStride(Operand m) => Math.Max(m.Stride, m.Columns);
}
