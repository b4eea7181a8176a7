using System.CommandLine;
using System.Globalization;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;

namespace AdmNative.Cli;

/// <summary>adm kernels: the shipped CUDA kernels, checked and profiled on the virtual device.</summary>
internal static class KernelsVerb
{
    public const string SelectionGroup = "Selection";

    public static Command Create(Host host) => new Verb("kernels", "List, check and profile the shipped CUDA kernels; no GPU needed.")
    {
        KernelsList.Create(host),
        KernelsCheck.Create(host),
        KernelsProfile.Create(host),
    };

    public static Flag<string?> Entry() => Flag.Text("entry", SelectionGroup, null, "text", "Only cases that launch an entry whose name contains this, e.g. gn_small.");

    public static Flag<string?> Shape() => Flag.Text("shape", SelectionGroup, null, "text", "Only cases whose shape contains this, e.g. 64x64x192.");

    public static Flag<string?> Family() => Flag.Text("family", SelectionGroup, null, "name", "Only this family, e.g. gn.");

    public static Flag<bool> Full() => Flag.Bool("full", SelectionGroup, false, "Also the layer shapes of ADM-64 and ADM-256, which take minutes.");

    public static Flag<string?> Device() => Flag.Text(
        "device", CommonFlags.DeviceGroup, "virtual", "virtual|cuda[:N]|sm_80|sm_86|sm_89|sm_90", "Where to run: the virtual device standing for a GPU (virtual: sm_80), or an installed GPU.");

    /// <summary>The installed GPU that a device flag names; null when it names a virtual one.</summary>
    /// <exception cref="GpuUnavailableException">No driver, no such device, or one before sm_80.</exception>
    /// <exception cref="UsageException">Not a device number.</exception>
    public static DriverRunner? Gpu(string device)
    {
        if (device != "cuda" && !device.StartsWith("cuda:", StringComparison.Ordinal))
        {
            return null;
        }

        int ordinal = 0;
        return device == "cuda" || int.TryParse(device.AsSpan(5), NumberStyles.None, CultureInfo.InvariantCulture, out ordinal)
            ? new DriverRunner(CudaDriver.Open(), ordinal)
            : throw new UsageException($"--device: '{device[5..]}' is no device number");
    }

    /// <summary>The GPU that the virtual device stands for.</summary>
    /// <exception cref="UsageException">No such profile.</exception>
    public static DeviceProfile Profile(string device)
    {
        if (device == "virtual")
        {
            return DeviceProfile.A100;
        }

        return DeviceProfile.TryParse(device, out DeviceProfile? profile) ? profile
            : throw new UsageException($"--device: '{device}' is not one of virtual, cuda[:N], {string.Join(", ", DeviceProfile.All.Select(p => p.Target))}");
    }

    /// <summary>Cases that match.</summary>
    /// <exception cref="UsageException">None does.</exception>
    public static IReadOnlyList<KernelCase> Select(string? family, string? entry, string? shape, bool full, CaseRunner runner)
    {
        if (family is not null && !KernelCases.Families.Any(f => f.Family == family))
        {
            throw new UsageException($"--family: '{family}' is not one of {string.Join(", ", KernelCases.Families.Select(f => f.Family))}");
        }

        if (entry is not null && !KernelBundle.Default.Entries.Any(e => e.Name.Contains(entry, StringComparison.Ordinal)))
        {
            throw new UsageException($"--entry: no entry's name contains '{entry}'; 'adm kernels list' names them");
        }

        KernelCase[] cases = [.. KernelCases.Of(family)
            .Where(c => (full || !c.Full) && (shape is null || c.Shape.Contains(shape, StringComparison.OrdinalIgnoreCase)))
            .Where(c => entry is null || c.Plans(runner.Profile.Limits).SelectMany(p => p.Launches).Any(l => l.Entry.Contains(entry, StringComparison.Ordinal)))];
        return cases.Length > 0 ? cases : throw new UsageException("no case matches --family, --entry and --shape; 'adm kernels list' names the entries");
    }
}
