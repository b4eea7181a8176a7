namespace AdmNative.Core;

/// <summary>Copies a graph node by node, letting a pass replace or skip some. Inputs, parameters and outputs keep names.</summary>
internal sealed class GraphRewriter
{
    private readonly Node?[] _new;

    private GraphRewriter(Graph source)
    {
        _new = new Node?[source.Nodes.Count];
    }

    /// <summary>The graph being built.</summary>
    public Graph Target { get; } = new();

    /// <summary>What the old node has become.</summary>
    public Node this[Node old] => _new[old.Id]
        ?? throw new InvalidOperationException($"a pass dropped {old}, which is still used");

    /// <summary>
    /// Rebuilds <paramref name="source"/>. <paramref name="emit"/> gets each op in order and gives its replacement in
    /// <see cref="Target"/>, or null when nothing will ask for it any more.
    /// </summary>
    public static Graph Rewrite(Graph source, Func<GraphRewriter, Node, Node?> emit)
    {
        var rewriter = new GraphRewriter(source);
        foreach (Node node in source.Nodes)
        {
            rewriter._new[node.Id] = node.Kind switch
            {
                NodeKind.Input => rewriter.Target.Input(node.Name!, node.Type),
                NodeKind.Parameter => rewriter.Target.Parameter(node.Name!, node.Shape),
                _ => emit(rewriter, node),
            };
        }

        foreach ((string name, Node node) in source.Outputs)
        {
            rewriter.Target.Output(name, rewriter[node]);
        }

        return rewriter.Target;
    }

    /// <summary>The same op over the new operands.</summary>
    public Node Copy(Node old) => Target.AddNamed(old.Name, old.Op!, Map(old.Inputs));

    /// <summary>The new operands of an old list.</summary>
    public Node[] Map(IReadOnlyList<Node> old)
    {
        var result = new Node[old.Count];
        for (int i = 0; i < result.Length; i++)
        {
            result[i] = this[old[i]];
        }

        return result;
    }
}
