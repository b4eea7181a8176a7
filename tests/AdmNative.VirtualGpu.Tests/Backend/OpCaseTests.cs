using AdmNative.Core;
using AdmNative.Core.Tests;
using AdmNative.Cuda;

namespace AdmNative.Tests.Backend;

/// <summary>Every case of every op in Core on the virtual device, all checks on, against the twin in double.</summary>
public sealed class OpCaseTests(CheckedDevice device) : IClassFixture<CheckedDevice>
{
    public static TheoryData<string> Ops => new(OpTable.Ops.Select(o => o.Name));

    [Theory]
    [MemberData(nameof(Ops))]
    public void Matches_the_twin_or_is_refused(string name)
    {
        CudaBackend backend = device.Backend;
        int number = 0;
        foreach (OpCase sample in OpTable.Prototype(name).Cases().Concat(Larger(name)))
        {
            string what = $"case {number} {sample.Op} of {string.Join(" ", sample.Inputs.Select(i => i.ToString()))}";
            HostArray<double>[] values = OpTable.Draw<double>(sample, 7 + number++);
            Graph graph = GraphOf(sample, values, out Dictionary<string, HostArray<double>> weights);
            if (IsRefused(sample))
            {
                NotSupportedException refused = Assert.Throws<NotSupportedException>(() => backend.Plan(graph));
                Assert.Contains(sample.Op.Name, refused.Message, StringComparison.Ordinal);
                continue;
            }

            double[] expected = OpTable.Run(sample.Op, values).Data;
            using IParameters parameters = backend.LoadParameters(graph.Parameters, new NumberSource(weights));
            using IExecutable run = backend.Load(backend.Plan(graph), parameters);
            float[] once = Run(run, sample, values);
            AssertClose(what, expected, once, Tolerance(sample, values, expected));
            Assert.Equal(once, Run(run, sample, values));
            device.AssertSilent(what);
        }

        Assert.True(number > 0, $"{name} has no cases");
    }

    /// <summary>Sizes at which an op takes other launches than at those of its own cases.</summary>
    private static IEnumerable<OpCase> Larger(string name)
    {
        // 24 x 24 pixels: slabs that do not fit into shared memory, nine slices. 8 x 8 x 192: slabs of channels that cut groups.
        (Shape large, Shape wide) = ([1, 24, 24, 48], [1, 8, 8, 192]);
        (TensorType c, TensorType m) = (TensorType.F32([48]), TensorType.F32([1, 96]));
        (TensorType c2, TensorType m2) = (TensorType.F32([192]), TensorType.F32([1, 384]));
        TensorType stats = TensorType.F32([1, 1, 2]), stats2 = TensorType.F32([1, 2, 2]), x = TensorType.F32(large), x2 = TensorType.F32(wide);
        double[] scale = [2, 1, 0.3, 0.5, 0.5, 0.5], offset = [0.5, 0, 1, 1, 0, 0];
        return name switch
        {
            nameof(GroupNormStats) => [new(new GroupNormStats(1, 1e-5), [x], Scale: [2], Offset: [0.5])],
            nameof(GroupNormGradSums) => [new(new GroupNormGradSums(1, true, NormResample.None), [x, x, stats, c, c, m], Scale: scale, Offset: offset)],
            nameof(GroupNormInputGrad) =>
            [
                new(
                    new GroupNormInputGrad(2, true, NormResample.None, true), [x2, x2, stats2, TensorType.F32([1, 2, 192]), c2, c2, m2, x2],
                    Scale: [2, 1, 0.3, 1, 0.5, 0.5, 0.5, 1], Offset: [0.5, 0, 1, 0, 1, 0, 0, 0]),
            ],
            nameof(AttentionGrad) =>
            [
                new(new AttentionGrad(2, false), [TensorType.F32([1, 40, 192]), TensorType.F32([1, 40, 64]), TensorType.F32([1, 40, 64])], Scale: [2, 1, 1]),
                new(new AttentionGrad(1, true), [TensorType.F32([2, 33, 192]), TensorType.F32([2, 33, 64]), TensorType.F32([2, 33, 64])], Scale: [2, 1, 1]),
            ],
            nameof(Conv2dWeightGrad) => [new(new Conv2dWeightGrad(1, 1, 1, [12, 8, 3, 3]), [TensorType.F32([1, 24, 24, 8]), TensorType.F32([1, 24, 24, 12])])],
            nameof(Linear) => [new(new Linear(), [TensorType.F32([9, 24]), TensorType.F32([16, 24]), TensorType.F32([16]), TensorType.F32([9, 16])])],
            nameof(StackedLinear) => // more rows than the kernels for few take, in slices of the depth
            [
                new(new StackedLinear(), [TensorType.F32([65, 512]), TensorType.F32([8, 512]), TensorType.F32([8]), TensorType.F32([4, 512]), TensorType.F32([4])]),
            ],
            nameof(LinearInputGrad) => [new(new LinearInputGrad(), [TensorType.F32([9, 600]), TensorType.F32([600, 24]), TensorType.F32([9, 24])])],
            nameof(LinearWeightGrad) => [new(new LinearWeightGrad([12, 8]), [TensorType.F32([600, 8]), TensorType.F32([600, 12])])],
            _ => [],
        };
    }

