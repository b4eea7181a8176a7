using System.CommandLine;
using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Cli;

/// <summary>adm image_sample: images from a diffusion model alone.</summary>
internal static class ImageSample
{
    public static Command Create(Host host)
    {
        var flags = new SamplingFlags(new ModelFlagSet().With("Model and diffusion", ModelSettings.Image, new ImageModelFlags()));
        var command = new Verb(
            "image_sample",
            "Draw images from a diffusion model. Writes samples_<N>x<H>x<W>x<C>.npz: arr_0 u8 [N,H,W,C], arr_1 labels of a class-conditional model.",
            "# 16 digits from the bundled model, as a picture",
            "adm image_sample --preset mnist16 --num_samples 16 --grid digits.png --grid_scale 4",
            "# 64 images of the LSUN bedroom model, 50 DDIM steps",
            "adm image_sample --preset lsun-bedroom --model_path lsun_bedroom.pt --num_samples 64 --batch_size 4 --use_ddim True --timestep_respacing ddim50",
            "# the reference's own command line",
            "adm image_sample --attention_resolutions 32,16,8 --class_cond True --diffusion_steps 1000 --image_size 64 --learn_sigma True --noise_schedule cosine --num_channels 192 --num_head_channels 64 --num_res_blocks 3 --resblock_updown True --use_new_attention_order True --use_fp16 True --use_scale_shift_norm True --model_path models/64x64_diffusion.pt --batch_size 4 --num_samples 100 --timestep_respacing 250");
        flags.AddTo(command);
        command.SetAction(p => Run(host, flags.Read(p)));
        return command;
    }

    private static int Run(Host host, SamplingOptions options)
    {
        Preset? preset = options.Preset is null ? null : Presets.Find(options.Preset);
        using LoadedModel<ImageModelFlags> model = ModelLoader.Image(host, options.ModelPath, options.ModelFlags, preset, options.UseDdim, options.Quiet);
        using IBackend backend = Devices.Open(host, options.Device, options.Conv, options.Threads, options.Quiet, Precisions.Of(options.Precision, model.Flags.UseFp16));
        var config = (UNetConfig)model.Flags.ToNetwork();
        SampleCount count = SampleCount.Of(options, config.NumClasses);
        var settings = RunSettings.Of("image_sample", options, count, backend).With(model, ModelSettings.Image);

        using var networks = new Networks(backend, new UNetDenoiser(config), model.Weights);
        using Sampler sampler = Samplers.Create(networks, model.Flags.Diffusion, options, classifierScale: 0, guidanceAtMean: false);
        Samplers.Announce(host, options, sampler, networks, count.Count);
        SampleFiles files = new SampleRun(host, options, new SampleJob
        {
            Sampler = sampler,
            Height = config.ImageSize,
            Width = config.ImageSize,
            Channels = config.InChannels,
            Count = count,
            DrawnClasses = config.NumClasses,
            Inputs = [("--model_path", model.Path)],
            Settings = settings.Values,
        }).Execute();
        return SampleReport.Write(host, options, files, networks);
    }
}
