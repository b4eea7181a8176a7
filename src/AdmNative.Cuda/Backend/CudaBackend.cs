using System.Diagnostics.CodeAnalysis;
using AdmNative.Core;

namespace AdmNative.Cuda;

/// <summary>
/// The cuda device: the shipped kernels on a CUDA driver, installed or virtual, in f32 or mixed precision. Executables and weights may outlive the backend; the
/// device is given back when the last of them is disposed.
/// </summary>
public sealed class CudaBackend : IBackend
{
    private readonly CudaContext _context;
    private readonly CudaOptions _options;
    private bool _disposed;

    private CudaBackend(ICudaDriver driver, CudaOptions options)
    {
        _options = options;
        _context = new CudaContext(driver, options.Device, options.SynchronizeEachLaunch);
        try
        {
            _context.Cudnn = CudnnSession.Open(_context, options);
        }
        catch
        {
            _context.Dispose();
            throw;
        }
    }

    /// <summary>The device, the architecture, the driver, and the precision where it is not f32.</summary>
    public string Description => Precision == KernelDType.F32 ? _context.Description : $"{_context.Description}, {Precision.Suffix()}";

    /// <summary>How activations are stored; see <see cref="CudaOptions.Precision"/>.</summary>
    public KernelDType Precision => _options.Precision;

    /// <summary>Objects of the device that were left to the finalizer instead of disposed, and those the driver did not take back. 0 in a program without mistakes.</summary>
    public long LeakedHandles => _context.LeakedHandles;

    /// <summary>Whose kernels compute convolutions.</summary>
    public string Convolutions => _context.Cudnn?.Library.Description ?? "our kernels";

    /// <summary>
    /// The driver and its devices, one to a line, with what keeps each from being used; or why there is no driver, with every place looked at. Opens no device.
    /// </summary>
    /// <param name="driver">Null = what <see cref="CudaDriver.Open"/> gives.</param>
    /// <exception cref="CudaException">The driver refused.</exception>
    public static string Describe(ICudaDriver? driver = null)
    {
        try
        {
            return DeviceList.Of(driver ?? CudaDriver.Open());
        }
        catch (GpuUnavailableException e)
        {
            return e.Message;
        }
    }

    /// <summary>Opens a device of the installed driver, or of the one chosen by <see cref="CudaDriver.Use"/>.</summary>
    /// <exception cref="GpuUnavailableException">No driver, no such device, or one too old.</exception>
    public static CudaBackend Create(CudaOptions? options = null) => Create(CudaDriver.Open(), options);

    /// <summary>Opens a device of any driver, e.g. a virtual one.</summary>
    /// <exception cref="GpuUnavailableException">No such device, or one too old.</exception>
    /// <exception cref="CudaException">The driver refused.</exception>
    public static CudaBackend Create(ICudaDriver driver, CudaOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(driver);
        return new CudaBackend(driver, options ?? new CudaOptions());
    }

    /// <summary>Opens a device of the installed driver, or says why there is none.</summary>
    public static bool TryCreate(CudaOptions? options, [NotNullWhen(true)] out CudaBackend? backend, [NotNullWhen(false)] out string? reason)
    {
        (backend, reason) = (null, null);
        try
        {
            backend = Create(options);
            return true;
        }
        catch (GpuUnavailableException e)
        {
            reason = e.Message;
            return false;
        }
    }

    /// <inheritdoc/>
    public IParameters LoadParameters(IReadOnlyDictionary<string, Node> parameters, ITensorSource source)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentNullException.ThrowIfNull(parameters);
        ArgumentNullException.ThrowIfNull(source);
        return new CudaParameters(_context, parameters, source);
    }

    /// <inheritdoc/>
    /// <exception cref="NotSupportedException">There is no kernel for an op; the message names it.</exception>
    public Plan Plan(Graph graph)
    {
        ArgumentNullException.ThrowIfNull(graph);
        graph = StackLinears.Apply(graph, 16 / KernelDType.F32.Bytes()); // embeddings are f32
        var types = new StoredTypes(graph, _options.Precision, _options.IsSinglePrecision);
        return Plan(graph, node => types[node]);
    }

    /// <summary>A plan whose values are stored as somebody else decides; graph inputs and outputs must be f32.</summary>
    internal Plan Plan(Graph graph, Func<Node, KernelDType> storedAs)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        DeviceLimits limits = _context.Limits;
        CudnnSession? cudnn = _context.Cudnn;
        if (cudnn is not null)
        {
            _context.Enter(); // for its searches
        }

        return Planner.Plan(graph, new PlannerOptions
        {
            StoredAs = node => node.Type.DType == DType.F32 ? StoredTypes.PlannerType(storedAs(node)) : node.Type.DType,
            WorkspaceBytes = node => CudaSteps.WorkspaceBytes(node, limits, storedAs, cudnn),
            AllowStrided = node => CudaSteps.AllowStrided(node, storedAs) && (cudnn is null || !CudaSteps.IsForCudnn(node.Op!)),
            AllowInPlace = CudaSteps.AllowInPlace,
            ZeroCopyGrowth = 1.5, // a launch saved for every concatenation; beside its weights ADM-64's arena is small: 52 MB for 38 at batch 1, 1184 MB of weights
            Alignment = 256,
        });
    }

    /// <summary>Kernels that every step of a plan of this device launches, in the plan's order, found without weights or memory.</summary>
    /// <exception cref="NotSupportedException">There is no kernel for an op; the message names it.</exception>
    public IReadOnlyList<int> StepLaunches(Plan plan)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentNullException.ThrowIfNull(plan);
        _context.Enter(); // cuDNN may have to search
        return [.. plan.Steps.Select(step => CudaSteps.Launches(plan, step, _context.Limits, _context.Cudnn))];
    }

    /// <inheritdoc/>
    public IExecutable Load(Plan plan, IParameters parameters)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentNullException.ThrowIfNull(plan);
        return parameters is CudaParameters mine && mine.Context == _context
            ? new CudaExecutable(plan, mine, _options.Replay && !_options.SynchronizeEachLaunch)
            : throw new ArgumentException("these parameters were loaded by another device", nameof(parameters));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            _context.Dispose();
        }
    }
}
