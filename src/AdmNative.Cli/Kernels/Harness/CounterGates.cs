using AdmNative.VirtualGpu;

namespace AdmNative.Cli;

/// <summary>Counters of a launch against the limits of the kernel design guide, section 7.</summary>
internal static class CounterGates
{
    /// <summary>All gates that apply.</summary>
    public static IEnumerable<GateResult> Of(LaunchRun run, LaunchGates gates)
    {
        (string entry, Counters c) = (run.Planned.Entry, run.Report.Counters);
        if (gates.Bytes is { } bytes)
        {
            yield return new GateResult("bytes", entry, Ratio(run.Bytes, run.Planned.TrafficBytes), bytes, $"{run.Bytes} of {run.Planned.TrafficBytes}");
        }

        if (gates.Sectors is { } sectors)
        {
            yield return new GateResult("sectors", entry, SectorRatio(run.Report), sectors);
        }

        if (gates.Conflicts is { } conflicts)
        {
            yield return new GateResult("bank conflicts", entry, Ratio(c.SharedConflicts, c.SharedPasses), conflicts, $"{c.SharedConflicts} of {c.SharedPasses}");
        }

        yield return new GateResult(
            "mma instructions off", entry, Math.Abs(c.MmaInstructions - run.Planned.MmaInstructions), 0,
            $"{c.MmaInstructions}, planned {run.Planned.MmaInstructions}");
        yield return new GateResult("atomics", entry, c.Atomics, gates.Atomics);
        if (gates.SpecialFunctions is { } special)
        {
            yield return new GateResult("special functions", entry, c.SpecialFunctionLanes, special);
        }

        if (gates.Barriers is { } barriers)
        {
            yield return new GateResult("barrier arrivals off", entry, Math.Abs(c.Barriers - barriers), 0, $"{c.Barriers}, planned {barriers}");
        }
    }

    /// <summary>
    /// Sectors over the fewest that could hold them, summed over source lines: a line with R requests for U bytes needs at least max(R, U / 32).
    /// </summary>
    public static double SectorRatio(LaunchReport report)
    {
        double sectors = 0, fewest = 0;
        foreach (Counters c in report.Lines.Select(l => l.Counters))
        {
            sectors += c.GlobalReadSectors + c.GlobalWriteSectors;
            fewest += Math.Max(c.GlobalReadRequests, c.GlobalReadUniqueBytes / 32.0) + Math.Max(c.GlobalWriteRequests, c.GlobalWriteUniqueBytes / 32.0);
        }

        return Ratio(sectors, fewest);
    }

    private static double Ratio(double value, double of) => value == 0 ? 0 : value / of;
}
