using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>y = x + proj_out(attention(qkv(gn(x)))) among the H*W positions of an image.</summary>
internal static class AttentionBlock
{
    // x, result: [N,H,W,C]
    public static Node Build(NetworkBuilder network, AttentionSpec spec, Node x)
    {
        Module at = network[spec.Path];
        Node qkv = at["qkv"].Linear(at["norm"].GroupNorm(x), 3 * spec.Width, kernelDims: 1);
        Node a = at["attention"].Do(g => g.Attention(qkv, spec.Heads, network.Config.UseNewAttentionOrder));
        Node h = at["proj_out"].Linear(a, spec.Width, kernelDims: 1);
        return at.Do(g => g.Plus(x, h));
    }
}
