using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>Samples as 8-bit images.</summary>
public static class SampleBytes
{
    /// <summary>((v + 1) * 127.5), clamped to 0..255 and cut off, as the reference does; or rounded.</summary>
    /// <param name="images">[N,C,H,W] f32, nominally in [-1,1].</param>
    /// <param name="round">Round to nearest instead of cutting off.</param>
    /// <returns>u8 [N,H,W,C].</returns>
    /// <exception cref="NumericException">A value is NaN.</exception>
    public static Tensor From(Tensor images, bool round = false)
    {
        ArgumentNullException.ThrowIfNull(images);
        Shape shape = ChannelsLast.Of(images.Shape);
        float[] values = ChannelsLast.From(images);
        var result = new Tensor(DType.U8, shape);
        Span<byte> bytes = result.AsSpan<byte>();
        for (int i = 0; i < values.Length; i++)
        {
            float v = (values[i] + 1) * 127.5f;
            if (float.IsNaN(v))
            {
                int image = i / (values.Length / shape[0]);
                throw new NumericException($"image {image} holds a NaN and cannot become bytes");
            }

            v = Math.Clamp(v, 0, 255);
            bytes[i] = (byte)(round ? MathF.Round(v) : v);
        }

        return result;
    }
}
