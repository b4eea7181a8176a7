namespace AdmNative.Cuda;

/// <summary>The driver that <see cref="CudaBackend"/> opens when it is given none: the installed one, unless the program chose another.</summary>
public static class CudaDriver
{
    private static ICudaDriver? s_chosen;

    /// <summary>Chooses a driver for this process, e.g. that of AdmNative.ManagedCuda; null = the installed one again. Backends that are open keep theirs.</summary>
    public static void Use(ICudaDriver? driver) => Volatile.Write(ref s_chosen, driver);

    /// <summary>Starts a binding of the installed driver and asks what every binding needs to know first: library, version, devices.</summary>
    /// <returns>Why it cannot be used; null when it can.</returns>
    public static GpuUnavailableException? Refusal(ICudaDriver driver)
    {
        ArgumentNullException.ThrowIfNull(driver);
        if (CudaLibrary.Handle == 0)
        {
            return new GpuUnavailableException(
                GpuUnavailableReason.NoDriver, $"no CUDA driver: install one, or name its library in {CudaLibrary.Variable}.", CudaLibrary.Trace);
        }

        try
        {
            int count = 0;
            GpuUnavailableException? why = Started(driver.DriverGetVersion(out int version), "cuDriverGetVersion");
            if (why is null && version < LibCudaDriver.MinimumVersion)
            {
                why = new GpuUnavailableException(
                    GpuUnavailableReason.DriverTooOld,
                    $"the CUDA driver is version {version / 1000}.{version % 1000 / 10}; 12.0 or newer is needed: update the driver.", CudaLibrary.Trace);
            }

            why ??= Started(driver.Init(), "cuInit") ?? Started(driver.DeviceGetCount(out count), "cuDeviceGetCount");
            return why is null && count == 0
                ? new GpuUnavailableException(GpuUnavailableReason.NoDevice, "the CUDA driver knows no device.", CudaLibrary.Trace) : why;
        }
        catch (EntryPointNotFoundException e)
        {
            return new GpuUnavailableException(
                GpuUnavailableReason.DriverTooOld, $"the CUDA driver lacks a call of CUDA 12.0: {e.Message}", CudaLibrary.Trace, e);
        }
    }

    /// <summary>The chosen driver, or the installed one.</summary>
    /// <exception cref="GpuUnavailableException">None was chosen, and none is installed, or it is too old or has no device.</exception>
    public static ICudaDriver Open() => Volatile.Read(ref s_chosen) ?? LibCudaDriver.Create();

    // What the first calls of a process say about driver and devices.
    private static GpuUnavailableException? Started(CudaStatus status, string call) => status switch
    {
        CudaStatus.Success => null,
        CudaStatus.NoDevice => new GpuUnavailableException(
            GpuUnavailableReason.NoDevice, "the CUDA driver knows no device (CUDA_VISIBLE_DEVICES may hide it).", CudaLibrary.Trace),
        _ => new GpuUnavailableException(
            GpuUnavailableReason.DriverFailed, $"the CUDA driver does not start: {call} returns {status} ({(int)status}).", CudaLibrary.Trace),
    };
}
