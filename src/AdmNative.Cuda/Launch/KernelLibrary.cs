using System.Collections.Concurrent;
using System.Text;

namespace AdmNative.Cuda;

/// <summary>
/// The shipped kernels on one driver: modules are loaded when an entry of theirs is first wanted and stay until <see cref="Dispose"/>, entries are
/// looked up once. The context is the caller's: it must be current on every calling thread, and outlive the library.
/// </summary>
/// <remarks>
/// Safe from any thread. Two threads that want the same image wait for one load; a load that failed is tried again by the next caller. Launches
/// go to the driver one beside the other, allocate nothing, and are in the stream's order, as without this class. Load what a capture will launch
/// before the capture begins (<see cref="Load(KernelPlan)"/>): loading a module is not allowed while one runs.
/// </remarks>
public sealed class KernelLibrary : IDisposable
{
    /// <summary>Dynamic shared bytes a launch may have without asking.</summary>
    private const int SharedWithoutAsking = 48 << 10;

    private readonly ICudaDriver _driver;
    private readonly ConcurrentDictionary<string, Function> _functions = new(StringComparer.Ordinal);
    private readonly Dictionary<string, nint> _modules = new(StringComparer.Ordinal);
    private readonly Lock _lock = new();
    private bool _disposed;

    /// <summary>Loads nothing yet.</summary>
    /// <param name="driver">Where kernels run.</param>
    /// <param name="bundle">The kernels; null = the shipped ones.</param>
    public KernelLibrary(ICudaDriver driver, KernelBundle? bundle = null)
    {
        ArgumentNullException.ThrowIfNull(driver);
        (_driver, Bundle) = (driver, bundle ?? KernelBundle.Default);
    }

    /// <summary>The kernels.</summary>
    public KernelBundle Bundle { get; }

    /// <summary>
    /// Waits for the stream after every launch, so that a kernel's fault is reported with its name and shape and not by a later call. Slow; for
    /// debugging, and not possible while the stream is captured.
    /// </summary>
    public bool SynchronizeEachLaunch { get; set; }

    /// <summary>Images loaded so far.</summary>
    public int LoadedImages
    {
        get
        {
            lock (_lock)
            {
                return _modules.Count;
            }
        }
    }

    /// <summary>Loads the images of all launches of a plan and raises shared-memory limits, so that launching only launches.</summary>
    /// <exception cref="CudaException">The driver refused an image, an entry or the shared memory.</exception>
    public void Load(KernelPlan plan)
    {
        ArgumentNullException.ThrowIfNull(plan);
        foreach (PlannedLaunch launch in plan.Launches)
        {
            Prepare(launch.Entry, launch.Shape);
        }
    }

    /// <summary>Loads the image of an entry and raises its shared-memory limit to that of the shape.</summary>
    /// <exception cref="CudaException">The driver refused an image, an entry or the shared memory.</exception>
    /// <exception cref="KeyNotFoundException">No such entry.</exception>
    public void Load(string entry, in LaunchShape shape) => Prepare(entry, shape);

    /// <summary>Launches a kernel.</summary>
    /// <param name="launch">From a family's Enqueue.</param>
    /// <param name="stream">0 = the null stream.</param>
    /// <exception cref="ArgumentException">The parameter block is not as long as the catalogue says.</exception>
    /// <exception cref="CudaException">The driver refused, or an earlier launch failed; the message names entry and shape.</exception>
    /// <exception cref="KeyNotFoundException">No such entry.</exception>
    public void Launch(in KernelLaunch launch, nint stream = 0)
    {
        Function function = Prepare(launch.Entry, launch.Shape);
        if (launch.Parameters.Length != function.ParameterBytes)
        {
            throw new ArgumentException($"{launch.Entry} takes {function.ParameterBytes} bytes of parameters, not {launch.Parameters.Length}", nameof(launch));
        }

        CudaStatus status = _driver.LaunchKernel(function.Handle, launch.Shape, stream, launch.Parameters.Span);
        if (status != CudaStatus.Success)
        {
            throw Failure(status, "cuLaunchKernel", launch.Entry, launch.Shape);
        }

        if (SynchronizeEachLaunch)
        {
            status = _driver.StreamSynchronize(stream);
            if (status != CudaStatus.Success)
            {
                throw Failure(status, "cuStreamSynchronize", launch.Entry, launch.Shape);
            }
        }
    }

