namespace AdmNative.Core;

/// <summary>Parameter-free resampling by two.</summary>
public enum ResampleMode : byte
{
    /// <summary>Nearest neighbour: each pixel becomes 2x2.</summary>
    Up2,

    /// <summary>Mean of each 2x2 block.</summary>
    Down2,
}

/// <summary>
/// Up2: y[h,w] = f * x[h/2,w/2]. Down2: y[h,w] = f/4 * sum of x[2h..2h+1, 2w..2w+1]. x: [N,H,W,C]; Down2 needs even H and W.
/// Spec 1.5 and Appendix B. Each mode is the other's transpose up to the factor.
/// </summary>
/// <param name="Mode">Up or down.</param>
/// <param name="Factor">f; 1 in models, 4 and 1/4 in gradients.</param>
public sealed record Resample(ResampleMode Mode, double Factor = 1) : Op
{
    /// <inheritdoc/>
    public override TensorType Infer(ReadOnlySpan<TensorType> inputs)
    {
        Require(Fit.F32(inputs, 1) && inputs[0].Shape.Rank == 4, "x[N,H,W,C]", inputs);
        Shape x = inputs[0].Shape;
        if (Mode == ResampleMode.Up2)
        {
            return TensorType.F32([x[0], 2L * x[1], 2L * x[2], x[3]]);
        }

        Require(x[1] % 2 == 0 && x[2] % 2 == 0, "even H and W to halve", inputs);
        return TensorType.F32([x[0], x[1] / 2, x[2] / 2, x[3]]);
    }

    /// <inheritdoc/>
    public override void Twin<T>(ReadOnlySpan<HostArray<T>> inputs, HostArray<T> output)
    {
        HostArray<T> x = inputs[0];
        T factor = Fit.Num<T>(Factor);
        T quarter = Fit.Num<T>(0.25);
        (int N, int H, int W, int C) = (output.Shape[0], output.Shape[1], output.Shape[2], output.Shape[3]);
        for (int n = 0; n < N; n++)
        {
            for (int h = 0; h < H; h++)
            {
                for (int w = 0; w < W; w++)
                {
                    for (int c = 0; c < C; c++)
                    {
                        output[n, h, w, c] = factor * (Mode == ResampleMode.Up2
                            ? x[n, h / 2, w / 2, c]
                            : quarter * (x[n, 2 * h, 2 * w, c] + x[n, 2 * h, (2 * w) + 1, c]
                                + x[n, (2 * h) + 1, 2 * w, c] + x[n, (2 * h) + 1, (2 * w) + 1, c]));
                    }
                }
            }
        }
    }

    /// <summary>Up2(f) is undone by Down2(4f), Down2(f) by Up2(f/4).</summary>
    public override Node?[] Gradient(Graph graph, Node node, Node dy, ReadOnlySpan<bool> wanted) =>
    [
        !wanted[0] ? null
        : Mode == ResampleMode.Up2 ? graph.Resample(dy, ResampleMode.Down2, 4 * Factor)
        : graph.Resample(dy, ResampleMode.Up2, Factor / 4),
    ];

    /// <inheritdoc/>
    public override IEnumerable<OpCase> Cases() =>
    [
        new(new Resample(ResampleMode.Up2), [TensorType.F32([2, 3, 5, 7])]),
        new(new Resample(ResampleMode.Up2, 0.25), [TensorType.F32([1, 1, 2, 33])]),
        new(new Resample(ResampleMode.Down2), [TensorType.F32([2, 6, 10, 7])]),
        new(new Resample(ResampleMode.Down2, 4), [TensorType.F32([1, 2, 4, 33])]),
    ];
}

/// <summary>Builder of <see cref="Core.Resample"/>.</summary>
public static class ResampleBuilder
{
    /// <summary>Adds <see cref="Core.Resample"/>.</summary>
    public static Node Resample(this Graph graph, Node x, ResampleMode mode, double factor = 1) =>
        graph.Add(new Resample(mode, factor), x);
}
