using System.Text;
using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>A weight whose shape in the file is not the model's.</summary>
public sealed record Misshapen(string Name, Shape Expected, Shape Found);

/// <summary>A flag that explains differences.</summary>
/// <param name="Flag">The flag, e.g. "num_channels".</param>
/// <param name="Here">Its value in the configuration.</param>
/// <param name="InFile">Its value as the file has it.</param>
/// <param name="Evidence">The tensor that tells.</param>
public sealed record Suspect(string Flag, string Here, string InFile, string Evidence);

/// <summary>All differences between the weights a configuration needs and those a file has, and the flags most likely at fault.</summary>
public sealed class Mismatch
{
    private const int ListLimit = 12;

    private Mismatch(
        string source, List<ParameterSpec> missing, List<ParameterSpec> extra, List<Misshapen> misshapen, List<Suspect> suspects, int unexplained)
    {
        Source = source;
        Missing = missing;
        Extra = extra;
        Misshapen = misshapen;
        Suspects = suspects;
        Unexplained = unexplained;
    }

    /// <summary>The file.</summary>
    public string Source { get; }

    /// <summary>Weights of the model that the file lacks.</summary>
    public IReadOnlyList<ParameterSpec> Missing { get; }

    /// <summary>Tensors of the file that the model does not have.</summary>
    public IReadOnlyList<ParameterSpec> Extra { get; }

    /// <summary>Weights present in another shape.</summary>
    public IReadOnlyList<Misshapen> Misshapen { get; }

    /// <summary>Flags that explain the differences; empty when none do.</summary>
    public IReadOnlyList<Suspect> Suspects { get; }

    /// <summary>Differences that would remain if all suspects were set as the file has them.</summary>
    public int Unexplained { get; }

    /// <summary>True when names and shapes agree entirely.</summary>
    public bool IsMatch => Differences == 0;

    private int Differences => Missing.Count + Extra.Count + Misshapen.Count;

    /// <summary>Compares a configuration with a file and looks for flags that explain the differences.</summary>
    public static Mismatch Report(NetworkConfig config, ITensorSource source)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(source);
        Mismatch plain = Compare(config, source);
        if (plain.IsMatch)
        {
            return plain;
        }

        List<Suspect> suspects;
        int unexplained = plain.Differences;
        if (Prefix(config, source) is string prefix)
        {
            suspects = [new("names", "time_embed...", $"{prefix}time_embed...", $"all names begin with {prefix}, as a wrapper saves them")];
            unexplained = 0;
        }
        else
        {
            var facts = new TensorFacts(source, config.ResBlocks);
            suspects = Suspicions.Find(config, facts);
            if (suspects.Count > 0 && Corrected(config, facts, source) is NetworkConfig corrected)
            {
                // Flags that do not bring the two closer explain nothing: the file itself is at fault.
                unexplained = Compare(corrected, source).Differences;
                suspects = unexplained < plain.Differences ? suspects : [];
            }
        }

