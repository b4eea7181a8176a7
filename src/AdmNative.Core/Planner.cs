namespace AdmNative.Core;

/// <summary>
/// Decides order, lifetimes, addresses and workspaces of a graph, from the graph alone. Views (Reshape, StopGradient,
/// SliceChannels) and concatenations whose parts are born in place have no step; results take over dying operands where
/// the op allows it; everything else shares one arena by lifetime. The same graph always gives the same plan.
/// </summary>
public static class Planner
{
    /// <summary>Plans a graph. Ops no output needs are left out.</summary>
    /// <exception cref="ArgumentException">The graph holds a type other than f32 and i32, or an output is a bare parameter.</exception>
    public static Plan Plan(Graph graph, PlannerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(graph);
        options ??= new PlannerOptions();
        Check(graph, options);
        var views = new PlannerViews(graph, options.AllowStrided);
        PlannerLifetimes best = Best(graph, views, options);
        long[] offsets = ArenaPacker.Pack(best.Buffers, options.Alignment, out long arenaBytes);
        return Assemble(graph, views, best, offsets, arenaBytes);
    }

    // Two orders are tried: as the graph has it, and with ops that free at least what they take pulled forward. The
    // second is used only if it needs less memory, since a model's own order is the one its author will look for.
    private static PlannerLifetimes Best(Graph graph, PlannerViews views, PlannerOptions options)
    {
        var given = new PlannerLifetimes(graph, views, PlannerOrder.AsGiven(graph, views.Live), options.WorkspaceBytes);
        var eager = new PlannerLifetimes(graph, views, PlannerOrder.ShrinkingFirst(graph, views.Live), options.WorkspaceBytes);
        return eager.PeakBytes(options.Alignment) < given.PeakBytes(options.Alignment) ? eager : given;
    }

    private static Plan Assemble(Graph graph, PlannerViews views, PlannerLifetimes lifetimes, long[] offsets, long arenaBytes)
    {
        var steps = new PlanStep[lifetimes.Steps.Count];
        for (int s = 0; s < steps.Length; s++)
        {
            int workspace = lifetimes.WorkspaceOfStep[s];
            steps[s] = workspace < 0
                ? new PlanStep(lifetimes.Steps[s], 0, 0)
                : new PlanStep(lifetimes.Steps[s], offsets[workspace], lifetimes.Buffers[workspace].Bytes);
        }

        var layouts = new ValueLayout[graph.Nodes.Count];
        foreach (Node node in graph.Nodes)
        {
            int id = node.Id;
            layouts[id] = node.Kind == NodeKind.Parameter ? new ValueLayout(Storage.Parameter, 0, node.Shape.Last)
                : lifetimes.BufferOf(id) is int buffer and >= 0
                    ? new ValueLayout(Storage.Arena, offsets[buffer] + views.BytesInRoot[id], views.RowStride[id], lifetimes.AliasOf[id])
                : new ValueLayout(Storage.None, 0, node.Shape.Last);
        }

        return new Plan(graph, steps, layouts, arenaBytes);
    }

    private static void Check(Graph graph, PlannerOptions options)
    {
        if (options.Alignment < 4 || (options.Alignment & (options.Alignment - 1)) != 0)
        {
            throw new ArgumentException($"plan: alignment {options.Alignment} is not a power of two from 4 on");
        }

        foreach (Node node in graph.Nodes)
        {
            if (node.Type.DType is not (DType.F32 or DType.I32))
            {
                throw new ArgumentException($"plan: {node} is neither f32 nor i32");
            }
        }

        foreach ((string name, Node node) in graph.Outputs)
        {
            if (node.Kind == NodeKind.Parameter)
            {
                throw new ArgumentException($"plan: output {name} is the parameter {node.Name} itself; read it from its source");
            }
        }
    }
}
