using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>A forward 3x3 convolution by a plain or earlier version of the kernel.</summary>
internal sealed class ConvVersionCase : KernelCase
{
    private readonly ConvShape _shape;
    private readonly ConvVersion _version;

    public ConvVersionCase(ConvShape shape, KernelDType dtype, ConvVersion version)
        : base("conv", $"forward 3x3 {version.ToString().ToLowerInvariant()}", dtype, $"{shape.N}x{shape.H}x{shape.W}x{shape.C} K{shape.K}")
    {
        (_shape, _version, Plain) = (shape, version, true);
    }

    /// <summary>All versions a type has, each with what the next one gains; figures are those of 1x16x16x192 K192 in f16 on an A100.</summary>
    public static IReadOnlyList<KernelVariant> Of(ConvShape shape, KernelDType dtype)
    {
        var plain = new KernelVariant(
            "plain",
            "Tiles of 64 x 64 in shared memory read a pixel once for 64 channels and a filter once for 64 pixels: 30 times fewer bytes, 480 times fewer sectors.",
            new ConvVersionCase(shape, dtype, ConvVersion.Plain));
        return dtype == KernelDType.F32 ? [plain] :
        [
            plain,
            new(
                "tiled",
                "Tensor cores do 2048 multiply-adds an instruction and copies move 16 bytes a lane: 16 times fewer instructions.",
                new ConvVersionCase(shape, dtype, ConvVersion.Tiled)),
            new(
                "single stage",
                "Swizzled rows end the bank conflicts of ldmatrix (249 thousand passes), steps of twice the depth behind asynchronous copies have one barrier for four, and slices of the depth give 72 blocks for 12.",
                new ConvVersionCase(shape, dtype, ConvVersion.SingleStage)),
        ];
    }

    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        var data = new ConvData(_shape, DType, "normal");
        ConvComparisonPlan plan = ConvKernels.PlanComparison(_shape, DType, _version, limits);
        KernelBuffer x = work.Input("x", data.X, DType), w = work.Input("weights", data.Weights, DType), bias = work.Input("bias", data.Bias, KernelDType.F32);
        KernelBuffer y = work.Output("y", _shape.ResultPixels, _shape.K, DType);
        work.Run(plan, () => ConvKernels.EnqueueComparison(plan, new ConvArguments(x.Address, w.Address, y.Address) { Bias = bias.Address }));
        work.Expect(y, data.Forward(false), ConvCase.Allowed(data.Forward(true), DType, DType, 9L * _shape.C));
        return work;
    }
}
