using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;

namespace AdmNative.Cli;

/// <summary>Times of a launch, each with a cold L2, between two events.</summary>
/// <param name="Planned">The launch.</param>
/// <param name="MedianMs">Median, milliseconds.</param>
/// <param name="BestMs">Shortest.</param>
internal sealed record LaunchTime(PlannedLaunch Planned, double MedianMs, double BestMs);

/// <summary>
/// Runs cases through a driver, as the library does on a GPU: modules from the bundle, one stream, guard bytes around every buffer, events for times.
/// Counters, checks and schedules are the virtual device's business (<see cref="CaseRunner"/>).
/// </summary>
internal sealed class DriverRunner : IDisposable
{
    /// <summary>Bytes before and after a buffer that no kernel may touch; buffers begin at multiples of it.</summary>
    private const int GuardBytes = 256;

    private const byte Guard = 0xA5;

    private readonly ICudaDriver _driver;
    private readonly int _device;
    private readonly KernelLibrary _library;
    private readonly nint _stream, _start, _end;

    /// <summary>Opens a device and makes its primary context current on this thread.</summary>
    /// <exception cref="GpuUnavailableException">No such device, or one before sm_80.</exception>
    /// <exception cref="CudaException">The driver refused.</exception>
    public DriverRunner(ICudaDriver driver, int ordinal = 0)
    {
        _driver = driver;
        Ok(driver.Init());
        Ok(driver.DeviceGetCount(out int count));
        if (ordinal >= count)
        {
            throw new GpuUnavailableException(GpuUnavailableReason.NoDevice, $"there is no device {ordinal}: the driver knows {count}.");
        }

        Ok(driver.DeviceGet(out _device, ordinal));
        Profile = GpuProfile.Of(driver, _device);
        Ok(driver.DriverGetVersion(out int version));
        KernelBundle bundle = KernelBundle.Default.For((10 * Profile.Major) + Profile.Minor, version);
        Ok(driver.PrimaryCtxRetain(out nint context, _device));
        Ok(driver.CtxSetCurrent(context));
        Ok(driver.StreamCreate(out _stream, CudaCreateFlags.NonBlocking));
        Ok(driver.EventCreate(out _start, CudaCreateFlags.None));
        Ok(driver.EventCreate(out _end, CudaCreateFlags.None));
        _library = new KernelLibrary(driver, bundle) { SynchronizeEachLaunch = new CudaOptions().SynchronizeEachLaunch };
    }

    /// <summary>The device as launch plans and bounds see it.</summary>
    public DeviceProfile Profile { get; }

    /// <summary>Values against the reference, guards, unchanged inputs, and three runs with the same bits.</summary>
    /// <exception cref="CudaException">The driver refused, or a kernel failed.</exception>
    public CaseResult Check(KernelCase kernelCase)
    {
        CaseWork work = kernelCase.Build(Profile.Limits);
        var gates = new List<GateResult>();
        byte[][] first = Run(work, gates, null);
        CaseRunner.Judge(work, first, "error", gates);
        for (int again = 2; again <= 3; again++)
        {
            gates.Add(CaseRunner.Differences(work, first, Run(work, gates, null), $"bits in run {again}"));
        }

        return new CaseResult(kernelCase, work, [], gates);
    }

