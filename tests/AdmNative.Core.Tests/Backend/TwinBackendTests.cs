namespace AdmNative.Core.Tests;

public sealed class TwinBackendTests
{
    [Theory]
    [InlineData(1, 4)]
    [InlineData(2, 4)]
    [InlineData(1, 2)] // attention and deepest convolutions on a single pixel
    public void A_planned_unet_with_all_gradients_equals_direct_evaluation(int batch, int size)
    {
        Graph graph = Passes.Optimize(TinyNetworks.UNet(batch, size));
        TinyNetworks.AddGradients(graph, "eps", [graph.Inputs["x"], .. graph.Parameters.Values]);
        Canary.AssertPlanIsRight(Passes.Optimize(graph), new PlannerOptions(), "unet with gradients");
    }

    [Fact]
    public void A_planned_inference_graph_equals_direct_evaluation()
    {
        Graph graph = Passes.Optimize(TinyNetworks.UNet());
        Canary.AssertPlanIsRight(graph, new PlannerOptions(), "unet");
        Canary.AssertPlanIsRight(graph, new PlannerOptions { AllowStrided = _ => false, WorkspaceBytes = n => n.Id % 100 }, "dense unet");
    }

    [Fact]
    public void Single_precision_speaks_float()
    {
        Graph graph = Passes.Optimize(TinyNetworks.UNet());
        using var backend = new TwinBackend(DType.F32);
        Dictionary<string, HostArray<double>> inputs = Numbers.Inputs(graph, 1);
        using IParameters parameters = backend.LoadParameters(graph.Parameters, new NumberSource(Numbers.Parameters(graph, 1)));
        using IExecutable run = backend.Load(backend.Plan(graph), parameters);
        run.SetInput("x", [.. inputs["x"].Data.Select(v => (float)v)]);
        run.SetInput("t", [.. inputs["t"].Data.Select(v => (float)v)]);
        run.SetInput("y", [.. inputs["y"].Data.Select(v => (int)v)]);
        run.Timing = true;
        run.Run();
        var actual = new float[2 * 4 * 4 * 3];
        run.GetOutput("eps", actual);

        HostArray<double> exact = Numbers.Evaluate(graph)["eps"];
        // float rounds to 2^-24 per operation; sums of about 100 terms over about ten layers stay within 1000 of those.
        Numbers.AssertClose("eps", exact, new HostArray<double>(exact.Shape, [.. actual.Select(v => (double)v)]), 1000 * Math.Pow(2, -24));
        Assert.Equal(graph.Parameters.Values.Sum(p => p.Shape.Elements * 4), parameters.Bytes);
        Assert.Equal(run.Plan.Steps.Count, run.StepSeconds.Count);
        Assert.True(run.StepSeconds.Sum() > 0);
    }

    [Fact]
    public void Misuse_is_named()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [2]);
        Node w = graph.Parameter("w", [2]);
        graph.Output("y", graph.Plus(x, w));
        using var backend = new TwinBackend();
        var source = new NumberSource(Numbers.Parameters(graph, 1));
        using IParameters parameters = backend.LoadParameters(graph.Parameters, source);
        using IExecutable run = backend.Load(backend.Plan(graph), parameters);

        Assert.Contains("x", Assert.Throws<InvalidOperationException>(run.Run).Message, StringComparison.Ordinal);
        Assert.Contains("no input z; there are x", Assert.Throws<ArgumentException>(() => run.SetInput("z", [1f])).Message, StringComparison.Ordinal);
        Assert.Throws<ShapeException>(() => run.SetInput("x", [1f]));
        Assert.Throws<ShapeException>(() => run.SetInput("x", [1, 2]));
        Assert.Throws<InvalidOperationException>(() => run.GetOutput("y", new float[2]));
        run.SetInput("x", [1f, 2f]);
        run.Run();
        Assert.Throws<ArgumentException>(() => run.GetOutput("z", new float[2]));
        Assert.Throws<ShapeException>(() => run.GetOutput("y", new float[3]));

        var other = new Graph();
        other.Output("y", other.Silu(other.Parameter("w", [3])));
        Assert.Throws<CheckpointException>(() => backend.LoadParameters(other.Parameters, source));
        Assert.Throws<ArgumentException>(() => backend.Load(backend.Plan(other), parameters));
        Assert.Throws<ArgumentException>(() => new TwinBackend(DType.F16));
    }
}
