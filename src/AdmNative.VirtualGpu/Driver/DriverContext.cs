using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using AdmNative.Cuda;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu;

/// <summary>
/// The primary context: everything that has a handle, and the order of work. Not safe for threads by itself: the driver's lock is held around every call.
/// </summary>
internal sealed unsafe class DriverContext : IDisposable
{
    private readonly VirtualDriver _driver;
    private readonly Dictionary<nint, object> _objects = [];
    private readonly SortedList<nint, long> _pinned = [];
    private readonly HashSet<Capture> _captures = [];
    private readonly DriverStream _null = new(isNull: true, blocking: false);
    private readonly List<DriverStream> _streams;

    public DriverContext(VirtualDriver driver)
    {
        _driver = driver;
        _streams = [_null];
        Device = new VirtualDevice(driver.Options.Profile, driver.Options.MemoryLimit);
    }

    public VirtualDevice Device { get; }

    /// <summary>The first error that poisoned the context; every later call answers with it.</summary>
    public Outcome Poison { get; private set; } = Outcome.Ok;

    public bool Destroyed { get; private set; }

    private DeviceProfile Profile => Device.Profile;

    private bool Deferred => _driver.Options.Streams == StreamOrder.Deferred;

    public void Dispose()
    {
        Destroyed = true;
        foreach (nint host in _pinned.Keys)
        {
            NativeMemory.AlignedFree((void*)host);
        }

        _pinned.Clear();
        _objects.Clear();
        Device.Dispose();
    }

    // ---- handles

    private nint Add(object o)
    {
        nint handle = _driver.NewHandle();
        _objects[handle] = o;
        return handle;
    }

    private Outcome Find<T>(nint handle, string what, out T found) where T : class
    {
        object? o = _objects.GetValueOrDefault(handle);
        found = (o as T)!;
        if (found is not null)
        {
            return Outcome.Ok;
        }

        string why = o is not null ? "it is a handle of another kind"
            : handle == 0 ? "it is null"
            : _driver.WasHandle(handle) ? "it was destroyed, or belongs to an earlier context"
            : "this driver never gave it out";
        return new Outcome(CudaStatus.InvalidHandle, $"0x{handle:x} is no {what}: {why}");
    }

    private Outcome FindStream(nint handle, out DriverStream stream)
    {
        if (handle is 0 or 1) // CU_STREAM_LEGACY is the null stream by another name
        {
            stream = _null;
            return Outcome.Ok;
        }

        return Find(handle, "stream", out stream);
    }

    // ---- order of work

    /// <summary>Puts work into a stream, or into the graph being captured there.</summary>
    private Outcome Enqueue(DriverStream stream, Operation work)
    {
        if (stream.Capture is { } capture)
        {
            if (capture.Invalid is { } why)
            {
                return new Outcome(CudaStatus.StreamCaptureInvalidated, $"the capture was invalidated: {why}");
            }

            capture.Nodes.Add(new GraphNode(work, [.. stream.Frontier.Order()]));
            stream.Frontier = [capture.Nodes.Count - 1];
            return Outcome.Ok;
        }

        After(work, stream.Last);
        if (stream.IsNull)
        {
            foreach (DriverStream other in _streams)
            {
                After(work, other.Blocking ? other.Last : null);
            }
        }
        else if (stream.Blocking)
        {
            After(work, _null.Last);
        }

        stream.Last = work;
        return Deferred ? Outcome.Ok : Execute(work);
    }

    private static void After(Operation work, Operation? earlier)
    {
        if (earlier is { Done: false } && earlier != work)
        {
            work.After!.Add(earlier);
        }
    }

    /// <summary>Runs an operation after everything it waits for. A failure poisons the context.</summary>
    private Outcome Execute(Operation? work)
    {
        if (work is null or { Done: true })
        {
            return Poison;
        }

        var stack = new Stack<Operation>();
        stack.Push(work);
        while (stack.Count > 0 && !Poison.Failed)
        {
            Operation top = stack.Peek();
            Operation? first = top.Done ? null : top.After!.Find(o => !o.Done);
            if (first is not null)
            {
                stack.Push(first);
                continue;
            }

            stack.Pop();
            if (!top.Done)
            {
                top.Done = true; // before it runs: a handler of Launched that throws must not make it run again
                top.After = null;
                Fault(top.Run(this));
            }
        }

        return Poison;
    }

    /// <summary>An operation that was accepted and fails when it runs is a fault of the device.</summary>
    private void Fault(Outcome outcome)
    {
        if (outcome.Failed && !Poison.Failed)
        {
            Poison = CudaException.Poisons(outcome.Status) ? outcome : new Outcome(CudaStatus.IllegalAddress, outcome.Detail);
        }
    }

