namespace AdmNative.Core.Tests;

public sealed class ShareGroupNormStatsTests
{
    [Fact]
    public void Forward_and_backward_use_one_set_of_statistics()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [2, 2, 2, 4]);
        Node m = graph.Input("m", [2, 8]);
        graph.Output("y", Norm(graph, x, 2, m));
        TinyNetworks.AddGradients(graph, "y", [x]);

        Graph result = Apply(graph);

        Node stats = Assert.Single(result.Nodes, n => n.Op is GroupNormStats);
        Node apply = Assert.Single(result.Nodes, n => n.Op is GroupNormApply);
        Assert.Equal(new GroupNormApply(2, Silu: true, NormResample.None), apply.Op);
        Assert.Equal(["x", null, "gamma", "beta", "m"], apply.Inputs.Select(i => i.Name));
        Assert.Same(stats, apply.Inputs[1]);
        Assert.Equal(apply.Id - 1, stats.Id);
        Assert.DoesNotContain(result.Nodes, n => n.Op is GroupNorm);
    }

    [Fact]
    public void Norms_without_a_backward_pass_or_with_other_attributes_stay()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [2, 2, 2, 4]);
        graph.Output("y", Norm(graph, x, 2, null));
        graph.Output("other", graph.GroupNormStats(x, 4, 1e-5));
        Assert.Contains(Apply(graph).Nodes, n => n.Op is GroupNorm);
    }

    [Fact]
    public void Statistics_that_come_first_are_kept_where_they_are()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [2, 2, 2, 4]);
        graph.Output("stats", graph.GroupNormStats(x, 2, 1e-5));
        graph.Output("a", Norm(graph, x, 2, null));
        graph.Output("b", Norm(graph, graph.Scale(x, 2), 2, null));
        Assert.Equal(["GroupNormStats", "GroupNormApply", "Scale", "GroupNorm"],
            Apply(graph).Nodes.Where(n => n.Kind == NodeKind.Op).Select(n => n.Op!.Name));
    }

    private static Node Norm(Graph graph, Node x, int groups, Node? m) => graph.Add(
        new GroupNorm(groups, 1e-5, Silu: true), x, graph.Parameter("gamma", [4]), graph.Parameter("beta", [4]), m);

    private static Graph Apply(Graph graph)
    {
        Graph result = ShareGroupNormStats.Apply(graph);
        Verifier.Check(result);
        Numbers.AssertAgree(graph, result, tolerance: 0); // the same arithmetic in the same order
        return result;
    }
}
