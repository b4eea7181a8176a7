using System.Globalization;
using AdmNative.Core;
using AdmNative.Diffusion;
using AdmNative.Formats;

namespace AdmNative.Cli;

/// <summary>An opened checkpoint and the flags it is built with.</summary>
/// <param name="Flags">All flags, settled.</param>
/// <param name="Weights">The open file.</param>
/// <param name="Path">Where it is.</param>
/// <param name="PathFlag">The flag that names it.</param>
internal sealed record LoadedModel<T>(T Flags, TensorFile Weights, string Path, string PathFlag) : IDisposable
    where T : class
{
    public void Dispose() => Weights.Dispose();
}

/// <summary>
/// Opens checkpoints and settles their flags. From weakest to strongest: the reference's defaults, what the shapes tell, a preset
/// (named, or known by the file's published name), config.json beside the file, flags on the command line. What is told must fit
/// the shapes; if not, all differences are listed in terms of flags.
/// </summary>
internal static class ModelLoader
{
    /// <summary>The model of image_sample, classifier_sample and image_nll.</summary>
    public static LoadedModel<ImageModelFlags> Image(
        Host host, string path, IReadOnlyDictionary<string, string> given, Preset? preset, bool ddim, bool quiet)
    {
        ImageModelFlags? known = Known<ImageModelFlags>(preset, "an image model; it is for super_res_sample or a classifier");
        return Load(
            host, ModelFiles.Locate(path, "model_path", preset), "model_path", "diffusion", ModelSettings.Image, given,
            WithRespacing(known, preset, ddim), new ImageModelFlags(), f => f.ToNetwork(), quiet);
    }

    /// <summary>The model of super_res_sample.</summary>
    public static LoadedModel<SuperResFlags> SuperRes(Host host, SamplingOptions options, Preset? preset)
    {
        SuperResFlags? known = Known<SuperResFlags>(preset, "an upsampler");
        known = known is null ? null : known with { Diffusion = Respaced(known.Diffusion, preset!, options.UseDdim) };
        return Load(
            host, ModelFiles.Locate(options.ModelPath, "model_path", preset), "model_path", "super_res", ModelSettings.SuperRes, options.ModelFlags,
            known, new SuperResFlags(), f => f.ToNetwork(), options.Quiet);
    }

    /// <summary>The classifier of classifier_sample.</summary>
    /// <param name="host">Where notes go.</param>
    /// <param name="options">Options of the run.</param>
    /// <param name="path">What --classifier_path says; may be empty with a preset.</param>
    /// <param name="preset">Preset of the diffusion model.</param>
    /// <param name="image">Flags of the diffusion model, whose size and channels it shares.</param>
    /// <exception cref="CheckpointException">It cannot judge the diffusion model's images.</exception>
    public static LoadedModel<ClassifierFlags> Classifier(Host host, SamplingOptions options, string path, Preset? preset, ImageModelFlags image)
    {
        Preset? own = preset?.Classifier is string name ? Presets.Find(name) : null;
        if (path.Length == 0 && own is null)
        {
            throw new UsageException("--classifier_path is needed (a .pt or .safetensors file); without a classifier use image_sample");
        }

        IReadOnlyList<Setting<ClassifierFlags>> settings = [.. ModelSettings.Classifier, .. ModelSettings.ClassifierShared];
        var given = options.ModelFlags.Where(f => settings.Any(s => s.Name == f.Key)).ToDictionary(f => f.Key, f => f.Value);
        LoadedModel<ClassifierFlags> loaded = Load(
            host, ModelFiles.Locate(path, "classifier_path", own), "classifier_path", "classifier", settings, given,
            (ClassifierFlags?)own?.Flags, new ClassifierFlags { ImageSize = image.ImageSize, ImageChannels = image.ImageChannels },
            f => f.ToNetwork(), options.Quiet);
        ClassifierFlags flags = loaded.Flags;
        if (flags.ImageSize == image.ImageSize && flags.ImageChannels == image.ImageChannels)
        {
            return loaded;
        }

        loaded.Dispose();
        throw new CheckpointException(
            $"the classifier judges {flags.ImageSize}x{flags.ImageSize} images of {flags.ImageChannels} channels, "
            + $"the diffusion model makes {image.ImageSize}x{image.ImageSize} of {image.ImageChannels}", loaded.Path);
    }

