namespace AdmNative.Core;

/// <summary>
/// GroupNorm -> Modulate -> Silu -> Resample becomes one GroupNorm that does all of it while it has the values at hand.
/// Each link is optional but the order is fixed (the op computes resample(silu(modulate(norm)))), and every value
/// between the links must have no other user.
/// </summary>
public static class FuseGroupNorm
{
    /// <summary>The graph with the chains fused; the result takes the place of the chain's last op.</summary>
    public static Graph Apply(Graph graph)
    {
        ArgumentNullException.ThrowIfNull(graph);
        int[] uses = graph.UseCounts();
        var chains = new Chain?[graph.Nodes.Count];
        var swallowed = new bool[graph.Nodes.Count];
        foreach (Node node in graph.Nodes)
        {
            Chain? chain = node.Op is GroupNorm norm
                ? new Chain(norm, node.Inputs)
                : node.Inputs.Count > 0 && uses[node.Inputs[0].Id] == 1 ? chains[node.Inputs[0].Id]?.With(node) : null;
            chains[node.Id] = chain;
            if (chain is not null && node.Op is not GroupNorm)
            {
                swallowed[node.Inputs[0].Id] = true;
            }
        }

        return GraphRewriter.Rewrite(graph, (rewriter, node) =>
            swallowed[node.Id] ? null
            : chains[node.Id] is Chain chain ? rewriter.Target.AddNamed(node.Name, chain.Norm, rewriter.Map(chain.Inputs))
            : rewriter.Copy(node));
    }

    private sealed record Chain(GroupNorm Norm, IReadOnlyList<Node> Inputs)
    {
        public Chain? With(Node next) => next.Op switch
        {
            Modulate when Inputs.Count == 3 && !Norm.Silu && Norm.Resample == NormResample.None =>
                this with { Inputs = [.. Inputs, next.Inputs[1]] },
            Silu when !Norm.Silu && Norm.Resample == NormResample.None => this with { Norm = Norm with { Silu = true } },
            Resample { Factor: 1 } resample when Norm.Resample == NormResample.None =>
                this with { Norm = Norm with { Resample = Fused(resample.Mode) } },
            _ => null,
        };

        private static NormResample Fused(ResampleMode mode) => mode switch
        {
            ResampleMode.Up2 => NormResample.Up2,
            ResampleMode.Down2 => NormResample.Down2,
            _ => throw new ArgumentOutOfRangeException(nameof(mode), mode, "unknown resampling"),
        };
    }
}
