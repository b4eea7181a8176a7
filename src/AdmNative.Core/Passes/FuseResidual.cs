namespace AdmNative.Core;

/// <summary>
/// Add(f(...), r) becomes f(..., r) where f can add r while storing its result: Linear and Conv2d (with a bias, after
/// which the residual comes) and the input gradients. f must have no other user. The fused op stands where the Add
/// stood, since r may be computed after f; when both operands qualify the later one is taken, so less moves.
/// </summary>
public static class FuseResidual
{
    /// <summary>The graph with the sums folded in.</summary>
    public static Graph Apply(Graph graph)
    {
        ArgumentNullException.ThrowIfNull(graph);
        int[] uses = graph.UseCounts();
        var swallowed = new bool[graph.Nodes.Count];
        var folded = new Node?[graph.Nodes.Count]; // by the Add's id: the op that takes it over
        foreach (Node node in graph.Nodes)
        {
            if (node.Op is Core.Add && Candidate(node, uses) is Node host)
            {
                folded[node.Id] = host;
                swallowed[host.Id] = true;
            }
        }

        return GraphRewriter.Rewrite(graph, (rewriter, node) =>
        {
            if (swallowed[node.Id])
            {
                return null;
            }

            if (folded[node.Id] is not Node host)
            {
                return rewriter.Copy(node);
            }

            Node residual = ReferenceEquals(node.Inputs[0], host) ? node.Inputs[1] : node.Inputs[0];
            return rewriter.Target.AddNamed(host.Name, host.Op!, rewriter.Map([.. host.Inputs, residual]));
        });
    }

    private static Node? Candidate(Node add, int[] uses)
    {
        Node a = add.Inputs[0];
        Node b = add.Inputs[1];
        (Node later, Node earlier) = a.Id > b.Id ? (a, b) : (b, a);
        return CanTake(later, uses) ? later : CanTake(earlier, uses) ? earlier : null;
    }

    private static bool CanTake(Node node, int[] uses) => uses[node.Id] == 1 && node.Op switch
    {
        Linear or Conv2d => node.Inputs.Count == 3,
        LinearInputGrad or Conv2dInputGrad => node.Inputs.Count == 2,
        GroupNormInputGrad grad => node.Inputs.Count == (grad.Modulated ? 7 : 6),
        _ => false,
    };
}
