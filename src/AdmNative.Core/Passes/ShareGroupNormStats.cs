namespace AdmNative.Core;

/// <summary>
/// Where the backward pass needs the statistics of a GroupNorm's input, computes them once: GroupNorm becomes
/// GroupNormStats followed by GroupNormApply, and the gradient uses the same statistics.
/// </summary>
public static class ShareGroupNormStats
{
    /// <summary>The graph with shared statistics, computed where the first user stood.</summary>
    public static Graph Apply(Graph graph)
    {
        ArgumentNullException.ThrowIfNull(graph);
        var wanted = new HashSet<(int X, int Groups, double Eps)>();
        foreach (Node node in graph.Nodes)
        {
            if (node.Op is GroupNormStats stats)
            {
                wanted.Add((node.Inputs[0].Id, stats.Groups, stats.Eps));
            }
        }

        var shared = new Dictionary<(int X, int Groups, double Eps), Node>();
        return GraphRewriter.Rewrite(graph, (rewriter, node) =>
        {
            switch (node.Op)
            {
                case GroupNormStats stats:
                    return Stats(rewriter, node, stats.Groups, stats.Eps);
                case GroupNorm norm when wanted.Contains((node.Inputs[0].Id, norm.Groups, norm.Eps)):
                    Node[] x = rewriter.Map(node.Inputs);
                    var apply = new GroupNormApply(norm.Groups, norm.Silu, norm.Resample);
                    return rewriter.Target.AddNamed(node.Name, apply, [x[0], Stats(rewriter, node, norm.Groups, norm.Eps), .. x[1..]]);
                default:
                    return rewriter.Copy(node);
            }
        });

        Node Stats(GraphRewriter rewriter, Node node, int groups, double eps)
        {
            (int, int, double) key = (node.Inputs[0].Id, groups, eps);
            if (!shared.TryGetValue(key, out Node? stats))
            {
                stats = rewriter.Target.AddNamed(node.Name, new GroupNormStats(groups, eps), rewriter[node.Inputs[0]]);
                shared.Add(key, stats);
            }

            return stats;
        }
    }
}
