using System.Runtime.InteropServices;
using AdmNative.Core;
using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Cases of kernels/embed.cu.</summary>
internal static class EmbedCases
{
    /// <summary>All.</summary>
    public static IEnumerable<KernelCase> All()
    {
        foreach (KernelDType dtype in KernelDTypes.All)
        {
            foreach ((int n, int e, int gap) in ((int, int, int)[])[(1, 1, 0), (3, 33, 3), (7, 192, 0), (33, 256, 64)])
            {
                yield return new EmbedCase(dtype, new(EmbedOp.Timestep, n, e) { Stride = e + gap });
            }

            foreach ((int n, int e, int k, int gap) in ((int, int, int, int)[])[(1, 1, 1, 0), (70, 33, 5, 3), (5, 768, 10, 0), (33, 64, 40, 64)])
            {
                yield return new EmbedCase(dtype, new(EmbedOp.Label, n, e, k) { Stride = e + gap, Adds = n % 2 == 1 });
                yield return new EmbedCase(dtype, new(EmbedOp.LabelGrad, n, e, k) { Stride = e + gap, Accumulate = n == 5 });
            }

            yield return new EmbedCase(dtype, new(EmbedOp.LabelGrad, 256, 768, 1000)) { Layer = true };
        }
    }
}

/// <summary>An embedding against its twin in f64.</summary>
internal sealed class EmbedCase(KernelDType dtype, EmbedShape shape) : KernelCase(
    "embed", $"{shape.Op.ToString().ToLowerInvariant()}{(shape.Adds ? " add" : "")}{(shape.Accumulate ? " accumulate" : "")}", dtype,
    $"{shape.N}x{shape.Columns}{(shape.Classes > 0 ? $" of {shape.Classes}" : "")} stride {shape.Stride}")
{
    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        EmbedShape s = shape;
        EmbedPlan plan = EmbedKernels.Plan(s, DType, limits);
        Shape rows = [s.N, s.Columns], table = [s.Classes, s.Columns];
        bool aligned = s.Columns * DType.Bytes() % 32 == 0;
        double whole = s.Op == EmbedOp.LabelGrad && s.N % 8 != 0 ? 1.2 : 1.05; // the last few labels fill no sector
        work.Gates = _ => new LaunchGates { Bytes = 1.03, Sectors = aligned ? whole : 2, Registers = 48, Barriers = 0 };
        if (s.Op == EmbedOp.Timestep)
        {
            // 0, 999, whole and rescaled timesteps.
            float[] t = [.. Enumerable.Range(0, s.N).Select(n => n == 0 ? 999f : n == 1 ? 0f : (n * 37.5f % 1000) + (n % 3 / 3f))];
            KernelBuffer bt = work.Input("t", t, KernelDType.F32), by = work.Output("y", s.N, s.Columns, DType, s.Stride);
            work.Run(plan, () => [EmbedKernels.EnqueueTimestep(plan, bt.Address, by.Address)]);
            double[] sinusoids = KernelInputs.Twin(new TimestepEmbedding(s.Columns), rows, KernelInputs.Host([s.N], t));
            work.Expect(by, sinusoids, Tolerances.Activation(DType, sinusoids, 1e-6)); // f64 angles: nearer than the guide asks

            // Cosines and sines are written apart, and a warp may hold the end of one row and the start of the next.
            work.Gates = _ => new LaunchGates { Bytes = 1.03, Sectors = 2, Registers = 48, Barriers = 0 };
            return work;
        }

        int[] labels = [.. Enumerable.Range(0, s.N).Select(n => n * 7 % 11 * 3 % s.Classes)];
        KernelBuffer bLabels = work.Input("labels", MemoryMarshal.AsBytes<int>(labels).ToArray());
        HostArray<double> hLabels = KernelInputs.Host([s.N], [.. labels.Select(l => (float)l)]);
        if (s.Op == EmbedOp.Label)
        {
            float[] values = KernelNumbers.Rounded(KernelInputs.Normal(table.Elements, 1), DType), add = KernelNumbers.Rounded(KernelInputs.Normal(rows.Elements, 2), DType);
            KernelBuffer bTable = work.Input("table", values, DType, s.Columns);
            KernelBuffer? bAdd = s.Adds ? work.Input("add", add, DType, s.Columns) : null;
            KernelBuffer by = work.Output("y", s.N, s.Columns, DType, s.Stride);
            work.Run(plan, () => [EmbedKernels.EnqueueLabel(plan, bLabels.Address, bTable.Address, bAdd?.Address ?? 0, 0, by.Address)]);
            double[] expected = KernelInputs.Twin(new Embedding(), rows, KernelInputs.Host(table, values), hLabels);
            for (int i = 0; i < expected.Length; i++)
            {
                expected[i] += s.Adds ? add[i] : 0;
            }

            work.Expect(by, expected, s.Adds ? Tolerances.Activation(DType, expected) : Tolerances.Exact);
            return work;
        }

        float[] dy = KernelNumbers.Rounded(KernelInputs.Normal(rows.Elements, 3), DType), before = KernelInputs.Normal(table.Elements, 4);
        KernelBuffer bdy = work.Input("dy", dy, DType, s.Columns, s.Stride);
        KernelBuffer dtable = s.Accumulate ? work.Input("dtable", before, KernelDType.F32, s.Columns) : work.Output("dtable", s.Classes, s.Columns, KernelDType.F32);
        work.Run(plan, () => [EmbedKernels.EnqueueLabelGrad(plan, bLabels.Address, bdy.Address, dtable.Address)]);
        double[] gradient = KernelInputs.Twin(new EmbeddingGrad(s.Classes), table, hLabels, KernelInputs.Host(rows, dy));
        double[] terms = KernelInputs.Twin(new EmbeddingGrad(s.Classes), table, hLabels, KernelInputs.Host(rows, [.. dy.Select(Math.Abs)]));
        for (int i = 0; i < gradient.Length; i++)
        {
            gradient[i] += s.Accumulate ? before[i] : 0;
            terms[i] += s.Accumulate ? Math.Abs(before[i]) : 0;
        }

        work.Expect(dtable, gradient, Tolerances.Sum(terms));
        return work;
    }
}
