using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Shapes and inputs the convolution family is judged by.</summary>
internal static class ConvCases
{
    /// <summary>Layers of ADM-64 (batch 8) and ADM-256 (batch 1).</summary>
    private static readonly ConvShape[] s_layers =
    [
        new(8, 64, 64, 3, 192), new(8, 64, 64, 192, 192) { Residual = true }, new(8, 32, 32, 384, 384), new(8, 16, 16, 576, 576), new(8, 8, 8, 768, 768), new(8, 64, 64, 192, 6),
        new(8, 8, 8, 1536, 768) { Side = 1 }, new(1, 64, 64, 512, 512), new(1, 16, 16, 1024, 1024), new(1, 128, 128, 256, 256) { Upsample = true }, new(1, 8, 8, 2048, 1024),
    ];

    /// <summary>All of them.</summary>
    public static IEnumerable<KernelCase> All()
    {
        foreach (KernelDType dtype in KernelDTypes.All)
        {
            foreach (KernelCase c in Small(dtype))
            {
                yield return c;
            }

            foreach (ConvShape layer in s_layers)
            {
                foreach (ConvWork kind in Enum.GetValues<ConvWork>())
                {
                    yield return new ConvCase(layer, dtype, kind) { Full = true };
                }
            }
        }
    }

    private static IEnumerable<KernelCase> Small(KernelDType dtype)
    {
        bool half = dtype != KernelDType.F32;
        yield return new ConvCase(new(1, 1, 1, 24, 8), dtype, ConvWork.Forward);
        yield return new ConvCase(new(2, 9, 7, 96, 72) { Residual = true }, dtype, ConvWork.Forward);
        yield return new ConvCase(new(2, 9, 7, 96, 72) { Residual = true }, dtype, ConvWork.Forward, "integers", slices: 4, pad: 1);
        yield return new ConvCase(new(3, 8, 8, 8, 192), dtype, ConvWork.Forward, slices: 1);
        yield return new ConvCase(new(2, 8, 8, 96, 6) { Residual = true }, dtype, ConvWork.Forward, slices: 1, pad: 1);
        yield return new ConvCase(new(1, 7, 5, 160, 192) { Side = 1, Bias = false }, dtype, ConvWork.Forward);
        yield return new ConvCase(new(2, 9, 6, 24, 72) { Stride = 2 }, dtype, ConvWork.Forward, "integers", slices: 1);
        yield return new ConvCase(new(2, 4, 5, 96, 72) { Upsample = true }, dtype, ConvWork.Forward);
        yield return new ConvCase(new(2, 9, 7, 24, 72) { Residual = true }, dtype, ConvWork.InputGradient, slices: 1);
        yield return new ConvCase(new(1, 9, 7, 96, 72) { Stride = 2 }, dtype, ConvWork.InputGradient);
        yield return new ConvCase(new(2, 8, 6, 72, 24) { Stride = 2, Residual = true }, dtype, ConvWork.InputGradient, "integers", slices: 1);
        yield return new ConvCase(new(2, 4, 3, 24, 96) { Upsample = true }, dtype, ConvWork.InputGradient, "integers");
        yield return new ConvCase(new(2, 5, 3, 72, 6) { Side = 1 }, dtype, ConvWork.InputGradient);
        yield return new ConvCase(new(1, 9, 7, 24, 72), dtype, ConvWork.WeightGradient);
        yield return new ConvCase(new(4, 8, 8, 3, 72), dtype, ConvWork.WeightGradient, "integers", slices: 3);
        yield return new ConvCase(new(2, 9, 7, 72, 6) { Stride = 2 }, dtype, ConvWork.WeightGradient);
        yield return new ConvCase(new(3, 4, 5, 24, 72) { Upsample = true }, dtype, ConvWork.WeightGradient, slices: 2, pad: 1);
        yield return new ConvCase(new(1, 5, 5, 160, 72) { Side = 1 }, dtype, ConvWork.WeightGradient, "integers");
        if (half)
        {
            yield return new ConvCase(new(3, 9, 7, 72, 160) { Residual = true }, dtype, ConvWork.Forward, tile: 128, slices: 1);
            yield return new ConvCase(new(1, 9, 7, 192, 192), dtype, ConvWork.Forward, "integers", tile: 128, slices: 3);
            yield return new ConvCase(new(2, 9, 7, 72, 96) { Stride = 2 }, dtype, ConvWork.InputGradient, tile: 128, slices: 1);
            yield return new ConvCase(new(3, 9, 7, 24, 160), dtype, ConvWork.WeightGradient, tile: 128, slices: 2);
        }
    }
}
