using System.CommandLine;
using System.Globalization;
using System.Text;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>adm kernels profile: counters and lower bounds of launches, beside plain and earlier versions.</summary>
internal static class KernelsProfile
{
    public static Command Create(Host host)
    {
        (Flag<string?> family, Flag<string?> entry, Flag<string?> shape, Flag<bool> full) = (KernelsVerb.Family(), KernelsVerb.Entry(), KernelsVerb.Shape(), KernelsVerb.Full());
        (Flag<string?> device, Flag<bool> json) = (KernelsVerb.Device(), CommonFlags.Json());
        Flag<string?> variant = Flag.Text(
            "variant", KernelsVerb.SelectionGroup, "all", "name", "Earlier versions shown beside ours where a case has them: all, ours for none, or one by name, e.g. plain.");
        Flag<string?> html = Flag.Text("html", CommonFlags.OutputGroup, null, "file", "Also write a page with tables and charts that needs nothing else.");
        var command = new Verb(
            "profile",
            "Run kernels and show errors, bytes, sectors, bank conflicts, instructions, occupancy, bounds on the time, and plain versions beside ours; on a GPU also times.",
            "adm kernels profile --entry gn_apply_silu_keep_f16 --shape 28x28",
            "adm kernels profile --family gn --full yes --html gn.html",
            "adm kernels profile --family gn --full yes --device cuda --json")
        { family, entry, shape, full, variant, device, json, html };
        command.SetAction(p => Run(
            host, p.GetValue(family), p.GetValue(entry), p.GetValue(shape), p.GetValue(full), p.GetValue(variant)!, p.GetValue(device)!, p.GetValue(json), p.GetValue(html)));
        return command;
    }

    private static int Run(Host host, string? family, string? entry, string? shape, bool full, string variant, string device, bool json, string? html)
    {
        Drivers.AnnounceKernels(host);
        using DriverRunner? gpu = KernelsVerb.Gpu(device);
        DeviceProfile profile = gpu?.Profile ?? KernelsVerb.Profile(device);
        var runner = new CaseRunner(profile);
        KernelCase[] selected = [.. KernelsVerb.Select(family, entry, shape, full, runner).Where(c => c.Input == "normal")];
        if (variant is not ("all" or "ours") && !selected.SelectMany(c => c.Variants).Any(v => v.Name == variant))
        {
            throw new UsageException(
                $"--variant: '{variant}' is not one of {string.Join(", ", selected.SelectMany(c => c.Variants).Select(v => v.Name).Prepend("ours").Prepend("all").Distinct())}");
        }

        string title = $"{profile.Name} ({profile.Target})";
        if (!json)
        {
            host.Out.WriteLine(Heading(title));
        }

        var cases = new List<ProfiledCase>();
        foreach (KernelCase c in selected)
        {
            host.Stop.ThrowIfCancellationRequested();
            cases.Add(ProfiledCase.Of(c, variant, runner, gpu));
            if (!json)
            {
                host.Out.WriteLine(Table(cases[^1], entry));
            }
        }

        if (html is not null)
        {
            File.WriteAllText(html, ProfilePage.Write(cases, title));
            host.Error.WriteLine($"wrote {html}");
        }

        if (json)
        {
            host.Out.WriteLine(Document(cases, title, profile));
        }

        return ExitCode.Done;
    }

    private static string Heading(string title) => string.Create(
        CultureInfo.InvariantCulture,
        $"{title}: counters of the virtual device; 'at least' is a lower bound from them, 'uncached' the time of all sectors at full memory bandwidth\n{"launch",-38} {"blocks",8} {"SMs",4} {"regs",4} {"blocks/SM",11} {"bytes",12} {"/formula",8} {"sectors",7} {"conflicts",9} {"mma",9} {"instructions",12}  {"at least",-22} uncached");

    private static string Table(ProfiledCase c, string? entry)
    {
        var text = new StringBuilder(c.Case.Name);
        for (int i = 0; i < c.Versions.Count; i++)
        {
            ProfiledVersion v = c.Versions[i];
            text.AppendLine().Append(CultureInfo.InvariantCulture, $"  {v.Name}: {Errors(v)}");
            foreach (ProfileRow r in v.Rows.Where(r => entry is null || r.Run.Planned.Entry.Contains(entry, StringComparison.Ordinal)))
            {
                string blocks = string.Join('/', DeviceProfile.All.Select(p => r.BlocksPerSm(p.Target)));
                text.AppendLine().Append(
                    CultureInfo.InvariantCulture,
                    $"    {r.Run.Planned.Entry,-34} {r.Run.Planned.Shape.GridX,8} {100 * r.Busy,3:0}% {r.Resources.Registers,4} {blocks,11} {r.Run.Bytes,12} {r.BytesRatio,8:0.000} {r.SectorRatio,7:0.000} {r.Counters.SharedConflicts,9} {r.Counters.MmaInstructions,9} {r.Counters.WarpInstructions,12}  {$"{Time(r.Bound.Seconds)} ({r.Bound.Binding})",-22} {Time(r.UncachedSeconds)}{Measured(r)}");
            }

            if (v.Next.Length > 0)
            {
                text.AppendLine().Append(CultureInfo.InvariantCulture, $"    next: {v.Next} [{Gain(v, c.Versions[i + 1])}]");
            }
        }

        if (c.Versions.Count > 1)
        {
            text.AppendLine().Append(CultureInfo.InvariantCulture, $"  from {c.Versions[0].Name} to ours: {Gain(c.Versions[0], c.Ours)}");
        }

        return text.ToString();
    }

