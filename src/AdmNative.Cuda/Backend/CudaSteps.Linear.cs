using AdmNative.Core;

namespace AdmNative.Cuda;

// Linear layers. Over images and tokens they are convolutions of 1x1; over a few rows their cost is reading the weights, for which there are kernels.
internal static partial class CudaSteps
{
    /// <summary>Rows beyond which a convolution reads the weights less often.</summary>
    private const int FewRows = 64;

    private static void Product(StepBuilder b)
    {
        if (IsFew(b))
        {
            Few(b, b.Weight(1, WeightForm.Filters), b.Has(2) ? b.Vector(2) : 0, b.Has(3));
        }
        else
        {
            Convolution(b, 1, 0, 0);
        }
    }

    /// <summary>Several layers of one input, their weights' rows one after another.</summary>
    private static void Stack(StepBuilder b)
    {
        (ulong weights, ulong bias) = (b.Stack(1, WeightForm.Filters, b.Type), b.Stack(2, WeightForm.Plain, KernelDType.F32));
        if (IsFew(b))
        {
            Few(b, weights, bias, residual: false);
            return;
        }

        Operand x = b.InAligned(0), y = b.OutAligned;
        var shape = new ConvShape(checked((int)x.Rows), 1, 1, x.Columns, y.Columns) { Side = 1, StrideX = RowStride(x), StrideY = RowStride(y) };
        Convolve(b, ConvKernels.Plan(shape, b.Type, b.Limits), new ConvArguments(x.Address, weights, y.Address) { Bias = bias });
    }

    /// <summary>
    /// dx of a product of matrices. Of rows of samples by the kernels for few rows, on the weights as the product itself has them; slices of the weights' rows
    /// are those of a single sample.
    /// </summary>
    private static void ProductGradient(StepBuilder b)
    {
        Filters f = Filters.Of(b.Node.Inputs[1].Shape);
        int unit = 16 / b.Type.Bytes();
        if (b.Node.Shape.Rank != 2 || f.C % unit != 0)
        {
            InputGradient(b, 1, 0, 0);
            return;
        }

        bool added = b.Has(2);
        Operand dy = b.InAligned(0), dx = b.OutAligned, addend = added ? b.InAligned(2) : default;
        var shape = new LinearShape(dy.Samples, f.K, f.C)
        {
            Bias = false,
            Residual = added,
            StrideX = RowStride(dx),
            StrideY = RowStride(dy),
            StrideResidual = added ? RowStride(addend) : 0,
        };
        int slices = LinearKernels.PlanInputGradient(shape with { N = 1 }, b.Type, b.Limits).Slices;
        LinearInputPlan plan = LinearKernels.PlanInputGradient(shape, b.Type, b.Limits, slices);
        b.Add(LinearKernels.EnqueueInputGradient(plan, new LinearInputArguments(
            dy.Address, b.Weight(1, WeightForm.Filters), dx.Address, addend.Address, b.Scratch(plan.WorkspaceBytes))));
    }

    private static bool IsFew(StepBuilder b)
    {
        Shape x = b.Node.Inputs[0].Shape;
        return x.Rows <= FewRows && x.Last % (16 / b.Type.Bytes()) == 0;
    }

    private static void Few(StepBuilder b, ulong weights, ulong bias, bool residual)
    {
        Operand x = b.InAligned(0), y = b.OutAligned, addend = residual ? b.InAligned(3) : default;
        var shape = new LinearShape((int)x.Rows, y.Columns, x.Columns)
        {
            Bias = bias != 0,
            Residual = residual,
            StrideX = RowStride(x),
            StrideY = RowStride(y),
            StrideResidual = residual ? RowStride(addend) : 0,
        };
        LinearPlan plan = LinearKernels.Plan(shape, b.Type, b.Limits);
        b.Add(LinearKernels.Enqueue(plan, new LinearArguments(x.Address, weights, y.Address) { Bias = bias, Residual = addend.Address }));
    }
}
