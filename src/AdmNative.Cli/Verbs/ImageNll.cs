using System.CommandLine;
using System.Globalization;
using AdmNative.Core;
using AdmNative.Diffusion;
using AdmNative.Formats;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>What image_nll is told.</summary>
internal sealed record ImageNllOptions
{
    public string? Preset { get; init; }

    public required string ModelPath { get; init; }

    public required IReadOnlyDictionary<string, string> ModelFlags { get; init; }

    public required string DataDir { get; init; }

    public bool ClipDenoised { get; init; }

    /// <summary>Null: 1000, or all images if there are fewer.</summary>
    public int? NumSamples { get; init; }

    public int BatchSize { get; init; }

    public bool Flip { get; init; }

    public ulong Seed { get; init; }

    public ulong? TorchSeed { get; init; }

    public string? Out { get; init; }

    public bool Resume { get; init; }

    public required string Device { get; init; }

    public string Conv { get; init; } = "auto";

    public string? Precision { get; init; }

    public int Threads { get; init; }

    public bool Json { get; init; }

    public bool Quiet { get; init; }
}

/// <summary>adm image_nll: bits per dimension of images under a diffusion model.</summary>
internal static class ImageNll
{
    private const int DefaultSamples = 1000;
    private const string Sampling = "Evaluation";

    // One array of a finished batch each, [n,T] or [n].
    private static readonly (string Name, string File)[] s_terms =
        [("vb", "vb_terms.npz"), ("mse", "mse_terms.npz"), ("xstart_mse", "xstart_mse_terms.npz")];

    public static Command Create(Host host)
    {
        var model = new ModelFlagSet().With("Model and diffusion", ModelSettings.Image, new ImageModelFlags());
        var preset = Flag.Text("preset", Sampling, null, "name", "Model flags and file of a known model, e.g. mnist16; all steps are taken unless timestep_respacing is given.");
        var modelPath = Flag.Text("model_path", Sampling, "", "file", "Checkpoint of the diffusion model, .pt or .safetensors.");
        var data = Flag.Text("data_dir", Sampling, "", "folder|file.npz", "Pictures, cropped to the middle and resized to image_size, or arr_0 u8 [N,H,W,C] of an .npz.");
        var clip = Flag.Bool("clip_denoised", Sampling, true, "Clamp the predicted image to [-1,1] in every step.");
        var count = Flag.Int("num_samples", Sampling, DefaultSamples, "Images to evaluate; by default not more than there are.", min: 1);
        var batch = Flag.Int("batch_size", Sampling, 1, "Images at a time.", min: 1);
        var flip = Flag.Bool("flip", Sampling, true, "Mirror every other image at random (by the seed), as the reference does.");
        var seed = Flag.Seed("seed", Sampling, 0, "Seed of noise and flips, which depend on it and the number of the image only.");
        var torchSeed = Flag.Seed("torch_seed", Sampling, null, "Draw the noise as PyTorch on a CPU does after manual_seed; then batch_size matters.");
        var output = CommonFlags.Out("Folder for vb_terms.npz, mse_terms.npz and xstart_mse_terms.npz; default: OPENAI_LOGDIR, else the current folder.");
        var resume = Flag.Bool("resume", CommonFlags.OutputGroup, false, "Go on with an unfinished run.");
        var json = CommonFlags.Json();
        var quiet = CommonFlags.Quiet();
        var device = CommonFlags.Device();
        var conv = CommonFlags.Conv();
        var precision = CommonFlags.Precision("f32, whatever use_fp16 says: the bound is a small difference");
        var threads = CommonFlags.Threads();
        var command = new Verb(
            "image_nll",
            "Evaluate the likelihood bound of images: bits per dimension, and its terms for every step (first entry t = T-1).",
            "# 100 pictures under the bundled model, 50 steps",
            "adm image_nll --preset mnist16 --data_dir digits --num_samples 100 --batch_size 20 --timestep_respacing 50",
            "# the reference's own command line",
            "adm image_nll --data_dir imagenet64/val --image_size 64 --num_channels 192 --num_res_blocks 3 --learn_sigma True --noise_schedule cosine --model_path model.pt --num_samples 10000 --batch_size 16")
        { preset, modelPath, data, clip, count, batch, flip, seed, torchSeed, output, resume, json, quiet, device, conv, precision, threads };
        model.AddTo(command);
        command.SetAction(p => Run(host, new ImageNllOptions
        {
            Preset = p.GetValue(preset),
            ModelPath = p.GetValue(modelPath)!,
            ModelFlags = model.Read(p),
            DataDir = p.GetValue(data)!,
            ClipDenoised = p.GetValue(clip),
            NumSamples = p.GetResult(count) is { Implicit: false } ? p.GetValue(count) : null,
            BatchSize = p.GetValue(batch)!.Value,
            Flip = p.GetValue(flip),
            Seed = p.GetValue(seed)!.Value,
            TorchSeed = p.GetValue(torchSeed),
            Out = p.GetValue(output),
            Resume = p.GetValue(resume),
            Device = p.GetValue(device)!,
            Conv = p.GetValue(conv)!,
            Precision = p.GetValue(precision),
            Threads = p.GetValue(threads)!.Value,
            Json = p.GetValue(json),
            Quiet = p.GetValue(quiet),
        }));
        return command;
    }

