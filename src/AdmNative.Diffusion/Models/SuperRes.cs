using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// The upsampler (SuperResModel): a U-Net over [x, bilinear resize of the small image] along channels.
/// </summary>
public static class SuperRes
{
    /// <summary>Describes the network.</summary>
    /// <param name="graph">The graph to build in.</param>
    /// <param name="config">What to build.</param>
    /// <param name="x">Noisy large images [N,H,W,C].</param>
    /// <param name="lowRes">Small images [N,h,w,C] in [-1,1].</param>
    /// <param name="t">Times [N], f32.</param>
    /// <param name="y">Labels [N], i32: given exactly when the network has classes.</param>
    /// <param name="options">Name prefix and dropout.</param>
    /// <returns>[N,H,W,OutChannels]</returns>
    /// <exception cref="ShapeException">The inputs do not fit the configuration.</exception>
    public static Node Build(
        Graph graph, SuperResConfig config, Node x, Node lowRes, Node t, Node? y = null, BuildOptions? options = null)
    {
        if (lowRes.Shape.Rank != 4 || lowRes.Shape[0] != x.Shape[0] || lowRes.Shape.Last != config.InChannels)
        {
            throw new ShapeException(
                $"the upsampler takes small images [{x.Shape[0]},h,w,{config.InChannels}], got {lowRes.Shape}");
        }

        Node both;
        using (graph.Scope($"{options?.Prefix}low_res"))
        {
            both = graph.ConcatChannels(x, graph.BilinearResize(lowRes, x.Shape[1], x.Shape[2]));
        }

        return UNet.Build(graph, config, both, t, y, options);
    }
}
