using AdmNative.Core;
using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Cases of kernels/eltwise_rows.cu.</summary>
internal static class EltwiseCases
{
    /// <summary>Rows, columns, gap of a, of b and y: dense, ranges of columns, odd columns and strides, one element, several blocks.</summary>
    private static readonly (int Rows, int Columns, int GapA, int GapB, int GapY)[] s_shapes =
        [(1, 1, 0, 0, 0), (3, 125, 0, 0, 0), (49, 64, 0, 32, 96), (33, 20, 4, 0, 12), (7, 30, 3, 0, 95), (205, 96, 8, 0, 0), (2, 8192, 0, 0, 0)];

    /// <summary>All.</summary>
    public static IEnumerable<KernelCase> All()
    {
        foreach (KernelDType dtype in KernelDTypes.All)
        {
            foreach (EltwiseOp op in Enum.GetValues<EltwiseOp>())
            {
                for (int i = 0; i < s_shapes.Length; i++)
                {
                    // Every operation in f32 takes every shape; the others one or two each, all of them together.
                    if (dtype == KernelDType.F32 ? op is EltwiseOp.Silu or EltwiseOp.SiluGrad || (i + (int)op) % 3 == 0 : (i + (int)op + (int)dtype) % 4 == 0)
                    {
                        (int rows, int columns, int a, int b, int y) = s_shapes[i];
                        yield return new EltwiseCase(dtype, new(op, rows, columns) { StrideA = columns + a, StrideB = columns + b, StrideY = columns + y }) { Full = dtype == KernelDType.BF16 && op is not (EltwiseOp.Silu or EltwiseOp.SiluGrad or EltwiseOp.Sum) };
                    }
                }

                yield return new EltwiseCase(dtype, new(op, 64 * 64, 192)) { Layer = true };
            }

            yield return new EltwiseCase(dtype, new(EltwiseOp.Silu, 5, 130), "large");
            yield return new EltwiseCase(dtype, new(EltwiseOp.SiluGrad, 5, 130), "large");
            yield return new EltwiseCase(dtype, new(EltwiseOp.Relu, 5, 130), "nan");
        }

        yield return new EltwiseCase(KernelDType.F32, new(EltwiseOp.Silu, 5, 130), "denormal");
        yield return new EltwiseCase(KernelDType.F16, new(EltwiseOp.Silu, 5, 130), "in place");
        yield return new EltwiseCase(KernelDType.F32, new(EltwiseOp.Sum, 9, 64) { StrideA = 96, StrideB = 64, StrideY = 96 }, "in place");
        yield return new EltwiseCase(KernelDType.F32, new(EltwiseOp.Sum, 4, 65 * 64) { RepeatB = true });
        yield return new EltwiseCase(KernelDType.F16, new(EltwiseOp.Sum, 3, 47 * 32) { RepeatB = true });
        foreach (KernelDType half in (KernelDType[])[KernelDType.F16, KernelDType.BF16])
        {
            foreach (bool widen in (bool[])[false, true])
            {
                yield return new CastCase(half, widen, 1, 5003, 0, 0);
                yield return new CastCase(half, widen, 33, 20, 4, 12);
                yield return new CastCase(half, widen, 7, 30, 1, 0);
            }
        }
    }
}

