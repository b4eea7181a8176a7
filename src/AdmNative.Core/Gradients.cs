namespace AdmNative.Core;

/// <summary>
/// Reverse mode: builds gradients as ordinary nodes of the same graph. Only values on a path from a wanted node to a
/// seeded value get one, so the gradient with respect to an input never builds a weight gradient.
/// </summary>
public static class Gradients
{
    /// <summary>Adds d(sum of value * seed) / d(wrt).</summary>
    /// <param name="graph">The graph, grown in place.</param>
    /// <param name="seeds">Values to differentiate, each with its cotangent: a node of the value's shape.</param>
    /// <param name="wrt">Inputs, parameters or intermediate values.</param>
    /// <returns>One node per entry of <paramref name="wrt"/>; a zero constant where the values do not depend on it.</returns>
    /// <exception cref="NotSupportedException">An op on a path has no gradient rule; the message gives its excuse.</exception>
    public static Node[] Add(Graph graph, IReadOnlyList<(Node Value, Node Seed)> seeds, IReadOnlyList<Node> wrt)
    {
        ArgumentNullException.ThrowIfNull(graph);
        ArgumentNullException.ThrowIfNull(seeds);
        ArgumentNullException.ThrowIfNull(wrt);
        CheckArguments(graph, seeds, wrt);
        bool[] active = OnPaths(graph, seeds, wrt);
        var total = new Node?[active.Length];
        foreach ((Node value, Node seed) in seeds)
        {
            Accumulate(graph, total, value, seed);
        }

        for (int i = active.Length - 1; i >= 0; i--)
        {
            if (active[i] && total[i] is Node dy && graph.Nodes[i].Kind == NodeKind.Op)
            {
                Differentiate(graph, graph.Nodes[i], dy, active, total);
            }
        }

        return [.. wrt.Select(w => total[w.Id] ?? graph.Constant(0, w.Shape))];
    }

    private static void Differentiate(Graph graph, Node node, Node dy, bool[] active, Node?[] total)
    {
        var wanted = new bool[node.Inputs.Count];
        bool any = false;
        for (int i = 0; i < wanted.Length; i++)
        {
            any |= wanted[i] = active[node.Inputs[i].Id];
        }

        if (!any)
        {
            return; // a wanted node itself: nothing above it is asked for
        }

        Node?[] gradients;
        using (node.Name is null ? null : graph.Scope(node.Name))
        {
            gradients = node.Op!.Gradient(graph, node, dy, wanted);
        }

        if (gradients.Length != wanted.Length)
        {
            throw new InvalidOperationException(
                $"{node.Op.Name}: the gradient rule gave {gradients.Length} results for {wanted.Length} inputs");
        }

        for (int i = 0; i < wanted.Length; i++)
        {
            if (gradients[i] is Node gradient && wanted[i])
            {
                Accumulate(graph, total, node.Inputs[i], gradient);
            }
        }
    }

    // Summed as they arrive: the planner can then free each part at once, and FuseResidual folds the sum into the
    // gradient that arrived last.
    private static void Accumulate(Graph graph, Node?[] total, Node value, Node gradient)
    {
        if (gradient.Type != value.Type)
        {
            throw new ShapeException($"the gradient of {value} is {gradient.Type}");
        }

        Node? sum = total[value.Id];
        total[value.Id] = sum is null ? gradient : graph.Plus(sum, gradient);
    }

    /// <summary>By node id: depends on a wanted node, and a seeded value depends on it.</summary>
    private static bool[] OnPaths(Graph graph, IReadOnlyList<(Node Value, Node Seed)> seeds, IReadOnlyList<Node> wrt)
    {
        var fromWanted = new bool[graph.Nodes.Count];
        foreach (Node node in wrt)
        {
            fromWanted[node.Id] = true;
        }

        foreach (Node node in graph.Nodes)
        {
            if (node.Op is not StopGradient)
            {
                foreach (Node operand in node.Inputs)
                {
                    fromWanted[node.Id] |= fromWanted[operand.Id];
                }
            }
        }

        var active = new bool[fromWanted.Length];
        foreach ((Node value, _) in seeds)
        {
            active[value.Id] = fromWanted[value.Id];
        }

        for (int i = active.Length - 1; i >= 0; i--)
        {
            if (active[i])
            {
                foreach (Node operand in graph.Nodes[i].Inputs)
                {
                    active[operand.Id] |= fromWanted[operand.Id];
                }
            }
        }

        return active;
    }

    private static void CheckArguments(Graph graph, IReadOnlyList<(Node Value, Node Seed)> seeds, IReadOnlyList<Node> wrt)
    {
        foreach (Node node in seeds.SelectMany(s => new[] { s.Value, s.Seed }).Concat(wrt))
        {
            if (!graph.Owns(node))
            {
                throw new ArgumentException($"gradient: {node} belongs to another graph");
            }
        }

        foreach (Node node in wrt)
        {
            if (node.Type.DType != DType.F32)
            {
                throw new ArgumentException($"gradient: {node} is not f32, so it has no gradient");
            }
        }
    }
}
