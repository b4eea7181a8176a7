using System.CommandLine;
using System.Globalization;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>A launch of a case with what it moved and what bounds it, and on a GPU the time it took.</summary>
internal sealed record ProfileRow(KernelCase Case, LaunchRun Run, Bounds Bound, LaunchTime? Measured = null)
{
    /// <summary>The lower bound over the measured time: 1 cannot be beaten.</summary>
    public double? ShareOfBound => Measured is { } m ? Bound.Seconds * 1e3 / m.MedianMs : null;

    /// <summary>Registers and spills on the device, or on the newest architecture before it that the catalogue knows.</summary>
    public KernelResources Resources => Entry.Resources[Target];

    /// <summary>Architecture whose resources are shown.</summary>
    public string Target => GpuProfile.Near(Bound.Profile.Major, Bound.Profile.Minor).Target;

    /// <summary>Its entry in the catalogue.</summary>
    public KernelEntry Entry => KernelBundle.Default[Run.Planned.Entry];

    /// <summary>Requested bytes over the formula.</summary>
    public double BytesRatio => Run.Bytes / (double)Run.Planned.TrafficBytes;

    /// <summary>Sectors over the fewest possible.</summary>
    public double SectorRatio => CounterGates.SectorRatio(Run.Report);

    /// <summary>Blocks that fit on a multiprocessor of the profile.</summary>
    public int BlocksPerSm => KernelsList.Occupancy(Entry, Target, (int)Run.Planned.Shape.SharedBytes);
}

/// <summary>adm kernels profile: counters and lower bounds of launches.</summary>
internal static class KernelsProfile
{
    public static Command Create(Host host)
    {
        (Flag<string?> family, Flag<string?> entry, Flag<string?> shape, Flag<bool> full) = (KernelsVerb.Family(), KernelsVerb.Entry(), KernelsVerb.Shape(), KernelsVerb.Full());
        (Flag<string?> device, Flag<bool> json) = (KernelsVerb.Device(), CommonFlags.Json());
        Flag<string?> html = Flag.Text("html", CommonFlags.OutputGroup, null, "file", "Also write a page with tables and charts that needs nothing else.");
        var command = new Verb(
            "profile",
            "Show bytes, sectors, bank conflicts, instructions and occupancy of kernels, and the time no such device can beat; on a GPU also the time it takes.",
            "adm kernels profile --entry gn_apply_silu_keep_f16 --shape 28x28",
            "adm kernels profile --family gn --full yes --html gn.html",
            "adm kernels profile --family gn --full yes --device cuda --json")
        { family, entry, shape, full, device, json, html };
        command.SetAction(p => Run(
            host, p.GetValue(family), p.GetValue(entry), p.GetValue(shape), p.GetValue(full), p.GetValue(device)!, p.GetValue(json), p.GetValue(html)));
        return command;
    }

