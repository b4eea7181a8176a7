namespace AdmNative.Core.Tests;

public sealed class FuseResidualTests
{
    private readonly Graph _graph = new();
    private readonly Node _x;
    private readonly Node _other;
    private readonly Node _dy;
    private readonly Node _w;
    private readonly Node _kernel;
    private readonly Node _bias;

    public FuseResidualTests()
    {
        _x = _graph.Input("x", [2, 3, 3, 4]);
        _other = _graph.Input("other", [2, 3, 3, 4]);
        _dy = _graph.Input("dy", [2, 3, 3, 4]);
        _w = _graph.Parameter("w", [4, 4]);
        _kernel = _graph.Parameter("kernel", [4, 4, 3, 3]);
        _bias = _graph.Parameter("bias", [4]);
    }

    public static TheoryData<string> Hosts() => ["Conv2d", "Linear", "Conv2dInputGrad", "LinearInputGrad", "GroupNormInputGrad", "modulated"];

    [Theory]
    [MemberData(nameof(Hosts))]
    public void A_sum_is_folded_into_either_operand(string host)
    {
        _graph.Output("left", _graph.Plus(Host(host), _other));
        _graph.Output("right", _graph.Plus(_graph.Scale(_other, 2), Host(host)));
        Graph result = Apply();
        Assert.DoesNotContain(result.Nodes, n => n.Op is Add);
        Assert.Equal(["other", null], result.Outputs.Select(o => o.Node.Inputs[^1].Name));
    }

    [Fact]
    public void The_fused_op_waits_for_a_residual_computed_later()
    {
        Node conv = Host("Conv2d");
        Node late = _graph.Scale(_graph.Silu(_other), 2);
        _graph.Output("y", _graph.Plus(conv, late));
        Assert.Equal(["Silu", "Scale", "Conv2d"], Names(Apply()));
    }

    [Fact]
    public void Of_two_candidates_the_later_takes_the_sum()
    {
        Node conv = Host("Conv2d");
        Node linear = Host("Linear");
        _graph.Output("a", _graph.Plus(conv, linear));
        Assert.Equal(["Conv2d", "Linear"], Names(Apply()));
    }

    [Fact]
    public void Chains_of_sums_fold_one_by_one()
    {
        Node sum = _graph.Plus(_graph.Plus(Host("Conv2d"), _other), Host("Linear"));
        _graph.Output("y", sum);
        Graph result = Apply();
        Assert.Equal(["Conv2d", "Linear"], Names(result));
        Assert.All(result.Nodes.Where(n => n.Kind == NodeKind.Op), n => Assert.Equal(4, n.Inputs.Count));
    }

    [Fact]
    public void An_op_takes_one_residual_only()
    {
        _graph.Output("y", _graph.Plus(_graph.Plus(Host("Conv2d"), _other), _dy));
        Assert.Equal(["Conv2d", "Add"], Names(Apply()));
    }

    [Fact]
    public void Without_a_bias_there_is_no_place_for_the_residual()
    {
        _graph.Output("y", _graph.Plus(_graph.Linear(_x, _w), _other));
        Assert.Equal(["Linear", "Add"], Names(Apply()));
    }

    [Fact]
    public void A_result_with_another_user_is_left_alone()
    {
        Node conv = Host("Conv2d");
        _graph.Output("y", _graph.Plus(conv, _other));
        _graph.Output("conv", conv);
        Assert.Equal(["Conv2d", "Add"], Names(Apply()));
    }

    [Fact]
    public void A_value_added_to_itself_is_left_alone()
    {
        Node conv = Host("Conv2d");
        _graph.Output("y", _graph.Plus(conv, conv));
        Assert.Equal(["Conv2d", "Add"], Names(Apply()));
    }

    private Node Host(string name)
    {
        Node stats = _graph.GroupNormStats(_x, 2, 1e-5);
        Node m = _graph.Parameter("m", [2, 8]);
        var sums = new GroupNormGradSums(2, Silu: true, NormResample.None);
        return name switch
        {
            "Conv2d" => _graph.Conv2d(_x, _kernel, _bias, padH: 1, padW: 1),
            "Linear" => _graph.Linear(_x, _w, _bias),
            "Conv2dInputGrad" => _graph.Add(new Conv2dInputGrad(1, 1, 1, _x.Shape), _dy, _kernel),
            "LinearInputGrad" => _graph.Add(new LinearInputGrad(), _dy, _w),
            "GroupNormInputGrad" => _graph.Add(
                new GroupNormInputGrad(2, Silu: true, NormResample.None, Modulated: false),
                _x, _dy, stats, _graph.Add(sums, _x, _dy, stats, _bias, _bias), _bias, _bias),
            "modulated" => _graph.Add(
                new GroupNormInputGrad(2, Silu: true, NormResample.None, Modulated: true),
                _x, _dy, stats, _graph.Add(sums, _x, _dy, stats, _bias, _bias, m), _bias, _bias, m),
            _ => throw new ArgumentException(name),
        };
    }

    private static IEnumerable<string> Names(Graph graph) => graph.Nodes.Where(n => n.Kind == NodeKind.Op).Select(n => n.Op!.Name);

    private Graph Apply()
    {
        Graph result = FuseResidual.Apply(DeadNodes.Remove(_graph));
        Verifier.Check(result);
        Numbers.AssertAgree(_graph, result);
        return result;
    }
}
