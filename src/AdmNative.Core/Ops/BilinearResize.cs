using System.Numerics;

namespace AdmNative.Core;

/// <summary>
/// Bilinear resize with half-pixel centres and no antialiasing (spec Appendix B): s = in/out, p = max((i + 0.5) * s - 0.5, 0),
/// i0 = floor(p), i1 = min(i0 + 1, in - 1), weight p - i0; rows and columns alike. x: [N,H,W,C]; result [N,Height,Width,C].
/// </summary>
/// <param name="Height">Rows of the result.</param>
/// <param name="Width">Columns of the result.</param>
public sealed record BilinearResize(int Height, int Width) : Op
{
    /// <inheritdoc/>
    public override string? GradientExcuse => "only the low-resolution input image is resized, and it is never trained";

    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(
            Fit.F32(inputs, 1) && inputs[0].Shape.Rank == 4 && inputs[0].Shape[1] > 0 && inputs[0].Shape[2] > 0 && Height > 0 && Width > 0,
            $"x[N,H,W,C] with pixels, to resize to {Height}x{Width}",
            inputs);
        return TensorType.F32([inputs[0].Shape[0], Height, Width, inputs[0].Shape[3]]);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        HostArray<T> x = inputs[0];
        (int N, int H, int W, int C) = (x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]);
        for (int h = 0; h < Height; h++)
        {
            (int h0, int h1, T a) = Source<T>(h, H, Height);
            for (int w = 0; w < Width; w++)
            {
                (int w0, int w1, T b) = Source<T>(w, W, Width);
                for (int n = 0; n < N; n++)
                {
                    for (int c = 0; c < C; c++)
                    {
                        T top = ((T.One - b) * x[n, h0, w0, c]) + (b * x[n, h0, w1, c]);
                        T bottom = ((T.One - b) * x[n, h1, w0, c]) + (b * x[n, h1, w1, c]);
                        output[n, h, w, c] = ((T.One - a) * top) + (a * bottom);
                    }
                }
            }
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(new BilinearResize(8, 12), [TensorType.F32([2, 2, 3, 3])]),
        new(new BilinearResize(7, 5), [TensorType.F32([1, 3, 8, 5])]),
        new(new BilinearResize(3, 4), [TensorType.F32([1, 3, 4, 2])]),
        new(new BilinearResize(4, 4), [TensorType.F32([1, 1, 1, 3])]),
    ];

    private static (int I0, int I1, T Weight) Source<T>(int i, int from, int to)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        T half = Fit.Num<T>(0.5);
        T p = T.Max(((Fit.Num<T>(i) + half) * (Fit.Num<T>(from) / Fit.Num<T>(to))) - half, T.Zero);
        int i0 = Math.Min(int.CreateTruncating(p), from - 1);
        return (i0, Math.Min(i0 + 1, from - 1), p - Fit.Num<T>(i0));
    }
}

/// <summary>Builder of <see cref="Core.BilinearResize"/>.</summary>
public static class BilinearResizeBuilder
{
    /// <summary>Adds <see cref="Core.BilinearResize"/>.</summary>
    public static Node BilinearResize(this Graph graph, Node x, int height, int width) =>
        graph.Add(new BilinearResize(height, width), x);
}
