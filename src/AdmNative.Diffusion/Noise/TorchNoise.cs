using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// The draws of the reference's programs after torch.manual_seed on a CPU: labels by randint, then tensors by randn in NCHW order.
/// Reproduces a run of theirs with the same batch size; unlike <see cref="PhiloxNoise"/> an image depends on its place in the batch.
/// </summary>
public sealed class TorchNoise : INoise
{
    private readonly TorchGenerator _generator;

    /// <summary>Starts the stream of a seed.</summary>
    public TorchNoise(ulong seed) => _generator = new TorchGenerator(seed);

    /// <summary>The next tensor of the stream, whatever the step.</summary>
    public void Normals(int t, long firstSample, Shape shape, Span<float> destination)
    {
        var nchw = new float[destination.Length];
        _generator.Normals(nchw);
        PixelOrder.ToNhwc(nchw, shape, destination);
    }

    /// <summary>The next labels of the stream.</summary>
    public void Labels(long firstSample, int classes, Span<int> destination)
    {
        var labels = new long[destination.Length];
        _generator.Integers(0, classes, labels);
        for (int i = 0; i < labels.Length; i++)
        {
            destination[i] = (int)labels[i];
        }
    }
}
