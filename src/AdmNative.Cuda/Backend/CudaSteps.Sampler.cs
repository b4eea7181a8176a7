using AdmNative.Core;

namespace AdmNative.Cuda;

// The sampler's updates.
internal static partial class CudaSteps
{
    private readonly record struct SamplerKind(SamplerPass Pass, MeanKind Mean, VarianceKind Variance, bool Clip);

    private static void Sample(
        StepBuilder b, SamplerKind kind, Operand? x, Operand? output, Operand? x0, Operand coefficients, Operand? noise = null, Operand? gradient = null)
    {
        Operand y = b.Out;
        var shape = new SamplerShape(
            kind.Pass, y.Samples, y.RowsPerSample, y.Columns, (int)kind.Mean, (int)kind.Variance, GivenX0: x0 is not null, Guided: gradient is not null,
            GivenNoise: noise is not null, WantsX0: kind.Pass == SamplerPass.XStart, kind.Clip);
        b.Add(SamplerKernels.Enqueue(SamplerKernels.Plan(shape, b.Type, b.Limits), new SamplerOperands
        {
            X = x?.Address ?? 0,
            Output = output?.Address ?? 0,
            OutputStride = output?.Stride ?? 0,
            GivenX0 = x0?.Address ?? 0,
            Gradient = gradient?.Address ?? 0,
            Noise = noise?.Address ?? 0,
            Coefficients = coefficients.Address,
            Y = kind.Pass == SamplerPass.XStart ? 0 : y.Address,
            X0 = kind.Pass == SamplerPass.XStart ? y.Address : 0,
        }));
    }
}
