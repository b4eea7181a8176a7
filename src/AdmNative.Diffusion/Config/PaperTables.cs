namespace AdmNative.Diffusion;

/// <summary>One row of the ablations: a model for ImageNet 128x128 and the FID the paper reports for it.</summary>
/// <param name="Name">Preset-like name, e.g. "table1-heads4".</param>
/// <param name="Flags">The model.</param>
/// <param name="Fid700K">FID after 700 thousand iterations, 250 sampling steps.</param>
/// <param name="Fid1200K">FID after 1.2 million; null where the paper gives none.</param>
public sealed record Ablation(string Name, ImageModelFlags Flags, double Fid700K, double? Fid1200K = null);

/// <summary>FID of one respacing of the LSUN bedroom model (Table 15).</summary>
public sealed record RespacingResult(string Respacing, double Fid);

/// <summary>A sweep of guidance scales (section 5 of the paper).</summary>
/// <param name="ImageSize">ImageNet resolution.</param>
/// <param name="Respacing">"250" or "ddim25".</param>
/// <param name="Scales">The scales tried.</param>
/// <param name="Best">The one reported in Table 14.</param>
public sealed record GuidanceSweep(int ImageSize, string Respacing, ValueList<double> Scales, double Best);

/// <summary>Numbers of "Diffusion Models Beat GANs on Image Synthesis" (arXiv:2105.05233v4) that a reproduction needs.</summary>
public static class PaperTables
{
    /// <summary>Batch size and rates of all ablation models; the learning rate is that of the 128x128 model.</summary>
    public static TrainingRecipe AblationTraining => new() { BatchSize = 256, Iterations = 1_200_000, LearningRate = 1e-4 };

    /// <summary>
    /// Table 1: channels, depth, heads, attention resolutions, BigGAN up/downsampling, rescaled residuals. The paper prints the
    /// rows after the first as changes of FID. Class-conditional like all its ImageNet 128x128 models.
    /// </summary>
    public static IReadOnlyList<Ablation> Table1 { get; } =
    [
        new("table1-base", Base, 15.33, 13.21),
        new("table1-depth4", Base with { NumChannels = 128, NumResBlocks = 4 }, 15.33 - 0.21, 13.21 - 0.48),
        new("table1-heads4", Base with { NumHeads = 4 }, 15.33 - 0.54, 13.21 - 0.82),
        new("table1-attention", Base with { AttentionResolutions = "32,16,8" }, 15.33 - 0.72, 13.21 - 0.66),
        new("table1-biggan", Base with { ResblockUpdown = true }, 15.33 - 1.20, 13.21 - 1.21),
        new("table1-rescale", Base with { RescaleResidual = true }, 15.33 + 0.16, 13.21 + 0.25),
        new("table1-all", Base with { NumHeads = 4, AttentionResolutions = "32,16,8", ResblockUpdown = true },
            15.33 - 3.14, 13.21 - 3.00),
    ];

    /// <summary>Table 2: number of heads against channels per head; 64 channels were chosen for speed.</summary>
    public static IReadOnlyList<Ablation> Table2 { get; } =
    [
        new("table2-heads1", Heads, 14.08),
        new("table2-heads2", Heads with { NumHeads = 2 }, 14.08 - 0.50),
        new("table2-heads4", Heads with { NumHeads = 4 }, 14.08 - 0.97),
        new("table2-heads8", Heads with { NumHeads = 8 }, 14.08 - 1.17),
        new("table2-channels32", Heads with { NumHeadChannels = 32 }, 14.08 - 1.36),
        new("table2-channels64", Heads with { NumHeadChannels = 64 }, 14.08 - 1.03),
        new("table2-channels128", Heads with { NumHeadChannels = 128 }, 14.08 - 1.08),
    ];

    /// <summary>Table 3: adaptive group normalisation against addition.</summary>
    public static IReadOnlyList<Ablation> Table3 { get; } =
    [
        new("table3-adagn", Heads with { NumHeadChannels = 64 }, 13.06),
        new("table3-addition", Heads with { NumHeadChannels = 64, UseScaleShiftNorm = false }, 15.08),
    ];

    /// <summary>Table 15: 250 steps split over five sections (least noisy first), LSUN bedrooms.</summary>
    public static IReadOnlyList<RespacingResult> LsunRespacings { get; } =
    [
        new("50,50,50,50,50", 2.31),
        new("70,60,50,40,30", 2.17),
        new("90,50,40,40,30", 2.10),
        new("90,60,50,30,20", 2.09),
        new("80,60,50,30,30", 2.09),
        new("90,50,50,30,30", 2.07),
        new("100,50,40,30,30", 2.03),
        new("90,60,60,20,20", 2.02),
    ];

    /// <summary>Guidance scales tried and chosen (Table 14).</summary>
    public static IReadOnlyList<GuidanceSweep> GuidanceSweeps { get; } =
    [
        new(128, "250", [0.5, 1, 2], 0.5),
        new(256, "250", [0.5, 1, 2], 1),
        new(512, "250", [1, 2, 3, 3.5, 4, 4.5, 5], 4),
        new(128, "ddim25", [0.5, 0.75, 1, 1.25, 2], 1.25),
        new(256, "ddim25", [0.5, 1, 1.5, 2, 2.5, 3, 3.5], 2.5),
        new(512, "ddim25", [3, 4, 5, 6, 7, 9, 11], 9),
    ];

    /// <summary>The classifier of the 128 to 512 stack's base model; its rate is printed "6e-5", possibly a misprint of 6e-4.</summary>
    public static TrainingRecipe StackClassifier128 =>
        Presets.Find("classifier128").Training! with { BatchSize = 1024, LearningRate = 6e-5 };

    private static ImageModelFlags Base => new()
    {
        ImageSize = 128,
        ClassCond = true,
        NumChannels = 160,
        NumResBlocks = 2,
        NumHeads = 1,
        AttentionResolutions = "16",
        Diffusion = new() { LearnSigma = true },
    };

    private static ImageModelFlags Heads =>
        Base with { NumChannels = 128, AttentionResolutions = "32,16,8", ResblockUpdown = true };
}
