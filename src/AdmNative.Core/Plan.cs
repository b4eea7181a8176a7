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
/// Address of a value. A value of shape [.., C] is a matrix of Rows x C whose row r starts at OffsetBytes + 4 * r * RowStride:
/// a concatenated skip connection is two column ranges of one buffer, and a channel slice is a view.
/// </summary>
/// <param name="Storage">Arena, parameter or none.</param>
/// <param name="OffsetBytes">Byte offset of element 0 in the arena; 64-byte aligned unless the value is a view.</param>
/// <param name="RowStride">Elements between neighbouring rows, at least the last dimension; equal to it when dense.</param>
/// <param name="AliasOf">Id of the node whose buffer this value is a view of, or -1.</param>
public sealed record ValueLayout(Storage Storage, long OffsetBytes, long RowStride, int AliasOf = -1);

/// <summary>One line of a plan: an op to run. Pure views (reshape, planned concat, slices) have no step.</summary>
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
}
