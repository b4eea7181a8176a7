using System.Globalization;
using AdmNative.VirtualGpu;

namespace AdmNative.Cli;

/// <summary>Values of the launch flags as words.</summary>
internal static class LaunchWords
{
    /// <summary>Single checks by name, in the order of the enumeration.</summary>
    public static IReadOnlyList<(string Name, Checks Check)> Checks { get; } =
        [.. Enum.GetValues<Checks>().Where(c => c is not (VirtualGpu.Checks.None or VirtualGpu.Checks.All)).Select(c => (Snake(c.ToString()), c))];

    public static string Snake(string name) =>
        string.Concat(name.Select((c, i) => char.IsUpper(c) && i > 0 && !char.IsUpper(name[i - 1]) ? $"_{char.ToLowerInvariant(c)}" : $"{char.ToLowerInvariant(c)}"));

    /// <summary>"all", "none", or names with commas between; a minus in front takes one out: "all,numeric,-inter_cta".</summary>
    /// <exception cref="UsageException">An unknown name.</exception>
    public static Checks ParseChecks(string text)
    {
        VirtualGpu.Checks checks = VirtualGpu.Checks.None;
        foreach (string word in text.Split(',', StringSplitOptions.TrimEntries))
        {
            bool without = word.StartsWith('-');
            string name = Plain(without ? word[1..] : word);
            VirtualGpu.Checks one = name switch
            {
                "all" => VirtualGpu.Checks.All,
                "none" => VirtualGpu.Checks.None,
                _ => Checks.FirstOrDefault(c => Plain(c.Name) == name).Check,
            };
            if (one == VirtualGpu.Checks.None && name != "none")
            {
                throw new UsageException($"--checks: '{word}' is not one of all, none, {string.Join(", ", Checks.Select(c => c.Name))}");
            }

            checks = without ? checks & ~one : checks | one;
        }

        return checks;
    }

    // Findings say SharedRaces, help says shared_races: both are taken.
    private static string Plain(string name) => string.Concat(name.Where(c => c is not ('_' or '-'))).ToLowerInvariant();

    /// <summary>The value of an enumeration by its name in lower case.</summary>
    /// <exception cref="UsageException">No such value.</exception>
    public static T Parse<T>(string flag, string text) where T : struct, Enum
    {
        foreach (T value in Enum.GetValues<T>())
        {
            if (Plain(value.ToString()) == Plain(text))
            {
                return value;
            }
        }

        throw new UsageException($"{flag}: '{text}' is not one of {string.Join(", ", Enum.GetValues<T>().Select(v => Snake(v.ToString())))}");
    }

    /// <summary>"4", "4,2" or "4,2,1" as x, y, z; those left out are 1.</summary>
    /// <exception cref="UsageException">Not that.</exception>
    public static (uint X, uint Y, uint Z) Triple(string flag, string text)
    {
        string[] parts = text.Split(',');
        uint[] numbers = [1, 1, 1];
        for (int i = 0; i < parts.Length; i++)
        {
            if (i == 3 || !uint.TryParse(parts[i], NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out numbers[i])
                || numbers[i] == 0)
            {
                throw new UsageException($"{flag}: '{text}' is not one to three positive numbers such as 4,2,1");
            }
        }

        return (numbers[0], numbers[1], numbers[2]);
    }
}
