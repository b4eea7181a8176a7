using AdmNative.Core;

namespace AdmNative.Cuda;

// Embeddings of times and labels.
internal static partial class CudaSteps
{
    private static void Timesteps(StepBuilder b, TimestepEmbedding op)
    {
        EmbedPlan plan = EmbedKernels.Plan(new EmbedShape(EmbedOp.Timestep, b.Out.Samples, op.Dim), b.Type, b.Limits);
        b.Add(EmbedKernels.EnqueueTimestep(plan, b.In(0).Address, b.Out.Address, op.MaxPeriod));
    }

    private static void Labels(StepBuilder b)
    {
        Shape table = b.Node.Inputs[0].Shape;
        EmbedPlan plan = EmbedKernels.Plan(new EmbedShape(EmbedOp.Label, b.Out.Samples, table[1], table[0]), b.Type, b.Limits);
        b.Add(EmbedKernels.EnqueueLabel(plan, b.In(1).Address, b.In(0).Address, 0, 0, b.Out.Address));
    }

    private static void LabelsGrad(StepBuilder b, int classes)
    {
        Operand dy = b.In(1);
        EmbedPlan plan = EmbedKernels.Plan(new EmbedShape(EmbedOp.LabelGrad, dy.Samples, dy.Columns, classes), b.Type, b.Limits);
        b.Add(EmbedKernels.EnqueueLabelGrad(plan, b.InF32(0).Address, dy.Address, b.OutF32.Address));
    }
}