    private static T? Known<T>(Preset? preset, string kind) where T : ModelFlags => preset is null ? null
        : preset.Flags as T ?? throw new UsageException($"--preset {preset.Name} is not {kind}");

    private static ImageModelFlags? WithRespacing(ImageModelFlags? known, Preset? preset, bool ddim) =>
        known is null ? null : known with { Diffusion = Respaced(known.Diffusion, preset!, ddim) };

    // A preset recommends steps: Table 14's 25 where a DDIM scale is told, else its own number.
    private static DiffusionFlags Respaced(DiffusionFlags flags, Preset preset, bool ddim) =>
        flags with { TimestepRespacing = ddim && preset.DdimClassifierScale is not null ? "ddim25" : preset.Respacing };

    private static LoadedModel<T> Load<T>(
        Host host, string path, string pathFlag, string section, IReadOnlyList<Setting<T>> settings, IReadOnlyDictionary<string, string> given,
        T? preset, T defaults, Func<T, NetworkConfig> network, bool quiet)
        where T : ModelFlags
    {
        TensorFile weights = Checkpoints.Open(path);
        try
        {
            Preset? published = preset is null ? Presets.ForFile(path) : null;
            T? known = preset ?? published?.Flags as T;
            if (published?.Flags is T && !quiet)
            {
                host.Error.WriteLine($"{path}: flags of preset {published.Name}, whose file has this name");
            }

            IReadOnlyDictionary<string, string> config = ConfigFile.FlagsOf(path, section) ?? new Dictionary<string, string>();
            T flags = known ?? defaults;
            if (known is null)
            {
                Dictionary<string, string> told = Told(settings, config, given);
                Inspection inspection = CheckpointInspector.Infer(weights, Hints(told));
                flags = Inferred(flags, settings, inspection);
                Tell(host, path, inspection, told, quiet);
            }

            flags = ConfigFile.Apply(flags, settings, config, path);
            foreach (Setting<T> setting in settings)
            {
                flags = given.TryGetValue(setting.Name, out string? text) ? setting.Apply(flags, text) : flags;
            }

            Mismatch.Check(network(flags), weights);
            return new LoadedModel<T>(flags, weights, path, pathFlag);
        }
        catch
        {
            weights.Dispose();
            throw;
        }
    }

    // What the user says, under the names of the command line and under those of config.json and inspection.
    private static Dictionary<string, string> Told<T>(
        IReadOnlyList<Setting<T>> settings, IReadOnlyDictionary<string, string> config, IReadOnlyDictionary<string, string> given)
        where T : class
    {
        var told = new Dictionary<string, string>(config);
        foreach (Setting<T> setting in settings)
        {
            if (given.TryGetValue(setting.Name, out string? text))
            {
                told[setting.Name] = text;
                told[setting.ConfigName ?? setting.Name] = text;
            }
        }

        return told;
    }

    private static T Inferred<T>(T flags, IReadOnlyList<Setting<T>> settings, Inspection inspection) where T : class
    {
        foreach (InspectedField field in inspection.Fields)
        {
            Setting<T>? setting = settings.FirstOrDefault(s => s.Name == field.Flag || s.ConfigName == field.Flag);
            flags = setting?.Apply(flags, field.Value) ?? flags;
        }

        return flags;
    }

    // Only what the user could have told and did not, and what changes the result.
    private static void Tell(Host host, string path, Inspection inspection, Dictionary<string, string> told, bool quiet)
    {
        InspectedField[] assumed = [.. inspection.Assumptions.Where(f => !told.ContainsKey(f.Flag) && f.Flag != "dropout")];
        if (assumed.Length > 0 && !quiet)
        {
            host.Error.WriteLine($"{path}: the file does not tell these flags, assumed: {string.Join(" ", assumed.Select(f => $"--{f.Flag} {f.Value}"))}");
        }
    }

    private static InspectionHints Hints(Dictionary<string, string> told)
    {
        int? Number(params ReadOnlySpan<string> names)
        {
            foreach (string name in names)
            {
                if (told.TryGetValue(name, out string? text) && int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int v))
                {
                    return v;
                }
            }

            return null;
        }

        return new InspectionHints
        {
            ImageSize = Number("image_size", "large_size"),
            SmallSize = Number("small_size"),
            ResBlocks = Number("num_res_blocks", "classifier_depth"),
        };
    }
}
