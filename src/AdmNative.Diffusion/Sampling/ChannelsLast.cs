using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>Tensors of callers [N,C,H,W] to values of graphs [N,H,W,C] and back.</summary>
internal static class ChannelsLast
{
    /// <summary>[N,H,W,C] of an [N,C,H,W] shape.</summary>
    public static Shape Of(Shape nchw) => nchw.Rank == 4 && nchw.Elements > 0
        ? [nchw[0], nchw[2], nchw[3], nchw[1]]
        : throw new ShapeException($"images are [N,C,H,W] with at least one pixel, got {nchw}");

    /// <summary>[N,C,H,W] of an [N,H,W,C] shape.</summary>
    public static Shape Undo(Shape nhwc) => [nhwc[0], nhwc[3], nhwc[1], nhwc[2]];

    /// <summary>The values of an [N,C,H,W] tensor in graph order.</summary>
    public static float[] From(Tensor nchw)
    {
        var result = new float[nchw.Shape.Elements];
        PixelOrder.ToNhwc<float>(nchw.ToFloats(), Of(nchw.Shape), result);
        return result;
    }

    /// <summary>Values in graph order as an [N,C,H,W] tensor.</summary>
    public static Tensor ToTensor(ReadOnlySpan<float> nhwc, Shape shape)
    {
        var result = new Tensor(DType.F32, Undo(shape));
        PixelOrder.ToNchw(nhwc, shape, result.AsSpan<float>());
        return result;
    }
}
