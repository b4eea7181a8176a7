using AdmNative.Core;
using AdmNative.Core.Tests;

namespace AdmNative.Cpu.Tests;

/// <summary>One op on the cpu device, at addresses chosen here instead of by the planner: gaps between rows, NaN everywhere else.</summary>
internal static class SingleOp
{
    /// <summary>Floats between a value and the next one in the arena, filled with a pattern that must survive.</summary>
    private const int Gap = 16;

    /// <summary>Runs a case.</summary>
    /// <param name="isa">Instruction set.</param>
    /// <param name="threads">Threads.</param>
    /// <param name="sample">The op and the types of its operands.</param>
    /// <param name="values">The operands.</param>
    /// <param name="pad">Floats to leave between rows of operands and result, where they may be apart.</param>
    /// <param name="weightsAsParameters">Whether operands named w are parameters; else inputs like the rest.</param>
    /// <param name="inPlace">Operand whose place the result takes, or -1.</param>
    public static float[] Run(
        Isa isa, int threads, OpCase sample, HostArray<double>[] values, int pad, bool weightsAsParameters = false, int inPlace = -1)
    {
        CpuBackend backend = Backends.Get(isa, threads);
        var graph = new Graph();
        var operands = new Node[sample.Inputs.Length];
        var weights = new Dictionary<string, HostArray<double>>();
        for (int i = 0; i < operands.Length; i++)
        {
            bool weight = weightsAsParameters && sample.Inputs[i].DType == DType.F32 && i == 1;
            operands[i] = weight ? graph.Parameter("w", sample.Inputs[i].Shape) : graph.Input($"in{i}", sample.Inputs[i]);
            if (weight)
            {
                weights.Add("w", values[i]);
            }
        }

        Node result = graph.Add(sample.Op, (ReadOnlySpan<Node?>)operands);
        graph.Output("y", result);
        Plan planned = backend.Plan(graph);
        long workspace = planned.Steps.Count > 0 ? planned.Steps[0].WorkspaceBytes : 0;
        (Plan plan, bool[] owned) = Layout(graph, result, workspace, pad, inPlace);
        using IParameters parameters = backend.LoadParameters(graph.Parameters, new NumberSource(weights));
        using var run = (CpuExecutable)backend.Load(plan, parameters);
        Span<float> arena = run.Arena;
        arena.Fill(BitConverter.UInt32BitsToSingle(0xFFC0FFEE));
        for (int i = 0; i < operands.Length; i++)
        {
            if (operands[i].Kind == NodeKind.Input)
            {
                Set(run, operands[i], values[i]);
            }
        }

        run.Run();
        if (inPlace < 0)
        {
            // Again over old results.
            Assert.Equal(0, AllocatedPerRun(run));
        }

        for (int i = 0; i < owned.Length; i++)
        {
            if (!owned[i] && BitConverter.SingleToUInt32Bits(arena[i]) != 0xFFC0FFEE)
            {
                Assert.Fail($"{sample.Op}: float {i} of the arena lies outside every value and was overwritten with {arena[i]}\n{plan}");
            }
        }

        for (int i = 0; i < operands.Length; i++)
        {
            if (operands[i].Kind == NodeKind.Input && i != inPlace)
            {
                Check(run, operands[i], values[i], plan);
            }
        }

        var y = new float[result.Shape.Elements];
        run.GetOutput("y", y);
        return y;
    }

    /// <summary>
    /// Managed bytes that a run allocates on the calling thread. The least of a few runs: the first time a worker has to be woken, the
    /// runtime's own locks allocate.
    /// </summary>
    public static long AllocatedPerRun(IExecutable run)
    {
        long least = long.MaxValue;
        for (int i = 0; i < 5 && least > 0; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            run.Run();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        return least;
    }

    /// <summary>Fails unless every element is within the tolerance, given relative to the largest expected magnitude.</summary>
    public static void AssertClose(string what, double[] expected, float[] actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        double scale = expected.Length == 0 ? 0 : expected.Max(Math.Abs);
        int worst = -1, bad = 0;
        double largest = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double error = Math.Abs(expected[i] - actual[i]);
            if (!(error <= tolerance * scale))
            {
                bad++;
                if (worst < 0 || !(error <= largest))
                {
                    (worst, largest) = (i, error);
                }
            }
        }

        Assert.True(
            bad == 0,
            bad == 0 ? "" : $"{what}: element {worst} is {actual[worst]:R}, expected {expected[worst]:R}; {bad} of {expected.Length} are off by more "
                + $"than {tolerance:g3} of {scale:g3}");
    }

    private static void Set(CpuExecutable run, Node node, HostArray<double> value)
    {
        if (node.Type.DType == DType.I32)
        {
            run.SetInput(node.Name!, Array.ConvertAll(value.Data, v => (int)v));
        }
        else
        {
            run.SetInput(node.Name!, Array.ConvertAll(value.Data, v => (float)v));
        }
    }

    private static void Check(CpuExecutable run, Node node, HostArray<double> value, Plan plan)
    {
        ValueLayout layout = plan.Layouts[node.Id];
        for (int i = 0; i < value.Data.Length; i++)
        {
            int columns = node.Shape.Last;
            long at = (layout.OffsetBytes / 4) + (i / columns * layout.RowStride) + (i % columns);
            float now = run.Arena[(int)at];
            bool same = node.Type.DType == DType.I32 ? BitConverter.SingleToInt32Bits(now) == (int)value.Data[i]
                : BitConverter.SingleToInt32Bits(now) == BitConverter.SingleToInt32Bits((float)value.Data[i]);
            if (!same)
            {
                Assert.Fail($"element {i} of operand {node.Name} was overwritten with {now}\n{plan}");
            }
        }
    }

    private static (Plan Plan, bool[] Owned) Layout(Graph graph, Node result, long workspace, int pad, int inPlace)
    {
        var layouts = new ValueLayout[graph.Nodes.Count];
        long end = Gap;
        foreach (Node node in graph.Nodes)
        {
            bool rowsApart = node.Type.DType == DType.F32 && node.Shape.Rank > 1
                && !(node == result && node.Op is Conv2dWeightGrad or LinearWeightGrad or Reshape)
                && !(node != result && result.Op is Conv2d or Linear or Conv2dInputGrad or LinearInputGrad && result.Inputs[1] == node)
                && !(node != result && result.Op is StackedLinear && result.Inputs[0] != node);
            long stride = node.Shape.Last + (rowsApart ? pad : 0);
            if (node.Kind == NodeKind.Parameter)
            {
                layouts[node.Id] = new ValueLayout(Storage.Parameter, 0, stride);
                continue;
            }

            if (node == result && inPlace >= 0)
            {
                layouts[node.Id] = layouts[result.Inputs[inPlace].Id];
                continue;
            }

            layouts[node.Id] = new ValueLayout(Storage.Arena, end * 4, stride);
            end = (end + (node.Shape.Rows * stride) + Gap + 15) / 16 * 16;
        }

        long scratch = end;
        end += (workspace / 4) + Gap;
        var owned = new bool[end];
        foreach (Node node in graph.Nodes)
        {
            for (long r = 0; r < (layouts[node.Id].Storage == Storage.Arena ? node.Shape.Rows : 0); r++)
            {
                Array.Fill(owned, true, (int)((layouts[node.Id].OffsetBytes / 4) + (r * layouts[node.Id].RowStride)), node.Shape.Last);
            }
        }

        Array.Fill(owned, true, (int)scratch, (int)(workspace / 4));
        return (new Plan(graph, [new PlanStep(result, scratch * 4, workspace)], layouts, end * 4), owned);
    }
}
