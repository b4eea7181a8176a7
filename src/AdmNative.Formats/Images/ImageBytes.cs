using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>An 8-bit picture: rows from the top, pixels from the left, channels last (1 grey, 3 RGB, 4 RGB and alpha).</summary>
public sealed record ImageBytes
{
    // 134 million pixels. A picture of a few kilobytes can claim any size; this bounds what is allocated for it.
    internal const long MaxPixels = 1L << 27;

    /// <summary>Wraps pixels without copying.</summary>
    /// <exception cref="ShapeException">The byte count is not width times height times channels, or there are not 1, 3 or 4 channels.</exception>
    public ImageBytes(int width, int height, int channels, byte[] pixels)
    {
        ArgumentNullException.ThrowIfNull(pixels);
        if (width <= 0 || height <= 0 || channels is not (1 or 3 or 4) || pixels.LongLength != (long)width * height * channels)
        {
            throw new ShapeException($"a {width}x{height} picture of {channels} channels (1, 3 or 4) cannot have {pixels.LongLength} bytes");
        }

        Width = width;
        Height = height;
        Channels = channels;
        Pixels = pixels;
    }

    /// <summary>Pixels in a row.</summary>
    public int Width { get; }

    /// <summary>Rows.</summary>
    public int Height { get; }

    /// <summary>Bytes of a pixel: 1, 3 or 4.</summary>
    public int Channels { get; }

    /// <summary>[Height, Width, Channels].</summary>
    public byte[] Pixels { get; }

    /// <summary>The same picture with three channels: grey is repeated, alpha is dropped without blending.</summary>
    public ImageBytes ToRgb()
    {
        if (Channels == 3)
        {
            return this;
        }

        var rgb = new byte[Width * Height * 3];
        for (int i = 0; i < Width * Height; i++)
        {
            for (int c = 0; c < 3; c++)
            {
                rgb[(3 * i) + c] = Pixels[(Channels * i) + (Channels == 1 ? 0 : c)];
            }
        }

        return new ImageBytes(Width, Height, 3, rgb);
    }
}
