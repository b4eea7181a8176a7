using AdmNative.Core;

namespace AdmNative.Cuda;

// Convolutions by cuDNN: one call over rows without gaps, and around it, by kernels of ours, what the call does not do. What is added to the result (a bias,
// a residual) is put there first, and the call adds to it.
internal static partial class CudaSteps
{
    /// <summary>May cuDNN take the op? Its operands and its result then have no gaps.</summary>
    public static bool IsForCudnn(Op op) => op is Conv2d or Conv2dInputGrad or Conv2dWeightGrad;

    /// <summary>Makes the calls of a step for cuDNN, if it is there, the op is one for it, and it has a way that the options allow.</summary>
    private static bool ByCudnn(StepBuilder b) => b.Cudnn is CudnnSession cudnn && b.Node.Op switch
    {
        Conv2d op => Forward(b, cudnn, op),
        Conv2dInputGrad op => InputGradient(b, cudnn, op),
        Conv2dWeightGrad op => WeightGradient(b, cudnn, op),
        _ => false,
    };

    private static bool Forward(StepBuilder b, CudnnSession cudnn, Conv2d op)
    {
        (Node x, Node w) = (b.Node.Inputs[0], b.Node.Inputs[1]);
        CudnnShape shape = ShapeFor(b, CudnnPass.Forward, x.Shape, w.Shape, b.Node.Shape) with { PadH = op.PadH, PadW = op.PadW, Stride = op.Stride };
        if (cudnn.Choose(shape) is not CudnnChoice choice)
        {
            return false;
        }

        (Operand from, Operand y) = (Widened(b, cudnn, shape.C), b.Out);
        float beta = Prepare(b, y, b.Maybe(3), b.Has(2) ? b.Vector(2) : 0);
        Call(b, cudnn, shape, choice, (from.Address, b.Weight(1, WeightForm.Filters), y.Address), beta);
        return true;
    }

    private static bool InputGradient(StepBuilder b, CudnnSession cudnn, Conv2dInputGrad op)
    {
        (Node by, Node w) = (b.Node.Inputs[0], b.Node.Inputs[1]);
        CudnnShape shape = ShapeFor(b, CudnnPass.BackwardData, b.Node.Shape, w.Shape, by.Shape) with { PadH = op.PadH, PadW = op.PadW, Stride = op.Stride };
        if (cudnn.Choose(shape) is not CudnnChoice choice)
        {
            return false;
        }

        // In wider rows, what lies beyond the channels of dx is not looked at.
        Operand dx = b.Out, wide = shape.C == dx.Columns ? dx : Wider(b, dx, shape.C), to = wide.Cut(0, dx.Columns);
        float beta = Prepare(b, to, b.Maybe(2), bias: 0);
        Call(b, cudnn, shape, choice, (b.Weight(1, WeightForm.Filters), Dense(b, b.In(0)).Address, wide.Address), beta);
        if (wide != dx)
        {
            Copy(b, to, dx);
        }

        return true;
    }

    /// <summary>
    /// In f32 only: cuDNN gives dw in the type of x and dy, and gradients of weights are f32 here whatever the activations are. It comes as [K, R, S, C] and
    /// is wanted as [K, C, R, S].
    /// </summary>
    private static bool WeightGradient(StepBuilder b, CudnnSession cudnn, Conv2dWeightGrad op)
    {
        if (b.Type != KernelDType.F32)
        {
            return false;
        }

        (Node x, Node dy) = (b.Node.Inputs[0], b.Node.Inputs[1]);
        CudnnShape shape = ShapeFor(b, CudnnPass.BackwardFilter, x.Shape, op.WeightShape, dy.Shape) with { PadH = op.PadH, PadW = op.PadW, Stride = op.Stride };
        if (cudnn.Choose(shape) is not CudnnChoice choice)
        {
            return false;
        }

        (Operand from, Operand dw) = (Widened(b, cudnn, shape.C), b.OutF32);
        (int taps, int channels) = (shape.R * shape.S, op.WeightShape[1]);
        bool same = taps == 1 && channels == shape.C;
        ulong to = same ? dw.Address : b.Scratch(4 * shape.WElements);
        Call(b, cudnn, shape, choice, (from.Address, Dense(b, b.In(1)).Address, to), 0);
        if (!same)
        {
            ConvertPlan plan = ConvertKernels.PlanLayout(Conversion.FromRows, shape.K, taps, channels, 0, shape.C, KernelDType.F32, b.Limits);
            b.Add(ConvertKernels.Enqueue(plan, to, dw.Address));
        }

        return true;
    }

    private static void Call(StepBuilder b, CudnnSession cudnn, CudnnShape shape, in CudnnChoice choice, (ulong A, ulong B, ulong C) at, float beta)
    {
        ulong workspace = b.Scratch(choice.WorkspaceBytes);
        if (b.Measures)
        {
            b.Unmade++;
            return;
        }

        b.Add(new CudnnCall(cudnn, shape, choice, at, workspace, beta));
    }

    private static CudnnShape ShapeFor(StepBuilder b, CudnnPass pass, Shape x, Shape w, Shape y) =>
        new(pass, b.Type, x[0], x[1], x[2], ConvShape.Padded(x[3], b.Type), w[0], w[2], w[3]) { ResultH = y[1], ResultW = y[2] };

    /// <summary>Puts into the result what the product is added to; how much of it the product keeps: 0 where there is nothing.</summary>
    private static float Prepare(StepBuilder b, Operand y, Operand? residual, ulong bias)
    {
        if (bias == 0)
        {
            if (residual is Operand addend && addend.Address != y.Address)
            {
                Copy(b, addend, y);
            }

            return residual is null ? 0 : 1;
        }

        var shape = new SpatialShape(residual is null ? SpatialOp.Broadcast : SpatialOp.Modulate, 1, checked((int)y.Rows), y.Columns)
        {
            StrideX = residual?.Stride ?? 0,
            StrideY = Dense(b, y).Stride,
            Shifted = residual is not null,
            Unaligned = y.Address % 16 != 0 || residual?.Address % 16 > 0,
        };
        b.Add(SpatialKernels.Enqueue(SpatialKernels.Plan(shape, b.Type, b.Limits), new SpatialOperands(residual?.Address ?? 0, 0, 0, bias, y.Address, 0)));
        return 1;
    }

    /// <summary>The first operand, or a copy with zeros behind its channels.</summary>
    private static Operand Widened(StepBuilder b, CudnnSession cudnn, int channels)
    {
        Operand x = b.InStored(0);
        if (x.Columns == channels)
        {
            return Dense(b, b.In(0));
        }

        Operand wide = Wider(b, x, channels);
        b.Add(new ClearCall(cudnn.Context, wide.Address, wide.Rows * wide.Stride * wide.ElementBytes));
        Copy(b, x, wide.Cut(0, x.Columns));
        return wide;
    }

    /// <summary>Scratch rows of more channels.</summary>
    private static Operand Wider(StepBuilder b, Operand x, int channels)
    {
        long[] dims = x.Shape.ToArray();
        dims[^1] = channels;
        return new Operand(b.Scratch(x.Rows * channels * b.Type.Bytes()), channels, Shape.Create(dims), b.Type);
    }

    private static Operand Dense(StepBuilder b, Operand x) =>
        x.Dense ? x : throw new InvalidOperationException($"rows of {x.Shape}, {x.Stride} apart, were planned for cuDNN: {b.Node}");
}