    /// <summary>Runs everything. The stream created last goes first: what it forgot to wait for has not happened yet.</summary>
    private Outcome Drain()
    {
        foreach (DriverStream s in Enumerable.Reverse(_streams).ToArray())
        {
            Execute(s.Last);
        }

        return Poison;
    }

    /// <summary>For queries: not ready as long as something waits; each question runs one operation, so that polling ends.</summary>
    private Outcome Poll(Operation? work)
    {
        if (work is null or { Done: true })
        {
            return Outcome.Ok;
        }

        while (work.After!.Find(o => !o.Done) is { } earlier)
        {
            work = earlier;
        }

        return Execute(work) is { Failed: true } fault ? fault : new Outcome(CudaStatus.NotReady, "work is still queued");
    }

    // ---- capture rules

    private static Outcome Invalidate(Capture capture, CudaStatus status, string why)
    {
        capture.Invalid ??= why;
        return new Outcome(status, why);
    }

    /// <summary>Calls that may synchronise are not allowed while this thread captures.</summary>
    private Outcome NotWhileCapturing(string call)
    {
        Outcome result = Outcome.Ok;
        foreach (Capture c in _captures.Where(c => c.Thread == Environment.CurrentManagedThreadId))
        {
            result = Invalidate(c, CudaStatus.StreamCaptureUnsupported, $"{call} while this thread captures a stream; do it before the capture begins");
        }

        return result;
    }

    /// <summary>Work on the null stream would wait for blocking streams; those being captured never finish.</summary>
    private Outcome NotImplicit(DriverStream stream, string call)
    {
        Outcome result = Outcome.Ok;
        if (stream.IsNull)
        {
            foreach (DriverStream other in _streams.Where(s => s.Blocking && s.Capture is not null))
            {
                result = Invalidate(
                    other.Capture!, CudaStatus.StreamCaptureImplicit,
                    $"{call} on the null stream while a blocking stream is captured; use another stream, or create the captured one NonBlocking");
            }
        }

        return result;
    }

    private static Outcome NotCaptured(DriverStream stream, string call) => stream.Capture is { } c
        ? Invalidate(c, CudaStatus.StreamCaptureUnsupported, $"{call} on a stream that is being captured") : Outcome.Ok;

    // ---- memory

    public Outcome MemAlloc(out ulong address, nuint bytes)
    {
        address = 0;
        Outcome o = NotWhileCapturing("cuMemAlloc");
        return o.Failed ? o : Device.TryAllocate(bytes > long.MaxValue ? long.MaxValue : (long)bytes, out address);
    }

    public Outcome MemFree(ulong address)
    {
        if (address == 0)
        {
            return Outcome.Ok; // as the driver: freeing null does nothing
        }

        Outcome o = NotWhileCapturing("cuMemFree");
        o = o.Failed ? o : Drain();
        return o.Failed ? o : Device.TryFree(address);
    }

    public Outcome MemGetInfo(out nuint free, out nuint total)
    {
        total = (nuint)Device.MemoryLimit;
        free = (nuint)(Device.MemoryLimit - Device.MemoryUsed);
        return Outcome.Ok;
    }

    public Outcome MemHostAlloc(out nint address, nuint bytes)
    {
        address = 0;
        Outcome o = NotWhileCapturing("cuMemHostAlloc");
        if (o.Failed)
        {
            return o;
        }

        if (bytes == 0)
        {
            return new Outcome(CudaStatus.InvalidValue, "a host allocation of 0 bytes");
        }

        try
        {
            address = (nint)NativeMemory.AlignedAlloc(bytes, 4096);
        }
        catch (OutOfMemoryException)
        {
            return new Outcome(CudaStatus.OutOfMemory, $"a host allocation of {bytes} bytes: this machine has no room for it");
        }

        NativeMemory.Fill((void*)address, bytes, 0xFF);
        _pinned[address] = (long)bytes;
        return Outcome.Ok;
    }

    public Outcome MemFreeHost(nint address)
    {
        Outcome o = NotWhileCapturing("cuMemFreeHost");
        if (o.Failed)
        {
            return o;
        }

        if (!_pinned.ContainsKey(address))
        {
            return new Outcome(CudaStatus.InvalidValue, $"0x{address:x} is not the beginning of a live host allocation of this context");
        }

        o = Drain();
        if (!o.Failed)
        {
            _pinned.Remove(address);
            NativeMemory.AlignedFree((void*)address);
        }

        return o;
    }

