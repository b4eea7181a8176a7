namespace AdmNative.Core.Tests;

/// <summary>Hundreds of random graphs under random backend wishes; every plan must keep every promise.</summary>
public sealed class PlanFuzzTests
{
    private const int Rounds = 40;

    public static TheoryData<int> Batches() => [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

    [Theory]
    [MemberData(nameof(Batches))]
    public void Plans_of_random_graphs_keep_their_promises(int batch)
    {
        for (int seed = batch * Rounds; seed < (batch + 1) * Rounds; seed++)
        {
            Graph graph = RandomGraph.Build(seed);
            PlannerOptions options = Options(seed);
            Plan plan = Canary.AssertPlanIsRight(graph, options, $"seed {seed}");
            CheckSteps(plan, options, seed);
            CheckLayouts(plan, options, seed);
            CheckOverlaps(plan, seed);
            CheckSize(plan, options, seed);
            Assert.Equal(plan.ToString(), Planner.Plan(graph, options).ToString());
        }
    }

    [Fact]
    public void The_random_graphs_reach_what_they_are_for()
    {
        int inPlaceParts = 0, copiedParts = 0, freeConcats = 0, stridedViews = 0, copiedViews = 0, overwritten = 0;
        for (int seed = 0; seed < 200; seed++)
        {
            Plan plan = Planner.Plan(RandomGraph.Build(seed), Options(seed));
            var running = plan.Steps.Select(s => s.Node).ToHashSet();
            foreach (Node node in plan.Graph.Nodes.Where(n => n.Op is not null && plan.Layouts[n.Id].Storage == Storage.Arena))
            {
                bool view = node.Op is Reshape or StopGradient or SliceChannels;
                if (node.Op is ConcatChannels)
                {
                    int parts = Enumerable.Range(0, node.Inputs.Count).Count(i => plan.IsInPlacePart(node, i));
                    inPlaceParts += parts;
                    copiedParts += node.Inputs.Count - parts;
                    freeConcats += running.Contains(node) ? 0 : 1;
                }

                stridedViews += view && plan.Layouts[node.Id].RowStride > node.Shape.Last ? 1 : 0;
                copiedViews += view && running.Contains(node) ? 1 : 0;
                overwritten += !view && running.Contains(node) && node.Inputs.Any(i => i.Id == plan.Layouts[node.Id].AliasOf) ? 1 : 0;
            }
        }

        Assert.All([inPlaceParts, copiedParts, freeConcats, stridedViews, copiedViews, overwritten], count => Assert.True(count >= 50, $"{count}"));
    }

    private static PlannerOptions Options(int seed) => new()
    {
        WorkspaceBytes = seed % 2 == 0 ? static _ => 0 : n => (n.Id * 37) % 5 * 100,
        AllowStrided = (seed % 3) switch
        {
            0 => static _ => true,
            1 => static n => n.Op is not (Conv2d or LinearInputGrad or GroupNorm),
            _ => n => ((n.Id * 31) + seed) % 4 > 0,
        },
        Alignment = seed % 5 == 0 ? 256 : 64,
        StoredAs = (seed % 4) switch
        {
            0 or 1 => static n => n.Type.DType,
            2 => static n => n.Kind == NodeKind.Op && n.Type.DType == DType.F32 ? DType.F16 : n.Type.DType,
            _ => n => n.Kind == NodeKind.Op && n.Type.DType == DType.F32 && ((n.Id * 13) + seed) % 3 > 0 ? DType.BF16 : n.Type.DType,
        },
        ZeroCopyGrowth = seed % 7 == 0 ? 1 : seed % 7 == 1 ? 1.1 : double.PositiveInfinity,
    };

    /// <summary>Each needed op once, after what it reads; strided operands only where allowed.</summary>
    private static void CheckSteps(Plan plan, PlannerOptions options, int seed)
    {
        var ready = new HashSet<Node>(plan.Graph.Nodes.Where(n => n.Kind != NodeKind.Op));
        var running = plan.Steps.Select(s => s.Node).ToHashSet();
        Assert.Equal(plan.Steps.Count, running.Count);
        foreach (PlanStep step in plan.Steps)
        {
            Assert.True(step.Node.Inputs.All(IsReady), $"seed {seed}: {step.Node} comes too early");
            ready.Add(step.Node);
            bool copies = step.Node.Op is Reshape or StopGradient or SliceChannels;
            if (!copies && !options.AllowStrided(step.Node))
            {
                Assert.True(step.Node.Inputs.Append(step.Node).All(v => IsDense(plan, v)), $"seed {seed}: {step.Node} is given strided values");
            }

            Assert.Equal(options.WorkspaceBytes(step.Node), step.WorkspaceBytes);
            Assert.Equal(0, step.WorkspaceOffsetBytes % options.Alignment);
        }

        bool IsReady(Node node) => ready.Contains(node) || (!running.Contains(node) && node.Inputs.All(IsReady));
    }

    private static void CheckLayouts(Plan plan, PlannerOptions options, int seed)
    {
        bool[] live = DeadNodes.Live(plan.Graph);
        foreach (Node node in plan.Graph.Nodes)
        {
            ValueLayout layout = plan.Layouts[node.Id];
            Assert.Equal(
                node.Kind == NodeKind.Parameter ? Storage.Parameter
                : node.Kind == NodeKind.Input || live[node.Id] ? Storage.Arena : Storage.None, layout.Storage);
            if (layout.Storage == Storage.Arena)
            {
                Assert.Equal(options.StoredAs(node), layout.DType);
                Assert.True(layout.AliasOf < 0 || plan.Layouts[layout.AliasOf].DType == layout.DType, $"seed {seed}: {node} lies in another type");
                Assert.True(layout.RowStride >= node.Shape.Last);
                Assert.True(layout.AliasOf >= 0 || layout.OffsetBytes % options.Alignment == 0, $"seed {seed}: {node} at {layout.OffsetBytes}");
                Assert.InRange(layout.OffsetBytes, 0, plan.ArenaBytes);
                Assert.InRange(End(plan, node), 0, plan.ArenaBytes);
            }
        }

        Assert.All(plan.Graph.Outputs, o => Assert.True(IsDense(plan, o.Node)));
        Assert.All(plan.Graph.Inputs.Values, n => Assert.True(IsDense(plan, n)));
    }

    /// <summary>Values and workspaces needed at the same time lie apart, except a value and what lives inside it.</summary>
    private static void CheckOverlaps(Plan plan, int seed)
    {
        (int[] first, int[] last) = Lifetimes(plan);
        List<Piece> pieces = [.. plan.Graph.Nodes.Where(n => plan.Layouts[n.Id].Storage == Storage.Arena && n.Shape.Elements > 0)
            .Select(n => new Piece(n.ToString(), Root(plan, n, last), plan.Layouts[n.Id].OffsetBytes, End(plan, n), first[n.Id], last[n.Id]))];
        for (int s = 0; s < plan.Steps.Count; s++)
        {
            PlanStep step = plan.Steps[s];
            pieces.Add(new Piece($"workspace {s}", -1 - s, step.WorkspaceOffsetBytes, step.WorkspaceOffsetBytes + step.WorkspaceBytes, s, s));
        }

        for (int i = 0; i < pieces.Count; i++)
        {
            for (int j = 0; j < i; j++)
            {
                (Piece a, Piece b) = (pieces[i], pieces[j]);
                bool meet = a.Begin < b.End && b.Begin < a.End && a.First <= b.Last && b.First <= a.Last;
                Assert.False(meet && a.Root != b.Root, meet ? $"seed {seed}: {a} lies on {b}\n{plan}" : null);
            }
        }
    }

    private static void CheckSize(Plan plan, PlannerOptions options, int seed)
    {
        long naive = plan.Graph.Nodes.Where(n => plan.Layouts[n.Id].Storage == Storage.Arena).Sum(n => Round(plan.Layouts[n.Id].DType.SizeBytes() * n.Shape.Elements))
            + plan.Steps.Sum(s => Round(s.WorkspaceBytes));
        Assert.True(plan.ArenaBytes <= naive, $"seed {seed}: {plan.ArenaBytes} bytes where one buffer per value takes {naive}");

        long Round(long bytes) => (bytes + options.Alignment - 1) / options.Alignment * options.Alignment;
    }

    /// <summary>Per node: the step that makes it and the last that reads it or a view of it, found from the graph alone.</summary>
    private static (int[] First, int[] Last) Lifetimes(Plan plan)
    {
        int count = plan.Graph.Nodes.Count;
        var first = new int[count];
        var last = new int[count];
        var stepOf = new Dictionary<Node, int>();
        for (int s = 0; s < plan.Steps.Count; s++)
        {
            stepOf[plan.Steps[s].Node] = s;
        }

        foreach (Node node in plan.Graph.Nodes)
        {
            first[node.Id] = stepOf.TryGetValue(node, out int step) ? step
                : node.Kind == NodeKind.Op && node.Inputs.Count > 0 ? node.Inputs.Max(i => first[i.Id]) : 0;
            last[node.Id] = node.Kind == NodeKind.Input ? plan.Steps.Count : first[node.Id];
        }

        foreach ((_, Node node) in plan.Graph.Outputs)
        {
            last[node.Id] = plan.Steps.Count;
        }

        foreach (Node node in plan.Graph.Nodes.Reverse().Where(n => plan.Layouts[n.Id].Storage == Storage.Arena))
        {
            foreach (Node operand in node.Inputs)
            {
                int read = stepOf.TryGetValue(node, out int step) ? step : last[node.Id]; // no step: read whenever the view is
                last[operand.Id] = Math.Max(last[operand.Id], read);
            }
        }

        return (first, last);
    }

    /// <summary>The node that owns the bytes. On the way, a result that overwrites an operand must be allowed to.</summary>
    private static int Root(Plan plan, Node node, int[] last)
    {
        while (plan.Layouts[node.Id].AliasOf is int alias and >= 0)
        {
            int operand = node.Inputs.ToList().FindIndex(i => i.Id == alias);
            if (operand >= 0 && node.Op is not (Reshape or StopGradient or SliceChannels))
            {
                Assert.True(node.Op!.InPlace(operand), $"{node} may not overwrite %{alias}");
                Assert.True(plan.Steps[last[alias]].Node == node, $"{node} overwrites %{alias}, which is read later");
            }

            node = plan.Graph.Nodes[alias];
        }

        return node.Id;
    }

    private static long End(Plan plan, Node node)
    {
        ValueLayout layout = plan.Layouts[node.Id];
        return layout.OffsetBytes + (layout.DType.SizeBytes() * (((node.Shape.Rows - 1) * layout.RowStride) + node.Shape.Last));
    }

    private static bool IsDense(Plan plan, Node node) =>
        node.Kind == NodeKind.Parameter || node.Shape.Rows <= 1 || plan.Layouts[node.Id].RowStride == node.Shape.Last;

    private sealed record Piece(string Value, int Root, long Begin, long End, int First, int Last);
}
