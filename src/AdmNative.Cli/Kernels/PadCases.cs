using AdmNative.Core;
using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Cases of kernels/pad.cu.</summary>
internal static class PadCases
{
    /// <summary>Rows, columns, first given column, given columns, gaps: inside, at either end, all of a row, odd, one value, several blocks.</summary>
    private static readonly (int Rows, int Columns, int Begin, int Count, int GapA, int GapY)[] s_shapes =
        [(37, 96, 32, 32, 32, 0), (5, 4096, 3072, 1024, 0, 0), (33, 40, 0, 24, 0, 8), (29, 33, 28, 5, 1, 0), (7, 64, 0, 64, 0, 0), (3, 125, 0, 0, 0, 0), (9, 8, 0, 0, 0, 8)];

    /// <summary>All.</summary>
    public static IEnumerable<KernelCase> All()
    {
        foreach (KernelDType dtype in KernelDTypes.All)
        {
            foreach ((int rows, int columns, int begin, int count, int gapA, int gapY) in s_shapes)
            {
                yield return new PadCase(dtype, new(rows, columns, begin, count) { StrideA = count + gapA, StrideY = columns + gapY, Value = count == 0 ? -1.5 : 0 });
            }

            yield return new PadCase(dtype, new(64 * 64, 384, 192, 192)) { Layer = true };
        }
    }
}

/// <summary>Padding against its twin: bit for bit.</summary>
internal sealed class PadCase(KernelDType dtype, PadShape shape)
    : KernelCase("pad", "rows", dtype, $"{shape.Rows}x{shape.Columns} from {shape.Begin} {shape.Count} strides {shape.StrideA} {shape.StrideY}")
{
    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        PadShape s = shape;
        PadPlan plan = PadKernels.Plan(s, DType, limits);
        float[] values = KernelNumbers.Rounded(KernelInputs.Normal(s.Rows * s.Count, 1), DType);
        KernelBuffer? a = s.Count > 0 ? work.Input("a", values, DType, s.Count, s.StrideA) : null;
        KernelBuffer y = work.Output("y", s.Rows, s.Columns, DType, s.StrideY);
        work.Run(plan, () => [PadKernels.Enqueue(plan, a?.Address ?? 0, y.Address)]);
        Shape result = [s.Rows, s.Columns];
        double[] expected = s.Count == 0 ? KernelInputs.Twin(new Constant(s.Value, result), result)
            : KernelInputs.Twin(new PadChannels((int)s.Begin, (int)s.Columns), result, KernelInputs.Host([s.Rows, s.Count], values));
        work.Expect(y, expected, Tolerances.Exact);
        bool sectors = s.Columns * DType.Bytes() % 32 == 0 && s.StrideY * DType.Bytes() % 32 == 0 && s.StrideA * DType.Bytes() % 32 == 0 && s.Begin * DType.Bytes() % 32 == 0;
        double apart = plan.Narrow || s.Columns * DType.Bytes() < 32 ? 2 : 1.5; // rows of half a sector fill half of each
        work.Gates = _ => new LaunchGates { Bytes = 1.03, Sectors = sectors ? 1.05 : apart, SpecialFunctions = 0, Registers = 64, Barriers = 0 };
        return work;
    }
}
