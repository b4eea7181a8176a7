using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>
/// A device of a driver: its primary context, one stream, the kernels. Everything a backend makes on the device is a <see cref="CuHandle"/> of this context
/// and keeps it; the context goes when the backend and all that it made are gone, in any order.
/// </summary>
/// <remarks>
/// <para>Every public entry of the backend calls <see cref="Enter"/>: the context becomes current on the caller's thread, and stays so.</para>
/// <para>What was forgotten instead of disposed ends on a list (<see cref="GiveBack"/>) that is emptied when memory is next allocated, waited for or given
/// back; a context that was forgotten with all that it held is given back when a device is next opened.</para>
/// <para>An error that spoils the context is kept: from then on <see cref="Enter"/> fails with it, and the driver is not asked again.</para>
/// </remarks>
internal sealed class CudaContext : CuObject
{
    /// <summary>Contexts that nobody disposed.</summary>
    private static readonly ConcurrentQueue<CudaContext> s_forgotten = new();

    private readonly ConcurrentQueue<Held> _retired = new();
    private CudaException? _lost;
    private long _leaked;

    /// <exception cref="GpuUnavailableException">No such device, or one before sm_80.</exception>
    /// <exception cref="CudaException">The driver refused.</exception>
    public CudaContext(ICudaDriver driver, int ordinal, bool synchronizeEachLaunch)
    {
        CollectForgotten();
        Driver = driver;
        Ok(driver.Init());
        Ok(driver.DeviceGetCount(out int count));
        if (ordinal < 0 || ordinal >= count)
        {
            throw new GpuUnavailableException(GpuUnavailableReason.NoDevice, $"there is no device {ordinal}: the driver knows {count}.");
        }

        Ok(driver.DeviceGet(out int device, ordinal));
        Device = device;
        Ok(driver.DeviceGetName(out string name, device));
        Ok(driver.DeviceGetAttribute(out int major, CudaDeviceAttribute.ComputeCapabilityMajor, device));
        Ok(driver.DeviceGetAttribute(out int minor, CudaDeviceAttribute.ComputeCapabilityMinor, device));
        Description = driver.Description.Contains(name, StringComparison.Ordinal) ? driver.Description : $"{name} (sm_{major}{minor}), {driver.Description}";
        if (major < 8)
        {
            throw new GpuUnavailableException(GpuUnavailableReason.DeviceTooOld, $"{name} is sm_{major}{minor}; the kernels need sm_80 or newer.");
        }

        Limits = DeviceLimits.Of(driver, device);
        Ok(driver.DriverGetVersion(out int version));
        Library = new KernelLibrary(driver, KernelBundle.Default.For((10 * major) + minor, version)) { SynchronizeEachLaunch = synchronizeEachLaunch };
        Ok(driver.PrimaryCtxRetain(out nint context, device));
        SetHandle(context);
        try
        {
            Enter();
            Ok(driver.StreamCreate(out nint stream, CudaCreateFlags.NonBlocking));
            Stream = stream;
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public ICudaDriver Driver { get; }

    public int Device { get; }

    public string Description { get; }

    public DeviceLimits Limits { get; }

    public nint Stream { get; }

    public KernelLibrary Library { get; }

    /// <summary>Objects that were forgotten instead of disposed, and those the driver did not take back.</summary>
    public long LeakedHandles => Interlocked.Read(ref _leaked);

    /// <summary>cuDNN on this device; null where our kernels convolve. Goes with the context.</summary>
    public CudnnSession? Cudnn { get; set; }

    /// <summary>Makes the context current on the calling thread.</summary>
    /// <exception cref="CudaException">The context is lost; the message is that of the call that lost it.</exception>
    public void Enter()
    {
        if (Volatile.Read(ref _lost) is { } first)
        {
            throw first.Later();
        }

        // Not skipped when this thread was here before: in between, the program may have made another context current.
        Ok(Driver.CtxSetCurrent(handle));
    }

    /// <summary>An object of this context with the call that destroys it.</summary>
    public CuHandle Own(string call, nint made, Func<ICudaDriver, nint, CudaStatus> destroy) => new(this, new Held(call, made, destroy));

    /// <summary>Device memory. Give it back by disposing it.</summary>
    /// <param name="bytes">At least 1.</param>
    /// <param name="what">For messages: what it holds.</param>
    public CuHandle Allocate(long bytes, string what)
    {
        Drain();
        CudaStatus status = Driver.MemAlloc(out ulong address, (nuint)bytes);
        if (status == CudaStatus.OutOfMemory)
        {
            Driver.MemGetInfo(out nuint free, out nuint total);
            throw new CudaException(status, $"cuMemAlloc({bytes})", $"{what} take {bytes >> 20} MiB; {free >> 20} of {total >> 20} MiB are free on {Description}");
        }

        Ok(status, $"cuMemAlloc({bytes}) for {what}");
        return new CuHandle(this, new Held("cuMemFree", (nint)address, static (driver, memory) => driver.MemFree((ulong)memory)), bytes);
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

        Drain();
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

        Drain();
    }

    /// <summary>Waits for the stream before what it works on is given back. Disposal does not throw: an error met here is the one that later calls report.</summary>
    public void Settle()
    {
        if (Reach())
        {
            Note(Driver.StreamSynchronize(Stream), "cuStreamSynchronize");
            DrainList();
        }
    }

    /// <summary>Destroys an object; one that was forgotten goes on the list, because the finalizer thread must not wait for a device.</summary>
    public void GiveBack(in Held held, bool forgotten)
    {
        if (forgotten)
        {
            Interlocked.Increment(ref _leaked);
            _retired.Enqueue(held);
        }
        else if (Reach())
        {
            Accept(held.Destroy(Driver, held.Handle), held.Call);
        }
    }

    public void Ok(CudaStatus status, [CallerArgumentExpression(nameof(status))] string call = "")
    {
        if (status != CudaStatus.Success)
        {
            Throw(status, call);
        }
    }

    /// <summary>The failure with what it was for, if it does not say so yet; kept, if it spoils the context.</summary>
    public CudaException About(CudaException failure, string subject)
    {
        CudaException full = failure.Subject is null ? failure.For(subject) : failure;
        if (full.PoisonsContext && Interlocked.CompareExchange(ref _lost, full, null) is not null)
        {
            Interlocked.CompareExchange(ref _lost, full, failure);
        }

        return full;
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        if (Forgotten)
        {
            s_forgotten.Enqueue(this);
        }
        else
        {
            LetGo();
        }

        return true;
    }

    private static void CollectForgotten()
    {
        while (s_forgotten.TryDequeue(out CudaContext? context))
        {
            context.LetGo();
        }
    }

    /// <summary>Gives the context back. What fails here fails because of an error that was reported, or has nobody to be reported to.</summary>
    private void LetGo()
    {
        try
        {
            bool reached = Reach();
            Cudnn?.Dispose();
            if (reached)
            {
                DrainList();
                UnloadModules();
                if (Stream != 0)
                {
                    Accept(Driver.StreamDestroy(Stream), "cuStreamDestroy");
                }
            }

            Accept(Driver.PrimaryCtxRelease(Device), "cuDevicePrimaryCtxRelease");
        }
        catch (ObjectDisposedException)
        {
            // A virtual driver that went first, and took the context along.
        }
    }

    private void UnloadModules()
    {
        try
        {
            Library.Dispose();
        }
        catch (CudaException)
        {
            Interlocked.Increment(ref _leaked);
        }
    }

    /// <summary>
    /// Makes the context current if there is still something to do in it: what a lost context holds, the driver frees with it. Should the driver not want to,
    /// the calls that follow tell: the context may be current already.
    /// </summary>
    private bool Reach()
    {
        if (Volatile.Read(ref _lost) is not null)
        {
            return false;
        }

        try
        {
            Note(Driver.CtxSetCurrent(handle), "cuCtxSetCurrent");
            return Volatile.Read(ref _lost) is null;
        }
        catch (ObjectDisposedException)
        {
            return false; // as in LetGo
        }
    }

    /// <summary>The status of a call that gives an object back.</summary>
    private void Accept(CudaStatus status, string call)
    {
        Note(status, call);
        if (status != CudaStatus.Success && !CudaException.Poisons(status))
        {
            Interlocked.Increment(ref _leaked);
        }
    }

    /// <summary>Keeps a failure that spoils the context when there is nobody to throw it at.</summary>
    private void Note(CudaStatus status, string call)
    {
        if (CudaException.Poisons(status))
        {
            About(new CudaException(status, call, CudaException.Explain(Driver, status)), "a disposal, where the failure of an earlier launch was noticed");
        }
    }

    /// <summary>Destroys what was forgotten. The context is current.</summary>
    private void Drain()
    {
        if (!s_forgotten.IsEmpty)
        {
            CollectForgotten();
            Enter();
        }

        DrainList();
    }

    private void DrainList()
    {
        while (_retired.TryDequeue(out Held forgotten))
        {
            Accept(forgotten.Destroy(Driver, forgotten.Handle), forgotten.Call);
        }
    }

    [DoesNotReturn]
    private void Throw(CudaStatus status, string call) => throw (CudaException.Poisons(status) && Volatile.Read(ref _lost) is { } first
        ? first.Later() : new CudaException(status, call, CudaException.Explain(Driver, status)));
}