        return new Mismatch(
            source.Description, [.. plain.Missing], [.. plain.Extra], [.. plain.Misshapen],
            suspects, suspects.Count > 0 ? unexplained : plain.Differences);
    }

    /// <summary>Throws unless the file has exactly the weights of the configuration.</summary>
    /// <exception cref="CheckpointException">Its message is <see cref="ToString"/>.</exception>
    public static void Check(NetworkConfig config, ITensorSource source)
    {
        Mismatch report = Report(config, source);
        if (!report.IsMatch)
        {
            throw new CheckpointException(report.ToString());
        }
    }

    /// <summary>Flags at fault first, then every kind of difference, long lists cut.</summary>
    public override string ToString()
    {
        if (IsMatch)
        {
            return $"{Source}: every tensor fits";
        }

        var text = new StringBuilder($"{Source} does not fit the model: {Missing.Count} tensors missing, {Extra.Count} extra, "
            + $"{Misshapen.Count} of another shape\n");
        foreach (Suspect suspect in Suspects)
        {
            text.Append($"  {suspect.Flag} is {suspect.Here} here, the file has {suspect.InFile} ({suspect.Evidence})\n");
        }

        if (Suspects.Count == 0)
        {
            text.Append("  no flag explains this: the file is incomplete, damaged or not of this kind\n");
        }
        else if (Unexplained > 0)
        {
            text.Append($"  differences that would remain with these flags: {Unexplained}; the file may be incomplete or of another kind\n");
        }

        return text.Append(ListText()).ToString();
    }

    internal static Mismatch Compare(NetworkConfig config, ITensorSource source)
    {
        IReadOnlyList<ParameterSpec> wanted = ParameterList.Of(config);
        var missing = new List<ParameterSpec>();
        var misshapen = new List<Misshapen>();
        foreach (ParameterSpec parameter in wanted)
        {
            if (!source.Tensors.TryGetValue(parameter.Name, out TensorType? found))
            {
                missing.Add(parameter);
            }
            else if (found.Shape != parameter.Shape)
            {
                misshapen.Add(new(parameter.Name, parameter.Shape, found.Shape));
            }
        }

        var names = wanted.Select(p => p.Name).ToHashSet();
        List<ParameterSpec> extra = [.. source.Tensors.Where(t => !names.Contains(t.Key)).Select(t => new ParameterSpec(t.Key, t.Value.Shape))];
        return new Mismatch(source.Description, missing, extra, misshapen, [], missing.Count + extra.Count + misshapen.Count);
    }

    /// <summary>The first names of a file, for a reader who picked the wrong one.</summary>
    internal static string FirstNames(ITensorSource source) => source.Tensors.Count == 0
        ? "It has no tensors."
        : $"It has {source.Tensors.Count} tensors: {string.Join(", ", source.Tensors.Keys.Take(4))}{(source.Tensors.Count > 4 ? ", ..." : "")}";

    internal string ListText()
    {
        var text = new StringBuilder();
        List(text, "missing", Missing, p => $"{p.Name} {p.Shape}");
        List(text, "extra", Extra, p => $"{p.Name} {p.Shape}");
        List(text, "shape", Misshapen, m => $"{m.Name} is {m.Found}, the model needs {m.Expected}");
        return text.ToString();
    }

    private static void List<T>(StringBuilder text, string label, IReadOnlyList<T> items, Func<T, string> line)
    {
        foreach (T item in items.Take(ListLimit))
        {
            text.Append($"  {label}: {line(item)}\n");
        }

        if (items.Count > ListLimit)
        {
            text.Append($"  {label}: {items.Count - ListLimit} more\n");
        }
    }

    /// <summary>What stands before every name of a file that otherwise has the model's names; null for other files.</summary>
    private static string? Prefix(NetworkConfig config, ITensorSource source)
    {
        string first = ParameterList.Of(config)[0].Name;
        string? found = source.Tensors.Keys.FirstOrDefault(k => k.EndsWith("." + first, StringComparison.Ordinal));
        string? prefix = found?[..^first.Length];
        return prefix is not null && source.Tensors.Keys.All(k => k.StartsWith(prefix, StringComparison.Ordinal)) ? prefix : null;
    }

    /// <summary>The configuration as the file has it, keeping what shapes do not tell; null when the facts do not make one.</summary>
    private static NetworkConfig? Corrected(NetworkConfig config, TensorFacts facts, ITensorSource source)
    {
        try
        {
            // Heads that do not divide the file's widths must not stand in the way: they have no weights.
            InspectionHints hints = InspectionHints.From(config) with { NumHeads = null, NumHeadChannels = null, NumHeadsUpsample = null };
            NetworkConfig corrected = CheckpointInspector.Assemble(facts, hints with { IsSuperRes = null }, [], source);
            corrected.Validate();
            return corrected;
        }
        catch (Exception e) when (e is ConfigException or CheckpointException)
        {
            return null;
        }
    }
}
