using System.Globalization;

namespace AdmNative.Diffusion;

/// <summary>The timestep_respacing flag: which of T0 steps a shorter process keeps.</summary>
public static class Respacing
{
    /// <summary>
    /// "" keeps all; "ddimN" keeps 0, s, 2s, ... with the smallest stride s that gives exactly N; "c0,c1,..." splits the steps into
    /// as many equal sections and keeps that many, evenly spread from the first to the last step of each.
    /// </summary>
    /// <returns>The kept steps in ascending order, each once.</returns>
    /// <exception cref="ConfigException">The flag is malformed or cannot be honoured.</exception>
    public static int[] Steps(int originalSteps, string respacing)
    {
        ArgumentNullException.ThrowIfNull(respacing);
        if (originalSteps < 1)
        {
            throw new ConfigException($"diffusion_steps is {originalSteps}; at least 1 is needed");
        }

        if (respacing.Length == 0)
        {
            return Steps(originalSteps, [originalSteps]);
        }

        if (respacing.StartsWith("ddim", StringComparison.Ordinal))
        {
            return Ddim(originalSteps, Parse(respacing, respacing[4..]));
        }

        return Steps(originalSteps, respacing.Split(',').Select(part => Parse(respacing, part)).ToArray());
    }

    /// <summary>The same for section counts given as numbers.</summary>
    /// <exception cref="ConfigException">A section has fewer steps than wanted, or there are no sections.</exception>
    public static int[] Steps(int originalSteps, ReadOnlySpan<int> counts)
    {
        if (counts.Length == 0)
        {
            throw new ConfigException("timestep_respacing has no sections");
        }

        int perSection = originalSteps / counts.Length;
        int longer = originalSteps % counts.Length;
        var kept = new SortedSet<int>();
        int start = 0;
        for (int section = 0; section < counts.Length; section++)
        {
            int size = perSection + (section < longer ? 1 : 0);
            int count = counts[section];
            if (count < 0 || count > size)
            {
                throw new ConfigException(
                    $"timestep_respacing: section {section} of {counts.Length} has {size} of the {originalSteps} steps; "
                    + $"{count} cannot be kept");
            }

            // The position is accumulated, not multiplied: this decides how halves round.
            double stride = count <= 1 ? 1 : (size - 1) / (double)(count - 1);
            double position = 0;
            for (int i = 0; i < count; i++)
            {
                kept.Add(start + (int)Math.Round(position, MidpointRounding.ToEven));
                position += stride;
            }

            start += size;
        }

        return [.. kept];
    }

    private static int[] Ddim(int originalSteps, int wanted)
    {
        for (int stride = 1; stride < originalSteps; stride++)
        {
            int count = ((originalSteps - 1) / stride) + 1;
            if (count == wanted)
            {
                return [.. Enumerable.Range(0, count).Select(i => i * stride)];
            }
        }

        IEnumerable<int> possible = Enumerable.Range(1, Math.Max(originalSteps - 1, 0))
            .Select(stride => ((originalSteps - 1) / stride) + 1).Distinct().OrderBy(n => Math.Abs(n - wanted)).Take(2).Order();
        throw new ConfigException(
            $"timestep_respacing ddim{wanted}: no whole stride gives {wanted} of {originalSteps} steps; "
            + $"the nearest possible are {string.Join(" and ", possible.Select(n => $"ddim{n}"))}");
    }

    private static int Parse(string respacing, string part) =>
        int.TryParse(part, NumberStyles.AllowLeadingSign | NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite,
            CultureInfo.InvariantCulture, out int value)
            ? value
            : throw new ConfigException($"timestep_respacing \"{respacing}\": \"{part}\" is not a whole number; "
                + "give \"\", \"250\", \"10,20,30\" or \"ddim25\"");
}
