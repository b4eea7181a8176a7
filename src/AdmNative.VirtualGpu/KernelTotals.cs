namespace AdmNative.VirtualGpu;

/// <summary>What all launches of one kernel did together.</summary>
/// <param name="Kernel">Entry name.</param>
/// <param name="Launches">How many were counted.</param>
/// <param name="Counters">
/// The sum over them. Of <see cref="Counters.GlobalFootprintSectors"/> too: what every launch touches anew counts once for each.
/// </param>
/// <param name="Lines">The sum per source line, in line order.</param>
public sealed record KernelTotals(string Kernel, long Launches, Counters Counters, IReadOnlyList<LineCounters> Lines)
{
    /// <summary>Adds up reports, kernel by kernel, in the order in which the kernels first appear.</summary>
    public static IReadOnlyList<KernelTotals> Of(IEnumerable<LaunchReport> reports)
    {
        ArgumentNullException.ThrowIfNull(reports);
        var kernels = new Dictionary<string, (long Launches, Counters Sum, Dictionary<(string File, int Line), Counters> Lines)>();
        var order = new List<string>();
        foreach (LaunchReport report in reports)
        {
            if (!kernels.TryGetValue(report.Kernel, out var entry))
            {
                entry = (0, new Counters(), []);
                order.Add(report.Kernel);
            }

            foreach (LineCounters line in report.Lines)
            {
                (string, int) key = (line.File, line.Line);
                entry.Lines[key] = entry.Lines.TryGetValue(key, out Counters? sum) ? sum + line.Counters : line.Counters;
            }

            kernels[report.Kernel] = (entry.Launches + 1, entry.Sum + report.Counters, entry.Lines);
        }

        return
        [
            .. order.Select(name =>
            {
                (long launches, Counters sum, Dictionary<(string File, int Line), Counters> lines) = kernels[name];
                return new KernelTotals(
                    name, launches, sum,
                    [.. lines.OrderBy(l => l.Key.File, StringComparer.Ordinal).ThenBy(l => l.Key.Line).Select(l => new LineCounters(l.Key.File, l.Key.Line, l.Value))]);
            }),
        ];
    }
}
