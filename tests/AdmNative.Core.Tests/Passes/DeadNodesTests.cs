namespace AdmNative.Core.Tests;

public sealed class DeadNodesTests
{
    [Fact]
    public void Ops_no_output_needs_disappear_and_names_stay()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [4]);
        graph.Input("unused", [4]);
        graph.Silu(graph.Silu(graph.Parameter("w", [4])));
        using (graph.Scope("head"))
        {
            graph.Output("y", graph.Silu(x));
        }

        Graph result = DeadNodes.Remove(graph);

        Assert.Equal("""
            %0 = input x : f32[4]
            %1 = input unused : f32[4]
            %2 = parameter w : f32[4]
            %3 = Silu(%0) : f32[4]  # head
            output y = %3

            """, result.ToString(), ignoreLineEndingDifferences: true);
        Verifier.Check(result);
    }
}
