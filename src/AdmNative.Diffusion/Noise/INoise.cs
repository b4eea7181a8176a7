using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// Where samplers take their random numbers from. A run asks, per batch and in this order, for the labels (if it needs any), the
/// initial x_T, and one tensor for every step from T-1 down to 0, the last included. Sources that compute each value from its
/// place ignore the order; sources that replay a stream depend on it.
/// </summary>
public interface INoise
{
    /// <summary>The step number that stands for the initial x_T.</summary>
    const int Initial = -1;

    /// <summary>Fills a batch with standard normals.</summary>
    /// <param name="t">Step of the process that runs (its own index, not the original one), or <see cref="Initial"/>.</param>
    /// <param name="firstSample">Index in the whole run of the batch's first image.</param>
    /// <param name="shape">[N, H, W, C].</param>
    /// <param name="destination">N*H*W*C values, NHWC.</param>
    void Normals(int t, long firstSample, Shape shape, Span<float> destination);

    /// <summary>Fills a batch of labels, each uniform over 0..<paramref name="classes"/>-1.</summary>
    void Labels(long firstSample, int classes, Span<int> destination);
}
