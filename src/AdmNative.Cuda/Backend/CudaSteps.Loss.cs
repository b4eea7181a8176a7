using AdmNative.Core;

namespace AdmNative.Cuda;

// Losses and what guides sampling: f32 throughout, one sample after the other.
internal static partial class CudaSteps
{
    /// <summary>Log-probabilities of labels, or their gradient.</summary>
    private static void Select(StepBuilder b, bool gradient)
    {
        (Operand logits, Operand y) = (b.InF32(0), b.OutF32);
        SelectPlan plan = LossKernels.PlanSelect(logits.Samples, logits.Columns, crossEntropy: false, values: !gradient, gradient, b.Limits);
        b.Add(LossKernels.EnqueueSelect(plan, new SelectOperands
        {
            Logits = logits.Address,
            Labels = b.InF32(1).Address,
            Weight = gradient ? b.InF32(2).Address : 0,
            Value = gradient ? 0 : y.Address,
            Gradient = gradient ? y.Address : 0,
        }));
    }

    /// <summary>Mean squared error of operand <paramref name="of"/> against the other of the first two, or its gradient.</summary>
    private static void Error(StepBuilder b, bool gradient, int of = 0)
    {
        Operand a = b.InF32(of);
        var shape = new LossShape(a.Samples, 1, PerSample(a)) { Bound = false, Values = !gradient, Gradient = gradient };
        Lose(b, shape, new LossOperands { Output = a.Address, OutputStride = shape.Width, Target = b.InF32(1 - of).Address });
    }

    /// <summary>
    /// A term of the variational bound, or its gradient with respect to one of the network's outputs. Mean and variance are channels of one output to the
    /// kernel, so a learned variance is laid beside the mean first.
    /// </summary>
    private static void Bound(StepBuilder b, MeanKind mean, VarianceKind variance, bool clip, int? side = null)
    {
        Operand output = b.InF32(0);
        int count = PerSample(output);
        bool gradient = side is not null, learned = variance.IsLearned();
        var shape = new LossShape(output.Samples, 1, count)
        {
            Mean = (int)mean,
            Variance = (int)variance,
            Clip = clip,
            Error = false,
            Through = gradient,
            Values = !gradient,
            Gradient = gradient,
        };
        if (learned)
        {
            Operand both = Scratch(b, output.Samples, shape.Width);
            Copy(b, Flat(output), both.Cut(0, count));
            Copy(b, Flat(b.InF32(4)), both.Cut(count, count));
            output = both;
        }

        var operands = new LossOperands
        {
            Output = output.Address,
            OutputStride = shape.Width,
            X0 = b.InF32(1).Address,
            Xt = b.InF32(2).Address,
            Coefficients = b.InF32(3).Address,
        };
        if (gradient && learned)
        {
            Operand both = Scratch(b, output.Samples, shape.Width);
            Lose(b, shape, operands, both.Address);
            Copy(b, both.Cut(side == 0 ? 0 : count, count), Flat(b.OutF32));
        }
        else
        {
            Lose(b, shape, operands);
        }
    }

    /// <summary>The launches of a loss. Its values, or the gradient where none is given, are the step's result; the gradient's weights are the last operand.</summary>
    private static void Lose(StepBuilder b, LossShape shape, LossOperands operands, ulong gradient = 0)
    {
        LossPlan plan = LossKernels.Plan(shape, KernelDType.F32, b.Limits);
        b.Add(LossKernels.Enqueue(plan, operands with
        {
            Loss = shape.Values ? b.OutF32.Address : 0,
            Weight = shape.Gradient ? b.InF32(b.Inputs - 1).Address : 0,
            Gradient = !shape.Gradient ? 0 : gradient != 0 ? gradient : b.OutF32.Address,
            GradientStride = shape.Gradient ? shape.Width : 0,
            Workspace = b.Scratch(plan.WorkspaceBytes),
        }));
    }

    /// <summary>The mean of each sample: a sum over its elements as pixels of one channel.</summary>
    private static void Mean(StepBuilder b)
    {
        Operand x = b.InF32(0);
        SpatialPlan plan = SpatialKernels.Plan(new SpatialShape(SpatialOp.Sum, x.Samples, PerSample(x), 1), KernelDType.F32, b.Limits);
        b.Add(SpatialKernels.Enqueue(plan, new SpatialOperands(x.Address, 0, 0, 0, b.OutF32.Address, b.Scratch(plan.WorkspaceBytes), 1.0 / PerSample(x))));
    }

    /// <summary>A factor times a value per sample, for each of its elements.</summary>
    private static void Broadcast(StepBuilder b, double factor)
    {
        Operand y = b.OutF32;
        SpatialPlan plan = SpatialKernels.Plan(new SpatialShape(SpatialOp.Broadcast, y.Samples, PerSample(y), 1), KernelDType.F32, b.Limits);
        b.Add(SpatialKernels.Enqueue(plan, new SpatialOperands(0, 0, 0, b.InF32(0).Address, y.Address, 0, factor)));
    }

    private static int PerSample(Operand x) => checked((int)(x.Shape.Elements / x.Samples));

    /// <summary>[N, elements of a sample] of a dense operand.</summary>
    private static Operand Flat(Operand x) => x with { Shape = [x.Samples, PerSample(x)], Stride = PerSample(x) };

    /// <summary>f32 rows.</summary>
    private static Operand Scratch(StepBuilder b, int rows, int columns) => new(b.Scratch(4L * rows * columns), columns, [rows, columns], KernelDType.F32);
}
