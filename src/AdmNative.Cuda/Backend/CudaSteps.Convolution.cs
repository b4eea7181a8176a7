using AdmNative.Core;

namespace AdmNative.Cuda;

// Convolutions and products of matrices.
internal static partial class CudaSteps
{
    /// <summary>
    /// A convolution or a product of matrices, which is one of 1x1. Rows that are not whole 16 bytes (images of three channels, the six of the head) pass
    /// through scratch rows that are.
    /// </summary>
    private static void Convolution(StepBuilder b, int stride, int padH, int padW)
    {
        bool residual = b.Has(3);
        Operand from = b.InAligned(0), to = b.OutAligned, addend = residual ? b.InAligned(3) : default;
        ConvShape shape = ShapeOf(b, from.Shape, Filters.Of(b.Node.Inputs[1].Shape), stride, padH, padW) with
        {
            Bias = b.Has(2),
            Residual = residual,
            StrideX = RowStride(from),
            StrideY = RowStride(to),
            StrideResidual = residual ? RowStride(addend) : 0,
        };
        Convolve(b, ConvKernels.Plan(shape, b.Type, b.Limits), new ConvArguments(from.Address, b.Weight(1, WeightForm.Filters), to.Address)
        {
            Bias = b.Has(2) ? b.Vector(2) : 0,
            Residual = addend.Address,
        });
    }

    /// <summary>A planned convolution, with the scratch memory and the tickets it wants.</summary>
    private static void Convolve(StepBuilder b, ConvPlan plan, ConvArguments a) =>
        b.Add(ConvKernels.Enqueue(plan, a with { Workspace = b.Scratch(plan.WorkspaceBytes), Tickets = b.Tickets(plan.TicketBytes) }));

    /// <summary>dx from dy, w and perhaps an addend.</summary>
    private static void InputGradient(StepBuilder b, int stride, int padH, int padW)
    {
        bool added = b.Has(2);
        Operand from = b.InAligned(0), to = b.OutAligned, addend = added ? b.InAligned(2) : default;
        ConvShape shape = ShapeOf(b, to.Shape, Filters.Of(b.Node.Inputs[1].Shape), stride, padH, padW) with
        {
            Bias = false,
            Residual = added,
            StrideX = RowStride(to),
            StrideY = RowStride(from),
            StrideResidual = added ? RowStride(addend) : 0,
        };
        ConvPlan plan = ConvKernels.PlanInputGradient(shape, b.Type, b.Limits);
        Convolve(b, plan, new ConvArguments(from.Address, b.Weight(1, WeightForm.Flipped), to.Address) { Residual = addend.Address });
    }

    /// <summary>
    /// dw [K, C, R, S] f32 from x and dy. The kernels sum to [K, R, S, C] with C in whole 16 bytes; where that is not the same, it passes through scratch.
    /// </summary>
    private static void WeightGradient(StepBuilder b, int stride, int padH, int padW)
    {
        Operand from = b.InAligned(0), gradient = b.InAligned(1), dw = b.OutF32;
        Filters f = Filters.Of(dw.Shape);
        ConvShape shape = ShapeOf(b, from.Shape, f, stride, padH, padW) with { Bias = false, StrideX = RowStride(from), StrideY = RowStride(gradient) };
        ConvGradientPlan plan = ConvKernels.PlanWeightGradient(shape, b.Type, accumulate: false, b.Limits);
        int places = f.R * f.S, padded = ConvShape.Padded(f.C, b.Type);
        bool same = places == 1 && padded == f.C;
        ulong sums = same ? dw.Address : b.Scratch(4 * shape.WeightElements(b.Type));
        b.Add(ConvKernels.EnqueueWeightGradient(plan, new ConvGradientArguments(from.Address, gradient.Address, sums, 0, b.Scratch(plan.WorkspaceBytes))));
        if (!same)
        {
            ConvertPlan turn = ConvertKernels.PlanLayout(Conversion.FromRows, f.K, places, f.C, 0, padded, KernelDType.F32, b.Limits);
            b.Add(ConvertKernels.Enqueue(turn, sums, dw.Address));
        }
    }

    /// <summary>The forward convolution of a step; x is its input.</summary>
    private static ConvShape ShapeOf(StepBuilder b, Shape x, Filters f, int stride, int padH, int padW)
    {
        bool image = b.Node.Op is Conv2d or Conv2dInputGrad or Conv2dWeightGrad;
        return f.R == f.S && f.R is 1 or 3 && padH == f.R / 2 && padW == f.R / 2 && (stride == 1 || (stride == 2 && f.R == 3))
            ? new ConvShape(image ? x[0] : checked((int)x.Rows), image ? x[1] : 1, image ? x[2] : 1, f.C, f.K) { Side = f.R, Stride = stride }
            : throw new NotSupportedException($"{b.Node.Op!.Name} on a cuda device is 3x3 with padding 1 and stride 1 or 2, or 1x1 with stride 1; node: {b.Node}");
    }

    /// <summary>A single row has no stride; 0 stands for a sound one.</summary>
    private static long RowStride(Operand x) => x.Rows > 1 ? x.Stride : 0;
}
