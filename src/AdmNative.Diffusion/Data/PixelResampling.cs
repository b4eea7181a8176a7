namespace AdmNative.Diffusion;

/// <summary>Shape of the interpolation kernel.</summary>
public enum ResampleFilter
{
    /// <summary>Mean of the covered pixels.</summary>
    Box,

    /// <summary>Cubic convolution with a = -0.5.</summary>
    Bicubic,
}

/// <summary>
/// 8-bit resampling as the reference's image loader does it (Pillow): two passes, horizontal first, intermediate rounded to bytes.
/// Output pixel = (2^21 + sum of pixel * weight) >> 22 with weights normalised in double and rounded to 22 fractional bits.
/// A pass whose size does not change is skipped, so resizing to the same size is a copy.
/// </summary>
public static class PixelResampling
{
    private const int FractionBits = 22;

    /// <summary>Resizes rows x columns x channels bytes.</summary>
    /// <param name="pixels">[height, width, channels], row-major.</param>
    /// <param name="height">Rows of the input.</param>
    /// <param name="width">Columns of the input.</param>
    /// <param name="channels">Bytes per pixel.</param>
    /// <param name="newHeight">Rows of the result.</param>
    /// <param name="newWidth">Columns of the result.</param>
    /// <param name="filter">Kernel.</param>
    /// <returns>[newHeight, newWidth, channels].</returns>
    public static byte[] Resize(
        ReadOnlySpan<byte> pixels, int height, int width, int channels, int newHeight, int newWidth, ResampleFilter filter)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(newHeight);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(newWidth);
        if (pixels.Length != (long)height * width * channels || pixels.IsEmpty)
        {
            throw new ArgumentException($"{height}x{width}x{channels} image given as {pixels.Length} bytes", nameof(pixels));
        }

        byte[] across = newWidth == width ? pixels.ToArray()
            : Pass(pixels, outer: height, size: width, inner: channels, newWidth, filter);
        return newHeight == height ? across
            : Pass(across, outer: 1, size: height, inner: newWidth * channels, newHeight, filter);
    }

    // One pass along the middle dimension of [outer, size, inner].
    private static byte[] Pass(ReadOnlySpan<byte> source, int outer, int size, int inner, int newSize, ResampleFilter filter)
    {
        var result = new byte[checked(outer * newSize * inner)];
        for (int i = 0; i < newSize; i++)
        {
            (int first, int[] weights) = Weights(size, newSize, i, filter);
            for (int o = 0; o < outer; o++)
            {
                ReadOnlySpan<byte> taps = source.Slice(((o * size) + first) * inner, weights.Length * inner);
                Span<byte> destination = result.AsSpan(((o * newSize) + i) * inner, inner);
                for (int p = 0; p < inner; p++)
                {
                    long sum = 1L << (FractionBits - 1);
                    for (int k = 0; k < weights.Length; k++)
                    {
                        sum += (long)taps[(k * inner) + p] * weights[k];
                    }

                    destination[p] = (byte)Math.Clamp(sum >> FractionBits, 0, 255);
                }
            }
        }

        return result;
    }

    // Taps of output pixel i: w_k = filter((k - centre + 0.5) / fs), k in [first, last), normalised.
    private static (int First, int[] Weights) Weights(int size, int newSize, int i, ResampleFilter filter)
    {
        double scale = (double)size / newSize;
        double fs = Math.Max(scale, 1);
        double support = fs * (filter == ResampleFilter.Box ? 0.5 : 2);
        double centre = (i + 0.5) * scale;
        int first = Math.Max((int)(centre - support + 0.5), 0);
        int last = Math.Min((int)(centre + support + 0.5), size);
        var raw = new double[last - first];
        double sum = 0;
        for (int k = first; k < last; k++)
        {
            double x = (k - centre + 0.5) / fs;
            raw[k - first] = filter == ResampleFilter.Box ? Box(x) : Bicubic(x);
            sum += raw[k - first];
        }

        var weights = new int[raw.Length];
        for (int k = 0; k < raw.Length; k++)
        {
            double w = (sum == 0 ? raw[k] : raw[k] / sum) * (1 << FractionBits);
            weights[k] = (int)(w < 0 ? w - 0.5 : w + 0.5);
        }

        return (first, weights);
    }

    private static double Box(double x) => x is > -0.5 and <= 0.5 ? 1 : 0;

    private static double Bicubic(double x)
    {
        const double a = -0.5;
        x = Math.Abs(x);
        return x < 1 ? ((((a + 2) * x) - (a + 3)) * x * x) + 1
            : x < 2 ? ((((x - 5) * x) + 8) * x - 4) * a
            : 0;
    }
}
