namespace AdmNative.Core;

/// <summary>
/// Checks what every pass and planner relies on: operands come before their users and belong to the graph, recorded
/// types are what the shape rules give, inputs and parameters are bound once, outputs exist. Runs after each pass.
/// </summary>
public static class Verifier
{
    /// <summary>Throws unless the graph is sound; the message names the node.</summary>
    /// <exception cref="InvalidOperationException">Order, names or bindings are broken.</exception>
    /// <exception cref="ShapeException">A recorded type is not what the op's shape rule gives.</exception>
    public static void Check(Graph graph)
    {
        ArgumentNullException.ThrowIfNull(graph);
        Check(graph.Nodes, graph.Outputs, graph.Inputs, graph.Parameters);
    }

    internal static void Check(
        IReadOnlyList<Node> nodes,
        IReadOnlyList<(string Name, Node Node)> outputs,
        IReadOnlyDictionary<string, Node> inputs,
        IReadOnlyDictionary<string, Node> parameters)
    {
        var inputNames = new HashSet<string>();
        var parameterNames = new HashSet<string>();
        for (int i = 0; i < nodes.Count; i++)
        {
            Node node = nodes[i];
            Require(node.Id == i, node, $"is at position {i}");
            foreach (Node operand in node.Inputs)
            {
                Require(operand.Id < i, node, $"uses %{operand.Id}, which is not computed before it");
                Require(ReferenceEquals(nodes[operand.Id], operand), node, $"uses %{operand.Id} of another graph");
            }

            switch (node.Kind)
            {
                case NodeKind.Input:
                    CheckBinding(node, inputs, inputNames);
                    break;
                case NodeKind.Parameter:
                    CheckBinding(node, parameters, parameterNames);
                    break;
                default:
                    CheckType(node);
                    break;
            }
        }

        RequireAllBound("input", inputs, inputNames);
        RequireAllBound("parameter", parameters, parameterNames);
        CheckOutputs(nodes, outputs);
    }

    private static void CheckBinding(Node node, IReadOnlyDictionary<string, Node> table, HashSet<string> seen)
    {
        Require(node.Op is null && node.Inputs.Count == 0, node, "is given from outside, yet has an op or operands");
        Require(!string.IsNullOrEmpty(node.Name), node, "has no name");
        Require(seen.Add(node.Name!), node, "is bound twice");
        Require(table.TryGetValue(node.Name!, out Node? bound) && ReferenceEquals(bound, node), node,
            "is not what the graph's table holds under its name");
    }

    private static void RequireAllBound(string kind, IReadOnlyDictionary<string, Node> table, HashSet<string> seen)
    {
        foreach (string name in table.Keys)
        {
            if (!seen.Contains(name))
            {
                throw new InvalidOperationException($"graph: {kind} {name} is declared but is none of the nodes");
            }
        }
    }

    private static void CheckType(Node node)
    {
        Require(node.Op is not null, node, "is an op result without an op");
        var types = new TensorType[node.Inputs.Count];
        for (int i = 0; i < types.Length; i++)
        {
            types[i] = node.Inputs[i].Type;
        }

        TensorType inferred;
        try
        {
            inferred = node.Op!.Infer(types);
        }
        catch (ShapeException e)
        {
            throw new ShapeException($"graph: {node}: {e.Message}");
        }

        if (inferred != node.Type)
        {
            throw new ShapeException($"graph: {node}: the shape rule gives {inferred}");
        }
    }

    private static void CheckOutputs(IReadOnlyList<Node> nodes, IReadOnlyList<(string Name, Node Node)> outputs)
    {
        var names = new HashSet<string>();
        foreach ((string name, Node node) in outputs)
        {
            if (!names.Add(name))
            {
                throw new InvalidOperationException($"graph: output {name} is declared twice");
            }

            if (node.Id >= nodes.Count || !ReferenceEquals(nodes[node.Id], node))
            {
                throw new InvalidOperationException($"graph: output {name} is %{node.Id} of another graph");
            }
        }
    }

    private static void Require(bool ok, Node node, string problem)
    {
        if (!ok)
        {
            throw new InvalidOperationException($"graph: {node} {problem}");
        }
    }
}
