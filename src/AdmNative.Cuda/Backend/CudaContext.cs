using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>
/// A device of a driver: its primary context, one stream, the kernels. Everything a backend makes on the device is made here and counted, and is given back
/// by whoever made it; the context goes when the backend and all that it made are gone, in any order.
/// </summary>
internal sealed class CudaContext
{
    private readonly nint _context;
    private int _references = 1;

    /// <exception cref="GpuUnavailableException">No such device, or one before sm_80.</exception>
    /// <exception cref="CudaException">The driver refused.</exception>
    public CudaContext(ICudaDriver driver, int ordinal, bool synchronizeEachLaunch)
    {
        Driver = driver;
        Ok(driver.Init());
        Ok(driver.DeviceGetCount(out int count));
        if (ordinal < 0 || ordinal >= count)
        {
            throw new GpuUnavailableException(GpuUnavailableReason.NoDevice, $"there is no device {ordinal}: the driver knows {count}");
        }

        Ok(driver.DeviceGet(out int device, ordinal));
        Device = device;
        Ok(driver.DeviceGetName(out string name, device));
        Ok(driver.DeviceGetAttribute(out int major, CudaDeviceAttribute.ComputeCapabilityMajor, device));
        Ok(driver.DeviceGetAttribute(out int minor, CudaDeviceAttribute.ComputeCapabilityMinor, device));
        Description = driver.Description.Contains(name, StringComparison.Ordinal) ? driver.Description : $"{name} (sm_{major}{minor}), {driver.Description}";
        if (major < 8)
        {
            throw new GpuUnavailableException(GpuUnavailableReason.DeviceTooOld, $"{name} is sm_{major}{minor}; the kernels need sm_80 or newer");
        }

        Limits = DeviceLimits.Of(driver, device);
        Ok(driver.PrimaryCtxRetain(out _context, device));
        try
        {
            Enter();
            Ok(driver.StreamCreate(out nint stream, CudaCreateFlags.NonBlocking));
            Stream = stream;
        }
        catch
        {
            driver.PrimaryCtxRelease(device);
            throw;
        }

        Library = new KernelLibrary(driver) { SynchronizeEachLaunch = synchronizeEachLaunch };
    }

    public ICudaDriver Driver { get; }

    public int Device { get; }

    public string Description { get; }

    public DeviceLimits Limits { get; }

    public nint Stream { get; }

    public KernelLibrary Library { get; }

    /// <summary>Makes the context current on the calling thread.</summary>
    public void Enter() => Ok(Driver.CtxSetCurrent(_context));

    /// <summary>One more that must be disposed before the context goes.</summary>
    public void Retain() => Interlocked.Increment(ref _references);

    /// <summary>One less. The last gives the context back; what fails then fails because of an error that has been reported.</summary>
    public void Release()
    {
        if (Interlocked.Decrement(ref _references) > 0)
        {
            return;
        }

        Driver.CtxSetCurrent(_context);
        try
        {
            Library.Dispose();
        }
        catch (CudaException)
        {
            // Disposal does not throw: a module that does not unload belongs to a context that an earlier, reported error has spoiled.
        }

        Driver.StreamDestroy(Stream);
        Driver.PrimaryCtxRelease(Device);
    }

    public ulong Allocate(long bytes, string what)
    {
        CudaStatus status = Driver.MemAlloc(out ulong address, (nuint)bytes);
        if (status == CudaStatus.OutOfMemory)
        {
            Driver.MemGetInfo(out nuint free, out nuint total);
            throw new CudaException(status, $"cuMemAlloc({bytes})", $"{what} take {bytes >> 20} MiB; {free >> 20} of {total >> 20} MiB are free on {Description}");
        }

        Ok(status, $"cuMemAlloc({bytes}) for {what}");
        return address;
    }

    /// <summary>Copies and waits.</summary>
    public void Upload<T>(ReadOnlySpan<T> values, ulong address) where T : unmanaged
    {
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(values);
        unsafe
        {
            fixed (byte* p = bytes)
            {
                Ok(Driver.MemcpyHtoD(address, (nint)p, (nuint)bytes.Length, Stream), "cuMemcpyHtoD");
                Ok(Driver.StreamSynchronize(Stream), "cuStreamSynchronize");
            }
        }
    }

    /// <summary>Waits for the stream, copies and waits.</summary>
    public void Download<T>(ulong address, Span<T> values) where T : unmanaged
    {
        Span<byte> bytes = MemoryMarshal.AsBytes(values);
        unsafe
        {
            fixed (byte* p = bytes)
            {
                Ok(Driver.MemcpyDtoH((nint)p, address, (nuint)bytes.Length, Stream), "cuMemcpyDtoH");
                Ok(Driver.StreamSynchronize(Stream), "cuStreamSynchronize");
            }
        }
    }

    public void Ok(CudaStatus status, [CallerArgumentExpression(nameof(status))] string call = "")
    {
        if (status != CudaStatus.Success)
        {
            Throw(status, call);
        }
    }

    [DoesNotReturn]
    private void Throw(CudaStatus status, string call) => throw new CudaException(status, call, CudaException.Explain(Driver, status));
}
