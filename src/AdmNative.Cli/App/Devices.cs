using System.Globalization;
using AdmNative.Core;
using AdmNative.Cpu;

namespace AdmNative.Cli;

/// <summary>The device a flag names.</summary>
internal static class Devices
{
    /// <summary>Opens a device; for "auto", says on stderr which and why.</summary>
    /// <exception cref="UsageException">No such device name.</exception>
    /// <exception cref="DeviceUnavailableException">The device is not to be had here.</exception>
    public static IBackend Open(Host host, string name, int threads, bool quiet)
    {
        if (name == "auto" && !quiet)
        {
            host.Error.WriteLine($"device: cpu ({NoCuda})");
        }

        string kind = name.Split(':')[0];
        bool numbered = kind.Length < name.Length;
        if (numbered && (kind != "cuda" || !int.TryParse(name[(kind.Length + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out _)))
        {
            throw Unknown(name);
        }

        return kind switch
        {
            "auto" or "cpu" => new CpuBackend(new CpuOptions { Threads = threads }),
            "cuda" => throw new DeviceUnavailableException($"--device {name}: {NoCuda}; use --device cpu"),
            "virtual" => throw new DeviceUnavailableException($"--device {name}: this version runs no networks on the virtual device yet (adm ptx runs kernels on it); use --device cpu"),
            _ => throw Unknown(name),
        };
    }

    private const string NoCuda = "this version has no cuda backend";

    private static UsageException Unknown(string name) => new($"--device: '{name}' is not one of auto, cpu, cuda, cuda:N, virtual");
}
