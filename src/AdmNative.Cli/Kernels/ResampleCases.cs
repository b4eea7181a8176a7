using AdmNative.Core;
using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Cases of kernels/resample.cu.</summary>
internal static class ResampleCases
{
    /// <summary>Of the small image: samples, height, width, channels, gap between rows.</summary>
    private static readonly (int N, int H, int W, int C, int Gap)[] s_shapes = [(1, 1, 1, 32, 0), (2, 7, 5, 64, 32), (3, 4, 6, 30, 0), (1, 3, 3, 125, 3), (2, 16, 9, 96, 0)];

    /// <summary>All.</summary>
    public static IEnumerable<KernelCase> All()
    {
        foreach (KernelDType dtype in KernelDTypes.All)
        {
            for (int i = 0; i < s_shapes.Length; i++)
            {
                (int n, int h, int w, int c, int gap) = s_shapes[i];
                foreach (ResampleOp op in (ResampleOp[])[ResampleOp.Up2, ResampleOp.Down2])
                {
                    int k = op == ResampleOp.Up2 ? 1 : 2;
                    bool half = dtype != KernelDType.F32 && (i + k + (int)dtype) % 2 == 0;
                    yield return new ResampleCase(dtype, new(op, n, k * h, k * w, c) { StrideX = c + gap, StrideY = c + (2 * gap) }, i % 2 == 0 ? 1 : 0.3) { Full = half };
                }
            }

            yield return new ResampleCase(dtype, new(ResampleOp.Bilinear, 2, 5, 7, 3) { Height = 20, Width = 28, StrideX = 3, StrideY = 8 }, 1);
            yield return new ResampleCase(dtype, new(ResampleOp.Up2, 1, 32, 32, 384), 1) { Layer = true };
            yield return new ResampleCase(dtype, new(ResampleOp.Down2, 1, 64, 64, 192), 1) { Layer = true };
            yield return new ResampleCase(dtype, new(ResampleOp.Bilinear, 1, 64, 64, 3) { Height = 256, Width = 256 }, 1) { Layer = true };
        }

        yield return new ResampleCase(KernelDType.F32, new(ResampleOp.Bilinear, 1, 9, 8, 5) { Height = 4, Width = 11 }, 1);
    }
}

/// <summary>A resampling against its twin in f64.</summary>
internal sealed class ResampleCase(KernelDType dtype, ResampleShape shape, double factor) : KernelCase(
    "resample", $"{shape.Op.ToString().ToLowerInvariant()}{(factor == 1 ? "" : " scaled")}", dtype,
    $"{shape.N}x{shape.H}x{shape.W}x{shape.C} to {shape.ResultHeight}x{shape.ResultWidth} stride {shape.StrideX}")
{
    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        ResampleShape s = shape;
        ResamplePlan plan = ResampleKernels.Plan(s, DType, limits);
        Shape from = [s.N, s.H, s.W, s.C], to = [s.N, s.ResultHeight, s.ResultWidth, s.C];
        float[] values = KernelNumbers.Rounded(KernelInputs.Normal(from.Elements, 1), DType);
        KernelBuffer x = work.Input("x", values, DType, s.C, s.StrideX), y = work.Output("y", to.Elements / s.C, s.C, DType, s.StrideY);
        work.Run(plan, () => [ResampleKernels.Enqueue(plan, x.Address, y.Address, factor)]);
        Op twin = s.Op == ResampleOp.Bilinear ? new BilinearResize(s.Height, s.Width) : new Resample(s.Op == ResampleOp.Up2 ? ResampleMode.Up2 : ResampleMode.Down2, factor);
        double[] expected = KernelInputs.Twin(twin, to, KernelInputs.Host(from, values));
        bool exact = s.Op == ResampleOp.Up2 && factor == 1;
        work.Expect(y, expected, exact ? Tolerances.Exact : Tolerances.Activation(DType, expected));

        // The formula counts every neighbour of a bilinear pixel; lanes of a warp share most of them. Four corners of 2x2 pixels lie in
        // different sectors of every second pixel: rows of 16 bytes, or ones that begin anywhere, fill no whole sectors.
        bool aligned = s.C * DType.Bytes() % 32 == 0 && s.StrideX * DType.Bytes() % 32 == 0 && s.StrideY * DType.Bytes() % 32 == 0;
        double? sectors = s.Op == ResampleOp.Bilinear ? null : aligned ? 1.05 : s.C * DType.Bytes() % 16 == 0 ? 1.5 : 2;
        work.Gates = _ => new LaunchGates { Bytes = 1.03, Sectors = sectors, SpecialFunctions = 0, Registers = 64, Barriers = 0 };
        return work;
    }
}
