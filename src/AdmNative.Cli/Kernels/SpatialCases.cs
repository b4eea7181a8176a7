using AdmNative.Core;
using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Cases of kernels/spatial.cu.</summary>
internal static class SpatialCases
{
    /// <summary>Samples, pixels, channels, gap between rows: one pixel, odd sizes and strides, slabs with a remainder, several slices.</summary>
    private static readonly (int N, int P, int C, int Gap)[] s_shapes = [(1, 1, 32, 0), (3, 49, 64, 8), (2, 15, 125, 0), (1, 3, 30, 3), (1, 333, 576, 0), (2, 784, 32, 32)];

    /// <summary>All.</summary>
    public static IEnumerable<KernelCase> All()
    {
        foreach (KernelDType dtype in KernelDTypes.All)
        {
            foreach (SpatialOp op in Enum.GetValues<SpatialOp>())
            {
                for (int i = 0; i < s_shapes.Length; i++)
                {
                    (int n, int p, int c, int gap) = s_shapes[i];
                    if (dtype == KernelDType.F32 ? i != 4 || op != SpatialOp.Broadcast : (i + (int)op) % 3 == (int)dtype - 1)
                    {
                        var shape = new SpatialShape(op, n, p, c) { StrideX = c + gap, StrideDy = c, StrideY = c + (2 * gap), Scaled = i != 1, Shifted = i != 2, Accumulate = i % 2 == 1 };
                        yield return new SpatialCase(dtype, shape, i == 4 && op == SpatialOp.Sum ? dtype : KernelDType.F32);
                    }
                }

                yield return new SpatialCase(dtype, new(op, 2, 4096, 192) { Scaled = true, Shifted = true }, KernelDType.F32) { Layer = true };
            }
        }
    }
}

/// <summary>An operation over pixels against its twin in f64.</summary>
internal sealed class SpatialCase(KernelDType dtype, SpatialShape shape, KernelDType result) : KernelCase(
    "spatial", $"{shape.Op.ToString().ToLowerInvariant()}{(result == KernelDType.F32 ? "" : " to storage")}", dtype, $"{shape.N}x{shape.Pixels}x{shape.C} stride {shape.StrideX}")
{
    private const float Factor = 0.37f;

    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        SpatialShape s = shape;
        SpatialPlan plan = SpatialKernels.Plan(s, DType, limits, result);
        long elements = (long)s.N * s.Pixels * s.C;
        float[] x = KernelNumbers.Rounded(KernelInputs.Normal(elements, 1), DType), dy = KernelNumbers.Rounded(KernelInputs.Normal(elements, 2), DType);
        float[] scale = KernelInputs.Normal((long)s.N * s.C, 3, 0.5), shift = KernelInputs.Normal((long)s.N * s.C, 4);
        bool dot = s.Op == SpatialOp.Dot, sums = dot || s.Op == SpatialOp.Sum;
        int columns = dot ? 2 * s.C : s.C;
        KernelBuffer? bx = s.Op == SpatialOp.Broadcast ? null : work.Input("x", x, DType, s.C, s.StrideX);
        KernelBuffer? bdy = dot ? work.Input("dy", dy, DType, s.C, s.StrideDy) : null;
        KernelBuffer? bScale = s.Op == SpatialOp.Modulate && s.Scaled ? work.Input("scale", scale, KernelDType.F32) : null;
        bool shifts = s.Op == SpatialOp.Broadcast || (s.Op == SpatialOp.Modulate && s.Shifted);
        KernelBuffer? bShift = shifts ? work.Input("shift", shift, KernelDType.F32) : null;
        float[] before = KernelNumbers.Rounded(KernelInputs.Normal((long)s.N * columns, 5), result);
        KernelBuffer y = s.Op == SpatialOp.Modulate && s.StrideX == s.StrideY && s.N > 1 ? bx! // in place
            : !sums ? work.Output("y", (long)s.N * s.Pixels, s.C, DType, s.StrideY)
            : s.Accumulate ? work.Input("sums", before, result, columns) : work.Output("sums", s.N, columns, result);
        KernelBuffer? workspace = work.Workspace(plan);
        work.Run(plan, () => SpatialKernels.Enqueue(plan, new(
            bx?.Address ?? 0, bdy?.Address ?? 0, bScale?.Address ?? 0, bShift?.Address ?? 0, y.Address, workspace?.Address ?? 0, Factor)));

        Shape image = [s.N, s.Pixels, s.C], row = [s.N, s.C];
        HostArray<double> hx = KernelInputs.Host(image, x), hdy = KernelInputs.Host(image, dy);
        if (sums)
        {
            Shape wide = [s.N, columns];
            double[] value = dot ? KernelInputs.Twin(new ModulateParamGrad(), wide, hx, hdy) : KernelInputs.Twin(new SumSpatial(), row, hx);
            HostArray<double> ax = KernelInputs.Host(image, [.. x.Select(Math.Abs)]), ady = KernelInputs.Host(image, [.. dy.Select(Math.Abs)]);
            double[] terms = dot ? KernelInputs.Twin(new ModulateParamGrad(), wide, ax, ady) : KernelInputs.Twin(new SumSpatial(), row, ax);
            for (int i = 0; i < value.Length; i++)
            {
                value[i] = (Factor * value[i]) + (s.Accumulate ? before[i] : 0);
                terms[i] = (Factor * terms[i]) + (s.Accumulate ? Math.Abs(before[i]) : 0);
            }

            Tolerance sum = Tolerances.Sum(terms);
            work.Expect(y, value, result == KernelDType.F32 ? sum : (i, r) => KernelNumbers.Ulp(r, result) + sum(i, r));
        }
        else
        {
            var modulation = new HostArray<double>([s.N, 2 * s.C]);
            for (int n = 0; n < s.N; n++)
            {
                for (int c = 0; c < s.C; c++)
                {
                    modulation[n, c] = s.Scaled ? scale[(n * s.C) + c] : 0;
                    modulation[n, s.C + c] = s.Shifted ? shift[(n * s.C) + c] : 0;
                }
            }

            double[] value = s.Op == SpatialOp.Broadcast
                ? KernelInputs.Twin(new BroadcastSpatial(image, Factor), image, KernelInputs.Host(row, shift))
                : KernelInputs.Twin(new Modulate(), image, hx, modulation);
            work.Expect(y, value, Tolerances.Activation(DType, value));
        }

        bool aligned = s.C * DType.Bytes() % 32 == 0 && s.StrideX * DType.Bytes() % 32 == 0 && s.StrideY * DType.Bytes() % 32 == 0;
        work.Gates = l => new LaunchGates
        {
            Bytes = 1.03,
            Sectors = aligned ? 1.05 : s.C * DType.Bytes() % 16 == 0 ? 1.5 : 2, // as in GroupNorm: rows of 60 bytes begin anywhere
            Conflicts = null, // shared memory is touched once per block, at its end
            SpecialFunctions = 0,
            Registers = 64,
        };
        return work;
    }
}
