using AdmNative.Core;
using AdmNative.Formats;

namespace AdmNative.Diffusion;

/// <summary>Reads the arrays of recorded cases.</summary>
internal static class ReplayInput
{
    /// <summary>An array as f32.</summary>
    public static Tensor Floats(NpzFile input, string name)
    {
        if (!input.Contains(name))
        {
            throw new CheckpointException(
                $"the case needs an array {name}; the file has {string.Join(", ", input.Names)}", input.Path);
        }

        Tensor tensor = input.Read(name);
        return tensor.DType == DType.F32 ? tensor : Tensor.From<float>(tensor.Shape, tensor.ToFloats());
    }

    /// <summary>The shape of an image batch [N,C,H,W].</summary>
    public static Shape Images(Tensor images, string name) => images.Shape.Rank == 4
        ? images.Shape
        : throw new ShapeException($"{name} must be images [N,C,H,W], it is {images.Shape}");

    /// <summary>Whole numbers of one dimension.</summary>
    public static int[] Integers(NpzFile input, string name)
    {
        Tensor tensor = Floats(input, name);
        float[] values = tensor.ToFloats();
        int bad = Array.FindIndex(values, v => v != MathF.Truncate(v) || MathF.Abs(v) > 1 << 24);
        if (tensor.Shape.Rank != 1 || bad >= 0)
        {
            string found = bad >= 0 ? $" with {values[bad]}" : "";
            throw new ShapeException($"{name} must be a list of whole numbers, it is {tensor.Shape}{found}");
        }

        return [.. values.Select(v => (int)v)];
    }

    /// <summary>The labels y, if the case has any.</summary>
    public static int[]? Labels(NpzFile input) => input.Contains("y") ? Integers(input, "y") : null;

    /// <summary>The noise of a whole run, [T,N,C,H,W] in sampling order, and its x_T.</summary>
    public static ExplicitNoise Noise(NpzFile input, Tensor initial, int steps)
    {
        Tensor noise = Floats(input, "noise");
        Shape expected = Shape.Create([steps, .. initial.Shape.ToArray()]);
        if (noise.Shape != expected)
        {
            throw new ShapeException(
                $"noise must be {expected}, one tensor per step in sampling order; it is {noise.Shape}");
        }

        float[] all = noise.ToFloats();
        int perStep = all.Length / steps;
        IEnumerable<float[]> parts = Enumerable.Range(0, steps).Select(k => all[(k * perStep)..((k + 1) * perStep)]);
        return new ExplicitNoise(initial.ToFloats(), [.. parts]);
    }

    /// <summary>The network of a case; an upsampler takes the size of its small images from the case.</summary>
    public static IDenoiser Denoiser(ReplayConfig config, NpzFile input)
    {
        switch (config.Model.Config)
        {
            case SuperResConfig superRes:
                Shape small = Images(Floats(input, "low_res"), "low_res");
                return new SuperResDenoiser(superRes, small[2], small[3]);
            case UNetConfig unet:
                return new UNetDenoiser(unet);
            default:
                throw new ConfigException("this case needs a UNetModel or a SuperResModel");
        }
    }
}
