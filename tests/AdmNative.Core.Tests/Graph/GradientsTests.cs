namespace AdmNative.Core.Tests;

public sealed class GradientsTests
{
    [Fact]
    public void Guidance_builds_no_parameter_gradient()
    {
        Graph graph = Passes.Optimize(TinyNetworks.Classifier());
        int before = graph.Nodes.Count;
        TinyNetworks.AddGradients(graph, "log_prob", [graph.Inputs["x"]]);

        Assert.Empty(ParameterGradients(graph.Nodes.Skip(before))); // not even ones that dead-node removal would take
        Assert.Empty(ParameterGradients(DeadNodes.Remove(graph).Nodes));
        Assert.Contains(graph.Nodes.Skip(before), n => n.Op is Conv2dInputGrad);
        Assert.Contains(graph.Nodes.Skip(before), n => n.Op is GroupNormInputGrad);
    }

    [Fact]
    public void Parameter_gradients_are_recognised() // by the list the tests above rely on
    {
        Graph graph = TinyNetworks.Classifier();
        TinyNetworks.AddGradients(graph, "log_prob", graph.Parameters.Values);
        Assert.NotEmpty(ParameterGradients(graph.Nodes));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Gradients_agree_with_central_differences(bool optimised)
    {
        Graph graph = TinyNetworks.UNet();
        Graph forward = TinyNetworks.UNet();
        graph = optimised ? Passes.Optimize(graph) : graph;
        string[] names = ["x", "label.weight", "in.weight", "down.conv1.bias", "down.norm1.weight", "up1.emb.weight",
            "attention.qkv.weight", "up2.skip.weight", "out.norm.bias"];
        TinyNetworks.AddGradients(graph, "eps", names.Select(n => n == "x" ? graph.Inputs["x"] : graph.Parameters[n]));
        graph = optimised ? Passes.Optimize(graph) : graph;

        Dictionary<string, HostArray<double>> gradients = Numbers.Evaluate(graph);
        foreach (string name in names)
        {
            HostArray<double> numeric = Differences(forward, name);
            // Central differences with h = 1e-5: truncation h^2 times third derivatives of order 10..100, rounding 1e-16/h * size of the sum.
            Numbers.AssertClose(name, numeric, gradients[$"grad.{name}"], 1e-7);
        }
    }

    [Fact]
    public void Fan_out_is_summed_and_seeds_scale()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [3]);
        Node y = graph.Plus(graph.Scale(x, 2), graph.Plus(x, graph.Scale(x, 4)));
        graph.Output("dx", Gradients.Add(graph, [(y, graph.Constant(3, [3])), (x, graph.Constant(100, [3]))], [x])[0]);
        Assert.Equal([121, 121, 121], Numbers.Evaluate(graph)["dx"].Data);
    }

    [Fact]
    public void Independent_values_have_zero_gradient()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [3]);
        Node y = graph.Input("y", [2]);
        Node[] gradients = Gradients.Add(graph, [(graph.Silu(x), graph.Constant(1, [3]))], [y, x]);
        Assert.Equal(new Constant(0, [2]), gradients[0].Op);
        Assert.IsType<SiluGrad>(gradients[1].Op);
    }

    [Fact]
    public void Nothing_passes_a_stopped_gradient()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [3]);
        Node y = graph.Plus(graph.Silu(graph.StopGradient(graph.Silu(x))), graph.Scale(x, 2));
        int before = graph.Nodes.Count;
        graph.Output("dx", Gradients.Add(graph, [(y, graph.Constant(1, [3]))], [x])[0]);
        Assert.DoesNotContain(graph.Nodes.Skip(before), n => n.Op is SiluGrad);
        Assert.Equal([2, 2, 2], Numbers.Evaluate(graph)["dx"].Data);
    }

    [Fact]
    public void Intermediate_values_can_be_wanted_together_with_what_they_come_from()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [3]);
        Node z = graph.Scale(x, 2);
        Node y = graph.Plus(graph.Scale(z, 5), x);
        Node[] gradients = Gradients.Add(graph, [(y, graph.Constant(1, [3]))], [z, x]);
        graph.Output("dz", gradients[0]);
        graph.Output("dx", gradients[1]);
        Dictionary<string, HostArray<double>> values = Numbers.Evaluate(graph);
        Assert.Equal([5, 5, 5], values["dz"].Data);
        Assert.Equal([11, 11, 11], values["dx"].Data);
    }

    [Fact]
    public void Only_what_leads_to_the_wanted_node_is_built()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [3]);
        Node z = graph.Silu(graph.Silu(x));
        Node y = graph.Silu(z);
        int before = graph.Nodes.Count;
        Gradients.Add(graph, [(y, graph.Constant(1, [3]))], [z]);
        Assert.Single(graph.Nodes.Skip(before), n => n.Op is SiluGrad);
    }

    [Fact]
    public void Gradient_nodes_carry_the_scope_of_their_op()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [3]);
        Node y;
        using (graph.Scope("act"))
        {
            y = graph.Silu(x);
        }

        Assert.Equal("act", Gradients.Add(graph, [(y, graph.Constant(1, [3]))], [x])[0].Name);
    }

    [Fact]
    public void Misuse_is_named()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [3]);
        Node label = graph.Input("y", new TensorType(DType.I32, [3]));
        Node y = graph.Silu(x);
        Node seed = graph.Constant(1, [3]);
        Assert.Contains("not f32", Message<ArgumentException>(() => Gradients.Add(graph, [(y, seed)], [label])), StringComparison.Ordinal);
        Assert.Contains("another graph", Message<ArgumentException>(() => Gradients.Add(new Graph(), [(y, seed)], [x])), StringComparison.Ordinal);
        Assert.Contains("f32[4]", Message<ShapeException>(() => Gradients.Add(graph, [(y, graph.Constant(1, [4]))], [x])), StringComparison.Ordinal);
        Node second = graph.Add(new SiluGrad(), x, seed);
        Assert.Contains("SiluGrad", Message<NotSupportedException>(() => Gradients.Add(graph, [(second, seed)], [x])), StringComparison.Ordinal);
    }

    private static string Message<E>(Action action) where E : Exception => Assert.Throws<E>(action).Message;

    private static IEnumerable<Node> ParameterGradients(IEnumerable<Node> nodes) => nodes.Where(n =>
        n.Op is ChannelSum or GroupNormParamGrad or ModulateParamGrad or EmbeddingGrad
        || n.Op?.Name.EndsWith("WeightGrad", StringComparison.Ordinal) == true);

    /// <summary>d(sum of eps)/d(name), one element at a time.</summary>
    private static HostArray<double> Differences(Graph graph, string name)
    {
        const double H = 1e-5;
        Dictionary<string, HostArray<double>> inputs = Numbers.Inputs(graph, 1);
        Dictionary<string, HostArray<double>> parameters = Numbers.Parameters(graph, 1);
        HostArray<double> varied = inputs.TryGetValue(name, out HostArray<double>? input) ? input : parameters[name];
        var result = new HostArray<double>(varied.Shape);
        for (int i = 0; i < result.Data.Length; i++)
        {
            double kept = varied.Data[i];
            varied.Data[i] = kept + H;
            double above = TwinEvaluator.Evaluate(graph, inputs, parameters)["eps"].Data.Sum();
            varied.Data[i] = kept - H;
            double below = TwinEvaluator.Evaluate(graph, inputs, parameters)["eps"].Data.Sum();
            varied.Data[i] = kept;
            result.Data[i] = (above - below) / (2 * H);
        }

        return result;
    }
}
