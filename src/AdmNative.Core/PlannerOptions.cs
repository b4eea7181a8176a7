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

    /// <summary>May the result of this op be written over that operand, where <see cref="Op.InPlace"/> allows it?</summary>
    public Func<Node, int, bool> AllowInPlace { get; init; } = static (_, _) => true;

    /// <summary>
    /// In which type a value lies in the arena; the node's own unless the backend says otherwise. An f32 value may be stored as f16 or bf16: that is the
    /// backend's decision, the graph stays f32. A view, the columns of a concatenation and a result that overwrites an operand have the type of what they
    /// lie in; where types differ the planner leaves a step that copies.
    /// </summary>
    public Func<Node, DType> StoredAs { get; init; } = static n => n.Type.DType;

    /// <summary>
    /// Concatenations stay free of copies while the arena is at most this many times what it would be if only the last
    /// part of each were born in place; infinity: always. A skip connection born in place keeps the room of its other half
    /// reserved from then on: at inference ADM-64 would take 48.8 MB instead of 34.7, to spare copies that are 4 % of the
    /// bytes its steps move. Where activations are kept for a backward pass anyway, free concatenations are also smallest.
    /// </summary>
    public double ZeroCopyGrowth { get; init; } = 1.1;

    /// <summary>Bytes every buffer starts at a multiple of.</summary>
    public int Alignment { get; init; } = 64;
}
