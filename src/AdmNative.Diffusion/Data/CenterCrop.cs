namespace AdmNative.Diffusion;

/// <summary>
/// The square centre of a picture at a given size: halve with BOX while the smaller side is at least twice the target,
/// then BICUBIC so that the smaller side fits, then cut the middle.
/// </summary>
public static class CenterCrop
{
    /// <summary>Crops [height, width, channels] bytes to [size, size, channels].</summary>
    public static byte[] Apply(ReadOnlySpan<byte> pixels, int height, int width, int channels, int size)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        byte[] image = pixels.ToArray();
        while (Math.Min(width, height) >= 2 * size)
        {
            image = PixelResampling.Resize(image, height, width, channels, height / 2, width / 2, ResampleFilter.Box);
            (height, width) = (height / 2, width / 2);
        }

        (int newHeight, int newWidth) = FitSmallerSide(height, width, size);
        image = PixelResampling.Resize(image, height, width, channels, newHeight, newWidth, ResampleFilter.Bicubic);
        int top = (newHeight - size) / 2, left = (newWidth - size) / 2;
        var result = new byte[size * size * channels];
        for (int y = 0; y < size; y++)
        {
            image.AsSpan((((top + y) * newWidth) + left) * channels, size * channels).CopyTo(result.AsSpan(y * size * channels));
        }

        return result;
    }

    /// <summary>Both sides times size / smaller side, rounded half to even.</summary>
    internal static (int Height, int Width) FitSmallerSide(int height, int width, int size)
    {
        double scale = size / (double)Math.Min(height, width);
        return ((int)Math.Round(height * scale), (int)Math.Round(width * scale));
    }
}
