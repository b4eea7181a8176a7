using AdmNative.Core;

namespace AdmNative.Cuda;

// Group normalisation.
internal static partial class CudaSteps
{
    private static void Norm(StepBuilder b, GroupNorm op)
    {
        (Operand x, Operand y) = (b.In(0), b.Out);
        bool image = x.Shape.Rank == 4, modulated = b.Has(3);
        (int n, int c) = (x.Samples, x.Columns);
        var shape = new GroupNormShape(n, image ? x.Shape[1] : x.RowsPerSample, image ? x.Shape[2] : 1, c, op.Groups)
        {
            Silu = op.Silu,
            Resample = op.Resample switch { NormResample.Up2 => KernelResample.Up2, NormResample.Down2 => KernelResample.Down2, _ => KernelResample.Keep },
            Modulated = modulated,
            StrideX = x.Stride,
            StrideY = y.Stride,
        };
        GroupNormPlan plan = GroupNormKernels.Plan(shape, b.Type, b.Limits);
        Operand m = modulated ? b.InF32(3) : default;
        b.Add(GroupNormKernels.Enqueue(plan, new GroupNormArguments
        {
            X = x.Address,
            Y = y.Address,
            Gamma = b.Vector(1),
            Beta = b.Vector(2),
            Scale = m.Address,
            Shift = modulated ? m.Address + ((ulong)c * 4) : 0,
            ModulationStride = modulated ? Math.Max(m.Stride, 2L * c) : 0,
            Mean = b.Scratch(4L * n * op.Groups),
            Rstd = b.Scratch(4L * n * op.Groups),
            Ab = b.Scratch(8L * n * c),
            Workspace = b.Scratch(plan.WorkspaceBytes),
            Eps = (float)op.Eps,
        }));
    }
}
