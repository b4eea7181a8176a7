namespace AdmNative.Diffusion;

/// <summary>
/// The published checkpoints with their flags (README of the reference), recipes (Tables 11-13) and guidance scales (Table 14),
/// and three small models of this project.
/// </summary>
public static class Presets
{
    private const string Published = "https://openaipublic.blob.core.windows.net/diffusion/jul-2021/";

    /// <summary>Every preset.</summary>
    public static IReadOnlyList<Preset> All { get; } =
    [
        Image("imagenet64", "64x64_diffusion", "ImageNet 64x64, class-conditional", ImageNet64, 2048, 540_000, 3e-4)
            with { Classifier = "classifier64", ClassifierScale = 1.0 },
        Image("imagenet128", "128x128_diffusion", "ImageNet 128x128, class-conditional", ImageNet128, 256, 4_360_000)
            with { Classifier = "classifier128", ClassifierScale = 0.5, DdimClassifierScale = 1.25 },
        Image("imagenet256", "256x256_diffusion", "ImageNet 256x256, class-conditional", ImageNet256, 256, 1_980_000)
            with { Classifier = "classifier256", ClassifierScale = 1.0, DdimClassifierScale = 2.5 },
        Image("imagenet256-uncond", "256x256_diffusion_uncond", "ImageNet 256x256, unconditional",
            ImageNet256 with { ClassCond = false }, 256, 1_980_000) with { Classifier = "classifier256", ClassifierScale = 10.0 },
        Image("imagenet512", "512x512_diffusion", "ImageNet 512x512, class-conditional", ImageNet512, 256, 1_940_000)
            with { Classifier = "classifier512", ClassifierScale = 4.0, DdimClassifierScale = 9.0 },
        Upsampler("upsampler-64-256", "64_256_upsampler", "ImageNet 64x64 to 256x256", Upsampler64To256, 500_000),
        Upsampler("upsampler-128-512", "128_512_upsampler", "ImageNet 128x128 to 512x512", Upsampler128To512, 1_050_000),
        Lsun("lsun-bedroom", "lsun_bedroom", "LSUN bedrooms 256x256", LsunModel, 500_000),
        Lsun("lsun-cat", "lsun_cat", "LSUN cats 256x256", LsunModel, 200_000),
        Lsun("lsun-horse", "lsun_horse", "LSUN horses 256x256", LsunModel, 250_000),
        Lsun("lsun-horse-nodropout", "lsun_horse_nodropout", "LSUN horses 256x256, trained without dropout",
            LsunModel with { Dropout = 0 }, 250_000),
        Classifier("classifier64", "64x64_classifier", new() { ImageSize = 64, Depth = 4, Diffusion = Cosine }, 1024, 300_000, 6e-4, 0.2),
        Classifier("classifier128", "128x128_classifier", new() { ImageSize = 128 }, 256, 300_000, 3e-4, 0.05, anneal: true),
        Classifier("classifier256", "256x256_classifier", new() { ImageSize = 256 }, 256, 500_000, 3e-4, 0.05),
        Classifier("classifier512", "512x512_classifier", new() { ImageSize = 512 }, 256, 500_000, 3e-4, 0.05),
        new()
        {
            Name = "mnist16",
            Description = "digits 16x16, unconditional; comes with the project",
            FileName = "mnist16/diffusion.pt",
            Flags = Mnist16,
            Classifier = "mnist16-classifier",
            ClassifierScale = 5.0,
            DdimClassifierScale = 2.0,
            Respacing = "50",
        },
        new()
        {
            Name = "mnist16-classifier",
            Description = "ten digits 16x16; comes with the project",
            FileName = "mnist16/classifier.pt",
            Flags = Mnist16Classifier,
        },
        new() { Name = "digits32", Description = "small unconditional model for 32x32 images, 1.4 M weights", Flags = Digits32 },
        new() { Name = "mid64", Description = "mid-sized unconditional model for 64x64 images, 25 M weights", Flags = Mid64 },
    ];

    /// <summary>The ImageNet 64x64 diffusion model; its file alone uses the new attention order.</summary>
    public static ImageModelFlags ImageNet64 => new()
    {
        ImageSize = 64,
        ClassCond = true,
        NumChannels = 192,
        NumResBlocks = 3,
        NumHeadChannels = 64,
        AttentionResolutions = "32,16,8",
        Dropout = 0.1,
        ResblockUpdown = true,
        UseNewAttentionOrder = true,
        UseFp16 = true,
        Diffusion = Learned with { NoiseSchedule = NoiseSchedule.Cosine },
    };

    /// <summary>The ImageNet 256x256 diffusion model; others are edits of it.</summary>
    public static ImageModelFlags ImageNet256 => new()
    {
        ImageSize = 256,
        ClassCond = true,
        NumChannels = 256,
        NumResBlocks = 2,
        NumHeadChannels = 64,
        AttentionResolutions = "32,16,8",
        ResblockUpdown = true,
        UseFp16 = true,
        Diffusion = Learned,
    };

    /// <summary>The ImageNet 128x128 diffusion model: four heads whatever the width.</summary>
    public static ImageModelFlags ImageNet128 => ImageNet256 with { ImageSize = 128, NumHeads = 4, NumHeadChannels = -1 };

    /// <summary>The ImageNet 512x512 diffusion model.</summary>
    public static ImageModelFlags ImageNet512 => ImageNet256 with { ImageSize = 512, UseFp16 = false };

