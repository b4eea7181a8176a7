using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// Resampling at constant width in networks without resblock_updown.
/// Down: a learned 3x3 convolution with stride 2 ("op"), or the mean of 2x2.
/// Up: nearest neighbour, then a learned 3x3 convolution ("conv") or nothing.
/// </summary>
internal static class Resampler
{
    // x: [N,H,W,C]
    public static Node Build(NetworkBuilder network, ResampleSpec spec, Node x)
    {
        Module at = network[spec.Path];
        if (spec.Resampling == Resampling.Down)
        {
            return spec.Conv
                ? at["op"].Conv3x3(x, spec.Width, stride: 2)
                : at.Do(g => g.Resample(x, ResampleMode.Down2));
        }

        Node up = at.Do(g => g.Resample(x, ResampleMode.Up2));
        return spec.Conv ? at["conv"].Conv3x3(up, spec.Width) : up;
    }
}
