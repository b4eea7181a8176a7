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
        DType[] stored = [.. graph.Nodes.Select(n => Stored(n, options))];
        Candidate free = Smallest(graph, options, stored, early: true, belowBytes: long.MaxValue)!;
        Candidate? copying = Smallest(graph, options, stored, early: false, belowBytes: (long)(free.ArenaBytes / options.ZeroCopyGrowth));
        return (copying ?? free).ToPlan(graph);
    }

    // Two orders are tried: as the graph has it, and with ops that free at least what they take pulled forward. The
    // second is used only if it needs less memory, since a model's own order is the one its author will look for.
    private static Candidate? Smallest(Graph graph, PlannerOptions options, DType[] stored, bool early, long belowBytes)
    {
        var views = new PlannerViews(graph, options.AllowStrided, stored, early);
        Candidate? best = null;
        foreach (List<Node> order in new[] { PlannerOrder.AsGiven(graph, views.Live), PlannerOrder.ShrinkingFirst(graph, views.Live, stored) })
        {
            var lifetimes = new PlannerLifetimes(graph, views, order, options.WorkspaceBytes, options.AllowInPlace);
            if (ArenaPacker.Bound(lifetimes.Buffers, options.Alignment) < belowBytes) // else packing it is in vain
            {
                long[] offsets = ArenaPacker.Pack(lifetimes.Buffers, options.Alignment, out long arenaBytes);
                if (arenaBytes < belowBytes)
                {
                    best = new Candidate(views, lifetimes, offsets, arenaBytes);
                    belowBytes = arenaBytes;
                }
            }
        }

        return best;
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

    private static DType Stored(Node node, PlannerOptions options)
    {
        DType own = node.Type.DType;
        DType stored = node.Kind == NodeKind.Parameter ? own : options.StoredAs(node);
        return stored == own || (own == DType.F32 && stored is DType.F16 or DType.BF16)
            ? stored
            : throw new ArgumentException($"plan: {node} cannot be stored as {stored}");
    }

    /// <summary>One order with one choice of views, and the addresses that follow.</summary>
    private sealed record Candidate(PlannerViews Views, PlannerLifetimes Lifetimes, long[] Offsets, long ArenaBytes)
    {
        public Plan ToPlan(Graph graph)
        {
            PlanStep[] steps = [.. Lifetimes.Steps.Select((node, s) => Lifetimes.WorkspaceOfStep[s] is int buffer and >= 0
                ? new PlanStep(node, Offsets[buffer], Lifetimes.Buffers[buffer].Bytes)
                : new PlanStep(node, 0, 0))];
            return new Plan(graph, steps, [.. graph.Nodes.Select(LayoutOf)], ArenaBytes);
        }

        private ValueLayout LayoutOf(Node node) =>
            node.Kind == NodeKind.Parameter ? new ValueLayout(Storage.Parameter, 0, node.Shape.Last, -1, node.Type.DType)
            : Lifetimes.BufferOf(node.Id) is not (int buffer and >= 0) ? new ValueLayout(Storage.None, 0, node.Shape.Last, -1, Views.Stored[node.Id])
            : new ValueLayout(
                Storage.Arena, Offsets[buffer] + Views.BytesInRoot[node.Id], Views.RowStride[node.Id], Lifetimes.AliasOf[node.Id], Views.Stored[node.Id]);
    }
}
