using System.CommandLine;
using AdmNative.Cuda;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>adm kernels list: entries with their resources and occupancy on each architecture.</summary>
internal static class KernelsList
{
    private static readonly (string Target, DeviceLimits Limits)[] s_devices =
        [("sm_80", DeviceLimits.Sm80), ("sm_86", DeviceLimits.Sm86), ("sm_89", DeviceLimits.Sm89), ("sm_90", DeviceLimits.Sm90)];

    public static Command Create(Host host)
    {
        Flag<string?> entry = Flag.Text("entry", KernelsVerb.SelectionGroup, null, "text", "Only entries whose name contains this.");
        Flag<bool> json = CommonFlags.Json();
        var command = new Verb(
            "list",
            "List the entries of the kernel bundle: registers, spills, shared memory, and blocks per multiprocessor on four architectures.",
            "adm kernels list --entry gn_small")
        { entry, json };
        command.SetAction(p => Run(host, p.GetValue(entry), p.GetValue(json)));
        return command;
    }

    /// <summary>Blocks of an entry that fit on a multiprocessor, without dynamic shared memory.</summary>
    public static int Occupancy(KernelEntry entry, string target, int dynamicBytes = 0)
    {
        KernelResources r = entry.Resources[target];
        DeviceLimits limits = s_devices.First(d => d.Target == target).Limits;
        return limits.ResidentBlocks(entry.MaxThreads.Aggregate(1, (a, b) => a * b), r.Registers, r.SharedBytes + dynamicBytes);
    }

    private static int Run(Host host, string? filter, bool json)
    {
        Drivers.AnnounceKernels(host);
        KernelEntry[] entries = [.. KernelBundle.Default.Entries.Where(e => filter is null || e.Name.Contains(filter, StringComparison.Ordinal))];
        if (entries.Length == 0)
        {
            throw new UsageException($"--entry: no entry's name contains '{filter}'");
        }

        if (json)
        {
            host.Out.WriteLine(new JArray(entries.Select(Document)));
            return ExitCode.Done;
        }

        host.Out.WriteLine($"{"entry",-40} {"file",-22} {"threads",7} {"shared",7}  registers, spilled bytes, blocks per SM on sm_80, 86, 89, 90");
        foreach (KernelEntry e in entries)
        {
            string resources = string.Join("  ", s_devices.Select(d => $"{e.Resources[d.Target].Registers,3} {Spills(e.Resources[d.Target]),2} {Occupancy(e, d.Target),2}"));
            host.Out.WriteLine($"{e.Name,-40} {e.Image.File,-22} {e.MaxThreads.Aggregate(1, (a, b) => a * b),7} {e.StaticSharedBytes,7}  {resources}");
        }

        return ExitCode.Done;
    }

    /// <summary>Bytes of spills and stack.</summary>
    public static int Spills(KernelResources r) => r.SpillLoadBytes + r.SpillStoreBytes + r.StackBytes;

    private static JObject Document(KernelEntry e) => new()
    {
        ["name"] = e.Name,
        ["file"] = e.Image.File,
        ["launch"] = e.Launch,
        ["static_shared_bytes"] = e.StaticSharedBytes,
        ["resources"] = new JObject(s_devices.Select(d => new JProperty(d.Target, new JObject
        {
            ["registers"] = e.Resources[d.Target].Registers,
            ["spilled_bytes"] = Spills(e.Resources[d.Target]),
            ["blocks_per_sm"] = Occupancy(e, d.Target),
        }))),
    };
}
