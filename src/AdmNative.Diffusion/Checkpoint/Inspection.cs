using System.Text;

namespace AdmNative.Diffusion;

/// <summary>Where a field of an inspected configuration comes from.</summary>
public enum Provenance : byte
{
    /// <summary>Names and shapes of the tensors leave no other choice.</summary>
    Inferred,

    /// <summary>The caller said so.</summary>
    Given,

    /// <summary>The file does not tell; the value is an assumption that must be checked.</summary>
    CannotBeInferred,
}

/// <summary>One field of an inspected configuration.</summary>
/// <param name="Flag">The command-line flag.</param>
/// <param name="Value">Its value as the command line would say it.</param>
/// <param name="Provenance">Where it comes from.</param>
/// <param name="Reason">The tensor that tells, or why none does.</param>
public sealed record InspectedField(string Flag, string Value, Provenance Provenance, string Reason);

/// <summary>A configuration read off a checkpoint, field by field.</summary>
/// <param name="Config">The configuration; its weights are exactly the file's.</param>
/// <param name="Fields">What is known and from where.</param>
public sealed record Inspection(NetworkConfig Config, IReadOnlyList<InspectedField> Fields)
{
    /// <summary>Flags whose values are assumptions.</summary>
    public IEnumerable<InspectedField> Assumptions => Fields.Where(f => f.Provenance == Provenance.CannotBeInferred);

    /// <summary>One line per field.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        foreach (InspectedField field in Fields)
        {
            string origin = field.Provenance switch
            {
                Provenance.Inferred => "inferred",
                Provenance.Given => "given",
                _ => "cannot be inferred",
            };
            text.Append($"{field.Flag,-36} {field.Value,-16} {origin}: {field.Reason}\n");
        }

        return text.ToString();
    }
}

/// <summary>What the user knows about a checkpoint that its shapes do not tell. Null = not known.</summary>
public sealed record InspectionHints
{
    /// <summary>image_size (or large_size).</summary>
    public int? ImageSize { get; init; }

    /// <summary>num_heads.</summary>
    public int? NumHeads { get; init; }

    /// <summary>num_head_channels; -1 = use <see cref="NumHeads"/>.</summary>
    public int? NumHeadChannels { get; init; }

    /// <summary>num_heads_upsample; -1 = as <see cref="NumHeads"/>.</summary>
    public int? NumHeadsUpsample { get; init; }

    /// <summary>use_new_attention_order.</summary>
    public bool? UseNewAttentionOrder { get; init; }

    /// <summary>dropout.</summary>
    public double? Dropout { get; init; }

    /// <summary>Residuals over sqrt(2).</summary>
    public bool? RescaleResidual { get; init; }

    /// <summary>Whether the model is an upsampler; otherwise judged by its channels.</summary>
    public bool? IsSuperRes { get; init; }

    /// <summary>small_size of an upsampler.</summary>
    public int? SmallSize { get; init; }

    /// <summary>Residual blocks per resolution; only needed where shapes allow several readings.</summary>
    public int? ResBlocks { get; init; }

    /// <summary>resblock_updown; only needed for a network with a single resolution.</summary>
    public bool? ResblockUpdown { get; init; }

    /// <summary>conv_resample; only needed where residual blocks resample.</summary>
    public bool? ConvResample { get; init; }

    /// <summary>Everything a known configuration (for example a preset's) says beyond shapes.</summary>
    public static InspectionHints From(NetworkConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        return new()
        {
            ImageSize = config.ImageSize,
            NumHeads = config.NumHeads,
            NumHeadChannels = config.NumHeadChannels ?? -1,
            NumHeadsUpsample = (config as UNetConfig)?.NumHeadsUpsample ?? -1,
            UseNewAttentionOrder = config.UseNewAttentionOrder,
            Dropout = config.Dropout,
            RescaleResidual = config.RescaleResidual,
            IsSuperRes = config is SuperResConfig,
            SmallSize = (config as SuperResConfig)?.SmallSize,
            ResBlocks = config.ResBlocks,
            ResblockUpdown = config.ResblockUpdown,
            ConvResample = config.ConvResample,
        };
    }
}