    /// <summary>Does the device refuse the case? Filters that are neither 3x3 with padding 1 nor 1x1.</summary>
    internal static bool IsRefused(OpCase sample) => sample.Op switch
    {
        Conv2d op => IsUncovered(sample.Inputs[1].Shape, op.Stride, op.PadH, op.PadW),
        Conv2dInputGrad op => IsUncovered(sample.Inputs[1].Shape, op.Stride, op.PadH, op.PadW),
        Conv2dWeightGrad op => IsUncovered(op.WeightShape, op.Stride, op.PadH, op.PadW),
        _ => false,
    };

    private static bool IsUncovered(Shape w, int stride, int padH, int padW) =>
        w[2] != w[3] || w[2] is not (1 or 3) || padH != w[2] / 2 || padW != w[2] / 2 || stride > (w[2] == 3 ? 2 : 1);

    /// <summary>A graph of the op alone. <paramref name="copied"/> puts a copy behind every input and before the output: places to change type.</summary>
    internal static Graph GraphOf(OpCase sample, HostArray<double>[] values, out Dictionary<string, HostArray<double>> weights, bool copied = false)
    {
        var graph = new Graph();
        weights = [];
        var operands = new Node[sample.Inputs.Length];
        for (int i = 0; i < operands.Length; i++)
        {
            bool weight = (i == 1 && sample.Op is (Conv2d or Linear or Conv2dInputGrad or LinearInputGrad)) || (i > 0 && sample.Op is StackedLinear);
            operands[i] = weight ? graph.Parameter($"w{i}", sample.Inputs[i].Shape) : graph.Input($"in{i}", sample.Inputs[i]);
            if (weight)
            {
                weights.Add($"w{i}", values[i]);
            }
            else if (copied && operands[i].Type.DType == DType.F32)
            {
                operands[i] = graph.StopGradient(operands[i]);
            }
        }

        Node y = graph.Add(sample.Op, (ReadOnlySpan<Node?>)operands);
        graph.Output("y", copied ? graph.StopGradient(y) : y);
        return graph;
    }

    internal static float[] Run(IExecutable run, OpCase sample, HostArray<double>[] values)
    {
        for (int i = 0; i < values.Length; i++)
        {
            if (!run.Plan.Graph.Inputs.TryGetValue($"in{i}", out Node? node))
            {
                continue;
            }

            if (node.Type.DType == DType.I32)
            {
                run.SetInput(node.Name!, Array.ConvertAll(values[i].Data, v => (int)v));
            }
            else
            {
                run.SetInput(node.Name!, Array.ConvertAll(values[i].Data, v => (float)v));
            }
        }

        run.Run();
        float[] y = new float[run.Plan.Graph.Outputs.Single().Node.Shape.Elements];
        run.GetOutput("y", y);
        return y;
    }

    private static void AssertClose(string what, double[] expected, float[] actual, double tolerance)
    {
        double scale = expected.Length == 0 ? 0 : expected.Max(Math.Abs);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance * scale, $"{what}: element {i} is {actual[i]:R}, expected {expected[i]:R}, tolerance {tolerance:g3} of {scale:g3}");
        }
    }

    /// <summary>Four times the error of the same formula evaluated naively in f32, plus 16 roundings of the largest value.</summary>
    internal static double Tolerance(OpCase sample, HostArray<double>[] values, double[] expected)
    {
        HostArray<float>[] single = [.. values.Select(v => new HostArray<float>(v.Shape, Array.ConvertAll(v.Data, x => (float)x)))];
        float[] naive = OpTable.Run(sample.Op, single).Data;
        double scale = Math.Max(expected.Select(Math.Abs).DefaultIfEmpty().Max(), double.Epsilon);
        double error = expected.Select((e, i) => Math.Abs(naive[i] - e) / scale).DefaultIfEmpty().Max();
        return (4 * error) + (16 * Math.ScaleB(1, -24));
    }
}
