using System.Numerics;

namespace AdmNative.Core;

/// <summary>Runs a graph op by op through the plain twins, with no plan and no arena: the last word in every comparison.</summary>
public static class TwinEvaluator
{
    /// <summary>Evaluates what the outputs need.</summary>
    /// <param name="graph">Any graph, fused or not.</param>
    /// <param name="inputs">Input name to value; labels as numbers of type T.</param>
    /// <param name="parameters">Parameter name to value.</param>
    /// <returns>Output name to value.</returns>
    /// <exception cref="ArgumentException">A needed input or parameter is missing.</exception>
    /// <exception cref="ShapeException">A given array has another shape than the graph declares.</exception>
    public static Dictionary<string, HostArray<T>> Evaluate<T>(
        Graph graph,
        IReadOnlyDictionary<string, HostArray<T>> inputs,
        IReadOnlyDictionary<string, HostArray<T>> parameters)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        ArgumentNullException.ThrowIfNull(graph);
        ArgumentNullException.ThrowIfNull(inputs);
        ArgumentNullException.ThrowIfNull(parameters);
        bool[] live = DeadNodes.Live(graph);
        int[] uses = LiveUses(graph, live);
        var values = new HostArray<T>?[graph.Nodes.Count];
        foreach (Node node in graph.Nodes)
        {
            if (!live[node.Id])
            {
                continue;
            }

            values[node.Id] = node.Kind switch
            {
                NodeKind.Input => Given(node, inputs),
                NodeKind.Parameter => Given(node, parameters),
                _ => Run(node, values),
            };
            foreach (Node operand in node.Inputs)
            {
                if (--uses[operand.Id] == 0)
                {
                    values[operand.Id] = null; // whole training graphs would not fit otherwise
                }
            }
        }

        return graph.Outputs.ToDictionary(o => o.Name, o => values[o.Node.Id]!);
    }

    private static HostArray<T> Run<T>(Node node, HostArray<T>?[] values) where T : unmanaged, IFloatingPointIeee754<T>
    {
        var operands = new HostArray<T>[node.Inputs.Count];
        for (int i = 0; i < operands.Length; i++)
        {
            operands[i] = values[node.Inputs[i].Id]!;
        }

        var result = new HostArray<T>(node.Shape);
        node.Op!.Twin(operands, result);
        return result;
    }

    private static HostArray<T> Given<T>(Node node, IReadOnlyDictionary<string, HostArray<T>> values) where T : unmanaged
    {
        if (!values.TryGetValue(node.Name!, out HostArray<T>? value))
        {
            throw new ArgumentException($"no value for {node}");
        }

        return value.Shape == node.Shape && value.Data.LongLength == node.Shape.Elements ? value
            : throw new ShapeException($"{node} was given {value.Shape} with {value.Data.LongLength} elements");
    }

    private static int[] LiveUses(Graph graph, bool[] live)
    {
        var uses = new int[graph.Nodes.Count];
        foreach (Node node in graph.Nodes)
        {
            if (live[node.Id])
            {
                foreach (Node operand in node.Inputs)
                {
                    uses[operand.Id]++;
                }
            }
        }

        foreach ((_, Node node) in graph.Outputs)
        {
            uses[node.Id]++;
        }

        return uses;
    }
}
