#region usings
using AdmNative.Core;
using AdmNative.Cpu;
using AdmNative.Diffusion;
using AdmNative.Formats;
#endregion

namespace EmbeddingSample;

/// <summary>Images from a checkpoint, on whatever device.</summary>
internal static class Sampling
{
    /// <summary>One digit per class, by classifier guidance on the CPU.</summary>
    public static Tensor Guided(string folder)
    {
        #region guided
        Preset preset = Presets.Find("mnist16");
        using TensorFile checkpoint = Checkpoints.Open(Path.Combine(folder, "diffusion.safetensors")); // folder: models/mnist16
        using TensorFile guide = Checkpoints.Open(Path.Combine(folder, "classifier.safetensors"));
        using var backend = new CpuBackend();
        using var networks = new Networks(
            backend, new UNetDenoiser((UNetConfig)preset.Network), checkpoint, (EncoderUNetConfig)Presets.Find(preset.Classifier!).Network, guide);
        using var sampler = new DdpmSampler(
            networks, new DiffusionProcess(preset.Flags.Diffusion.ToConfig() with { Respacing = "50" }), new SamplerOptions { ClassifierScale = 3 });

        int[] labels = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        Tensor images = sampler.Sample(new SampleBatch { Count = labels.Length, Height = 16, Width = 16, Noise = new PhiloxNoise(seed: 0), Labels = labels });
        Console.WriteLine(images.Shape); // [10,3,16,16], values in about [-1, 1]
        #endregion

        return images;
    }

    /// <summary>Any digits, without a classifier.</summary>
    public static Tensor Unguided(IBackend backend, string folder, int images, string steps)
    {
        #region steps
        Preset preset = Presets.Find("mnist16");
        using TensorFile checkpoint = Checkpoints.Open(Path.Combine(folder, "diffusion.safetensors"));
        using var networks = new Networks(backend, new UNetDenoiser((UNetConfig)preset.Network), checkpoint);
        using var sampler = new DdimSampler(networks, new DiffusionProcess(preset.Flags.Diffusion.ToConfig() with { Respacing = steps }));

        var batch = new SampleBatch { Count = images, Height = 16, Width = 16, Noise = new PhiloxNoise(seed: 0) };
        SamplerStep last = sampler.Progressive(batch).Last(); // one step after the other; each has the sample and the predicted image
        return last.Sample;
        #endregion
    }
}
