using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>Batches between the planar order of files and other programs (NCHW) and ours (NHWC).</summary>
public static class PixelOrder
{
    /// <summary>[N,C,H,W] values into [N,H,W,C] places.</summary>
    /// <param name="nchw">Source.</param>
    /// <param name="shape">[N, H, W, C].</param>
    /// <param name="nhwc">Destination.</param>
    public static void ToNhwc<T>(ReadOnlySpan<T> nchw, Shape shape, Span<T> nhwc)
    {
        (int n, int pixels, int channels) = Check(nchw.Length, shape, nhwc.Length);
        for (int image = 0; image < n; image++)
        {
            ReadOnlySpan<T> source = nchw.Slice(image * pixels * channels, pixels * channels);
            Span<T> target = nhwc.Slice(image * pixels * channels, pixels * channels);
            for (int c = 0; c < channels; c++)
            {
                for (int p = 0; p < pixels; p++)
                {
                    target[(p * channels) + c] = source[(c * pixels) + p];
                }
            }
        }
    }

    /// <summary>[N,H,W,C] values into [N,C,H,W] places.</summary>
    /// <param name="nhwc">Source.</param>
    /// <param name="shape">[N, H, W, C].</param>
    /// <param name="nchw">Destination.</param>
    public static void ToNchw<T>(ReadOnlySpan<T> nhwc, Shape shape, Span<T> nchw)
    {
        (int n, int pixels, int channels) = Check(nhwc.Length, shape, nchw.Length);
        for (int image = 0; image < n; image++)
        {
            ReadOnlySpan<T> source = nhwc.Slice(image * pixels * channels, pixels * channels);
            Span<T> target = nchw.Slice(image * pixels * channels, pixels * channels);
            for (int c = 0; c < channels; c++)
            {
                for (int p = 0; p < pixels; p++)
                {
                    target[(c * pixels) + p] = source[(p * channels) + c];
                }
            }
        }
    }

    private static (int N, int Pixels, int Channels) Check(int source, Shape shape, int destination)
    {
        if (shape.Rank != 4 || source != shape.Elements || destination != shape.Elements)
        {
            throw new ShapeException($"images: {source} and {destination} values do not make [N,H,W,C] = {shape}");
        }

        return (shape[0], checked(shape[1] * shape[2]), shape[3]);
    }
}
