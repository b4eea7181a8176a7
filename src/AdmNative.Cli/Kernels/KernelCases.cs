namespace AdmNative.Cli;

/// <summary>All cases of all families. A family adds one line.</summary>
internal static class KernelCases
{
    /// <summary>Cases by family, in the order of the report.</summary>
    public static IReadOnlyList<(string Family, Func<IEnumerable<KernelCase>> Cases)> Families { get; } =
    [
        ("gn", GroupNormCases.All),
        ("conv", ConvCases.All),
        ("linear", LinearCases.All),
        ("convert", ConvertCases.All),
        ("loss", LossCases.All),
        ("sampler", SamplerCases.All),
        ("optim", OptimizerCases.All),
        ("eltwise", EltwiseCases.All),
        ("spatial", SpatialCases.All),
        ("attn", AttentionCases.All),
        ("resample", ResampleCases.All),
        ("embed", EmbedCases.All),
        ("dropout", DropoutCases.All),
        ("pad", PadCases.All),
    ];

    /// <summary>Cases of one family, or of all.</summary>
    public static IEnumerable<KernelCase> Of(string? family = null) =>
        Families.Where(f => family is null || f.Family == family).SelectMany(f => f.Cases());
}