    /// <summary>What a version has over another, in counters: "bytes 1.2e6 -> 8e5 (x0.67)".</summary>
    public static string Gain(ProfiledVersion from, ProfiledVersion to)
    {
        string Part(string name, double a, double b, Func<double, string> show) =>
            string.Create(CultureInfo.InvariantCulture, $"{name} {show(a)} -> {show(b)} (x{b / a:0.00})");
        static string Count(double v) => v.ToString("N0", CultureInfo.InvariantCulture);
        return string.Join(", ",
        [
            Part("bytes", from.Bytes, to.Bytes, Count), Part("sectors", from.Sectors, to.Sectors, Count), Part("instructions", from.Instructions, to.Instructions, Count),
            Part("at least", from.Seconds, to.Seconds, Time), Part("uncached", from.UncachedSeconds, to.UncachedSeconds, Time),
            .. from.Measured is { } a && to.Measured is { } b ? [Part("measured", a, b, Time)] : Array.Empty<string>(),
        ]);
    }

    /// <summary>E.g. "error 0.4 of the tolerance".</summary>
    public static string Errors(ProfiledVersion v) => string.Create(
        CultureInfo.InvariantCulture, $"error {v.Error:0.00} of the tolerance{(v.Result.Passed ? "" : $"; FAILS {string.Join("; ", v.Result.Gates.Where(g => !g.Passed).Select(g => g.ToString()[5..]))}")}");

    /// <summary>E.g. "12.3 us".</summary>
    public static string Time(double seconds) => seconds < 1e-3
        ? string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e6:0.###} us")
        : string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e3:0.###} ms");

    /// <summary>E.g. "; measured 20 us: 61 % of the bound, 900 GB/s"; "" on the virtual device.</summary>
    public static string Measured(ProfileRow r) => r.Seconds is { } s
        ? string.Create(CultureInfo.InvariantCulture, $"; measured {Time(s)}: {100 * r.Bound.Seconds / s:0} % of the bound, {r.Run.Planned.TrafficBytes / (s * 1e9):0.#} GB/s") : "";

    private static JObject Document(IReadOnlyList<ProfiledCase> cases, string title, DeviceProfile profile) => new()
    {
        ["device"] = title,
        ["target"] = profile.Target,
        ["cases"] = new JArray(cases.Select(c => new JObject
        {
            ["case"] = c.Case.Name,
            ["family"] = c.Case.Family,
            ["operation"] = c.Case.Operation,
            ["dtype"] = c.Case.DType.Suffix(),
            ["shape"] = c.Case.Shape,
            ["versions"] = new JArray(c.Versions.Select(Document)),
        })),
    };

    private static JObject Document(ProfiledVersion v) => new()
    {
        ["name"] = v.Name,
        ["next"] = v.Next.Length > 0 ? v.Next : null,
        ["passed"] = v.Result.Passed,
        ["error_of_tolerance"] = v.Error,
        ["missed"] = new JArray(v.Result.Gates.Where(g => !g.Passed).Select(g => g.ToString()[5..])),
        ["bytes"] = v.Bytes,
        ["sectors"] = v.Sectors,
        ["warp_instructions"] = v.Instructions,
        ["bound_seconds"] = v.Seconds,
        ["uncached_seconds"] = v.UncachedSeconds,
        ["measured_seconds"] = v.Measured,
        ["launches"] = new JArray(v.Rows.Select(Document)),
    };

    private static JObject Document(ProfileRow r) => new()
    {
        ["entry"] = r.Run.Planned.Entry,
        ["blocks"] = r.Run.Planned.Shape.GridX,
        ["busy_multiprocessors"] = r.Busy,
        ["shared_bytes"] = r.Run.Planned.Shape.SharedBytes + r.Entry.StaticSharedBytes,
        ["resources"] = new JObject(DeviceProfile.All.Select(p => new JProperty(p.Target, new JObject
        {
            ["registers"] = r.Entry.Resources[p.Target].Registers,
            ["spilled_bytes"] = KernelsList.Spills(r.Entry.Resources[p.Target]),
            ["blocks_per_sm"] = r.BlocksPerSm(p.Target),
            ["bound_seconds"] = Bounds.Of(r.Counters, p).Seconds,
        }))),
        ["bytes"] = r.Run.Bytes,
        ["formula_bytes"] = r.Run.Planned.TrafficBytes,
        ["sectors"] = r.Sectors,
        ["sector_ratio"] = r.SectorRatio,
        ["shared_passes"] = r.Counters.SharedPasses,
        ["bank_conflicts"] = r.Counters.SharedConflicts,
        ["mma"] = r.Counters.MmaInstructions,
        ["special_functions"] = r.Counters.SpecialFunctionLanes,
        ["warp_instructions"] = r.Counters.WarpInstructions,
        ["barriers"] = r.Counters.Barriers,
        ["mix"] = new JObject(ProfilePage.Mix(r.Counters).Select(m => new JProperty(m.Name, m.Count))),
        ["bound_seconds"] = r.Bound.Seconds,
        ["bound_by"] = r.Bound.Binding,
        ["uncached_seconds"] = r.UncachedSeconds,
        ["measured_seconds"] = r.Seconds,
        ["share_of_bound"] = r.Seconds is { } s ? r.Bound.Seconds / s : null,
    };
}
