namespace AdmNative.Core;

/// <summary>
/// The rewrites that run before planning. Run once on a model's graph, so that gradients are taken of fused ops, and
/// again after <see cref="Gradients.Add"/>. Doing it twice in a row changes nothing.
/// </summary>
public static class Passes
{
    private static readonly Func<Graph, Graph>[] s_all =
    [
        DeadNodes.Remove,
        CommonSubexpressions.Merge,
        FuseGroupNorm.Apply,
        FuseResidual.Apply,
        ShareGroupNormStats.Apply,
    ];

    /// <summary>All passes in order, the verifier after each.</summary>
    public static Graph Optimize(Graph graph)
    {
        Verifier.Check(graph);
        foreach (Func<Graph, Graph> pass in s_all)
        {
            graph = pass(graph);
            Verifier.Check(graph);
        }

        return graph;
    }
}
