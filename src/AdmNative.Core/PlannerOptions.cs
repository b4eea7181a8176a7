namespace AdmNative.Core;

/// <summary>What the planner must know about a backend.</summary>
public sealed record PlannerOptions
{
    /// <summary>Scratch bytes a step needs while it runs.</summary>
    public Func<Node, long> WorkspaceBytes { get; init; } = static _ => 0;

    /// <summary>
    /// May operands and result of this op have a row stride above their last dimension? Where not, the planner keeps them
    /// dense, with a copy step if need be. Steps that are copies themselves (a view op that could not stay one) write dense.
    /// </summary>
    public Func<Node, bool> AllowStrided { get; init; } = static _ => true;

    /// <summary>Bytes every buffer starts at a multiple of.</summary>
    public int Alignment { get; init; } = 64;
}
