using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// Fuses a forward graph while keeping hold of some values, so that gradients are taken of fused ops.
/// </summary>
internal static class ForwardGraph
{
    /// <summary>The optimised graph, without outputs, and what the given nodes became in it.</summary>
    public static (Graph Graph, Node[] Values) Fuse(Graph forward, params ReadOnlySpan<Node> values)
    {
        for (int i = 0; i < values.Length; i++)
        {
            forward.Output($"value {i}", values[i]);
        }

        Graph fused = Passes.Optimize(forward);
        Node[] found = [.. fused.Outputs.Select(o => o.Node)];
        fused.ClearOutputs();
        return (fused, found);
    }
}
