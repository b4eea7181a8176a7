using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// tokens = [mean, pixels] + positional embedding;   y = c_proj(attention(qkv_proj(tokens))[token 0])
/// The embedding [C, S*S+1] ties the classifier to one image size; the channel order is always the new one.
/// </summary>
internal static class AttentionPool
{
    // x: [N,S,S,C]   result: [N,width]
    public static Node Build(Module at, EncoderUNetConfig config, Node x, int width)
    {
        int c = x.Shape.Last;
        int s = config.PoolSize;
        if (x.Shape[1] != s || x.Shape[2] != s)
        {
            throw new ShapeException(
                $"{at.Path}: attention pooling is built for {s}x{s} maps, got {x.Shape[1]}x{x.Shape[2]}; "
                + $"this classifier runs on {config.ImageSize}x{config.ImageSize} images only");
        }

        Node p = at.Parameter("positional_embedding", [c, (s * s) + 1]);
        Node tokens = at.Do(g => g.AddPositional(g.PrependMean(x), p));
        Node qkv = at["qkv_proj"].Linear(tokens, 3 * c, kernelDims: 1);

        // Only token 0 leaves the head, so it alone is projected.
        Node first = at["attention"].Do(g => g.TakeToken(g.Attention(qkv, config.HeadsAt(c), newOrder: true), 0));
        return at["c_proj"].Linear(first, width, kernelDims: 1);
    }
}
