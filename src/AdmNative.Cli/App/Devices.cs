using System.Globalization;
using AdmNative.Core;
using AdmNative.Cpu;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;

namespace AdmNative.Cli;

/// <summary>The device a flag names.</summary>
internal static class Devices
{
    /// <summary>Opens a device; for "auto", says on stderr which and why.</summary>
    /// <exception cref="UsageException">No such device name.</exception>
    /// <exception cref="DeviceUnavailableException">The device is not to be had here.</exception>
    public static IBackend Open(Host host, string name, int threads, bool quiet)
    {
        if (name == "auto")
        {
            return Choose(host, threads, quiet);
        }

        string kind = name.Split(':')[0];
        bool numbered = kind.Length < name.Length;
        int ordinal = 0;
        if (numbered && (kind != "cuda" || !int.TryParse(name[(kind.Length + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out ordinal)))
        {
            throw Unknown(name);
        }

        return kind switch
        {
            "cpu" => new CpuBackend(new CpuOptions { Threads = threads }),
            "cuda" => Cuda(name, ordinal),
            "virtual" => new VirtualBackend(threads),
            _ => throw Unknown(name),
        };
    }

    /// <summary>Cuda where a driver and a device answer. A device that answers and then fails is an error, not a reason to compute elsewhere.</summary>
    private static IBackend Choose(Host host, int threads, bool quiet)
    {
        bool cuda = CudaBackend.TryCreate(null, out CudaBackend? backend, out string? reason);
        if (!quiet)
        {
            host.Error.WriteLine(cuda ? $"device: cuda ({backend!.Description})" : $"device: cpu ({reason})");
        }

        return cuda ? backend! : new CpuBackend(new CpuOptions { Threads = threads });
    }

    private static CudaBackend Cuda(string name, int ordinal)
    {
        try
        {
            return CudaBackend.Create(new CudaOptions { Device = ordinal });
        }
        catch (GpuUnavailableException e)
        {
            throw new DeviceUnavailableException($"--device {name}: {e.Message} Without one, use --device cpu.", e);
        }
    }

    private static UsageException Unknown(string name) => new($"--device: '{name}' is not one of auto, cpu, cuda, cuda:N, virtual");
}
