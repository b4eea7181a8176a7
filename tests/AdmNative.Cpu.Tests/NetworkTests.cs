using AdmNative.Core;
using AdmNative.Core.Tests;

namespace AdmNative.Cpu.Tests;

/// <summary>Whole small networks through passes, planner and kernels, forward and backward, against direct evaluation in double.</summary>
public sealed class NetworkTests
{
    /// <summary>
    /// Agreement the project promises for one network evaluation and its gradients, relative to the largest value. The networks here are
    /// a few layers deep, so that f32 rounding alone stays below a tenth of it.
    /// </summary>
    private const double Promise = 1e-4;

    public static TheoryData<string, Isa> NetworksAndSets()
    {
        var data = new TheoryData<string, Isa>();
        foreach (string name in (string[])["unet", "unet gradients", "classifier guidance", "classifier training"])
        {
            foreach (Isa isa in IsaSupport.Available)
            {
                data.Add(name, isa);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(NetworksAndSets))]
    public void Agrees_with_the_twins(string name, Isa isa)
    {
        Graph graph = Network(name);
        Dictionary<string, HostArray<double>> expected = Numbers.Evaluate(graph, 3);
        Dictionary<string, float[]> one = Run(graph, Backends.Get(isa, 1));
        foreach ((string output, HostArray<double> value) in expected)
        {
            SingleOp.AssertClose($"{name} {isa}: {output}", value.Data, one[output], Promise);
        }

        foreach (int threads in (int[])[2, 3])
        {
            Dictionary<string, float[]> more = Run(graph, Backends.Get(isa, threads));
            foreach ((string output, float[] values) in one)
            {
                OpCaseTests.AssertSame($"{name} {isa}: {output} with {threads} threads", values, more[output]);
            }
        }
    }

    [Fact]
    public void No_step_writes_outside_its_result_or_reads_what_was_not_written()
    {
        foreach (string name in (string[])["unet gradients", "classifier training"])
        {
            Graph graph = Network(name);
            CpuBackend backend = Backends.Get(Isa.Auto, 2);
            using IParameters parameters = backend.LoadParameters(graph.Parameters, new NumberSource(Numbers.Parameters(graph, 3)));
            using var run = (CpuExecutable)backend.Load(backend.Plan(graph), parameters);
            Set(run, graph);
            run.Run();
            Dictionary<string, float[]> plain = Outputs(run, graph);
            run.Guard = new ArenaGuard(run.Plan, run.Memory);
            Set(run, graph);
            run.Run();
            foreach ((string output, float[] values) in Outputs(run, graph))
            {
                OpCaseTests.AssertSame($"{name}: {output}", plain[output], values);
            }
        }
    }

    [Fact]
    public void A_run_allocates_nothing()
    {
        Graph graph = Network("classifier training");
        CpuBackend backend = Backends.Get(Isa.Auto, 2);
        using IParameters parameters = backend.LoadParameters(graph.Parameters, new NumberSource(Numbers.Parameters(graph, 3)));
        using IExecutable run = backend.Load(backend.Plan(graph), parameters);
        Set(run, graph);
        run.Run();
        Assert.Equal(0, SingleOp.AllocatedPerRun(run));
        run.Timing = true;
        run.Run();
        Assert.Equal(run.Plan.Steps.Count, run.StepSeconds.Count);
        Assert.All(run.StepSeconds, s => Assert.True(s >= 0));
        Assert.Contains(run.StepSeconds, s => s > 0);
    }

    [Fact]
    public void Concatenations_and_slices_give_strided_operands_everywhere()
    {
        // Every wide op between a part of a concatenation (strided result) and a slice (strided operand).
        var graph = new Graph();
        Node x = graph.Input("x", [2, 4, 4, 24]);
        Node left = graph.SliceChannels(x, 0, 9), right = graph.SliceChannels(x, 9, 15);
        Node m = graph.Input("m", [2, 18]);
        Node gamma = graph.Parameter("gamma", [9]), beta = graph.Parameter("beta", [9]);
        Node[] parts =
        [
            graph.GroupNorm(left, gamma, beta, m, groups: 3, silu: true),
            graph.Attention(right, 1, newOrder: false),
            graph.Conv2d(left, graph.Parameter("conv", [5, 9, 3, 3]), null, null, 1, 1, 1),
            graph.Linear(right, graph.Parameter("linear", [7, 15]), graph.Parameter("bias", [7])),
            graph.Silu(left),
            graph.Plus(left, left),
            graph.Modulate(left, m),
            graph.Dropout(right, graph.Input("seed", new TensorType(DType.I32, [2])), 0.3, 1),
        ];
        Node joined = graph.ConcatChannels(parts);
        Node up = graph.Resample(joined, ResampleMode.Up2);
        Node down = graph.Resample(graph.ConcatChannels(up, up), ResampleMode.Down2);
        graph.Output("y", graph.Plus(graph.SliceChannels(down, 0, joined.Shape.Last), joined));
        TinyNetworks.AddGradients(graph, "y", [x, m, .. graph.Parameters.Values]);
        Agree(Passes.Optimize(graph));
    }

    private static void Agree(Graph graph)
    {
        Dictionary<string, HostArray<double>> expected = Numbers.Evaluate(graph, 3);
        foreach (Isa isa in IsaSupport.Available)
        {
            foreach ((string output, float[] values) in Run(graph, Backends.Get(isa, 2)))
            {
                SingleOp.AssertClose($"{isa}: {output}", expected[output].Data, values, Promise);
            }
        }
    }

    private static Graph Network(string name)
    {
        bool unet = name.StartsWith("unet", StringComparison.Ordinal);
        Graph graph = Passes.Optimize(unet ? TinyNetworks.UNet(2, 8, 8) : TinyNetworks.Classifier(3, 8, 8));
        switch (name)
        {
            case "unet gradients":
                TinyNetworks.AddGradients(graph, "eps", graph.Parameters.Values.Append(graph.Inputs["x"]));
                break;
            case "classifier guidance":
                TinyNetworks.AddGradients(graph, "log_prob", [graph.Inputs["x"]]);
                break;
            case "classifier training":
                TinyNetworks.AddGradients(graph, "log_prob", graph.Parameters.Values);
                break;
            default:
                break;
        }

        return Passes.Optimize(graph);
    }

    private static Dictionary<string, float[]> Run(Graph graph, CpuBackend backend)
    {
        using IParameters parameters = backend.LoadParameters(graph.Parameters, new NumberSource(Numbers.Parameters(graph, 3)));
        using IExecutable run = backend.Load(backend.Plan(graph), parameters);
        Set(run, graph);
        run.Run();
        return Outputs(run, graph);
    }

    private static void Set(IExecutable run, Graph graph)
    {
        foreach ((string name, HostArray<double> value) in Numbers.Inputs(graph, 3))
        {
            if (graph.Inputs[name].Type.DType == DType.I32)
            {
                run.SetInput(name, Array.ConvertAll(value.Data, v => (int)v));
            }
            else
            {
                run.SetInput(name, Array.ConvertAll(value.Data, v => (float)v));
            }
        }
    }

    private static Dictionary<string, float[]> Outputs(IExecutable run, Graph graph)
    {
        var outputs = new Dictionary<string, float[]>();
        foreach ((string name, Node node) in graph.Outputs)
        {
            outputs[name] = new float[node.Shape.Elements];
            run.GetOutput(name, outputs[name]);
        }

        return outputs;
    }
}
