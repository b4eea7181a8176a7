using AdmNative.Cuda;
using AdmNative.VirtualGpu;

namespace AdmNative.Cli;

/// <summary>One measured number against its limit.</summary>
/// <param name="Name">What was measured, e.g. "bytes".</param>
/// <param name="Subject">Of what: an entry or a buffer.</param>
/// <param name="Value">Measured.</param>
/// <param name="Limit">Largest value that passes.</param>
/// <param name="Note">Where the worst element is, which findings there were; "" when there is nothing to add.</param>
internal sealed record GateResult(string Name, string Subject, double Value, double Limit, string Note = "")
{
    /// <summary>NaN fails.</summary>
    public bool Passed => Value <= Limit;

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant(
        $"{(Passed ? "ok  " : "FAIL")} {Name} {Subject}: {Value:G4} <= {Limit:G4}{(Note.Length > 0 ? $"; {Note}" : "")}");
}

/// <summary>A launch that ran.</summary>
/// <param name="Planned">What was planned.</param>
/// <param name="Report">What happened.</param>
internal sealed record LaunchRun(PlannedLaunch Planned, LaunchReport Report)
{
    /// <summary>Bytes of all warp requests; bytes several lanes of one request share count once.</summary>
    public long Bytes => Report.Counters.GlobalReadUniqueBytes + Report.Counters.GlobalWriteUniqueBytes;
}

/// <summary>Everything a check found out.</summary>
/// <param name="Case">The case.</param>
/// <param name="Work">Its data.</param>
/// <param name="Launches">Launches with counters; without them when counters were not asked for.</param>
/// <param name="Gates">All gates.</param>
internal sealed record CaseResult(KernelCase Case, CaseWork Work, IReadOnlyList<LaunchRun> Launches, IReadOnlyList<GateResult> Gates)
{
    /// <summary>True when no gate failed.</summary>
    public bool Passed => Gates.All(g => g.Passed);

    /// <summary>The gates that failed, one a line.</summary>
    public string Failures => string.Join('\n', Gates.Where(g => !g.Passed).Select(g => $"{Case.Name}: {g}"));
}
