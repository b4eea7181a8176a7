using AdmNative.Cuda;
using AdmNative.VirtualGpu;

namespace AdmNative.Cli;

/// <summary>The profile of an installed GPU: limits as its driver states them, rates per clock of the built-in profile nearest to it.</summary>
internal static class GpuProfile
{
    /// <summary>The built-in profile of an architecture, or the newest before it: its rates per clock and multiprocessor are the best guess there is.</summary>
    public static DeviceProfile Near(int major, int minor) => DeviceProfile.All.Last(p => (p.Major, p.Minor).CompareTo((major, minor)) <= 0);

    /// <summary>Asks a driver.</summary>
    /// <exception cref="GpuUnavailableException">The device is older than sm_80.</exception>
    /// <exception cref="CudaException">The driver refused.</exception>
    public static DeviceProfile Of(ICudaDriver driver, int device)
    {
        int Ask(CudaDeviceAttribute attribute)
        {
            driver.Check(driver.DeviceGetAttribute(out int value, attribute, device), $"cuDeviceGetAttribute({attribute})");
            return value;
        }

        driver.Check(driver.DeviceGetName(out string name, device), "cuDeviceGetName");

        (int major, int minor) = (Ask(CudaDeviceAttribute.ComputeCapabilityMajor), Ask(CudaDeviceAttribute.ComputeCapabilityMinor));
        if (major < 8)
        {
            throw new GpuUnavailableException(
                GpuUnavailableReason.DeviceTooOld, $"{name} is sm_{major}{minor}; the kernels need sm_80 or newer.");
        }

        DeviceProfile near = Near(major, minor);
        DeviceLimits limits = DeviceLimits.Of(driver, device);
        int multiprocessors = limits.SmCount, clock = Ask(CudaDeviceAttribute.ClockRateKhz);
        double scale = (double)multiprocessors * clock / ((double)near.Multiprocessors * near.ClockKhz);
        (int memoryClock, int bus) = (Ask(CudaDeviceAttribute.MemoryClockRateKhz), Ask(CudaDeviceAttribute.MemoryBusWidthBits));
        return near with
        {
            Name = name,
            Alias = name,
            Major = major,
            Minor = minor,
            Multiprocessors = multiprocessors,
            L2Bytes = limits.L2Bytes,
            ClockKhz = clock,
            MemoryClockKhz = memoryClock,
            MemoryBusBits = bus,
            DramBytesPerSecond = memoryClock * 1e3 * 2 * bus / 8,
            TensorHalfPerSecond = near.TensorHalfPerSecond * scale,
            TensorTf32PerSecond = near.TensorTf32PerSecond * scale,
            TensorInt8PerSecond = near.TensorInt8PerSecond * scale,
            ThreadsPerMultiprocessor = limits.MaxThreadsPerSm,
            BlocksPerMultiprocessor = limits.MaxBlocksPerSm,
            RegistersPerMultiprocessor = limits.RegistersPerSm,
            SharedPerMultiprocessor = limits.SharedPerSm,
            SharedPerBlockOptin = limits.SharedPerBlockOptIn,
            ReservedSharedPerBlock = limits.SharedReservedPerBlock,
        };
    }
}
