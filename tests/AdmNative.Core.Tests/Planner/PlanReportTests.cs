namespace AdmNative.Core.Tests;

public sealed class PlanReportTests
{
    private readonly Plan _plan;

    public PlanReportTests()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [2, 8]);
        graph.Parameter("unused", [1000]);
        Node w = graph.Parameter("w", [8, 8]);
        Node bias = graph.Parameter("b", [8]);
        graph.Output("y", graph.Reshape(graph.Silu(graph.Linear(graph.Linear(x, w, bias), w, bias)), [16]));
        _plan = Planner.Plan(graph);
    }

    [Fact]
    public void Counts_what_runs_and_what_it_reads()
    {
        var report = PlanReport.Of(_plan);
        Assert.Equal(["Linear", "Silu"], report.Ops.Select(o => o.Op));
        Assert.Equal([2, 1], report.Ops.Select(o => o.Steps));
        Assert.Equal([2 * (64 + 64 + 256 + 32), 128], report.Ops.Select(o => o.MovedBytes));
        Assert.Equal(3, report.Steps);
        Assert.Equal(256 + 32, report.ParameterBytes);
        Assert.Equal(_plan.ArenaBytes, report.ArenaBytes);
        Assert.Equal(_plan.Steps.Sum(s => s.Node.Op!.Flops([.. s.Node.Inputs.Select(i => i.Type)], s.Node.Type)), report.Flops);
        Assert.True(report.Flops >= 2 * 2 * 2 * 8 * 8);
    }

    [Fact]
    public void Times_add_up_per_op()
    {
        var report = PlanReport.Of(_plan, [0.5, 0.25, 0.25]);
        Assert.Equal([0.75, 0.25], report.Ops.Select(o => o.Seconds));
        Assert.Equal(1, report.Seconds);
        Assert.Contains("75.0", report.ToString(), StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => PlanReport.Of(_plan, [1]));
    }

    [Fact]
    public void Prints_a_table_with_a_total()
    {
        string[] lines = PlanReport.Of(_plan).ToString().Split('\n');
        Assert.StartsWith("op ", lines[0], StringComparison.Ordinal);
        Assert.StartsWith("Linear ", lines[1], StringComparison.Ordinal);
        Assert.StartsWith("Silu ", lines[2], StringComparison.Ordinal);
        Assert.StartsWith("total ", lines[3], StringComparison.Ordinal);
        Assert.StartsWith("arena ", lines[4], StringComparison.Ordinal);
        Assert.DoesNotContain("GFLOP/s", lines[0], StringComparison.Ordinal);
    }
}
