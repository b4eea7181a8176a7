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
        var sums = new KernelSums();
        foreach (LaunchReport report in reports)
        {
            sums.Add(report);
        }

        return sums.Totals;
    }
}

/// <summary>Totals that grow launch by launch.</summary>
internal sealed class KernelSums
{
    private readonly Dictionary<string, Sum> _kernels = [];
    private readonly List<Sum> _order = [];

    private sealed class Sum(string kernel)
    {
        public string Kernel { get; } = kernel;

        public long Launches { get; set; }

        public Counters Counters { get; set; } = new();

        public Dictionary<(string File, int Line), Counters> Lines { get; } = [];
    }

    public IReadOnlyList<KernelTotals> Totals =>
    [
        .. _order.Select(s => new KernelTotals(
            s.Kernel, s.Launches, s.Counters,
            [.. s.Lines.OrderBy(l => l.Key.File, StringComparer.Ordinal).ThenBy(l => l.Key.Line).Select(l => new LineCounters(l.Key.File, l.Key.Line, l.Value))])),
    ];

    public void Add(LaunchReport report)
    {
        if (!_kernels.TryGetValue(report.Kernel, out Sum? sum))
        {
            _kernels[report.Kernel] = sum = new Sum(report.Kernel);
            _order.Add(sum);
        }

        sum.Launches++;
        sum.Counters += report.Counters;
        foreach (LineCounters line in report.Lines)
        {
            (string, int) key = (line.File, line.Line);
            sum.Lines[key] = sum.Lines.TryGetValue(key, out Counters? before) ? before + line.Counters : line.Counters;
        }
    }

    public void Clear()
    {
        _kernels.Clear();
        _order.Clear();
    }
}
