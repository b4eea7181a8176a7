namespace AdmNative.Core.Tests;

public sealed class FuseGroupNormTests
{
    private readonly Graph _graph = new();
    private readonly Node _x;
    private readonly Node _norm;
    private readonly Node _m;

    public FuseGroupNormTests()
    {
        _x = _graph.Input("x", [2, 4, 4, 6]);
        _m = _graph.Input("m", [2, 12]);
        _norm = _graph.GroupNorm(_x, _graph.Parameter("gamma", [6]), _graph.Parameter("beta", [6]), groups: 3);
    }

    [Theory]
    [InlineData(ResampleMode.Up2, NormResample.Up2)]
    [InlineData(ResampleMode.Down2, NormResample.Down2)]
    public void The_whole_chain_becomes_one_op(ResampleMode mode, NormResample fused)
    {
        _graph.Output("y", _graph.Resample(_graph.Silu(_graph.Modulate(_norm, _m)), mode));
        Node node = Assert.Single(Ops(Apply()));
        Assert.Equal(new GroupNorm(3, 1e-5, Silu: true, fused), node.Op);
        Assert.Equal(["x", "gamma", "beta", "m"], node.Inputs.Select(i => i.Name));
    }

    [Fact]
    public void Every_link_is_optional()
    {
        _graph.Output("silu", _graph.Silu(_norm));
        Assert.Equal([new GroupNorm(3, 1e-5, Silu: true)], Ops(Apply()).Select(n => n.Op));
    }

    [Fact]
    public void A_modulated_norm_without_activation_is_fused()
    {
        _graph.Output("y", _graph.Modulate(_norm, _m));
        Assert.Equal([new GroupNorm(3, 1e-5)], Ops(Apply()).Select(n => n.Op));
    }

    [Fact]
    public void The_result_stands_at_the_end_of_the_chain_so_late_operands_are_ready()
    {
        Node late = _graph.Scale(_m, 2); // computed after the norm
        _graph.Output("y", _graph.Silu(_graph.Modulate(_norm, late)));
        Assert.Equal(["Scale", "GroupNorm"], Ops(Apply()).Select(n => n.Op!.Name));
    }

    [Fact]
    public void Resampling_before_the_activation_stays_outside_of_it()
    {
        _graph.Output("y", _graph.Silu(_graph.Resample(_norm, ResampleMode.Up2)));
        Assert.Equal([new GroupNorm(3, 1e-5, false, NormResample.Up2), new Silu()], Ops(Apply()).Select(n => n.Op));
    }

    [Fact]
    public void Modulation_after_the_activation_is_not_fused()
    {
        _graph.Output("y", _graph.Modulate(_graph.Silu(_norm), _m));
        Assert.Equal(["GroupNorm", "Modulate"], Ops(Apply()).Select(n => n.Op!.Name));
    }

    [Fact]
    public void Each_link_is_taken_once()
    {
        _graph.Output("y", _graph.Resample(_graph.Resample(_graph.Silu(_graph.Silu(_norm)), ResampleMode.Up2), ResampleMode.Up2));
        Assert.Equal(["GroupNorm", "Silu", "Resample", "Resample"], Ops(Apply()).Select(n => n.Op!.Name));
    }

    [Fact]
    public void A_scaled_resampling_is_not_fused()
    {
        _graph.Output("y", _graph.Resample(_norm, ResampleMode.Up2, 0.25));
        Assert.Equal(2, Ops(Apply()).Count());
    }

    [Fact]
    public void A_value_with_another_user_ends_the_chain()
    {
        Node silu = _graph.Silu(_norm);
        _graph.Output("y", _graph.Resample(silu, ResampleMode.Down2));
        _graph.Output("z", _graph.Scale(silu, 3));
        Assert.Equal(
            [new GroupNorm(3, 1e-5, Silu: true), new Resample(ResampleMode.Down2), new Scale(3)], Ops(Apply()).Select(n => n.Op));
    }

    [Fact]
    public void An_output_ends_the_chain()
    {
        _graph.Output("norm", _norm);
        _graph.Output("y", _graph.Silu(_norm));
        Assert.Equal(2, Ops(Apply()).Count());
    }

    private static IEnumerable<Node> Ops(Graph graph) => graph.Nodes.Where(n => n.Kind == NodeKind.Op);

    private Graph Apply()
    {
        Graph result = FuseGroupNorm.Apply(_graph);
        Verifier.Check(result);
        Numbers.AssertAgree(_graph, result);
        return result;
    }
}
