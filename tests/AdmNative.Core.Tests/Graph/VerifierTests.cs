namespace AdmNative.Core.Tests;

/// <summary>Graphs built through Graph's methods are sound; the broken ones here are assembled by hand.</summary>
public sealed class VerifierTests
{
    private static readonly TensorType s_type = TensorType.F32([2, 3]);
    private static readonly Node s_x = new(0, NodeKind.Input, "x", null, [], s_type);

    [Fact]
    public void A_built_graph_is_sound()
    {
        var graph = new Graph();
        graph.Output("y", graph.Silu(graph.Parameter("w", [4])));
        Verifier.Check(graph);
    }

    [Fact]
    public void A_position_other_than_the_id_is_seen() =>
        Fails("position 1", [s_x, new Node(2, NodeKind.Op, null, new Silu(), [s_x], s_type)]);

    [Fact]
    public void Use_before_computation_is_seen()
    {
        var late = new Node(2, NodeKind.Op, null, new Silu(), [s_x], s_type);
        Fails("not computed before", [s_x, new Node(1, NodeKind.Op, null, new Silu(), [late], s_type), late]);
    }

    [Fact]
    public void An_operand_of_another_graph_is_seen()
    {
        var stranger = new Node(0, NodeKind.Input, "x", null, [], s_type);
        Fails("another graph", [s_x, new Node(1, NodeKind.Op, null, new Silu(), [stranger], s_type)]);
    }

    [Fact]
    public void A_type_the_shape_rule_does_not_give_is_seen()
    {
        var y = new Node(1, NodeKind.Op, null, new Silu(), [s_x], TensorType.F32([3, 2]));
        Assert.Contains("f32[2,3]", Assert.Throws<ShapeException>(() => Check([s_x, y])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Operands_the_shape_rule_refuses_are_seen()
    {
        var y = new Node(1, NodeKind.Op, null, new Silu(), [s_x, s_x], s_type);
        Assert.Contains("one f32 tensor", Assert.Throws<ShapeException>(() => Check([s_x, y])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_name_bound_twice_is_seen() =>
        Fails("bound twice", [s_x, new Node(1, NodeKind.Input, "x", null, [], s_type)]);

    [Fact]
    public void A_binding_missing_from_the_table_is_seen() =>
        Fails("table", [s_x, new Node(1, NodeKind.Parameter, "w", null, [], s_type)]);

    [Fact]
    public void A_table_entry_without_a_node_is_seen()
    {
        var inputs = new Dictionary<string, Node> { ["x"] = s_x, ["t"] = s_x };
        Assert.Contains("input t", Assert.Throws<InvalidOperationException>(
            () => Verifier.Check([s_x], [], inputs, new Dictionary<string, Node>())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Outputs_must_be_nodes_of_the_graph_under_distinct_names()
    {
        var stranger = new Node(0, NodeKind.Input, "x", null, [], s_type);
        Fails("output y is %0 of another graph", [s_x], [("y", stranger)]);
        Fails("output y is declared twice", [s_x], [("y", s_x), ("y", s_x)]);
    }

    private static void Fails(string message, Node[] nodes, (string, Node)[]? outputs = null) => Assert.Contains(
        message, Assert.Throws<InvalidOperationException>(() => Check(nodes, outputs)).Message, StringComparison.Ordinal);

    private static void Check(Node[] nodes, (string, Node)[]? outputs = null) => Verifier.Check(
        nodes, outputs ?? [], new Dictionary<string, Node> { ["x"] = s_x }, new Dictionary<string, Node>());
}