    /// <summary>Times every launch of a case: caches are overwritten before each measured launch.</summary>
    /// <param name="kernelCase">The case.</param>
    /// <param name="repeats">Measured launches; the first three that are made do not count.</param>
    /// <exception cref="CudaException">The driver refused, or a kernel failed.</exception>
    public IReadOnlyList<LaunchTime> Time(KernelCase kernelCase, int repeats = 20)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(repeats, 1);
        var times = new List<LaunchTime>();
        Run(kernelCase.Build(Profile.Limits), [], launches =>
        {
            nuint flushBytes = (nuint)Math.Max(2 * Profile.L2Bytes, 1 << 20);
            Ok(_driver.MemAlloc(out ulong flush, flushBytes));
            foreach ((PlannedLaunch planned, KernelLaunch launch) in launches)
            {
                double[] ms = new double[repeats];
                for (int i = -3; i < repeats; i++)
                {
                    Ok(_driver.MemsetD8(flush, (byte)i, flushBytes, _stream));
                    Ok(_driver.EventRecord(_start, _stream));
                    _library.Launch(launch, _stream);
                    Ok(_driver.EventRecord(_end, _stream));
                    Ok(_driver.EventSynchronize(_end));
                    Ok(_driver.EventElapsedTime(out float elapsed, _start, _end));
                    ms[Math.Max(i, 0)] = elapsed;
                }

                Array.Sort(ms);
                times.Add(new LaunchTime(planned, (ms[(repeats - 1) / 2] + ms[repeats / 2]) / 2, ms[0]));
            }

            Ok(_driver.MemFree(flush));
        });
        return times;
    }

    /// <summary>Gives everything back. After an error of a kernel the context is lost and so is what it held; nothing is thrown.</summary>
    public void Dispose()
    {
        try
        {
            _library.Dispose();
        }
        catch (CudaException)
        {
            // The run that failed has reported it; unloading a module of a spoiled context says no more.
        }

        _driver.EventDestroy(_start);
        _driver.EventDestroy(_end);
        _driver.StreamDestroy(_stream);
        _driver.PrimaryCtxRelease(_device);
    }

    // One run on fresh buffers; `then` gets the launches before the buffers go.
    private byte[][] Run(CaseWork work, List<GateResult> gates, Action<IReadOnlyList<(PlannedLaunch Planned, KernelLaunch Launch)>>? then)
    {
        var raw = new List<ulong>();
        try
        {
            foreach (KernelBuffer buffer in work.Buffers)
            {
                long bytes = buffer.Bytes + (2 * GuardBytes);
                Ok(_driver.MemAlloc(out ulong address, (nuint)bytes));
                raw.Add(address);
                buffer.Address = address + GuardBytes;
                byte[] contents = new byte[bytes];
                contents.AsSpan().Fill(Guard);
                if (buffer.Initial is { } initial)
                {
                    initial.CopyTo(contents, GuardBytes);
                }
                else
                {
                    contents.AsSpan(GuardBytes, checked((int)buffer.Bytes)).Fill(0xFF);
                }

                Copy(contents, address, toDevice: true);
            }

            IReadOnlyList<(PlannedLaunch Planned, KernelLaunch Launch)> launches = work.Launches();
            foreach ((_, KernelLaunch launch) in launches)
            {
                _library.Launch(launch, _stream);
            }

            Ok(_driver.StreamSynchronize(_stream));
            var results = new byte[work.Buffers.Count][];
            for (int b = 0; b < results.Length; b++)
            {
                byte[] all = new byte[work.Buffers[b].Bytes + (2 * GuardBytes)];
                Copy(all, raw[b], toDevice: false);
                results[b] = all[GuardBytes..^GuardBytes];
                int broken = (2 * GuardBytes) - all.AsSpan(0, GuardBytes).Count(Guard) - all.AsSpan(all.Length - GuardBytes).Count(Guard);
                if (broken > 0)
                {
                    gates.Add(new GateResult("bytes written outside", work.Buffers[b].Name, broken, 0));
                }
            }

            then?.Invoke(launches);
            return results;
        }
        finally
        {
            foreach (ulong address in raw)
            {
                _driver.MemFree(address); // fails only where an error is on its way out already
            }
        }
    }

    private void Copy(byte[] host, ulong device, bool toDevice)
    {
        GCHandle pin = GCHandle.Alloc(host, GCHandleType.Pinned);
        try
        {
            (nint p, nuint bytes) = (pin.AddrOfPinnedObject(), (nuint)host.Length);
            Ok(toDevice ? _driver.MemcpyHtoD(device, p, bytes, _stream) : _driver.MemcpyDtoH(p, device, bytes, _stream));
            Ok(_driver.StreamSynchronize(_stream));
        }
        finally
        {
            pin.Free();
        }
    }

    private void Ok(CudaStatus status, [CallerArgumentExpression(nameof(status))] string call = "") => _driver.Check(status, call);
}
