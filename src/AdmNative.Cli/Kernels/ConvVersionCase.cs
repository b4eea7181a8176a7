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

    /// <summary>All versions a type has, each with what the next one gains.</summary>
    public static IReadOnlyList<KernelVariant> Of(ConvShape shape, KernelDType dtype)
    {
        KernelVariant Variant(string name, ConvVersion version, string next) => new(name, next, new ConvVersionCase(shape, dtype, version));
        return dtype == KernelDType.F32
            ? [Variant("plain", ConvVersion.Plain, "Tiles of 64 x 64 in shared memory read each pixel once for 64 channels and each filter once for 64 pixels: requested bytes fall by the tile's side.")]
            :
            [
                Variant("plain", ConvVersion.Plain, "Tiles of 64 x 64 in shared memory read each pixel once for 64 channels and each filter once for 64 pixels: requested bytes fall by the tile's side."),
                Variant("tiled", ConvVersion.Tiled, "Tensor cores do 2048 multiply-adds per instruction, and copies move 16 bytes per lane: warp instructions fall by more than an order of magnitude."),
                Variant("single stage", ConvVersion.SingleStage, "Swizzled rows end the bank conflicts of ldmatrix, asynchronous copies need no registers and overlap the products, and a step has one barrier instead of two."),
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
