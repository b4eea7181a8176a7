using AdmNative.Core;

namespace AdmNative.Cuda;

// Attention.
internal static partial class CudaSteps
{
    private static void Attend(StepBuilder b, Attention op)
    {
        (Operand qkv, Operand y) = (b.In(0), b.Out);
        AttentionShape shape = AttentionShape.Self(qkv.Samples, qkv.RowsPerSample, op.Heads, y.Columns / op.Heads);
        AttentionForwardPlan plan = AttentionKernels.PlanForward(shape, b.Type, b.Limits);
        b.Add(AttentionKernels.EnqueueForward(plan, AttentionTensors.Packed(qkv.Address, y.Address, 0, shape, b.Type, op.NewOrder), b.Scratch(plan.WorkspaceBytes)));
    }

    /// <summary>
    /// (qkv, o, do). The backward kernels want the logarithm of every row's sum of weights, which the graph does not keep: the forward kernels make it
    /// once more, o to scratch. That is one launch and two products beside five. Where scores are stored the backward kernels make them anew themselves.
    /// </summary>
    private static void AttendGradient(StepBuilder b, AttentionGrad op)
    {
        (Operand qkv, Operand o, Operand gradient, Operand dqkv) = (b.In(0), b.In(1), b.In(2), b.Out);
        AttentionShape shape = AttentionShape.Self(qkv.Samples, qkv.RowsPerSample, op.Heads, o.Columns / op.Heads);
        AttentionBackwardPlan backward = AttentionKernels.PlanBackward(shape, b.Type, b.Limits);
        ulong lse = b.Scratch(4L * shape.N * shape.Heads * shape.Queries);
        if (backward.ReadsLse)
        {
            AttentionForwardPlan forward = AttentionKernels.PlanForward(shape, b.Type, b.Limits);
            ulong again = b.Scratch(o.Shape.Elements * o.ElementBytes);
            b.Add(AttentionKernels.EnqueueForward(
                forward, AttentionTensors.Packed(qkv.Address, again, lse, shape, b.Type, op.NewOrder), b.Scratch(forward.WorkspaceBytes)));
        }

        AttentionTensors tensors = AttentionTensors.Packed(qkv.Address, o.Address, lse, shape, b.Type, op.NewOrder);
        b.Add(AttentionKernels.EnqueueBackward(
            backward, AttentionGradients.Packed(tensors, gradient.Address, dqkv.Address), b.Scratch(backward.WorkspaceBytes)));
    }
}
