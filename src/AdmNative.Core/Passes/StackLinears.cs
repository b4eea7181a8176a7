namespace AdmNative.Core;

/// <summary>
/// Linear layers that read the same rows become one <see cref="StackedLinear"/>, each result a slice of its columns: the
/// embedding projections of all residual blocks of a network. For devices where starting an op costs more than computing it;
/// the price is that all results live until the last is read. To be run when gradients have been taken.
/// </summary>
/// <remarks>
/// Taken are layers with a bias over an input [N,K] (images and tokens have rows enough to be worth an op of their own) whose
/// weights and biases are parameters, which can be joined once, and whose results are no outputs of the graph, which are dense.
/// </remarks>
public static class StackLinears
{
    /// <summary>The graph with the layers stacked where the first of them stood.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="unit">Only layers with whole multiples of so many columns are taken, so that every slice begins at one.</param>
    public static Graph Apply(Graph graph, int unit = 1)
    {
        ArgumentNullException.ThrowIfNull(graph);
        ArgumentOutOfRangeException.ThrowIfLessThan(unit, 1);
        var outputs = graph.Outputs.Select(o => o.Node).ToHashSet();
        var layers = new Dictionary<Node, List<Node>>(); // by the input they share
        foreach (Node node in graph.Nodes)
        {
            if (CanStack(node, unit) && !outputs.Contains(node))
            {
                (layers.TryGetValue(node.Inputs[0], out List<Node>? known) ? known : layers[node.Inputs[0]] = []).Add(node);
            }
        }

        var stacks = layers.Values.Where(s => s.Count > 1).SelectMany(s => s, (s, layer) => (s, layer)).ToDictionary(s => s.layer, s => s.s);
        var slices = new Dictionary<Node, Node>(); // what a layer has become
        return GraphRewriter.Rewrite(graph, (rewriter, node) =>
        {
            if (!stacks.TryGetValue(node, out List<Node>? stack))
            {
                return rewriter.Copy(node);
            }

            if (!slices.ContainsKey(node))
            {
                Stack(graph, rewriter, stack, slices);
            }

            return slices[node];
        });
    }

    private static bool CanStack(Node node, int unit) =>
        node.Op is Linear && node.Inputs.Count == 3 && node.Inputs[0].Shape.Rank == 2 && node.Shape.Last % unit == 0
        && node.Inputs[1].Kind == NodeKind.Parameter && node.Inputs[2].Kind == NodeKind.Parameter;

    private static void Stack(Graph source, GraphRewriter rewriter, List<Node> stack, Dictionary<Node, Node> slices)
    {
        Graph target = rewriter.Target;
        foreach (Node parameter in source.Parameters.Values)
        {
            target.Parameter(parameter.Name!, parameter.Shape); // those of later layers are needed now; all, to keep their order
        }

        Node[] weights = [.. stack.SelectMany(l => l.Inputs.Skip(1)).Select(p => target.Parameters[p.Name!])];
        Node result = target.AddNamed(stack[0].Name, new StackedLinear(), [rewriter[stack[0].Inputs[0]], .. weights]);
        int begin = 0;
        foreach (Node layer in stack)
        {
            slices.Add(layer, target.AddNamed(layer.Name, new SliceChannels(begin, layer.Shape.Last), result));
            begin += layer.Shape.Last;
        }
    }
}