    /// <summary>Launches kernels in order.</summary>
    /// <inheritdoc cref="Launch(in KernelLaunch, nint)"/>
    public void Launch(IReadOnlyList<KernelLaunch> launches, nint stream = 0)
    {
        ArgumentNullException.ThrowIfNull(launches);
        for (int i = 0; i < launches.Count; i++)
        {
            Launch(launches[i], stream);
        }
    }

    /// <summary>Unloads the modules. Launches must have ended; after an error that poisoned the context its modules are gone anyway.</summary>
    /// <exception cref="CudaException">The driver would not unload one; the others are unloaded.</exception>
    public void Dispose()
    {
        CudaStatus worst = CudaStatus.Success;
        lock (_lock)
        {
            _disposed = true;
            _functions.Clear();
            foreach (nint module in _modules.Values)
            {
                CudaStatus status = _driver.ModuleUnload(module);
                worst = status == CudaStatus.Success || CudaException.Poisons(status) ? worst : status;
            }

            _modules.Clear();
        }

        if (worst != CudaStatus.Success)
        {
            throw new CudaException(worst, "cuModuleUnload", Detail(worst));
        }
    }

    /// <summary>The entry, allowed at least the dynamic shared memory of the shape.</summary>
    private Function Prepare(string entry, in LaunchShape shape)
    {
        if (_functions.TryGetValue(entry, out Function? function) && shape.SharedBytes <= Volatile.Read(ref function.SharedLimit))
        {
            return function;
        }

        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            function = _functions.TryGetValue(entry, out Function? known) ? known : Find(entry, shape);
            if (shape.SharedBytes > function.SharedLimit)
            {
                CudaStatus status = _driver.FuncSetAttribute(function.Handle, CudaFunctionAttribute.MaxDynamicSharedBytes, checked((int)shape.SharedBytes));
                if (status != CudaStatus.Success)
                {
                    throw Failure(status, $"cuFuncSetAttribute(max dynamic shared bytes, {shape.SharedBytes})", entry, shape);
                }

                Volatile.Write(ref function.SharedLimit, shape.SharedBytes);
            }

            return function;
        }
    }

    private Function Find(string entry, in LaunchShape shape)
    {
        KernelEntry known = Bundle[entry];
        CudaStatus status;
        if (!_modules.TryGetValue(known.Image.File, out nint module))
        {
            status = _driver.ModuleLoad(out module, Encoding.UTF8.GetBytes(known.Image.Text + "\0"), out string log);
            if (status != CudaStatus.Success)
            {
                throw Failure(status, $"cuModuleLoadDataEx({known.Image.File})", entry, shape, known.Image, log);
            }

            _modules.Add(known.Image.File, module);
        }

        status = _driver.ModuleGetFunction(out nint handle, module, entry);
        if (status != CudaStatus.Success)
        {
            throw Failure(status, $"cuModuleGetFunction({known.Image.File})", entry, shape);
        }

        // Static shared memory counts against the same 48 KB.
        var function = new Function { Handle = handle, ParameterBytes = known.ParameterBytes, SharedLimit = (uint)Math.Max(0, SharedWithoutAsking - known.StaticSharedBytes) };
        _functions[entry] = function;
        return function;
    }

    private CudaException Failure(CudaStatus status, string call, string entry, in LaunchShape s, KernelImage? image = null, string log = "")
    {
        string of = image is null ? "" : $"{image.File} is PTX {image.Version} for {image.Target}";
        return new CudaException(
            status, $"{call} for {entry}, grid {s.GridX} x {s.GridY} x {s.GridZ}, block {s.BlockX} x {s.BlockY} x {s.BlockZ}, {s.SharedBytes} bytes of dynamic shared memory",
            string.Join("; ", new[] { Detail(status), of, log }.Where(t => t.Length > 0)))
        {
            Image = image?.File,
            Target = image?.Target,
            Log = image is null ? null : log,
        };
    }

    private string Detail(CudaStatus status) => CudaException.Explain(_driver, status);

    private sealed class Function
    {
        public required nint Handle { get; init; }

        public required int ParameterBytes { get; init; }

        public uint SharedLimit;
    }
}
