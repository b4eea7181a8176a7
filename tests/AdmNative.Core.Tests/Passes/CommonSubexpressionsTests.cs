namespace AdmNative.Core.Tests;

public sealed class CommonSubexpressionsTests
{
    [Fact]
    public void Equal_ops_over_equal_operands_become_one_and_chains_follow()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [4]);
        Node w = graph.Parameter("w", [4]);
        graph.Output("a", graph.Silu(graph.Silu(x)));
        graph.Output("b", graph.Silu(graph.Silu(x)));
        graph.Output("c", graph.Silu(w));

        Graph result = CommonSubexpressions.Merge(graph);

        Assert.Equal("""
            %0 = input x : f32[4]
            %1 = parameter w : f32[4]
            %2 = Silu(%0) : f32[4]
            %3 = Silu(%2) : f32[4]
            %4 = Silu(%1) : f32[4]
            output a = %3
            output b = %3
            output c = %4

            """, result.ToString(), ignoreLineEndingDifferences: true);
        Verifier.Check(result);
    }

    [Fact]
    public void Operand_order_matters()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [4]);
        Node y = graph.Input("y", [4]);
        graph.Output("a", graph.Add(new SiluGrad(), x, y));
        graph.Output("b", graph.Add(new SiluGrad(), y, x));
        Assert.Equal(4, CommonSubexpressions.Merge(graph).Nodes.Count);
    }
}
