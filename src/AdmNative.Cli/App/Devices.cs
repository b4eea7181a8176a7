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
    /// <param name="host">For stderr.</param>
    /// <param name="name">auto, cpu, cuda, cuda:N or virtual.</param>
    /// <param name="conv">auto, cudnn or native; only the cuda device has a choice.</param>
    /// <param name="threads">Of the cpu and the virtual device; 0 means all cores.</param>
    /// <param name="quiet">Nothing on stderr.</param>
    /// <param name="cuda">How a cuda or virtual device computes.</param>
    /// <exception cref="UsageException">No such device name, or no such choice on it.</exception>
    /// <exception cref="DeviceUnavailableException">The device is not to be had here.</exception>
    public static IBackend Open(Host host, string name, string conv, int threads, bool quiet, CudaOptions? cuda = null)
    {
        ConvolutionChoice convolutions = Convolutions(conv);
        CudaOptions options = (cuda ?? new CudaOptions()) with { Convolutions = convolutions };
        if (name == "auto")
        {
            return Choose(host, options, threads, quiet);
        }

        string kind = name.Split(':')[0];
        bool numbered = kind.Length < name.Length;
        int ordinal = 0;
        if (numbered && (kind != "cuda" || !int.TryParse(name[(kind.Length + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out ordinal)))
        {
            throw Unknown(name);
        }

        if (convolutions != ConvolutionChoice.Auto && kind is "cpu" or "virtual")
        {
            throw new UsageException($"--conv: the {kind} device has only convolutions of its own; {conv} goes with --device cuda");
        }

        if (kind is "cuda" or "virtual")
        {
            Drivers.AnnounceKernels(host);
        }

        return kind switch
        {
            "cpu" => Cpu(host, options, threads, quiet),
            "cuda" => Cuda(name, options with { Device = ordinal, Log = quiet ? null : host.Error.WriteLine }),
            "virtual" => new VirtualBackend(threads, options),
            _ => throw Unknown(name),
        };
    }

    /// <summary>Cuda where a driver and a device answer. A device that answers and then fails is an error, not a reason to compute elsewhere.</summary>
    private static IBackend Choose(Host host, CudaOptions options, int threads, bool quiet)
    {
        List<string>? early = quiet ? null : [];
        Action<string>? log = quiet ? null : line => (early is null ? host.Error.WriteLine : (Action<string>)early.Add)(line);
        bool cuda = CudaBackend.TryCreate(options with { Log = log }, out CudaBackend? backend, out string? reason);
        if (!cuda && options.Convolutions != ConvolutionChoice.Auto)
        {
            throw new DeviceUnavailableException($"--conv: only the cuda device has a choice of convolutions, and: {reason}");
        }

        if (!quiet)
        {
            host.Error.WriteLine(cuda ? $"device: cuda ({backend!.Description})" : $"device: cpu ({reason})");
            early!.ForEach(host.Error.WriteLine);
            early = null;
        }

        if (cuda)
        {
            Drivers.AnnounceKernels(host);
        }

        return cuda ? backend! : Cpu(host, options, threads, quiet);
    }

    private static CpuBackend Cpu(Host host, CudaOptions asked, int threads, bool quiet)
    {
        if (asked.Precision != KernelDType.F32 && !quiet)
        {
            host.Error.WriteLine($"note: the cpu computes in f32, not in {asked.Precision.Suffix()}");
        }

        return new CpuBackend(new CpuOptions { Threads = threads });
    }

    private static CudaBackend Cuda(string name, CudaOptions options)
    {
        try
        {
            return CudaBackend.Create(options);
        }
        catch (GpuUnavailableException e) when (e.Reason == GpuUnavailableReason.NoCudnn)
        {
            throw new DeviceUnavailableException($"--conv cudnn: {e.Message} Without it, use --conv native.", e);
        }
        catch (GpuUnavailableException e)
        {
            throw new DeviceUnavailableException($"--device {name}: {e.Message} Without one, use --device cpu.", e);
        }
    }

    private static ConvolutionChoice Convolutions(string conv) => conv switch
    {
        "auto" => ConvolutionChoice.Auto,
        "cudnn" => ConvolutionChoice.Cudnn,
        "native" => ConvolutionChoice.Native,
        _ => throw new UsageException($"--conv: '{conv}' is not one of auto, cudnn, native"),
    };

    /// <summary>What images depend on: cpu, cuda or virtual, and the precision where it is not f32.</summary>
    public static string KindOf(IBackend backend)
    {
        (string kind, KernelDType precision) = backend switch
        {
            CudaBackend cuda => ("cuda", cuda.Precision),
            VirtualBackend virtualDevice => ("virtual", virtualDevice.Precision),
            _ => ("cpu", KernelDType.F32),
        };
        return precision == KernelDType.F32 ? kind : $"{kind} {precision.Suffix()}";
    }

    private static UsageException Unknown(string name) => new($"--device: '{name}' is not one of auto, cpu, cuda, cuda:N, virtual");
}
