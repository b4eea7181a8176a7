namespace AdmNative.Core.Tests;

public sealed class StackLinearsTests
{
    private readonly Graph _graph = new();
    private readonly Node _x;

    public StackLinearsTests()
    {
        _x = _graph.Input("x", [2, 4]);
    }

    [Fact]
    public void Layers_of_one_input_become_slices_of_one_op_where_the_first_stood()
    {
        _graph.Output("a", _graph.Silu(Layer("a", _x, 3)));
        _graph.Output("b", _graph.Silu(Layer("b", _x, 5)));
        Graph result = Apply();
        Assert.Equal("""
            %0 = input x : f32[2,4]
            %1 = parameter a.weight : f32[3,4]
            %2 = parameter a.bias : f32[3]
            %3 = parameter b.weight : f32[5,4]
            %4 = parameter b.bias : f32[5]
            %5 = StackedLinear(%0, %1, %2, %3, %4) : f32[2,8]  # a
            %6 = SliceChannels{Begin=0, Count=3}(%5) : f32[2,3]  # a
            %7 = SliceChannels{Begin=3, Count=5}(%5) : f32[2,5]  # b
            %8 = Silu(%6) : f32[2,3]
            %9 = Silu(%7) : f32[2,5]
            output a = %8
            output b = %9

            """, result.ToString(), ignoreLineEndingDifferences: true);
        Assert.Equal(result.ToString(), StackLinears.Apply(result).ToString());
    }

    [Fact]
    public void Each_input_has_its_own_stack()
    {
        Node y = _graph.Scale(_x, 2);
        foreach (Node x in new[] { _x, y, _x, y })
        {
            string name = $"layer{_graph.Nodes.Count}";
            _graph.Output(name, _graph.Silu(Layer(name, x, 4)));
        }

        Graph result = Apply();
        Assert.Equal(2, result.Nodes.Count(n => n.Op is StackedLinear));
        Assert.DoesNotContain(result.Nodes, n => n.Op is Linear);
    }

    [Fact]
    public void What_cannot_be_joined_or_sliced_stays()
    {
        Node image = _graph.Input("image", [2, 3, 3, 4]);
        Node computed = _graph.Reshape(_graph.Input("w", [20]), [5, 4]);
        _graph.Output("alone", _graph.Silu(Layer("alone", _graph.Scale(_x, 3), 4)));
        _graph.Output("output", Layer("output", _x, 4));
        _graph.Output("computed", _graph.Silu(_graph.Linear(_x, computed, _graph.Parameter("bias", [5]))));
        _graph.Output("no bias", _graph.Silu(_graph.Linear(_x, _graph.Parameter("matrix", [4, 4]))));
        _graph.Output("residual", _graph.Silu(_graph.Linear(_x, _graph.Parameter("matrix", [4, 4]), _graph.Parameter("four", [4]), _x)));
        _graph.Output("odd", _graph.Silu(Layer("odd", _x, 3)));
        _graph.Output("q", _graph.Silu(Layer("q", image, 4)));
        _graph.Output("k", _graph.Silu(Layer("k", image, 4)));
        _graph.Output("one", _graph.Silu(Layer("one", _x, 4))); // the only one left of those that read x
        Assert.Equal(_graph.ToString(), Apply(unit: 4).ToString());
    }

    [Fact]
    public void Of_a_network_with_gradients_the_forward_part_is_stacked()
    {
        Graph graph = Passes.Optimize(TinyNetworks.UNet());
        TinyNetworks.AddGradients(graph, "eps", [graph.Inputs["x"], .. graph.Parameters.Values]);
        graph = Passes.Optimize(graph);
        Graph result = StackLinears.Apply(graph, 4);
        Verifier.Check(result);
        Numbers.AssertAgree(graph, result, tolerance: 0); // every sum has its terms in the order it had
        Assert.Equal(graph.Parameters.Keys, result.Parameters.Keys);
        Node stack = Assert.Single(result.Nodes, n => n.Op is StackedLinear);
        Assert.Equal(1 + (2 * 4), stack.Inputs.Count); // four residual blocks
        Assert.Equal(4, result.Nodes.Count(n => n.Op is SliceChannels && n.Inputs[0] == stack));
        int Others(Graph g) => g.Nodes.Count(n => n.Kind == NodeKind.Op && n.Op is not (Linear or StackedLinear or SliceChannels));
        Assert.Equal(Others(graph), Others(result));
        Assert.Equal(graph.Nodes.Count(n => n.Op is Linear) - 4, result.Nodes.Count(n => n.Op is Linear));
        Plan before = Planner.Plan(graph), after = Planner.Plan(result);
        Assert.Equal(before.Steps.Count - 3, after.Steps.Count); // slices are views
        Canary.AssertPlanIsRight(result, new PlannerOptions(), "stacked unet with gradients");
    }

    [Fact]
    public void Columns_are_counted_from_one_on() => Assert.Throws<ArgumentOutOfRangeException>(() => StackLinears.Apply(_graph, 0));

    private Node Layer(string name, Node x, int columns)
    {
        using IDisposable scope = _graph.Scope(name);
        return _graph.Linear(x, _graph.Parameter($"{name}.weight", [columns, x.Shape.Last]), _graph.Parameter($"{name}.bias", [columns]));
    }

    private Graph Apply(int unit = 1)
    {
        Graph result = StackLinears.Apply(_graph, unit);
        Verifier.Check(result);
        Numbers.AssertAgree(_graph, result, tolerance: 0);
        return result;
    }
}