    private static int Run(Host host, ImageNllOptions options)
    {
        Preset? preset = options.Preset is null ? null : Presets.Find(options.Preset) with { Respacing = "" };
        using IBackend backend = Devices.Open(host, options.Device, options.Conv, options.Threads, options.Quiet, Precisions.Of(options.Precision));
        using LoadedModel<ImageModelFlags> model = ModelLoader.Image(host, options.ModelPath, options.ModelFlags, preset, ddim: false, options.Quiet);
        UNetConfig config = model.Flags.ToNetwork();
        using PictureSource images = PictureSource.Open(options.DataDir, "data_dir", config.ImageSize, config.InChannels);
        int[] labels = Labels(images, config, options.DataDir);
        int total = options.NumSamples ?? Math.Min(DefaultSamples, images.Count);

        // The network's result has twice the channels; arrays hold at most 2^31 values.
        int batch = options.TorchSeed is null ? Math.Min(options.BatchSize, total) : options.BatchSize;
        if ((double)batch * config.ImageSize * config.ImageSize * config.InChannels * 2 > Array.MaxLength)
        {
            throw new UsageException($"--batch_size {batch} of {config.ImageSize}x{config.ImageSize} images is more than arrays can hold; take fewer at a time");
        }

        string folder = OutputPaths.Folder(options.Out ?? Environment.GetEnvironmentVariable("OPENAI_LOGDIR") ?? ".", "--out");
        OutputPaths.Distinct(
            [.. s_terms.Select(t => ("--out", Path.Combine(folder, t.File)))],
            [("--model_path", model.Path), .. images.Places.Select(p => ("--data_dir", p))]);
        using PartsFolder parts = PartsFolder.Open(Path.Combine(folder, "image_nll.parts"), Settings(options, model, total, backend).Values, options.Resume);
        using var networks = new Networks(backend, new UNetDenoiser(config), model.Weights);
        var process = new DiffusionProcess(model.Flags.Diffusion.ToConfig());
        using var evaluator = new BitsPerDimension(networks, process, options.ClipDenoised);
        var run = new NllRun(host, options, images, labels, evaluator, process, parts, total);
        double bpd;
        string[] files;
        try
        {
            bpd = run.Execute();
            files = Write(folder, parts, total, process.Steps);
        }
        catch (OperationCanceledException)
        {
            throw new OperationCanceledException("stopped; " + Kept(parts, total));
        }
        catch (CheckpointException e) when (parts.Done > 0)
        {
            throw new CheckpointException($"{e.Message}; {Kept(parts, total)}", e.Path, e);
        }
        catch (IOException e) when (parts.Done > 0)
        {
            throw new IOException($"{e.Message}; {Kept(parts, total)}", e);
        }

        parts.Delete();
        Report(host, options, bpd, total, files);
        return ExitCode.Done;
    }

    private static string Kept(PartsFolder parts, int total) => parts.Done == 0
        ? "no batch was finished, nothing is kept"
        : $"{parts.Done} of {total} images are kept; run the same command with --resume to go on";

    private static int[] Labels(PictureSource images, UNetConfig config, string path)
    {
        (int height, int width, _) = images.Size;
        if ((height, width) != (config.ImageSize, config.ImageSize))
        {
            throw new CheckpointException($"holds {height}x{width} images, the model's image_size is {config.ImageSize}", path);
        }

        if (config.NumClasses is not int classes)
        {
            return [];
        }

        if (images.Labels is null)
        {
            throw new CheckpointException("has no labels (arr_1), which this class-conditional model needs", path);
        }

        int known = images.Labels.Max() + 1;
        return images.Labels.Min() >= 0 && known <= classes
            ? [.. images.Labels]
            : throw new CheckpointException($"has labels {images.Labels.Min()}..{known - 1}, the model knows 0..{classes - 1}", path);
    }

    private static RunSettings Settings(ImageNllOptions options, LoadedModel<ImageModelFlags> model, int total, IBackend backend)
    {
        RunSettings settings = RunSettings.Of("image_nll", options.Seed, options.TorchSeed, options.BatchSize, backend)
            .With("num_samples", total)
            .With("clip_denoised", options.ClipDenoised)
            .With("flip", options.Flip)
            .With("data_dir", File.Exists(options.DataDir) ? RunSettings.FingerprintOf(options.DataDir) : Path.GetFullPath(options.DataDir));
        return settings.With(model, ModelSettings.Image);
    }

    // Means over all images, one entry per step.
    private static string[] Write(string folder, PartsFolder parts, int total, int steps)
    {
        var files = new List<string>();
        foreach ((string name, string file) in s_terms)
        {
            var sums = new double[steps];
            foreach (Tensor rows in parts.Read(name))
            {
                ReadOnlySpan<float> values = rows.AsSpan<float>();
                for (int i = 0; i < values.Length; i++)
                {
                    sums[i % steps] += values[i];
                }
            }

            string path = Path.Combine(folder, file);
            using NpzWriter npz = NpzWriter.Create(path);
            npz.Add("arr_0", Tensor.From([steps], Array.ConvertAll(sums, s => (float)(s / total))));
            npz.Commit();
            files.Add(path);
        }

        return [.. files];
    }

