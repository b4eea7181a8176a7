using System.Diagnostics.CodeAnalysis;
using AdmNative.Cuda;

namespace AdmNative.VirtualGpu;

/// <summary>
/// The CUDA driver's calls over a virtual device: the same statuses for the same mistakes, the same order of work, and a sentence in
/// <see cref="LastErrorDetail"/> for every failure. What kernels did is in <see cref="Reports"/>.
/// </summary>
/// <remarks>
/// <para>Streams run in order; work of different streams is ordered by events and by the null stream as the CUDA model says, and by nothing else:
/// see <see cref="StreamOrder"/>. A fault of a kernel (a wrong address, a trap) poisons the context as on hardware; findings that hardware would not
/// notice (races, bytes nobody wrote, ...) do not, they are in the reports.</para>
/// <para>Calls may come from any thread; one runs at a time. The current context belongs to the thread. Captures are thread-local: while a thread captures,
/// its calls that may synchronise (allocation, module loading, waiting) fail and invalidate the capture.</para>
/// <para>Event times are times of this machine and say nothing about a GPU.</para>
/// </remarks>
public sealed class VirtualDriver : ICudaDriver, IDisposable
{
    private readonly Lock _lock = new();
    private readonly ThreadLocal<ThreadState> _thread = new(() => new ThreadState());
    private readonly Queue<LaunchReport> _reports = new();
    private readonly KernelSums _totals = new();
    private nint _contextHandle;
    private DriverContext? _context;
    private int _retained;
    private nint _nextHandle = 0x1000;
    private bool _initialized;
    private LaunchOptions _launch;

    /// <summary>A driver with one device.</summary>
    /// <exception cref="ArgumentException">A driver version before 12.0, or launch options that contradict each other.</exception>
    public VirtualDriver(VirtualDriverOptions? options = null)
    {
        Options = options ?? new VirtualDriverOptions();
        Engine.Launch.Compiles(Options.Launch); // throws when the engine cannot do what is asked
        _launch = Options.Launch;
        _ = PtxVersion.OfDriver(Options.DriverVersion); // throws before 12.0
    }

    /// <summary>What it was built with.</summary>
    public VirtualDriverOptions Options { get; }