    /// <summary>The LSUN models.</summary>
    public static ImageModelFlags LsunModel => ImageNet256 with { ClassCond = false, Dropout = 0.1 };

    /// <summary>The upsampler from 64x64 to 256x256.</summary>
    public static SuperResFlags Upsampler64To256 => new()
    {
        LargeSize = 256,
        SmallSize = 64,
        ClassCond = true,
        NumChannels = 192,
        NumResBlocks = 2,
        NumHeads = 4,
        AttentionResolutions = "32,16,8",
        ResblockUpdown = true,
        UseFp16 = true,
        Diffusion = Learned,
    };

    /// <summary>The upsampler from 128x128 to 512x512; its smallest map is 16x16.</summary>
    public static SuperResFlags Upsampler128To512 => Upsampler64To256 with
    {
        LargeSize = 512,
        SmallSize = 128,
        NumHeadChannels = 64,
        AttentionResolutions = "32,16",
    };

    /// <summary>A small model for 32x32 images.</summary>
    public static ImageModelFlags Digits32 => new()
    {
        ImageSize = 32,
        NumChannels = 32,
        NumResBlocks = 1,
        ChannelMult = "1,2,2",
        NumHeadChannels = 32,
        AttentionResolutions = "16,8",
        ResblockUpdown = true,
        Diffusion = Learned,
    };

    /// <summary>A mid-sized model for 64x64 images.</summary>
    public static ImageModelFlags Mid64 => new()
    {
        ImageSize = 64,
        NumChannels = 64,
        NumResBlocks = 2,
        ChannelMult = "1,2,3,4",
        NumHeadChannels = 64,
        AttentionResolutions = "32,16,8",
        ResblockUpdown = true,
        Diffusion = Learned,
    };

    /// <summary>The digits model that comes with the project.</summary>
    public static ImageModelFlags Mnist16 => new()
    {
        ImageSize = 16,
        NumChannels = 32,
        NumResBlocks = 1,
        ChannelMult = "1,2",
        NumHeadChannels = 32,
        AttentionResolutions = "8",
        ResblockUpdown = true,
        Diffusion = Learned with { NoiseSchedule = NoiseSchedule.Cosine },
    };

    /// <summary>The digits classifier that comes with the project.</summary>
    public static ClassifierFlags Mnist16Classifier => new()
    {
        ImageSize = 16,
        Width = 32,
        Depth = 1,
        ChannelMult = "1,2",
        AttentionResolutions = "8",
        NumHeadChannels = 32,
        NumClasses = 10,
        Diffusion = Cosine,
    };

    private static DiffusionFlags Learned => new() { LearnSigma = true };

    private static DiffusionFlags Cosine => new() { NoiseSchedule = NoiseSchedule.Cosine };

    /// <summary>The preset of a name or of a published file name (with or without ".pt"); case and underscores do not matter.</summary>
    /// <exception cref="ConfigException">There is none; lists those there are.</exception>
    public static Preset Find(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        string wanted = Plain(name);
        return All.FirstOrDefault(p => Plain(p.Name) == wanted || (p.FileName is string file && Plain(file) == wanted))
            ?? throw new ConfigException($"preset \"{name}\" is unknown; there are {string.Join(", ", All.Select(p => p.Name))}");
    }

    /// <summary>
    /// The preset of a checkpoint file that carries a published name, wherever it lies; null for other files. What shapes cannot
    /// tell (heads, attention order, schedule) may be taken from it.
    /// </summary>
    public static Preset? ForFile(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        string unified = path.Replace('\\', '/');
        return All.FirstOrDefault(p => p.FileName is string file
            && (unified == file || unified.EndsWith("/" + file, StringComparison.Ordinal)));
    }

    private static string Plain(string name)
    {
        string lower = name.ToLowerInvariant().Replace('_', '-');
        return lower.EndsWith(".pt", StringComparison.Ordinal) ? lower[..^3] : lower;
    }

    private static Preset Image(
        string name, string file, string description, ImageModelFlags flags, int batch, int iterations, double rate = 1e-4) => new()
        {
            Name = name,
            Description = description,
            FileName = file + ".pt",
            Address = new Uri($"{Published}{file}.pt"),
            Flags = flags,
            Training = new() { BatchSize = batch, Iterations = iterations, LearningRate = rate },
        };

    private static Preset Lsun(string name, string file, string description, ImageModelFlags flags, int iterations) =>
        Image(name, file, description, flags, 256, iterations) with { Respacing = "" };

    private static Preset Upsampler(string name, string file, string description, SuperResFlags flags, int iterations) => new()
    {
        Name = name,
        Description = description,
        FileName = file + ".pt",
        Address = new Uri($"{Published}{file}.pt"),
        Flags = flags,
        Training = new() { BatchSize = 256, Iterations = iterations, LearningRate = 1e-4 },
    };

    private static Preset Classifier(
        string name, string file, ClassifierFlags flags, int batch, int iterations, double rate, double decay, bool anneal = false) => new()
        {
            Name = name,
            Description = $"noisy ImageNet {flags.ImageSize}x{flags.ImageSize} classifier",
            FileName = file + ".pt",
            Address = new Uri($"{Published}{file}.pt"),
            Flags = flags,
            Training = new()
            {
                BatchSize = batch,
                Iterations = iterations,
                LearningRate = rate,
                WeightDecay = decay,
                EmaRate = null,
                AnnealLearningRate = anneal,   // stated on the published command line of the 128x128 one alone
                RandomCrop = true,
            },
        };
}