    private static void Report(Host host, ImageNllOptions options, double bpd, int total, string[] files)
    {
        if (options.Json)
        {
            host.Out.WriteLine(new JObject { ["bpd"] = bpd, ["count"] = total, ["files"] = new JArray(files) });
            return;
        }

        host.Out.WriteLine($"bpd {bpd.ToString("R", CultureInfo.InvariantCulture)}");
        foreach (string file in files)
        {
            host.Out.WriteLine(file);
        }
    }
}

/// <summary>The loop of image_nll: finished batches, their running mean.</summary>
internal sealed class NllRun(
    Host host, ImageNllOptions options, PictureSource images, int[] labels, BitsPerDimension evaluator, DiffusionProcess process, PartsFolder parts, int total)
{
    private const string What = "evaluating";

    // Counter word that keeps the draw of flips apart from noise (steps) and labels.
    private const uint FlipStep = unchecked((uint)-3);

    /// <summary>The mean of bits per dimension over all images.</summary>
    public double Execute()
    {
        using var progress = new Progress(host, What, total, parts.Done, options.Quiet);
        double sum = parts.Read("total").Sum(t => t.AsSpan<float>().ToArray().Sum(v => (double)v));
        INoise noise = Noise();
        while (parts.Done < total)
        {
            sum += Batch(noise, progress);
            progress.Note(What, $"done {parts.Done} samples: bpd={(sum / parts.Done).ToString("0.#####", CultureInfo.InvariantCulture)}");
        }

        return sum / total;
    }

    private double Batch(INoise noise, Progress progress)
    {
        long first = parts.Done;
        int count = (int)Math.Min(options.BatchSize, total - first);
        int size = options.TorchSeed is null ? count : options.BatchSize;
        Tensor pictures = images.Read(first, size);
        Flip(pictures, first);
        int[]? y = labels.Length == 0 ? null : images.LabelsOf(first, size);
        BpdResult result = evaluator.Evaluate(PictureSource.Normalise(pictures), noise, y, first, done =>
        {
            host.Stop.ThrowIfCancellationRequested();
            progress.Report(first + (count * (double)done / process.Steps));
        });
        float[] totals = result.Total.ToFloats();
        int bad = Array.FindIndex(totals, v => !float.IsFinite(v));
        if (bad >= 0)
        {
            throw new NumericException($"image {(first + bad) % images.Count} has a bound of {totals[bad]} bits per dimension; check the checkpoint and its flags");
        }

        parts.Write(
        [
            ("vb", Rows(result.Vb, count)), ("mse", Rows(result.Mse, count)), ("xstart_mse", Rows(result.XStartMse, count)),
            ("total", Rows(result.Total, count)),
        ]);
        return totals.Take(count).Sum(v => (double)v);
    }

    private static Tensor Rows(Tensor tensor, int count) => Tensor.From(
        [count, .. tensor.Shape.ToArray().AsSpan(1)], tensor.ToFloats()[..(int)(tensor.Shape.Elements / tensor.Shape.Dim(0) * count)]);

    private INoise Noise()
    {
        if (options.TorchSeed is not ulong seed)
        {
            return new PhiloxNoise(options.Seed);
        }

        var noise = new TorchNoise(seed);
        (int h, int w, int c) = images.Size;
        var scratch = new float[options.BatchSize * h * w * c];
        for (long first = 0; first < parts.Done; first += options.BatchSize)
        {
            host.Stop.ThrowIfCancellationRequested();
            for (int t = process.Steps - 1; t >= 0; t--)
            {
                noise.Normals(t, first, [options.BatchSize, h, w, c], scratch);
            }
        }

        return noise;
    }

    private void Flip(Tensor pictures, long first)
    {
        if (!options.Flip)
        {
            return;
        }

        (int n, int h, int w, int c) = (pictures.Shape[0], pictures.Shape[1], pictures.Shape[2], pictures.Shape[3]);
        for (int i = 0; i < n; i++)
        {
            ulong image = (ulong)(first + i);
            Philox.Block((uint)options.Seed, (uint)(options.Seed >> 32), 0, FlipStep, (uint)image, (uint)(image >> 32), out uint word, out _, out _, out _);
            if ((word & 1) == 0)
            {
                continue;
            }

            Span<byte> image8 = pictures.Bytes.Slice(i * h * w * c, h * w * c);
            for (int y = 0; y < h; y++)
            {
                Mirror(image8.Slice(y * w * c, w * c), c);
            }
        }
    }

    private static void Mirror(Span<byte> row, int channels)
    {
        row.Reverse();
        for (int x = 0; x < row.Length; x += channels)
        {
            row.Slice(x, channels).Reverse();
        }
    }
}
