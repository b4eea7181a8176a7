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
        b.Add(AttentionKernels.EnqueueForward(plan, AttentionTensors.Packed(qkv.Address, y.Address, 0, shape, b.Type, op.NewOrder)));
    }
}