    /// <summary>True when the range begins in page-locked memory; a range that leaves it is an error.</summary>
    private Outcome Host(nint address, long bytes, out bool pinned)
    {
        pinned = false;
        if (address == 0)
        {
            return new Outcome(CudaStatus.InvalidValue, "the host address is null");
        }

        int low = 0, high = _pinned.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            nint start = _pinned.GetKeyAtIndex(middle);
            long length = _pinned.GetValueAtIndex(middle);
            if (address < start)
            {
                high = middle - 1;
            }
            else if (address - start >= length)
            {
                low = middle + 1;
            }
            else
            {
                pinned = true;
                return address - start <= length - bytes ? Outcome.Ok : new Outcome(
                    CudaStatus.InvalidValue, $"{bytes} bytes at byte {address - start} of the host allocation at 0x{start:x}, which has {length}");
            }
        }

        return Outcome.Ok;
    }

    public Outcome MemcpyHtoD(ulong to, nint from, nuint count, nint streamHandle)
    {
        long bytes = (long)count;
        bool pinned = false;
        Outcome o = Begin(streamHandle, "cuMemcpyHtoDAsync", out DriverStream stream);
        if (bytes == 0 || o.Failed)
        {
            return o;
        }

        o = Host(from, bytes, out pinned);
        o = o.Failed ? o : Device.CheckRange(to, bytes, "written");
        if (o.Failed)
        {
            return Reject(stream, o);
        }

        // Pageable memory is read before the call returns; page-locked memory and captured copies when the copy runs.
        bool now = !pinned && stream.Capture is null && Deferred;
        byte[]? staged = now && bytes <= Array.MaxLength ? new Span<byte>((void*)from, (int)bytes).ToArray() : null;
        var copy = new HostToDevice(to, from, staged, bytes);
        o = Enqueue(stream, copy);
        return o.Failed || !now || staged is not null ? o : Execute(copy); // too large to keep a second copy of
    }

    public Outcome MemcpyDtoH(nint to, ulong from, nuint count, nint streamHandle)
    {
        long bytes = (long)count;
        bool pinned = false;
        Outcome o = Begin(streamHandle, "cuMemcpyDtoHAsync", out DriverStream stream);
        if (bytes == 0 || o.Failed)
        {
            return o;
        }

        o = Host(to, bytes, out pinned);
        o = o.Failed ? o : Device.CheckRange(from, bytes, "read");
        if (o.Failed)
        {
            return Reject(stream, o);
        }

        var copy = new DeviceToHost(to, from, bytes);
        o = Enqueue(stream, copy);
        return o.Failed || pinned || stream.Capture is not null ? o : Execute(copy); // into pageable memory: done when the call returns
    }

    public Outcome MemcpyDtoD(ulong to, ulong from, nuint count, nint streamHandle)
    {
        long bytes = (long)count;
        Outcome o = Begin(streamHandle, "cuMemcpyDtoDAsync", out DriverStream stream);
        if (bytes == 0 || o.Failed)
        {
            return o;
        }

        o = Device.CheckRange(from, bytes, "read");
        o = o.Failed ? o : Device.CheckRange(to, bytes, "written");
        return o.Failed ? Reject(stream, o) : Enqueue(stream, new DeviceToDevice(to, from, bytes));
    }

    public Outcome Memset(ulong to, uint value, int width, nuint count, nint streamHandle)
    {
        Outcome o = Begin(streamHandle, width == 1 ? "cuMemsetD8Async" : "cuMemsetD32Async", out DriverStream stream);
        if (count == 0 || o.Failed)
        {
            return o;
        }

        o = (to % (ulong)width) != 0 ? new Outcome(CudaStatus.InvalidValue, $"0x{to:x} is not a multiple of {width}")
            : count > (nuint)(long.MaxValue / width) ? new Outcome(CudaStatus.InvalidValue, $"a fill of {count} values")
            : Device.CheckRange(to, (long)count * width, "filled");
        return o.Failed ? Reject(stream, o) : Enqueue(stream, new FillOperation(to, value, width, (long)count));
    }

    /// <summary>Looks the stream up and refuses work on it that a capture forbids.</summary>
    private Outcome Begin(nint handle, string call, out DriverStream stream)
    {
        Outcome o = FindStream(handle, out stream);
        if (o.Failed)
        {
            return o;
        }

        o = NotImplicit(stream, call);
        return o.Failed || stream.Capture?.Invalid is not { } why ? o
            : new Outcome(CudaStatus.StreamCaptureInvalidated, $"the capture was invalidated: {why}");
    }

    /// <summary>A refused call spoils the capture it was meant for.</summary>
    private static Outcome Reject(DriverStream stream, Outcome outcome)
    {
        if (stream.Capture is { } c)
        {
            c.Invalid ??= outcome.Detail;
        }

        return outcome;
    }

    // ---- modules and functions

    public Outcome ModuleLoad(out nint module, ReadOnlySpan<byte> image, out string log)
    {
        module = 0;
        log = "";
        Outcome o = NotWhileCapturing("cuModuleLoadData");
        if (o.Failed)
        {
            return o;
        }

        int end = image.IndexOf((byte)0);
        if (image.StartsWith("\u007fELF"u8) || image.StartsWith((ReadOnlySpan<byte>)[0x50, 0xED, 0x55, 0xBA]))
        {
            log = "this is machine code or a fat binary; a virtual device runs PTX text only";
            return new Outcome(CudaStatus.InvalidImage, log);
        }

        if (end < 0 || image.IsEmpty)
        {
            log = "the PTX text does not end in a NUL byte: the driver would read past it";
            return new Outcome(CudaStatus.InvalidImage, log);
        }

        PtxProgram program;
        try
        {
            program = PtxProgram.Parse(Encoding.UTF8.GetString(image[..end]));
        }
        catch (PtxException e)
        {
            string text = e.Message.StartsWith("line ", StringComparison.Ordinal) ? e.Message[(e.Message.IndexOf(':', StringComparison.Ordinal) + 2)..] : e.Message;
            log = $"ptxas application ptx input, line {e.Line}; error   : {text}";
            return new Outcome(CudaStatus.InvalidPtx, log);
        }

        (PtxVersion newest, var written) = (PtxVersion.OfDriver(_driver.Options.DriverVersion), new PtxVersion(program.Version.Major, program.Version.Minor));
        if (!newest.Covers(written))
        {
            log = $"ptxas application ptx input; fatal   : Unsupported .version {written}; current version is '{newest}'";
            return new Outcome(CudaStatus.UnsupportedPtxVersion, log);
        }

        o = Device.TryLoad(program);
        if (o.Failed)
        {
            log = $"ptxas fatal   : {o.Detail}";
            return o;
        }

        var loaded = new DriverModule(program, ShippedResources.Of(image[..end], Profile));
        log = string.Join('\n', program.Entries.Select(e =>
            $"ptxas info    : '{e.Name}': {RegisterText(loaded, e)}, {e.StaticSharedBytes} bytes smem, {LocalBytes(loaded, e)} bytes lmem, {e.ParameterBytes} bytes parameters"));
        module = Add(loaded);
        return Outcome.Ok;
    }

    private string RegisterText(DriverModule module, PtxEntry entry) => KnownRegisters(module, entry) is { } known
        ? $"{known} registers" : $"about {entry.EstimatedRegisters} registers (estimated from PTX)";

    /// <summary>Registers per thread of the machine code: what the options say, else the catalogue of the shipped kernels, else not known.</summary>
    private int? KnownRegisters(DriverModule module, PtxEntry entry) =>
        _driver.Options.Registers?.Invoke(entry, Profile) ?? (module.Resources.TryGetValue(entry.Name, out KernelResources? r) ? r.Registers : null);

    private static int LocalBytes(DriverModule module, PtxEntry entry) =>
        module.Resources.TryGetValue(entry.Name, out KernelResources? r) ? r.StackBytes : entry.LocalBytes;

    public Outcome ModuleUnload(nint handle)
    {
        Outcome o = Find(handle, "module", out DriverModule module);
        o = o.Failed ? o : NotWhileCapturing("cuModuleUnload");
        o = o.Failed ? o : Drain();
        if (o.Failed)
        {
            return o;
        }

        module.Unloaded = true;
        Device.Unload(module.Program);
        foreach (nint f in module.Functions.Values)
        {
            _objects.Remove(f);
        }

        _objects.Remove(handle);
        return Outcome.Ok;
    }

    public Outcome ModuleGetFunction(out nint kernel, nint handle, string name)
    {
        kernel = 0;
        Outcome o = Find(handle, "module", out DriverModule module);
        if (o.Failed)
        {
            return o;
        }

        if (module.Program.Find(name) is not { } entry)
        {
            return new Outcome(CudaStatus.NotFound, $"no entry '{name}'; the module has {Names(module.Program.Entries.Select(e => e.Name))}");
        }

        if (!module.Functions.TryGetValue(name, out kernel))
        {
            kernel = Add(new DriverFunction(module, entry, LaunchRules.DefaultDynamicShared(Profile, entry)));
            module.Functions[name] = kernel;
        }

        return Outcome.Ok;
    }

    public Outcome ModuleGetGlobal(out ulong address, out nuint bytes, nint handle, string name)
    {
        (address, bytes) = (0, 0);
        Outcome o = Find(handle, "module", out DriverModule module);
        if (o.Failed)
        {
            return o;
        }

        if (Device.Variable(module.Program, name) is not { } variable)
        {
            return new Outcome(
                CudaStatus.NotFound,
                $"no variable '{name}'; the module has {Names(module.Program.Module.Globals.Where(g => g.Space is PtxSpace.Global or PtxSpace.Const).Select(g => g.Name))}");
        }

        (address, bytes) = (variable.Address, (nuint)variable.Bytes);
        return Outcome.Ok;
    }

    private static string Names(IEnumerable<string> names) => string.Join(", ", names) is { Length: > 0 } text ? text : "none";

    public Outcome FuncGetAttribute(out int value, CudaFunctionAttribute attribute, nint handle)
    {
        value = 0;
        Outcome o = Find(handle, "function", out DriverFunction f);
        if (o.Failed)
        {
            return o;
        }

        PtxEntry e = f.Entry;
        int? result = attribute switch
        {
            CudaFunctionAttribute.MaxThreadsPerBlock => MaxThreads(f),
            CudaFunctionAttribute.SharedBytes => e.StaticSharedBytes,
            CudaFunctionAttribute.ConstBytes => (int)e.ConstBytes,
            CudaFunctionAttribute.LocalBytes => LocalBytes(f.Module, e),
            CudaFunctionAttribute.Registers => KnownRegisters(f.Module, e) ?? e.EstimatedRegisters,
            CudaFunctionAttribute.PtxVersion => TargetNumber(e.Program.Target),
            CudaFunctionAttribute.BinaryVersion => (Profile.Major * 10) + Profile.Minor,
            CudaFunctionAttribute.MaxDynamicSharedBytes => f.DynamicSharedLimit,
            CudaFunctionAttribute.PreferredSharedCarveout => f.Carveout,
            _ => null,
        };
        value = result ?? 0;
        return result is null ? new Outcome(CudaStatus.InvalidValue, $"function attribute {(int)attribute} is not known") : Outcome.Ok;
    }

    /// <summary>.maxntid, the device's limit, and what known registers leave.</summary>
    private int MaxThreads(DriverFunction f)
    {
        int threads = f.Entry.MaxThreadsPerBlock(Profile);
        return KnownRegisters(f.Module, f.Entry) is { } registers and > 0
            ? Math.Min(threads, Profile.RegistersPerBlock / Occupancy.RegistersPerWarp(Profile, registers) * 32) : threads;
    }

    /// <summary>80 for sm_80 and sm_90a's 90: the virtual architecture.</summary>
    private static int TargetNumber(string target) => int.Parse(new string([.. target.Where(char.IsAsciiDigit)]));

    public Outcome FuncSetAttribute(nint handle, CudaFunctionAttribute attribute, int value)
    {
        Outcome o = Find(handle, "function", out DriverFunction f);
        if (o.Failed)
        {
            return o;
        }

        switch (attribute)
        {
            case CudaFunctionAttribute.MaxDynamicSharedBytes:
                int most = Profile.SharedPerBlockOptin - f.Entry.StaticSharedBytes;
                if (value < 0 || value > most)
                {
                    return new Outcome(
                        CudaStatus.InvalidValue,
                        $"'{f.Entry.Name}': {value} bytes of dynamic shared memory; {Profile.Target} allows {most} beside {f.Entry.StaticSharedBytes} static ones");
                }

                f.DynamicSharedLimit = value;
                return Outcome.Ok;
            case CudaFunctionAttribute.PreferredSharedCarveout:
                if (value is < -1 or > 100)
                {
                    return new Outcome(CudaStatus.InvalidValue, $"a carveout of {value} percent; -1 to 100 are possible");
                }

                f.Carveout = value;
                return Outcome.Ok;
            default:
                return new Outcome(CudaStatus.InvalidValue, $"function attribute {attribute} cannot be set");
        }
    }

    public Outcome OccupancyMaxActiveBlocks(out int blocks, nint handle, int blockSize, nuint dynamicSharedBytes)
    {
        blocks = 0;
        Outcome o = Find(handle, "function", out DriverFunction f);
        if (o.Failed)
        {
            return o;
        }

        if (blockSize < 1)
        {
            return new Outcome(CudaStatus.InvalidValue, $"a block of {blockSize} threads");
        }

        if (blockSize <= MaxThreads(f) && dynamicSharedBytes <= (nuint)f.DynamicSharedLimit)
        {
            int registers = KnownRegisters(f.Module, f.Entry) ?? f.Entry.EstimatedRegisters;
            blocks = Occupancy.Blocks(Profile, blockSize, registers, f.Entry.StaticSharedBytes + (long)dynamicSharedBytes);
        }

        return Outcome.Ok;
    }

    public Outcome LaunchKernel(nint handle, in LaunchShape shape, nint streamHandle, ReadOnlySpan<byte> parameters)
    {
        Outcome o = Find(handle, "function", out DriverFunction f);
        if (o.Failed)
        {
            return o;
        }

        o = Begin(streamHandle, "cuLaunchKernel", out DriverStream stream);
        if (o.Failed)
        {
            return o;
        }

        o = LaunchRules.Check(Profile, f.Entry, shape, parameters.Length, f.DynamicSharedLimit, KnownRegisters(f.Module, f.Entry) ?? 0);
        return o.Failed ? Reject(stream, o) : Enqueue(stream, new KernelOperation(f, shape, parameters.ToArray()));
    }

    public Outcome RunKernel(DriverFunction function, in LaunchShape shape, byte[] parameters)
    {
        Outcome o = Device.TryRun(function.Entry, shape, parameters, _driver.LaunchOptions, out LaunchReport? report);
        if (o.Failed)
        {
            return o;
        }

        _driver.Keep(report!);
        if (report!.Status == CudaStatus.Success)
        {
            return Outcome.Ok;
        }

        Finding? fault = report.Findings.FirstOrDefault(f => report.Status switch
        {
            CudaStatus.IllegalAddress => f.Check == Checks.Bounds,
            CudaStatus.MisalignedAddress => f.Check == Checks.Alignment,
            _ => f.Check is Checks.None or Checks.Barriers,
        });
        fault ??= report.Findings.Count > 0 ? report.Findings[0] : null;
        return new Outcome(report.Status, fault?.ToString() ?? $"'{report.Kernel}' did not finish");
    }

    // ---- streams and events

    public Outcome StreamCreate(out nint handle, CudaCreateFlags flags)
    {
        handle = 0;
        if ((flags & ~CudaCreateFlags.NonBlocking) != 0)
        {
            return new Outcome(CudaStatus.InvalidValue, $"stream flags {(int)flags}");
        }

        var stream = new DriverStream(isNull: false, blocking: (flags & CudaCreateFlags.NonBlocking) == 0);
        _streams.Add(stream);
        handle = Add(stream);
        return Outcome.Ok;
    }

    public Outcome StreamDestroy(nint handle)
    {
        Outcome o = Find(handle, "stream that can be destroyed", out DriverStream stream);
        o = o.Failed ? o : NotCaptured(stream, "cuStreamDestroy");
        o = o.Failed ? o : Execute(stream.Last);
        if (!o.Failed)
        {
            _streams.Remove(stream);
            _objects.Remove(handle);
        }

        return o;
    }

    public Outcome StreamSynchronize(nint handle)
    {
        Outcome o = FindStream(handle, out DriverStream stream);
        o = o.Failed ? o : NotCaptured(stream, "cuStreamSynchronize");
        o = o.Failed ? o : NotImplicit(stream, "cuStreamSynchronize");
        return o.Failed ? o : stream.IsNull ? DrainBlocking() : Execute(stream.Last);
    }

    /// <summary>Waiting for the null stream waits for the blocking ones too.</summary>
    private Outcome DrainBlocking()
    {
        foreach (DriverStream s in _streams.Where(s => s.IsNull || s.Blocking).ToArray())
        {
            Execute(s.Last);
        }

        return Poison;
    }

    public Outcome StreamQuery(nint handle)
    {
        Outcome o = FindStream(handle, out DriverStream stream);
        o = o.Failed ? o : NotCaptured(stream, "cuStreamQuery");
        o = o.Failed ? o : NotImplicit(stream, "cuStreamQuery");
        if (o.Failed)
        {
            return o;
        }

        return Poll(stream.Last is { Done: false } || !stream.IsNull ? stream.Last : _streams.FirstOrDefault(s => s.Blocking && s.Last is { Done: false })?.Last);
    }

    public Outcome CtxSynchronize()
    {
        Outcome o = Outcome.Ok;
        foreach (Capture c in _captures)
        {
            o = Invalidate(c, CudaStatus.StreamCaptureUnsupported, "cuCtxSynchronize while a stream is captured");
        }

        return o.Failed ? o : Drain();
    }

    public Outcome StreamWaitEvent(nint streamHandle, nint eventHandle)
    {
        Outcome o = FindStream(streamHandle, out DriverStream stream);
        if (o.Failed)
        {
            return o;
        }

        o = Find(eventHandle, "event", out DriverEvent e);
        if (o.Failed)
        {
            return o;
        }

        if (e.Capture is { } capture)
        {
            return WaitCaptured(stream, e, capture);
        }

        if (stream.Capture is { } own)
        {
            return e.Last is null ? Outcome.Ok : Invalidate(
                own, CudaStatus.StreamCaptureIsolation, "a captured stream waits for an event recorded outside the capture; record it after the capture began");
        }

        o = NotImplicit(stream, "cuStreamWaitEvent");
        if (o.Failed || e.Last is null or { Done: true })
        {
            return o;
        }

        var wait = new WaitOperation();
        After(wait, e.Last);
        return Enqueue(stream, wait);
    }

    private static Outcome WaitCaptured(DriverStream stream, DriverEvent e, Capture capture)
    {
        if (capture.Ended)
        {
            return new Outcome(CudaStatus.CapturedEvent, "the event was last recorded in a capture that has ended; record it again before waiting for it");
        }

        if (capture.Invalid is { } why)
        {
            return new Outcome(CudaStatus.StreamCaptureInvalidated, $"the capture was invalidated: {why}");
        }

        if (stream.IsNull)
        {
            return Invalidate(capture, CudaStatus.StreamCaptureImplicit, "the null stream waits for an event of a capture; it cannot be captured");
        }

        if (stream.Capture is { } own && own != capture)
        {
            own.Invalid ??= "merged with another capture";
            return Invalidate(capture, CudaStatus.StreamCaptureMerge, "a stream of one capture waits for an event of another");
        }

        if (stream.Capture is null)
        {
            stream.Capture = capture;
            stream.Frontier = [];
        }

        stream.Frontier.UnionWith(e.Nodes);
        return Outcome.Ok;
    }

    public Outcome EventCreate(out nint handle, CudaCreateFlags flags)
    {
        handle = 0;
        if ((flags & ~(CudaCreateFlags.NonBlocking | CudaCreateFlags.DisableTiming)) != 0)
        {
            return new Outcome(CudaStatus.InvalidValue, $"event flags {(int)flags}");
        }

        handle = Add(new DriverEvent((flags & CudaCreateFlags.DisableTiming) == 0));
        return Outcome.Ok;
    }

    public Outcome EventDestroy(nint handle)
    {
        Outcome o = Find(handle, "event", out DriverEvent _);
        if (!o.Failed)
        {
            _objects.Remove(handle);
        }

        return o;
    }

    public Outcome EventRecord(nint eventHandle, nint streamHandle)
    {
        Outcome o = Find(eventHandle, "event", out DriverEvent e);
        if (o.Failed)
        {
            return o;
        }

        o = Begin(streamHandle, "cuEventRecord", out DriverStream stream);
        if (o.Failed)
        {
            return o;
        }

        e.Capture = stream.Capture;
        if (stream.Capture is not null)
        {
            e.Nodes = [.. stream.Frontier];
            return Outcome.Ok;
        }

        e.Last = new RecordOperation();
        return Enqueue(stream, e.Last);
    }

    public Outcome EventSynchronize(nint handle)
    {
        Outcome o = Find(handle, "event", out DriverEvent e);
        o = o.Failed ? o : NotCaptured(e, "cuEventSynchronize");
        return o.Failed ? o : Execute(e.Last);
    }

    public Outcome EventQuery(nint handle)
    {
        Outcome o = Find(handle, "event", out DriverEvent e);
        o = o.Failed ? o : NotCaptured(e, "cuEventQuery");
        return o.Failed ? o : Poll(e.Last);
    }

    private static Outcome NotCaptured(DriverEvent e, string call) => e.Capture is not { } c ? Outcome.Ok
        : c.Ended ? new Outcome(CudaStatus.CapturedEvent, $"{call}: the event was last recorded in a capture; record it in a stream first")
        : Invalidate(c, CudaStatus.CapturedEvent, $"{call} on an event recorded in a stream that is being captured");

    public Outcome EventElapsedTime(out float milliseconds, nint startHandle, nint endHandle)
    {
        milliseconds = 0;
        Outcome o = Find(startHandle, "event", out DriverEvent start);
        if (o.Failed)
        {
            return o;
        }

        o = Find(endHandle, "event", out DriverEvent end);
        if (o.Failed)
        {
            return o;
        }

        foreach (DriverEvent e in (ReadOnlySpan<DriverEvent>)[start, end])
        {
            string which = e == start ? "start" : "end";
            if (!e.Timing)
            {
                return new Outcome(CudaStatus.InvalidHandle, $"the {which} event was created with DisableTiming");
            }

            o = NotCaptured(e, "cuEventElapsedTime");
            if (o.Failed)
            {
                return o;
            }

            if (e.Last is null)
            {
                return new Outcome(CudaStatus.InvalidHandle, $"the {which} event was never recorded");
            }

            if (!e.Last.Done)
            {
                return new Outcome(CudaStatus.NotReady, $"the {which} event is not reached yet; synchronise with it first");
            }
        }

        milliseconds = (float)((end.Last!.Ticks - start.Last!.Ticks) * 1e3 / Stopwatch.Frequency);
        return Outcome.Ok;
    }

    // ---- graphs

    public Outcome StreamBeginCapture(nint handle)
    {
        Outcome o = FindStream(handle, out DriverStream stream);
        if (o.Failed)
        {
            return o;
        }

        if (stream.IsNull)
        {
            return new Outcome(CudaStatus.StreamCaptureUnsupported, "the null stream cannot be captured; create a stream");
        }

        if (stream.Capture is not null)
        {
            return new Outcome(CudaStatus.IllegalState, "the stream is being captured already");
        }

        stream.Capture = new Capture(stream, Environment.CurrentManagedThreadId);
        stream.Frontier = [];
        _captures.Add(stream.Capture);
        return Outcome.Ok;
    }

    public Outcome StreamEndCapture(nint handle, out nint graph)
    {
        graph = 0;
        Outcome o = FindStream(handle, out DriverStream stream);
        if (o.Failed)
        {
            return o;
        }

        if (stream.Capture is not { } capture)
        {
            return new Outcome(CudaStatus.IllegalState, "the stream is not being captured");
        }

        if (capture.Origin != stream)
        {
            return Invalidate(capture, CudaStatus.StreamCaptureUnmatched, "the capture was begun on another stream; end it there");
        }

        if (capture.Thread != Environment.CurrentManagedThreadId)
        {
            return new Outcome(CudaStatus.StreamCaptureWrongThread, "the capture was begun by another thread; end it there");
        }

        string? unjoined = Unjoined(capture, stream.Frontier);
        capture.Ended = true;
        _captures.Remove(capture);
        foreach (DriverStream s in _streams.Where(s => s.Capture == capture))
        {
            s.Capture = null;
            s.Frontier = [];
        }

        if (capture.Invalid is { } why)
        {
            return new Outcome(CudaStatus.StreamCaptureInvalidated, $"the capture was invalidated: {why}");
        }

        if (unjoined is not null)
        {
            return new Outcome(CudaStatus.StreamCaptureUnjoined, unjoined);
        }

        graph = Add(new DriverGraph([.. capture.Nodes]));
        return Outcome.Ok;
    }

    /// <summary>Nodes the captured stream does not wait for in the end.</summary>
    private static string? Unjoined(Capture capture, HashSet<int> frontier)
    {
        var reached = new bool[capture.Nodes.Count];
        foreach (int n in frontier)
        {
            reached[n] = true;
        }

        int missing = 0;
        for (int n = reached.Length - 1; n >= 0; n--)
        {
            if (!reached[n])
            {
                missing++;
                continue;
            }

            foreach (int earlier in capture.Nodes[n].After)
            {
                reached[earlier] = true;
            }
        }

        return missing == 0 ? null : $"{missing} of {reached.Length} captured operations are in streams the captured one never waits for; record an event there and wait for it";
    }

    public Outcome GraphInstantiate(out nint exec, nint handle)
    {
        exec = 0;
        Outcome o = Find(handle, "graph", out DriverGraph graph);
        if (!o.Failed)
        {
            exec = Add(new DriverGraphExec(graph.Nodes));
        }

        return o;
    }

    public Outcome GraphLaunch(nint handle, nint streamHandle)
    {
        Outcome o = Find(handle, "executable graph", out DriverGraphExec exec);
        if (o.Failed)
        {
            return o;
        }

        o = Begin(streamHandle, "cuGraphLaunch", out DriverStream stream);
        if (o.Failed)
        {
            return o;
        }

        var work = new GraphOperation(exec);
        if (work.WhyNot() is { } why)
        {
            return Reject(stream, new Outcome(CudaStatus.InvalidHandle, why));
        }

        if (stream.Capture is null)
        {
            After(work, exec.Last);
            exec.Last = work;
        }

        return Enqueue(stream, work);
    }

    public Outcome GraphGetNodeCount(out nuint nodes, nint handle)
    {
        Outcome o = Find(handle, "graph", out DriverGraph graph);
        nodes = o.Failed ? 0 : (nuint)graph.Nodes.Count;
        return o;
    }

    public Outcome Destroy<T>(nint handle, string what) where T : class
    {
        Outcome o = Find(handle, what, out T _);
        if (!o.Failed)
        {
            _objects.Remove(handle);
        }

        return o;
    }

    /// <summary>Runs the nodes in an order their dependencies allow: as captured, or with deferred streams the last ready one first.</summary>
    public Outcome RunGraph(DriverGraphExec graph)
    {
        IReadOnlyList<GraphNode> nodes = graph.Nodes;
        int[] open = [.. nodes.Select(n => n.After.Length)];
        var followers = new List<int>[nodes.Count];
        var ready = new SortedSet<int>();
        for (int n = 0; n < nodes.Count; n++)
        {
            followers[n] = [];
            foreach (int earlier in nodes[n].After)
            {
                followers[earlier].Add(n);
            }

            if (open[n] == 0)
            {
                ready.Add(n);
            }
        }

        while (ready.Count > 0)
        {
            int n = Deferred ? ready.Max : ready.Min;
            ready.Remove(n);
            Outcome o = nodes[n].Work.Run(this);
            if (o.Failed)
            {
                return o with { Detail = $"graph node {n}: {o.Detail}" };
            }

            foreach (int next in followers[n])
            {
                if (--open[next] == 0)
                {
                    ready.Add(next);
                }
            }
        }

        return Outcome.Ok;
    }
}