    /// <summary>How launches run from now on; begins as <see cref="VirtualDriverOptions.Launch"/>.</summary>
    /// <exception cref="ArgumentException">The options contradict each other: the compiler is asked for checks or counters.</exception>
    public LaunchOptions LaunchOptions
    {
        get => Volatile.Read(ref _launch);
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            Engine.Launch.Compiles(value);
            Volatile.Write(ref _launch, value);
        }
    }

    /// <summary>Raised after every launch, on the thread that ran it, while other threads' calls wait.</summary>
    public event Action<LaunchReport>? Launched;

    /// <summary>Reports of the latest launches, oldest first; <see cref="VirtualDriverOptions.KeepReports"/> of them.</summary>
    public IReadOnlyList<LaunchReport> Reports
    {
        get
        {
            lock (_lock)
            {
                return [.. _reports];
            }
        }
    }

    /// <summary>Findings of all kept reports.</summary>
    public IReadOnlyList<Finding> Findings => [.. Reports.SelectMany(r => r.Findings)];

    /// <summary>What every kernel did in all launches since the beginning or the last <see cref="ClearReports"/>, those whose reports are not kept included.</summary>
    public IReadOnlyList<KernelTotals> Totals
    {
        get
        {
            lock (_lock)
            {
                return _totals.Totals;
            }
        }
    }

    /// <summary>Forgets the reports and the totals.</summary>
    public void ClearReports()
    {
        lock (_lock)
        {
            _reports.Clear();
            _totals.Clear();
        }
    }

    /// <inheritdoc/>
    public string Description =>
        $"virtual CUDA driver {Options.DriverVersion / 1000}.{Options.DriverVersion % 1000 / 10}: {Options.Profile.Name} ({Options.Profile.Target}) on the CPU";

    /// <inheritdoc/>
    public bool HostsLibraries => false;

    /// <inheritdoc/>
    public string LastErrorDetail => _thread.Value!.Detail;

    /// <inheritdoc/>
    public string ErrorText(CudaStatus status) => ErrorNames.Of(status);

    /// <summary>Frees the context and everything in it.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _context?.Dispose();
            _context = null;
            _retained = 0;
            _initialized = false;
        }

        _thread.Dispose();
    }

    // ---- for the context

    internal nint NewHandle() => _nextHandle += 16;

    internal bool WasHandle(nint handle) => handle > 0x1000 && handle <= _nextHandle && handle % 16 == 0;

    internal void Keep(LaunchReport report)
    {
        _totals.Add(report);
        _reports.Enqueue(report);
        while (_reports.Count > Options.KeepReports)
        {
            _reports.Dequeue();
        }

        Launched?.Invoke(report);
    }

    // ---- the shape of every call

    private CudaStatus Done(Outcome outcome)
    {
        if (outcome.Failed)
        {
            _thread.Value!.Detail = outcome.Detail;
        }

        return outcome.Status;
    }

    private CudaStatus Fail(CudaStatus status, string detail) => Done(new Outcome(status, detail));

    private bool Initialized(out CudaStatus status)
    {
        status = _initialized ? CudaStatus.Success : Fail(CudaStatus.NotInitialized, "Init was not called");
        return _initialized;
    }

    private bool IsDevice(int device, out CudaStatus status)
    {
        if (!Initialized(out status))
        {
            return false;
        }

        status = device == 0 ? CudaStatus.Success : Fail(CudaStatus.InvalidDevice, $"device {device}; there is device 0 only");
        return device == 0;
    }

    /// <summary>The calling thread's context, if it can take work.</summary>
    private bool Open([NotNullWhen(true)] out DriverContext? context, out CudaStatus status)
    {
        context = null;
        if (!Initialized(out status))
        {
            return false;
        }

        ThreadState thread = _thread.Value!;
        if (thread.Context is null)
        {
            status = Fail(CudaStatus.InvalidContext, "no context is current on this thread; call PrimaryCtxRetain and CtxSetCurrent");
            return false;
        }

        if (thread.Context.Destroyed)
        {
            status = Fail(CudaStatus.ContextIsDestroyed, "the context of this thread was released for the last time");
            return false;
        }

        if (thread.Context.Poison is { Failed: true } poison)
        {
            status = Fail(poison.Status, $"an earlier launch failed and spoiled the context: {poison.Detail}");
            return false;
        }

        context = thread.Context;
        return true;
    }

    private sealed class ThreadState
    {
        public DriverContext? Context { get; set; }

        public nint Handle { get; set; }

        public string Detail { get; set; } = "";
    }

    // ---- driver and device

    /// <inheritdoc/>
    public CudaStatus Init()
    {
        lock (_lock)
        {
            _initialized = true;
            return CudaStatus.Success;
        }
    }

    /// <inheritdoc/>
    public CudaStatus DriverGetVersion(out int version)
    {
        version = Options.DriverVersion;
        return CudaStatus.Success;
    }

    /// <inheritdoc/>
    public CudaStatus DeviceGetCount(out int count)
    {
        lock (_lock)
        {
            count = Initialized(out CudaStatus status) ? 1 : 0;
            return status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus DeviceGet(out int device, int ordinal)
    {
        lock (_lock)
        {
            device = 0;
            IsDevice(ordinal, out CudaStatus status);
            return status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus DeviceGetName(out string name, int device)
    {
        lock (_lock)
        {
            name = IsDevice(device, out CudaStatus status) ? Options.Profile.Name : "";
            return status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus DeviceTotalMem(out ulong bytes, int device)
    {
        lock (_lock)
        {
            bytes = IsDevice(device, out CudaStatus status) ? (ulong)MemoryLimit : 0;
            return status;
        }
    }

    private long MemoryLimit => Options.MemoryLimit ?? VirtualDevice.DefaultMemoryLimit(Options.Profile);

    /// <inheritdoc/>
    public CudaStatus DeviceGetAttribute(out int value, CudaDeviceAttribute attribute, int device)
    {
        lock (_lock)
        {
            value = 0;
            if (!IsDevice(device, out CudaStatus status))
            {
                return status;
            }

            DeviceProfile p = Options.Profile;
            int? answer = attribute switch
            {
                CudaDeviceAttribute.MaxThreadsPerBlock => p.MaxThreadsPerBlock,
                CudaDeviceAttribute.MaxBlockDimX => p.MaxBlock.X,
                CudaDeviceAttribute.MaxBlockDimY => p.MaxBlock.Y,
                CudaDeviceAttribute.MaxBlockDimZ => p.MaxBlock.Z,
                CudaDeviceAttribute.MaxGridDimX => (int)p.MaxGrid.X,
                CudaDeviceAttribute.MaxGridDimY => (int)p.MaxGrid.Y,
                CudaDeviceAttribute.MaxGridDimZ => (int)p.MaxGrid.Z,
                CudaDeviceAttribute.MaxSharedBytesPerBlock => p.SharedPerBlock,
                CudaDeviceAttribute.WarpSize => 32,
                CudaDeviceAttribute.MaxRegistersPerBlock => p.RegistersPerBlock,
                CudaDeviceAttribute.ClockRateKhz => p.ClockKhz,
                CudaDeviceAttribute.MultiprocessorCount => p.Multiprocessors,
                CudaDeviceAttribute.MemoryClockRateKhz => p.MemoryClockKhz,
                CudaDeviceAttribute.MemoryBusWidthBits => p.MemoryBusBits,
                CudaDeviceAttribute.L2CacheBytes => (int)p.L2Bytes,
                CudaDeviceAttribute.MaxThreadsPerMultiprocessor => p.ThreadsPerMultiprocessor,
                CudaDeviceAttribute.ComputeCapabilityMajor => p.Major,
                CudaDeviceAttribute.ComputeCapabilityMinor => p.Minor,
                CudaDeviceAttribute.MaxSharedBytesPerMultiprocessor => p.SharedPerMultiprocessor,
                CudaDeviceAttribute.MaxRegistersPerMultiprocessor => p.RegistersPerMultiprocessor,
                CudaDeviceAttribute.MaxSharedBytesPerBlockOptin => p.SharedPerBlockOptin,
                CudaDeviceAttribute.MaxBlocksPerMultiprocessor => p.BlocksPerMultiprocessor,
                CudaDeviceAttribute.ReservedSharedBytesPerBlock => p.ReservedSharedPerBlock,
                _ => null,
            };
            value = answer ?? 0;
            return answer is null ? Fail(CudaStatus.InvalidValue, $"device attribute {(int)attribute} is not known") : status;
        }
    }

    // ---- context

    /// <inheritdoc/>
    public CudaStatus PrimaryCtxRetain(out nint context, int device)
    {
        lock (_lock)
        {
            context = 0;
            if (!IsDevice(device, out CudaStatus status))
            {
                return status;
            }

            if (_retained++ == 0)
            {
                _context = new DriverContext(this);
                _contextHandle = NewHandle();
            }

            context = _contextHandle;
            return CudaStatus.Success;
        }
    }

    /// <inheritdoc/>
    public CudaStatus PrimaryCtxRelease(int device)
    {
        lock (_lock)
        {
            if (!IsDevice(device, out CudaStatus status))
            {
                return status;
            }

            if (_retained == 0)
            {
                return Fail(CudaStatus.InvalidContext, "the primary context is not retained");
            }

            if (--_retained == 0)
            {
                _context!.Dispose();
                _context = null;
                _contextHandle = 0;
            }

            return CudaStatus.Success;
        }
    }

    /// <inheritdoc/>
    public CudaStatus CtxSetCurrent(nint context)
    {
        lock (_lock)
        {
            if (!Initialized(out CudaStatus status))
            {
                return status;
            }

            if (context != 0 && context != _contextHandle)
            {
                return Fail(
                    CudaStatus.InvalidContext,
                    $"0x{context:x} is no live context{(WasHandle(context) ? ": it was released, or is a handle of another kind" : "")}");
            }

            ThreadState thread = _thread.Value!;
            (thread.Handle, thread.Context) = (context, context == 0 ? null : _context);
            return CudaStatus.Success;
        }
    }

    /// <inheritdoc/>
    public CudaStatus CtxGetCurrent(out nint context)
    {
        lock (_lock)
        {
            context = Initialized(out CudaStatus status) ? _thread.Value!.Handle : 0;
            return status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus CtxSynchronize()
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.CtxSynchronize()) : status;
        }
    }

    // ---- modules and functions

    /// <inheritdoc/>
    public CudaStatus ModuleLoad(out nint module, ReadOnlySpan<byte> image, out string log)
    {
        lock (_lock)
        {
            module = 0;
            log = "";
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.ModuleLoad(out module, image, out log)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus ModuleUnload(nint module)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.ModuleUnload(module)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus ModuleGetFunction(out nint kernel, nint module, string name)
    {
        lock (_lock)
        {
            kernel = 0;
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.ModuleGetFunction(out kernel, module, name)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus ModuleGetGlobal(out ulong address, out nuint bytes, nint module, string name)
    {
        lock (_lock)
        {
            address = 0;
            bytes = 0;
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.ModuleGetGlobal(out address, out bytes, module, name)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus FuncGetAttribute(out int value, CudaFunctionAttribute attribute, nint kernel)
    {
        lock (_lock)
        {
            value = 0;
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.FuncGetAttribute(out value, attribute, kernel)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus FuncSetAttribute(nint kernel, CudaFunctionAttribute attribute, int value)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.FuncSetAttribute(kernel, attribute, value)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus OccupancyMaxActiveBlocks(out int blocks, nint kernel, int blockSize, nuint dynamicSharedBytes)
    {
        lock (_lock)
        {
            blocks = 0;
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.OccupancyMaxActiveBlocks(out blocks, kernel, blockSize, dynamicSharedBytes)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus LaunchKernel(nint kernel, in LaunchShape shape, nint stream, ReadOnlySpan<byte> parameters)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.LaunchKernel(kernel, shape, stream, parameters)) : status;
        }
    }

    // ---- memory

    /// <inheritdoc/>
    public CudaStatus MemAlloc(out ulong address, nuint bytes)
    {
        lock (_lock)
        {
            address = 0;
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.MemAlloc(out address, bytes)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus MemFree(ulong address)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.MemFree(address)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus MemGetInfo(out nuint free, out nuint total)
    {
        lock (_lock)
        {
            free = 0;
            total = 0;
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.MemGetInfo(out free, out total)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus MemHostAlloc(out nint address, nuint bytes)
    {
        lock (_lock)
        {
            address = 0;
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.MemHostAlloc(out address, bytes)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus MemFreeHost(nint address)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.MemFreeHost(address)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus MemcpyHtoD(ulong destination, nint source, nuint bytes, nint stream)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.MemcpyHtoD(destination, source, bytes, stream)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus MemcpyDtoH(nint destination, ulong source, nuint bytes, nint stream)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.MemcpyDtoH(destination, source, bytes, stream)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus MemcpyDtoD(ulong destination, ulong source, nuint bytes, nint stream)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.MemcpyDtoD(destination, source, bytes, stream)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus MemsetD8(ulong destination, byte value, nuint count, nint stream)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.Memset(destination, value, 1, count, stream)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus MemsetD32(ulong destination, uint value, nuint count, nint stream)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.Memset(destination, value, 4, count, stream)) : status;
        }
    }

    // ---- streams and events

    /// <inheritdoc/>
    public CudaStatus StreamCreate(out nint stream, CudaCreateFlags flags)
    {
        lock (_lock)
        {
            stream = 0;
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.StreamCreate(out stream, flags)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus StreamDestroy(nint stream)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.StreamDestroy(stream)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus StreamSynchronize(nint stream)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.StreamSynchronize(stream)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus StreamQuery(nint stream)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.StreamQuery(stream)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus StreamWaitEvent(nint stream, nint eventHandle)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.StreamWaitEvent(stream, eventHandle)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus EventCreate(out nint eventHandle, CudaCreateFlags flags)
    {
        lock (_lock)
        {
            eventHandle = 0;
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.EventCreate(out eventHandle, flags)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus EventDestroy(nint eventHandle)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.EventDestroy(eventHandle)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus EventRecord(nint eventHandle, nint stream)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.EventRecord(eventHandle, stream)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus EventSynchronize(nint eventHandle)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.EventSynchronize(eventHandle)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus EventQuery(nint eventHandle)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.EventQuery(eventHandle)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus EventElapsedTime(out float milliseconds, nint startEvent, nint endEvent)
    {
        lock (_lock)
        {
            milliseconds = 0;
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.EventElapsedTime(out milliseconds, startEvent, endEvent)) : status;
        }
    }

    // ---- graphs

    /// <inheritdoc/>
    public CudaStatus StreamBeginCapture(nint stream)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.StreamBeginCapture(stream)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus StreamEndCapture(nint stream, out nint graph)
    {
        lock (_lock)
        {
            graph = 0;
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.StreamEndCapture(stream, out graph)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus GraphInstantiate(out nint graphExec, nint graph)
    {
        lock (_lock)
        {
            graphExec = 0;
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.GraphInstantiate(out graphExec, graph)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus GraphLaunch(nint graphExec, nint stream)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.GraphLaunch(graphExec, stream)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus GraphGetNodeCount(out nuint nodes, nint graph)
    {
        lock (_lock)
        {
            nodes = 0;
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.GraphGetNodeCount(out nodes, graph)) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus GraphExecDestroy(nint graphExec)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.Destroy<DriverGraphExec>(graphExec, "executable graph")) : status;
        }
    }

    /// <inheritdoc/>
    public CudaStatus GraphDestroy(nint graph)
    {
        lock (_lock)
        {
            return Open(out DriverContext? c, out CudaStatus status) ? Done(c.Destroy<DriverGraph>(graph, "graph")) : status;
        }
    }
}
