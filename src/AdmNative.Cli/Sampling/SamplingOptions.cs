namespace AdmNative.Cli;

/// <summary>What image_sample, classifier_sample and super_res_sample are told, model flags aside.</summary>
internal sealed record SamplingOptions
{
    public string? Preset { get; init; }

    public required string ModelPath { get; init; }

    /// <summary>Model flags given on the command line.</summary>
    public required IReadOnlyDictionary<string, string> ModelFlags { get; init; }

    public bool ClipDenoised { get; init; } = true;

    /// <summary>Null: 10000, or what classes and samples per class make.</summary>
    public int? NumSamples { get; init; }

    public int BatchSize { get; init; } = 16;

    public bool UseDdim { get; init; }

    public double Eta { get; init; }

    public string? Classes { get; init; }

    public int? SamplesPerClass { get; init; }

    public ulong Seed { get; init; }

    /// <summary>Null: Philox noise of <see cref="Seed"/>.</summary>
    public ulong? TorchSeed { get; init; }

    public string? Out { get; init; }

    public string? Grid { get; init; }

    public int GridScale { get; init; } = 1;

    public string? PngDir { get; init; }

    public int? SaveEvery { get; init; }

    public bool Resume { get; init; }

    public string Device { get; init; } = "auto";

    public string Conv { get; init; } = "auto";

    /// <summary>Null: what use_fp16 says.</summary>
    public string? Precision { get; init; }

    public int Threads { get; init; }

    public bool Json { get; init; }

    public bool Quiet { get; init; }
}
