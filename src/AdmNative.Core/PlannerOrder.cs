namespace AdmNative.Core;

/// <summary>Candidate execution orders. Each lists the live ops, operands first.</summary>
internal static class PlannerOrder
{
    /// <summary>The order of the graph.</summary>
    public static List<Node> AsGiven(Graph graph, bool[] live) =>
        [.. graph.Nodes.Where(n => n.Kind == NodeKind.Op && live[n.Id])];

    /// <summary>
    /// The order of the graph, except that an op which ends the life of at least as many bytes as it produces runs as
    /// soon as its operands exist.
    /// </summary>
    public static List<Node> ShrinkingFirst(Graph graph, bool[] live, DType[] stored)
    {
        List<Node> given = AsGiven(graph, live);
        var users = new List<Node>?[graph.Nodes.Count];
        var missing = new int[graph.Nodes.Count]; // operands not yet computed, by op
        var readers = new int[graph.Nodes.Count]; // operand positions not yet read, by value
        foreach (Node node in given)
        {
            foreach (Node operand in node.Inputs)
            {
                readers[operand.Id]++;
                if (operand.Kind == NodeKind.Op)
                {
                    missing[node.Id]++;
                    (users[operand.Id] ??= []).Add(node);
                }
            }
        }

        foreach ((_, Node node) in graph.Outputs)
        {
            readers[node.Id]++; // never freed
        }

        var order = new List<Node>(given.Count);
        var done = new bool[graph.Nodes.Count];
        var ready = new Queue<Node>();
        foreach (Node node in given)
        {
            ready.Enqueue(node);
            bool due = true; // the first is next in the given order; those it makes ready may follow at once
            while (ready.TryDequeue(out Node? next))
            {
                if (done[next.Id] || (!due && !Shrinks(next, readers, stored)))
                {
                    continue;
                }

                due = false;
                done[next.Id] = true;
                order.Add(next);
                foreach (Node operand in next.Inputs)
                {
                    readers[operand.Id]--;
                }

                foreach (Node user in users[next.Id] ?? [])
                {
                    if (--missing[user.Id] == 0)
                    {
                        ready.Enqueue(user);
                    }
                }
            }
        }

        return order;
    }

    private static bool Shrinks(Node node, int[] readers, DType[] stored)
    {
        long freed = 0;
        for (int i = 0; i < node.Inputs.Count; i++)
        {
            Node operand = node.Inputs[i];
            if (operand.Kind == NodeKind.Op && readers[operand.Id] == 1)
            {
                freed += Bytes(operand);
            }
        }

        return Bytes(node) <= freed;

        long Bytes(Node value) => value.Shape.Elements * stored[value.Id].SizeBytes();
    }
}
