using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Tests;

public class SampleBytesTests
{
    [Fact]
    public void Values_are_scaled_clamped_cut_off_and_put_channels_last()
    {
        // 2 channels of 1x3: channel 0 = -1, 0, 1; channel 1 = 2, -3, 0.999
        Tensor images = Tensor.From<float>([1, 2, 1, 3], [-1, 0, 1, 2, -3, 0.999f]);

        Tensor bytes = SampleBytes.From(images);

        Assert.Equal([1, 1, 3, 2], bytes.Shape);
        Assert.Equal([0, 255, 127, 0, 255, 254], bytes.AsSpan<byte>().ToArray());
        Assert.Equal([0, 255, 128, 0, 255, 255], SampleBytes.From(images, round: true).AsSpan<byte>().ToArray());
    }

    [Fact]
    public void A_NaN_is_not_a_pixel()
    {
        NumericException e = Assert.Throws<NumericException>(() => SampleBytes.From(Tensor.From<float>([2, 1, 1, 1], [0, float.NaN])));

        Assert.Contains("image 1", e.Message, StringComparison.Ordinal);
    }
}
