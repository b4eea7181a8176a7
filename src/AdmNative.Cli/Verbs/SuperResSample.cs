using System.CommandLine;
using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Cli;

/// <summary>What super_res_sample is told beyond the shared options.</summary>
internal sealed record SuperResSampleOptions(SamplingOptions Sampling, string BaseSamples);

/// <summary>adm super_res_sample: small images made large by an upsampler.</summary>
internal static class SuperResSample
{
    public static Command Create(Host host)
    {
        var samples = Flag.Text("base_samples", "Sampling", "", "file.npz|folder|a.png,b.jpg",
            "Small images: arr_0 u8 [N,h,w,C] and arr_1 labels of an .npz, or pictures, cropped to small_size.");
        var flags = new SamplingFlags(new ModelFlagSet().With("Model and diffusion", ModelSettings.SuperRes, new SuperResFlags()), LabelChoice.ClassesOnly, "all base_samples");
        var command = new Verb(
            "super_res_sample",
            "Enlarge images with a super-resolution model. Writes samples_<N>x<H>x<W>x<C>.npz: arr_0 u8 [N,H,W,C], arr_1 the labels of the base samples.",
            "# from 64x64 samples to 256x256",
            "adm super_res_sample --preset upsampler-64-256 --model_path 64_256_upsampler.pt --base_samples samples_100x64x64x3.npz --timestep_respacing 250 --batch_size 4 --png_dir large",
            "# one picture, as class 207",
            "adm super_res_sample --preset upsampler-64-256 --model_path 64_256_upsampler.pt --base_samples dog.jpg --classes 207 --grid dog-256.png");
        flags.AddTo(command, samples);
        command.SetAction(p => Run(host, new SuperResSampleOptions(flags.Read(p), p.GetValue(samples)!)));
        return command;
    }

    private static int Run(Host host, SuperResSampleOptions verb)
    {
        SamplingOptions options = verb.Sampling;
        Preset? preset = options.Preset is null ? null : Presets.Find(options.Preset);
        using LoadedModel<SuperResFlags> model = ModelLoader.SuperRes(host, options, preset);
        using IBackend backend = Devices.Open(host, options.Device, options.Conv, options.Threads, options.Quiet, Precisions.Of(options.Precision, model.Flags.UseFp16));
        SuperResConfig config = model.Flags.ToNetwork();
        using PictureSource small = PictureSource.Open(verb.BaseSamples, "base_samples", config.SmallSize, config.InChannels);
        (int height, int width, _) = small.Size;
        if ((height, width) != (config.SmallSize, config.SmallSize) && !options.Quiet)
        {
            host.Error.WriteLine($"note: the base samples are {height}x{width}, the model was made for {config.SmallSize}x{config.SmallSize}");
        }

        SampleCount count = SampleCount.Of(options with { NumSamples = options.NumSamples ?? small.Count }, config.NumClasses);
        Func<long, int, int[]>? labels = Labels(small, count, config.NumClasses, verb.BaseSamples);
        RunSettings settings = RunSettings.Of("super_res_sample", options, count, backend)
            .With(model, ModelSettings.SuperRes)
            .With("base_samples", File.Exists(verb.BaseSamples) ? RunSettings.FingerprintOf(verb.BaseSamples) : verb.BaseSamples);

        using var networks = new Networks(backend, new SuperResDenoiser(config, height, width), model.Weights);
        using Sampler sampler = Samplers.Create(networks, model.Flags.Diffusion, options, classifierScale: 0, guidanceAtMean: false);
        Samplers.Announce(host, options, sampler, networks, count.Count);
        SampleFiles files = new SampleRun(host, options, new SampleJob
        {
            Sampler = sampler,
            Height = config.ImageSize,
            Width = config.ImageSize,
            Channels = config.InChannels,
            Count = count,
            GivenLabels = labels,
            LowRes = small.ReadNormalised,
            Inputs = [("--model_path", model.Path), .. small.Places.Select(p => ("--base_samples", p))],
            Settings = settings.Values,
        }).Execute();
        return SampleReport.Write(host, options, files, networks);
    }

    // Labels of the input, or the chosen classes in turn; a conditional network must have one or the other.
    private static Func<long, int, int[]>? Labels(PictureSource small, SampleCount count, int? classes, string path)
    {
        if (count.Classes is not null)
        {
            return (first, n) => [.. Enumerable.Range(0, n).Select(i => count.Label(first + i))];
        }

        if (classes is not int known)
        {
            return small.Labels is null ? null : small.LabelsOf;
        }

        if (small.Labels is null)
        {
            throw new CheckpointException("has no labels (arr_1), which this class-conditional upsampler needs; or choose them with --classes", path);
        }

        foreach (int label in small.Labels)
        {
            if (label < 0 || label >= known)
            {
                throw new CheckpointException($"arr_1 holds label {label}, outside 0..{known - 1}", path);
            }
        }

        return small.LabelsOf;
    }
}
