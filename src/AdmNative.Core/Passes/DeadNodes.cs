namespace AdmNative.Core;

/// <summary>Drops ops no output depends on. Inputs and parameters stay: they are the graph's interface.</summary>
public static class DeadNodes
{
    /// <summary>The graph without dead ops.</summary>
    public static Graph Remove(Graph graph)
    {
        ArgumentNullException.ThrowIfNull(graph);
        bool[] live = Live(graph);
        return GraphRewriter.Rewrite(graph, (rewriter, node) => live[node.Id] ? rewriter.Copy(node) : null);
    }

    /// <summary>By node id: does an output depend on it?</summary>
    internal static bool[] Live(Graph graph)
    {
        var live = new bool[graph.Nodes.Count];
        foreach ((_, Node node) in graph.Outputs)
        {
            live[node.Id] = true;
        }

        for (int i = live.Length - 1; i >= 0; i--)
        {
            if (live[i])
            {
                foreach (Node operand in graph.Nodes[i].Inputs)
                {
                    live[operand.Id] = true;
                }
            }
        }

        return live;
    }
}