/// <summary>An elementwise operation against its twin in f64.</summary>
internal sealed class EltwiseCase(KernelDType dtype, EltwiseShape shape, string input = "normal")
    : KernelCase("eltwise", $"{shape.Op.ToString().ToLowerInvariant()}", dtype, $"{shape.Rows}x{shape.Columns} strides {shape.StrideA} {shape.StrideB} {shape.StrideY}{(shape.RepeatB ? " repeated" : "")}", input)
{
    private const double Factor = -0.70710678;

    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        EltwiseShape s = shape;
        EltwisePlan plan = EltwiseKernels.Plan(s, DType, limits);
        int rowsOfB = s.RepeatB ? 1 : (int)s.Rows;
        bool binary = s.Op is EltwiseOp.SiluGrad or EltwiseOp.ReluGrad or EltwiseOp.Sum;
        float[] a = KernelInputs.Normal(s.Rows * s.Columns, 1, Input switch { "large" => 1e4, "denormal" => 1e-40, _ => 3 });
        if (Input == "nan")
        {
            a[a.Length / 2] = float.NaN;
        }

        a = KernelNumbers.Rounded(a, DType);
        float[] b = KernelNumbers.Rounded(KernelInputs.Normal(rowsOfB * s.Columns, 2), DType);
        KernelBuffer x = work.Input("a", a, DType, s.Columns, s.StrideA);
        KernelBuffer? z = binary ? work.Input("b", b, DType, s.Columns, s.StrideB) : null;
        KernelBuffer y = Input == "in place" ? x : work.Output("y", s.Rows, s.Columns, DType, s.StrideY);
        work.Run(plan, () => [EltwiseKernels.Enqueue(plan, x.Address, z?.Address ?? 0, y.Address, Factor)]);

        Shape flat = [a.Length];
        HostArray<double> ha = KernelInputs.Host(flat, a), hb = KernelInputs.Host(flat, [.. Enumerable.Range(0, a.Length).Select(i => b[i % b.Length])]);
        double[] expected = s.Op switch
        {
            EltwiseOp.Silu => KernelInputs.Twin(new Silu(), flat, ha),
            EltwiseOp.SiluGrad => KernelInputs.Twin(new SiluGrad(), flat, ha, hb),
            EltwiseOp.Relu => KernelInputs.Twin(new Relu(), flat, ha),
            EltwiseOp.ReluGrad => KernelInputs.Twin(new ReluGrad(), flat, ha, hb),
            EltwiseOp.Scale => KernelInputs.Twin(new Scale((float)Factor), flat, ha),
            EltwiseOp.Sum => KernelInputs.Twin(new Add(), flat, ha, hb),
            _ => ha.Data,
        };
        bool exact = s.Op is EltwiseOp.Relu or EltwiseOp.ReluGrad or EltwiseOp.Copy;
        work.Expect(y, expected, exact ? Tolerances.Exact : Tolerances.Activation(DType, expected));
        bool aligned = s.Columns * DType.Bytes() % 32 == 0 && s.StrideA * DType.Bytes() % 32 == 0 && s.StrideB * DType.Bytes() % 32 == 0 && s.StrideY * DType.Bytes() % 32 == 0;
        bool dense = (s.StrideA == 0 || s.StrideA == s.Columns) && (s.StrideB == 0 || s.StrideB == s.Columns) && (s.StrideY == 0 || s.StrideY == s.Columns);
        // Lanes past the end of a row compute too. Rows of 60 bytes, every other one, cannot do with 1.5 times the fewest sectors.
        long? special = s.Op is EltwiseOp.Silu or EltwiseOp.SiluGrad ? 2 * s.Rows * ((s.Columns + 7) / 8 * 8) : 0;
        work.Gates = _ => new LaunchGates { Bytes = 1.03, Sectors = aligned || dense ? 1.05 : s.Columns * DType.Bytes() % 16 == 0 ? 1.5 : 2, SpecialFunctions = special, Registers = 64, Barriers = 0 };
        return work;
    }
}

/// <summary>Conversion between f32 and a storage type: exact when widening, round to nearest even when narrowing.</summary>
internal sealed class CastCase(KernelDType dtype, bool widen, int rows, int columns, int gapA, int gapY)
    : KernelCase("eltwise", widen ? "cast to f32" : "cast from f32", dtype, $"{rows}x{columns} gaps {gapA} {gapY}")
{
    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        (KernelDType from, KernelDType to) = widen ? (DType, KernelDType.F32) : (KernelDType.F32, DType);
        CastPlan plan = EltwiseKernels.PlanCast(rows, columns, columns + gapA, columns + gapY, from, to, unaligned: false, limits);
        float[] values = KernelInputs.Normal((long)rows * columns, 1, 100);
        (values[0], values[^1]) = (DType == KernelDType.F16 ? 65519f : 3.3e38f, 1e-7f); // the largest that still rounds to a number; a subnormal f16
        values = KernelNumbers.Rounded(values, from);
        KernelBuffer a = work.Input("a", values, from, columns, columns + gapA), y = work.Output("y", rows, columns, to, columns + gapY);
        work.Run(plan, () => [EltwiseKernels.EnqueueCast(plan, a.Address, y.Address)]);
        work.Expect(y, [.. KernelNumbers.Rounded(values, to).Select(v => (double)v)], Tolerances.Exact);
        bool dense = gapA == 0 && gapY == 0, wide = columns % 4 == 0 && gapA % 4 == 0 && gapY % 4 == 0;
        work.Gates = _ => new LaunchGates { Bytes = 1.03, Sectors = dense ? 1.05 : wide ? 1.5 : 2, SpecialFunctions = 0, Registers = 64, Barriers = 0 };
        return work;
    }
}
