using AdmNative.Core;
using AdmNative.Core.Tests;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;

namespace AdmNative.Tests.Backend;

/// <summary>Every case of every op in Core on the virtual device, all checks on, against the twin in double.</summary>
public sealed class OpCaseTests
{
    /// <summary>Ops without a kernel, and cases of others that no kernel covers; each is refused by name.</summary>
    private static readonly HashSet<string> s_missing =
    [
        "AttentionGrad", "Conv2dWeightGrad", "GroupNormApply", "GroupNormGradSums", "GroupNormInputGrad", "GroupNormParamGrad",
        "GroupNormStats", "LinearWeightGrad",
    ];

    /// <summary>Does the device refuse the case?</summary>
    internal static bool IsRefused(OpCase sample) => s_missing.Contains(sample.Op.Name) || IsUncovered(sample);

    public static TheoryData<string> Ops => new(OpTable.Ops.Select(o => o.Name));

    [Theory]
    [MemberData(nameof(Ops))]
    public void Matches_the_twin_or_is_refused(string name)
    {
        using var driver = new VirtualDriver(new VirtualDriverOptions { Launch = new LaunchOptions { Checks = Checks.All & ~Checks.Numeric, MaxFindings = 20 } });
        using CudaBackend backend = CudaBackend.Create(driver);
        int number = 0;
        foreach (OpCase sample in OpTable.Prototype(name).Cases())
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
            Assert.True(driver.Findings.Count == 0, $"{what}\n{string.Join('\n', driver.Findings)}");
        }

        Assert.True(number > 0, $"{name} has no cases");
    }

    /// <summary>Filters that are neither 3x3 with padding 1 nor 1x1.</summary>
    private static bool IsUncovered(OpCase sample) => sample.Op switch
    {
        Conv2d op => IsUncovered(sample.Inputs[1].Shape, op.Stride, op.PadH, op.PadW),
        Conv2dInputGrad op => IsUncovered(sample.Inputs[1].Shape, op.Stride, op.PadH, op.PadW),
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
            bool weight = i == 1 && sample.Op is (Conv2d or Linear or Conv2dInputGrad or LinearInputGrad);
            operands[i] = weight ? graph.Parameter("w", sample.Inputs[i].Shape) : graph.Input($"in{i}", sample.Inputs[i]);
            if (weight)
            {
                weights.Add("w", values[i]);
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
