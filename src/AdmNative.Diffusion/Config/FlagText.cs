using System.Globalization;
using System.Numerics;

namespace AdmNative.Diffusion;

/// <summary>The list-valued flags of the reference's programs.</summary>
public static class FlagText
{
    /// <summary>
    /// channel_mult: decimals separated by commas; the empty string takes the default of the image size
    /// (512, 256, 128, 64 as published; 32 as in the parent project; 28 for digits).
    /// </summary>
    /// <exception cref="ConfigException">Malformed, or no default for this size.</exception>
    public static ValueList<double> ChannelMult(string flag, int imageSize) => flag.Length > 0
        ? ParseMult(flag)
        : imageSize switch
        {
            512 => [0.5, 1, 1, 2, 2, 4, 4],
            256 => [1, 1, 2, 2, 4, 4],
            128 => [1, 1, 2, 3, 4],
            64 => [1, 2, 3, 4],
            32 => [1, 2, 2, 2],
            28 => [1, 2, 2],
            _ => throw NoDefault("image_size", imageSize),
        };

    /// <summary>channel_mult of an upsampler, whose defaults go by the large size (512, 256, 64).</summary>
    /// <exception cref="ConfigException">Malformed, or no default for this size.</exception>
    public static ValueList<double> SuperResChannelMult(string flag, int largeSize) => flag.Length > 0
        ? ParseMult(flag)
        : largeSize switch
        {
            512 or 256 => [1, 1, 2, 2, 4, 4],
            64 => [1, 2, 3, 4],
            _ => throw NoDefault("large_size", largeSize),
        };

    /// <summary>
    /// attention_resolutions: image resolutions separated by commas, turned into downsample rates image_size // r; the empty
    /// string means attention in the middle block only. Ascending, each once; a resolution above the image size gives no rate.
    /// </summary>
    /// <exception cref="ConfigException">Not positive whole numbers.</exception>
    public static ValueList<int> AttentionRates(string flag, int imageSize)
    {
        if (flag.Length == 0)
        {
            return [];
        }

        var rates = new SortedSet<int>();
        foreach (string part in flag.Split(','))
        {
            if (!int.TryParse(part, NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out int r)
                || r < 1)
            {
                throw new ConfigException($"attention_resolutions \"{flag}\": \"{part}\" is not a positive whole number; give e.g. 32,16,8");
            }

            if (r <= imageSize)
            {
                rates.Add(imageSize / r);
            }
        }

        return [.. rates];
    }

    /// <summary>classifier_pool: adaptive, attention, spatial or spatial_v2.</summary>
    /// <exception cref="ConfigException">Any other word.</exception>
    public static PoolKind Pool(string flag) => flag switch
    {
        "adaptive" => PoolKind.Adaptive,
        "attention" => PoolKind.Attention,
        "spatial" => PoolKind.Spatial,
        "spatial_v2" => PoolKind.SpatialV2,
        _ => throw new ConfigException($"classifier_pool \"{flag}\" is unknown; adaptive, attention, spatial and spatial_v2 are"),
    };

    /// <summary>The word of <see cref="Pool"/> for a head.</summary>
    public static string Word(PoolKind pool) => pool == PoolKind.SpatialV2 ? "spatial_v2" : pool.ToString().ToLowerInvariant();

    /// <summary>noise_schedule: linear or cosine.</summary>
    /// <exception cref="ConfigException">Any other word.</exception>
    public static NoiseSchedule NoiseSchedule(string flag) => flag switch
    {
        "linear" => Diffusion.NoiseSchedule.Linear,
        "cosine" => Diffusion.NoiseSchedule.Cosine,
        _ => throw new ConfigException($"noise_schedule \"{flag}\" is unknown; linear and cosine are"),
    };

    private static ValueList<double> ParseMult(string flag)
    {
        var mult = new List<double>();
        foreach (string part in flag.Split(','))
        {
            if (!double.TryParse(part, NumberStyles.Float, CultureInfo.InvariantCulture, out double m) || !(m > 0 && m < 1024))
            {
                throw new ConfigException($"channel_mult \"{flag}\": \"{part}\" is not a positive number; give e.g. 1,2,3,4 or 0.5,1,2");
            }

            mult.Add(m);
        }

        return [.. mult];
    }

    private static ConfigException NoDefault(string flag, int size)
    {
        // As many levels as the size can be halved down to about 8 pixels.
        int halvings = size < 1 ? 0 : BitOperations.TrailingZeroCount(size);
        int levels = 1;
        while (levels <= halvings && size >> levels >= 4 && levels < 4)
        {
            levels++;
        }

        return new ConfigException(
            $"{flag} {size} has no default channel_mult; give one, e.g. --channel_mult {string.Join(",", Enumerable.Range(1, levels))} "
            + $"(the size must be divisible by 2 once per entry after the first)");
    }
}
