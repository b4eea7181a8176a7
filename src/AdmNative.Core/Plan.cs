using System.Text;

namespace AdmNative.Core;

/// <summary>Where a value lives.</summary>
public enum Storage : byte
{
    /// <summary>In the plan's arena at <see cref="ValueLayout.OffsetBytes"/>.</summary>
    Arena,

    /// <summary>In the loaded parameters, by name.</summary>
    Parameter,

    /// <summary>Never computed: dropped from the plan.</summary>
    None,
}

/// <summary>
/// Address of a value. A value of shape [.., C] is a matrix of Rows x C whose row r starts at OffsetBytes + s * r * RowStride, s bytes per stored element:
/// a concatenated skip connection is two column ranges of one buffer, and a channel slice is a view. Graph inputs and
/// outputs are dense.
/// </summary>
/// <param name="Storage">Arena, parameter or none.</param>
/// <param name="OffsetBytes">Byte offset of element 0 in the arena; 64-byte aligned unless the value is a view.</param>
/// <param name="RowStride">Elements between neighbouring rows, at least the last dimension; equal to it when dense.</param>
/// <param name="AliasOf">Id of the node whose buffer this value lies in (view, part of a concatenation, or operand it overwrites), or -1.</param>
/// <param name="DType">Type of the elements in memory: the node's own, or f16 or bf16 for an f32 value where the backend stores it so.</param>
public sealed record ValueLayout(Storage Storage, long OffsetBytes, long RowStride, int AliasOf = -1, DType DType = DType.F32);

/// <summary>
/// One line of a plan: an op to run. Pure views (reshape, planned concat, slices) have no step; where a Reshape,
/// StopGradient or SliceChannels has one, it copies its operand, which may be strided or stored in another type, to a dense result. A ConcatChannels
/// step copies the operands that are not <see cref="Plan.IsInPlacePart"/>.
/// </summary>
/// <param name="Node">The op and its operands; their addresses are in <see cref="Plan.Layouts"/>.</param>
/// <param name="WorkspaceOffsetBytes">Scratch for this step inside the arena.</param>
/// <param name="WorkspaceBytes">Size of the scratch; 0 if none.</param>
public sealed record PlanStep(Node Node, long WorkspaceOffsetBytes, long WorkspaceBytes);

/// <summary>A graph with order, addresses and workspaces decided. Immutable, device-independent, printable.</summary>
public sealed class Plan
{
    /// <summary>Assembles a plan; see Planner.</summary>
    public Plan(Graph graph, IReadOnlyList<PlanStep> steps, IReadOnlyList<ValueLayout> layouts, long arenaBytes)
    {
        Graph = graph;
        Steps = steps;
        Layouts = layouts;
        ArenaBytes = arenaBytes;
    }

    /// <summary>The graph after passes.</summary>
    public Graph Graph { get; }

    /// <summary>Ops in execution order.</summary>
    public IReadOnlyList<PlanStep> Steps { get; }

    /// <summary>Layout of each node, by id.</summary>
    public IReadOnlyList<ValueLayout> Layouts { get; }

    /// <summary>Size of the arena: inputs, activations, outputs and workspaces.</summary>
    public long ArenaBytes { get; }

    /// <summary>Was operand <paramref name="i"/> of a concatenation born in its columns, so that nothing need be copied?</summary>
    public bool IsInPlacePart(Node concat, int i)
    {
        ArgumentNullException.ThrowIfNull(concat);
        Node part = concat.Inputs[i];
        ValueLayout whole = Layouts[concat.Id];
        ValueLayout layout = Layouts[part.Id];
        return layout.Storage == Storage.Arena && layout.DType == whole.DType
            && layout.OffsetBytes == whole.OffsetBytes + (whole.DType.SizeBytes() * FirstColumn(concat, i))
            && (layout.RowStride == whole.RowStride || part.Shape.Rows <= 1);
    }

    /// <summary>Column of a concatenation where operand <paramref name="i"/> begins.</summary>
    public static long FirstColumn(Node concat, int i)
    {
        ArgumentNullException.ThrowIfNull(concat);
        long column = 0;
        for (int j = 0; j < i; j++)
        {
            column += concat.Inputs[j].Shape.Last;
        }

        return column;
    }

    /// <summary>
    /// One line per step: op, result and operands with type, the type they are stored in if it is another, byte offset and row stride (only where rows are apart),
    /// workspace, scope. Values without a step (inputs, views) stand where they are read.
    /// </summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        text.Append($"plan: {Steps.Count} steps, arena {ArenaBytes} bytes\n");
        foreach (Node input in Graph.Inputs.Values)
        {
            text.Append($"input {input.Name} = {Address(input)}\n");
        }

        for (int s = 0; s < Steps.Count; s++)
        {
            PlanStep step = Steps[s];
            text.Append($"{s,5}  {Address(step.Node)} = {step.Node.Op}(");
            text.AppendJoin(", ", step.Node.Inputs.Select(Address)).Append(')');
            if (step.WorkspaceBytes > 0)
            {
                text.Append($" workspace {step.WorkspaceBytes} bytes @{step.WorkspaceOffsetBytes}");
            }

            text.Append(step.Node.Name is null ? "\n" : $"  # {step.Node.Name}\n");
        }

        foreach ((string name, Node node) in Graph.Outputs)
        {
            text.Append($"output {name} = {Address(node)}\n");
        }

        return text.ToString();
    }

    private string Address(Node node)
    {
        ValueLayout layout = Layouts[node.Id];
        return layout.Storage switch
        {
            Storage.Parameter => $"{node.Name}:{node.Type}",
            Storage.None => $"%{node.Id}:{node.Type} unused",
            _ => $"%{node.Id}:{node.Type}{(layout.DType == node.Type.DType ? "" : $" as {layout.DType}")}@{layout.OffsetBytes}"
                + (layout.RowStride == node.Shape.Last ? "" : $"/{layout.RowStride}")
                + (layout.AliasOf < 0 ? "" : $" in %{layout.AliasOf}"),
        };
    }
}
