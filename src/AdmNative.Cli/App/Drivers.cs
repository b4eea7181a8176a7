using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>The driver binding a flag names.</summary>
internal static class Drivers
{
    public const string Installed = "libcuda";
    public const string ManagedCuda = "managedcuda";

    /// <summary>Chooses it for the cuda device of this process.</summary>
    /// <exception cref="UsageException">No such binding, or the program was built without it.</exception>
    public static void Choose(string name)
    {
        switch (name)
        {
            case Installed:
                break;
#if ADMNATIVE_MANAGEDCUDA
            case ManagedCuda:
                CudaDriver.Use(new AdmNative.ManagedCuda.ManagedCudaDriver());
                break;
#else
            case ManagedCuda:
                throw new UsageException("--driver: this program was built without managedcuda; src/AdmNative.ManagedCuda/README.md says how to build it with");
#endif
            default:
                throw new UsageException($"--driver: '{name}' is not one of {Installed}, {ManagedCuda}");
        }
    }

    /// <summary>Says on stderr which kernels are not the shipped ones (ADMNATIVE_PTX_DIR).</summary>
    public static void AnnounceKernels(Host host)
    {
        foreach (string file in KernelBundle.Default.Overridden)
        {
            host.Error.WriteLine($"kernels: {file} replaces the shipped file of that name (ADMNATIVE_PTX_DIR)");
        }
    }
}
