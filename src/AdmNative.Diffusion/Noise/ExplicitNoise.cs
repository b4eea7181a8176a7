using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// Noise given as arrays, for comparing a run with another implementation number by number. Arrays are [N,C,H,W] over all images of
/// the run; batches take their part.
/// </summary>
public sealed class ExplicitNoise : INoise
{
    private readonly float[] _initial;
    private readonly float[][] _steps;
    private readonly int[]? _labels;

    /// <summary>Takes the arrays as they are.</summary>
    /// <param name="initial">x_T.</param>
    /// <param name="steps">One tensor per step in sampling order: the first belongs to t = T-1, the last to t = 0.</param>
    /// <param name="labels">One label per image; null when the run needs none.</param>
    public ExplicitNoise(float[] initial, float[][] steps, int[]? labels = null)
    {
        ArgumentNullException.ThrowIfNull(initial);
        ArgumentNullException.ThrowIfNull(steps);
        for (int k = 0; k < steps.Length; k++)
        {
            if (steps[k].Length != initial.Length)
            {
                throw new ShapeException($"noise of draw {k} has {steps[k].Length} values, x_T has {initial.Length}");
            }
        }

        _initial = initial;
        _steps = steps;
        _labels = labels;
    }

    /// <inheritdoc/>
    public void Normals(int t, long firstSample, Shape shape, Span<float> destination)
    {
        if (t != INoise.Initial && (t < 0 || t >= _steps.Length))
        {
            throw new ShapeException($"explicit noise has {_steps.Length} steps; step {t} is outside 0..{_steps.Length - 1}");
        }

        float[] whole = t == INoise.Initial ? _initial : _steps[_steps.Length - 1 - t];
        long perSample = shape.Rank == 4 && shape[0] > 0 ? shape.Elements / shape[0] : 0;
        long begin = checked(firstSample * perSample);
        if (perSample == 0 || firstSample < 0 || whole.Length % perSample != 0 || begin + shape.Elements > whole.Length)
        {
            throw new ShapeException(
                $"explicit noise has {whole.Length} values per step; images {firstSample} on of shape {shape} do not fit in it");
        }

        PixelOrder.ToNhwc(whole.AsSpan((int)begin, (int)shape.Elements), shape, destination);
    }

    /// <inheritdoc/>
    public void Labels(long firstSample, int classes, Span<int> destination)
    {
        if (_labels is null || firstSample < 0 || firstSample + destination.Length > _labels.Length)
        {
            throw new ShapeException(
                $"explicit noise has {_labels?.Length ?? 0} labels; images {firstSample}..{firstSample + destination.Length - 1} need one each");
        }

        ReadOnlySpan<int> labels = _labels.AsSpan((int)firstSample, destination.Length);
        foreach (int label in labels)
        {
            if (label < 0 || label >= classes)
            {
                throw new ShapeException($"label {label} is outside 0..{classes - 1}");
            }
        }

        labels.CopyTo(destination);
    }
}