    private static int Run(Host host, string? family, string? entry, string? shape, bool full, string device, bool json, string? html)
    {
        using DriverRunner? gpu = KernelsVerb.Gpu(device);
        DeviceProfile profile = gpu?.Profile ?? KernelsVerb.Profile(device);
        var runner = new CaseRunner(profile);
        var rows = new List<ProfileRow>();
        var options = new LaunchOptions { Checks = Checks.None, Engine = EngineKind.Interpreter, Counters = true };
        foreach (KernelCase c in KernelsVerb.Select(family, entry, shape, full, runner).Where(c => c.Input == "normal"))
        {
            host.Stop.ThrowIfCancellationRequested();
            IReadOnlyList<LaunchRun> launches = runner.Run(c.Build(runner.Profile.Limits), options).Launches;
            IReadOnlyList<LaunchTime>? times = gpu?.Time(c);
            rows.AddRange(launches
                .Select((l, i) => new ProfileRow(c, l, Bounds.Of(l.Report, profile), times?[i]))
                .Where(r => entry is null || r.Run.Planned.Entry.Contains(entry, StringComparison.Ordinal)));
        }

        if (html is not null)
        {
            File.WriteAllText(html, ProfilePage.Write(rows, profile));
            host.Error.WriteLine($"wrote {html}");
        }

        if (json)
        {
            host.Out.WriteLine(new JArray(rows.Select(Document)));
            return ExitCode.Done;
        }

        host.Out.WriteLine($"{profile.Name} ({profile.Target}), counters of the virtual device; 'at least' is a lower bound from them{(gpu is null ? ", not a measured time" : "; measured with cold caches, median")}");
        host.Out.WriteLine($"{"launch",-36} {"blocks",8} {"regs",4} {"blk/SM",6} {"bytes",12} {"/formula",8} {"sectors",7} {"conflicts",9} {"mma",9} {"instr",10}  at least{(gpu is null ? "" : ", measured")}");
        foreach (IGrouping<string, ProfileRow> group in rows.GroupBy(r => r.Case.Name))
        {
            host.Out.WriteLine(group.Key);
            foreach (ProfileRow r in group)
            {
                Counters c = r.Run.Report.Counters;
                host.Out.WriteLine(string.Create(
                    CultureInfo.InvariantCulture,
                    $"  {r.Run.Planned.Entry,-34} {r.Run.Planned.Shape.GridX,8} {r.Resources.Registers,4} {r.BlocksPerSm,6} {r.Run.Bytes,12} {r.BytesRatio,8:0.000} {r.SectorRatio,7:0.000} {c.SharedConflicts,9} {c.MmaInstructions,9} {c.WarpInstructions,10}  {Time(r.Bound.Seconds)} ({r.Bound.Binding}){Took(r)}"));
            }
        }

        return ExitCode.Done;
    }

    /// <summary>E.g. "12.3 us".</summary>
    public static string Time(double seconds) => seconds < 1e-3
        ? string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e6:0.###} us")
        : string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e3:0.###} ms");

    private static string Took(ProfileRow r) => r.Measured is { } m
        ? string.Create(CultureInfo.InvariantCulture, $", {Time(m.MedianMs / 1e3)}: {r.ShareOfBound:0%} of the bound, {r.Run.Planned.TrafficBytes / (m.MedianMs * 1e6):0.#} GB/s")
        : "";

    private static JObject Document(ProfileRow r)
    {
        Counters c = r.Run.Report.Counters;
        return new JObject
        {
            ["case"] = r.Case.Name,
            ["entry"] = r.Run.Planned.Entry,
            ["device"] = r.Bound.Profile.Target,
            ["blocks"] = r.Run.Planned.Shape.GridX,
            ["shared_bytes"] = r.Run.Planned.Shape.SharedBytes + r.Entry.StaticSharedBytes,
            ["registers"] = r.Resources.Registers,
            ["blocks_per_sm"] = r.BlocksPerSm,
            ["bytes"] = r.Run.Bytes,
            ["formula_bytes"] = r.Run.Planned.TrafficBytes,
            ["sector_ratio"] = r.SectorRatio,
            ["shared_passes"] = c.SharedPasses,
            ["bank_conflicts"] = c.SharedConflicts,
            ["mma"] = c.MmaInstructions,
            ["special_functions"] = c.SpecialFunctionLanes,
            ["warp_instructions"] = c.WarpInstructions,
            ["barriers"] = c.Barriers,
            ["mix"] = new JObject(ProfilePage.Mix(c).Select(m => new JProperty(m.Name, m.Count))),
            ["bound_seconds"] = r.Bound.Seconds,
            ["bound_by"] = r.Bound.Binding,
            ["measured_seconds"] = r.Measured is { } m ? m.MedianMs / 1e3 : null,
            ["measured_best_seconds"] = r.Measured is { } b ? b.BestMs / 1e3 : null,
            ["share_of_bound"] = r.ShareOfBound,
        };
    }
}
