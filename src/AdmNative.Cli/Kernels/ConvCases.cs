using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Shapes and inputs the convolution family is judged by.</summary>
internal static class ConvCases
{
    /// <summary>Layers of ADM-64 (batch 2) and ADM-256 (batch 1): stem, body, head, the small ones that divide the depth, 1x1, upsampled.</summary>
    private static readonly ConvShape[] s_layers =
    [
        new(2, 64, 64, 3, 192), new(2, 64, 64, 192, 192) { Residual = true }, new(2, 32, 32, 384, 384), new(2, 16, 16, 576, 576), new(2, 8, 8, 768, 768), new(2, 64, 64, 192, 6),
        new(2, 8, 8, 1536, 768) { Side = 1 }, new(1, 64, 64, 512, 512), new(1, 16, 16, 1024, 1024), new(1, 8, 8, 2048, 1024), new(1, 32, 32, 512, 512) { Upsample = true },
        new(2, 64, 64, 192, 192) { Stride = 2 },
    ];

    private static readonly (int N, int H, int W)[] s_images = [(1, 1, 1), (3, 2, 3), (2, 5, 5), (1, 8, 8), (2, 9, 7), (5, 1, 4), (1, 7, 7)];

    /// <summary>All of them: what tests run, then what takes longer, then layers.</summary>
    public static IEnumerable<KernelCase> All()
    {
        foreach (KernelDType dtype in KernelDTypes.All)
        {
            foreach (KernelCase c in Tested(dtype).Concat(Crossed(dtype)))
            {
                yield return c;
            }

            foreach (ConvShape layer in dtype == KernelDType.F16 ? s_layers : [s_layers[3], s_layers[9]])
            {
                foreach (ConvWork kind in Enum.GetValues<ConvWork>())
                {
                    yield return new ConvCase(layer, dtype, kind) { Layer = true };
                }
            }
        }
    }

    /// <summary>Every path of every kernel; types that only differ in a conversion share the list's second half between them.</summary>
    private static IEnumerable<KernelCase> Tested(KernelDType dtype)
    {
        (bool half, bool rest) = (dtype != KernelDType.F32, dtype == KernelDType.BF16);
        yield return new ConvCase(new(1, 9, 8, 24, 72), dtype, ConvWork.Forward, compared: true);
        yield return new ConvCase(new(1, 16, 16, 192, 192), dtype, ConvWork.Forward, compared: true) { Full = true };
        yield return new ConvCase(new(2, 9, 7, 96, 72) { Residual = true }, dtype, ConvWork.Forward, "integers", slices: 4, pad: 1);
        yield return new ConvCase(new(2, 8, 8, 96, 6) { Residual = true }, dtype, ConvWork.Forward, slices: 1, pad: 1);
        yield return new ConvCase(new(2, 8, 6, 72, 24) { Stride = 2, Residual = true }, dtype, ConvWork.InputGradient, "integers", slices: 1);
        yield return new ConvCase(new(2, 4, 3, 24, 96) { Upsample = true }, dtype, ConvWork.InputGradient, "integers");
        yield return new ConvCase(new(4, 8, 8, 3, 72), dtype, ConvWork.WeightGradient, "integers", slices: 3);
        yield return new ConvCase(new(2, 9, 7, 72, 6) { Stride = 2 }, dtype, ConvWork.WeightGradient) { Full = rest };
        yield return new ConvCase(new(1, 1, 1, 24, 8), dtype, ConvWork.Forward) { Full = rest };
        yield return new ConvCase(new(3, 8, 8, 8, 192), dtype, ConvWork.Forward, slices: 1) { Full = rest };
        yield return new ConvCase(new(1, 7, 5, 160, 192) { Side = 1, Bias = false }, dtype, ConvWork.Forward) { Full = rest };
        yield return new ConvCase(new(2, 9, 6, 24, 72) { Stride = 2 }, dtype, ConvWork.Forward, "integers", slices: 1) { Full = rest };
        yield return new ConvCase(new(2, 4, 5, 96, 72) { Upsample = true }, dtype, ConvWork.Forward) { Full = rest };
        yield return new ConvCase(new(2, 9, 7, 24, 72) { Residual = true }, dtype, ConvWork.InputGradient, slices: 1) { Full = rest };
        yield return new ConvCase(new(1, 9, 7, 96, 72) { Stride = 2 }, dtype, ConvWork.InputGradient) { Full = rest };
        yield return new ConvCase(new(2, 5, 3, 72, 6) { Side = 1 }, dtype, ConvWork.InputGradient) { Full = rest };
        yield return new ConvCase(new(1, 9, 7, 24, 72), dtype, ConvWork.WeightGradient) { Full = rest };
        yield return new ConvCase(new(3, 4, 5, 24, 72) { Upsample = true }, dtype, ConvWork.WeightGradient, slices: 2, pad: 1) { Full = rest };
        yield return new ConvCase(new(1, 5, 5, 160, 72) { Side = 1 }, dtype, ConvWork.WeightGradient, "integers") { Full = rest };
        if (!half)
        {
            yield break;
        }

        yield return new ConvCase(new(3, 9, 7, 72, 160) { Residual = true }, dtype, ConvWork.Forward, tile: 128, slices: 1);
        yield return new ConvCase(new(3, 9, 7, 24, 160), dtype, ConvWork.WeightGradient, tile: 128, slices: 2);
        yield return new ConvCase(new(1, 9, 7, 192, 192), dtype, ConvWork.Forward, "integers", tile: 128, slices: 3) { Full = rest };
        yield return new ConvCase(new(2, 9, 7, 72, 96) { Stride = 2 }, dtype, ConvWork.InputGradient, tile: 128, slices: 1) { Full = rest };
        yield return new ConvStatisticsCase(new(2, 13, 11, 24, 64), 32, dtype);
        yield return new ConvStatisticsCase(new(2, 13, 11, 8, 160), 32, dtype, tile: 128);
        yield return new ConvStatisticsCase(new(2, 5, 7, 24, 72) { Upsample = true }, 8, dtype) { Full = rest };
    }

    /// <summary>Channels of the guide with each other, on images that change with them, both tiles, divided and not.</summary>
    private static IEnumerable<KernelCase> Crossed(KernelDType dtype)
    {
        int at = 0;
        foreach (int c in new[] { 3, 8, 24, 96, 160, 192 })
        {
            foreach (int k in new[] { 6, 8, 72, 192 })
            {
                foreach (ConvWork kind in Enum.GetValues<ConvWork>())
                {
                    (int n, int h, int w) = s_images[at++ % s_images.Length];
                    var shape = new ConvShape(n, h, w, c, k);
                    yield return new ConvCase(shape, dtype, kind, at % 2 == 0 ? "normal" : "integers", dtype == KernelDType.F32 ? 64 : at % 4 < 2 ? 64 : 128, 1 + (at % 3)) { Full = true };
                }
            }
        }
    }
}
