namespace AdmNative.Core.Tests;

public sealed class PassesTests
{
    [Fact]
    public void A_unet_is_fused_and_computes_the_same()
    {
        Graph graph = TinyNetworks.UNet();
        Graph result = Passes.Optimize(graph);
        Numbers.AssertAgree(graph, result);

        Dictionary<string, int> counts = result.Nodes.Where(n => n.Op is not null).CountBy(n => n.Op!.Name).ToDictionary();
        Assert.DoesNotContain("Modulate", counts.Keys);
        Assert.Equal(1, counts["Silu"]); // of the embedding
        Assert.DoesNotContain("Add", counts.Keys); // label + time: into the time's Linear; blocks: into the last convolution
        Assert.Equal(2, counts["Resample"]); // the skips of the two resampling blocks
        Assert.Equal(10, counts["GroupNorm"]);
        Assert.Equal(graph.Inputs.Keys, result.Inputs.Keys);
        Assert.Equal(graph.Parameters.Keys, result.Parameters.Keys);
    }

    [Fact]
    public void Gradients_of_the_fused_graph_are_those_of_the_plain_one()
    {
        Graph plain = TinyNetworks.UNet();
        Graph fused = Passes.Optimize(plain);
        TinyNetworks.AddGradients(plain, "eps", [plain.Inputs["x"], .. plain.Parameters.Values]);
        TinyNetworks.AddGradients(fused, "eps", [fused.Inputs["x"], .. fused.Parameters.Values]);
        Graph result = Passes.Optimize(fused);
        Numbers.AssertAgree(plain, result, 1e-10); // many layers deep: the differences of the fused sums add up
        Assert.DoesNotContain(result.Nodes, n => n.Op is GroupNorm);
    }

    [Fact]
    public void Optimising_twice_changes_nothing()
    {
        Graph graph = Passes.Optimize(TinyNetworks.Classifier());
        TinyNetworks.AddGradients(graph, "log_prob", [graph.Inputs["x"]]);
        Graph once = Passes.Optimize(graph);
        Assert.Equal(once.ToString(), Passes.Optimize(once).ToString());
    }
}
