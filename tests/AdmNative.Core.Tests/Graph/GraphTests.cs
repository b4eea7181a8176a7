namespace AdmNative.Core.Tests;

public sealed class GraphTests
{
    [Fact]
    public void Prints_one_line_per_node_then_the_outputs()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [2, 3]);
        using (graph.Scope("block"))
        using (graph.Scope("act"))
        {
            graph.Output("y", graph.Add(new SiluGrad(), x, graph.Parameter("w", [2, 3])));
        }

        Assert.Equal("""
            %0 = input x : f32[2,3]
            %1 = parameter w : f32[2,3]
            %2 = SiluGrad(%0, %1) : f32[2,3]  # block.act
            output y = %2

            """, graph.ToString(), ignoreLineEndingDifferences: true);
    }

    [Fact]
    public void Attributes_are_printed_in_braces() => Assert.Equal("Sample{Count=3, Shape=[2,3]}", new Sample(3, [2, 3]).ToString());

    [Fact]
    public void A_parameter_asked_for_twice_is_one_node_and_may_not_change_shape()
    {
        var graph = new Graph();
        Assert.Same(graph.Parameter("w", [4]), graph.Parameter("w", [4]));
        Assert.Throws<ShapeException>(() => graph.Parameter("w", [5]));
    }

    [Fact]
    public void Operands_of_another_graph_and_gaps_are_refused()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [4]);
        Assert.Throws<ArgumentException>(() => new Graph().Add(new Silu(), x));
        Assert.Throws<ArgumentException>(() => graph.Add(new SiluGrad(), null, x));
    }

    [Fact]
    public void Names_of_inputs_and_outputs_are_unique()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [4]);
        Assert.Throws<ArgumentException>(() => graph.Input("x", [4]));
        graph.Output("y", x);
        Assert.Throws<ArgumentException>(() => graph.Output("y", x));
        graph.Output("z", graph.Silu(x));
        Verifier.Check(graph);
    }

    [Fact]
    public void An_output_of_another_graph_is_refused() =>
        Assert.Throws<ArgumentException>(() => new Graph().Output("y", new Graph().Input("x", [4])));

    [Fact]
    public void Uses_count_operand_positions_and_outputs()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [4]);
        graph.Output("y", graph.Add(new SiluGrad(), x, x));
        graph.Output("x", x);
        Assert.Equal([3, 1], graph.UseCounts());
    }

    private sealed record Sample(int Count, Shape Shape) : Op
    {
        public override string? GradientExcuse => "only printed here";

        public override TensorType Infer(ReadOnlySpan<TensorType> inputs) => TensorType.F32(Shape);

        public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output) => output.Data.AsSpan().Clear();

        public override IEnumerable<OpCase> Cases() => [];
    }
}
