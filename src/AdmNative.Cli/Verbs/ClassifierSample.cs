using System.CommandLine;
using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Cli;

/// <summary>What classifier_sample is told beyond the shared options.</summary>
internal sealed record ClassifierSampleOptions(SamplingOptions Sampling, string ClassifierPath, double? ClassifierScale, bool GuidanceAtMean);

/// <summary>adm classifier_sample: images from a diffusion model guided by a noisy classifier.</summary>
internal static class ClassifierSample
{
    public static Command Create(Host host)
    {
        var path = Flag.Text("classifier_path", "Sampling", "", "file", "Checkpoint of the classifier, .pt or .safetensors.");
        var scale = Flag.Real("classifier_scale", "Sampling", 1, "Multiplies the classifier's gradient; 0 is no guidance.");
        var atMean = Flag.Bool("guidance_at_mean", "Sampling", false, "Take the gradient at the predicted mean with the time of the next step, as the paper derives it, instead of at x_t.");
        var flags = new SamplingFlags(
            new ModelFlagSet()
                .With("Model and diffusion", ModelSettings.Image, new ImageModelFlags())
                .With("Classifier", ModelSettings.Classifier, new ClassifierFlags()));
        var command = new Verb(
            "classifier_sample",
            "Draw images from a diffusion model guided by a noisy classifier. Writes samples_<N>x<H>x<W>x<C>.npz: arr_0 u8 [N,H,W,C], arr_1 labels.",
            "# ten rows of digits from the bundled models, one class per row",
            "adm classifier_sample --preset mnist16 --classes 0-9 --samples_per_class 10 --grid digits.png",
            "# the same without guidance",
            "adm classifier_sample --preset mnist16 --classes 0-9 --samples_per_class 10 --classifier_scale 0 --grid digits.png",
            "# ImageNet 64x64, twelve images each of two classes",
            "adm classifier_sample --preset imagenet64 --model_path 64x64_diffusion.pt --classifier_path 64x64_classifier.pt --classes 207,980 --samples_per_class 12 --batch_size 4 --grid dogs-and-volcanoes.png");
        flags.AddTo(command, path, scale, atMean);
        command.SetAction(p => Run(host, new ClassifierSampleOptions(
            flags.Read(p), p.GetValue(path)!, p.GetResult(scale) is { Implicit: false } ? p.GetValue(scale) : null, p.GetValue(atMean))));
        return command;
    }

    private static int Run(Host host, ClassifierSampleOptions verb)
    {
        SamplingOptions options = verb.Sampling;
        Preset? preset = options.Preset is null ? null : Presets.Find(options.Preset);
        using LoadedModel<ImageModelFlags> model = ModelLoader.Image(host, options.ModelPath, options.ModelFlags, preset, options.UseDdim, options.Quiet);
        using LoadedModel<ClassifierFlags> classifier = ModelLoader.Classifier(host, options, verb.ClassifierPath, preset, model.Flags);
        using IBackend backend = Devices.Open(host, options.Device, options.Conv, options.Threads, options.Quiet, Precisions.Of(options.Precision, model.Flags.UseFp16, classifier.Flags.UseFp16));
        var config = (UNetConfig)model.Flags.ToNetwork();
        var classifierConfig = (EncoderUNetConfig)classifier.Flags.ToNetwork();
        if (config.NumClasses is int labels && labels != classifierConfig.NumClasses)
        {
            throw new CheckpointException($"the diffusion model knows {labels} classes, the classifier {classifierConfig.NumClasses}: they do not belong together", classifier.Path);
        }

        if (model.Flags.Diffusion.RescaleTimesteps && !options.Quiet)
        {
            host.Error.WriteLine("note: --rescale_timesteps also rescales the times told to the classifier, which the reference trains on plain ones");
        }

        SampleCount count = SampleCount.Of(options, classifierConfig.NumClasses);
        double scale = verb.ClassifierScale
            ?? (options.UseDdim ? preset?.DdimClassifierScale : null) ?? preset?.ClassifierScale ?? 1;
        var settings = RunSettings.Of("classifier_sample", options, count, backend)
            .With(model, ModelSettings.Image)
            .With(classifier, [.. ModelSettings.Classifier, .. ModelSettings.ClassifierShared])
            .With("classifier_scale", scale)
            .With("guidance_at_mean", verb.GuidanceAtMean);

        using var networks = new Networks(backend, new UNetDenoiser(config), model.Weights, classifierConfig, classifier.Weights);
        using Sampler sampler = Samplers.Create(networks, model.Flags.Diffusion, options, scale, verb.GuidanceAtMean);
        Samplers.Announce(host, options, sampler, networks, count.Count);
        SampleFiles files = new SampleRun(host, options, new SampleJob
        {
            Sampler = sampler,
            Height = config.ImageSize,
            Width = config.ImageSize,
            Channels = config.InChannels,
            Count = count,
            DrawnClasses = classifierConfig.NumClasses,
            Inputs = [("--model_path", model.Path), ("--classifier_path", classifier.Path)],
            Settings = settings.Values,
        }).Execute();
        return SampleReport.Write(host, options, files, networks);
    }
}
