using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>One batch of images to draw. Everything is [N,C,H,W].</summary>
public sealed record SampleBatch
{
    /// <summary>Number of images.</summary>
    public required int Count { get; init; }

    /// <summary>Height of the images.</summary>
    public required int Height { get; init; }

    /// <summary>Width of the images.</summary>
    public required int Width { get; init; }

    /// <summary>Where x_T and the noise of the steps come from.</summary>
    public required INoise Noise { get; init; }

    /// <summary>
    /// Number of the first image in the whole run: image i of the batch gets the noise of sample First + i.
    /// </summary>
    public long First { get; init; }

    /// <summary>One label per image, for conditional networks and classifiers.</summary>
    public IReadOnlyList<int>? Labels { get; init; }

    /// <summary>Small images [N,C,h,w] in [-1,1], for upsamplers.</summary>
    public Tensor? LowRes { get; init; }

    /// <summary>x_t to start from; null draws x_T.</summary>
    public Tensor? Start { get; init; }

    /// <summary>
    /// First step t to take, when <see cref="Start"/> is an image at that level of noise; null means T-1.
    /// </summary>
    public int? StartStep { get; init; }
}

/// <summary>What a sampler has after one step.</summary>
/// <param name="T">The step, from T-1 down to 0.</param>
/// <param name="Sample">x_{t-1}, [N,C,H,W].</param>
/// <param name="PredXStart">The x_0 predicted in this step: unguided by DDPM, guided by DDIM.</param>
public sealed record SamplerStep(int T, Tensor Sample, Tensor PredXStart);
