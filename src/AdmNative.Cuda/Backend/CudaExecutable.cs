using System.Diagnostics;
using AdmNative.Core;

namespace AdmNative.Cuda;

/// <summary>A plan with its arena and its launches. Running replays them, as one CUDA graph where that is wanted, and allocates nothing.</summary>
internal sealed class CudaExecutable : ICudaExecutable
{
    private readonly CudaContext _context;
    private readonly CudaParameters _parameters;
    private readonly bool _replay;
    private readonly ulong _arena;
    private readonly StepCall[][] _steps;
    private readonly double[] _seconds;
    private readonly Dictionary<string, InputSlot> _inputs = [];
    private readonly nint _start, _end;
    private nint _graph, _graphExec;
    private bool _timing, _disposed;

    public CudaExecutable(Plan plan, CudaParameters parameters, bool replay)
    {
        (Plan, _parameters, _context, _replay) = (plan, parameters, parameters.Context, replay);
        _steps = new StepCall[plan.Steps.Count][];
        Array.Fill(_steps, []);
        _seconds = new double[_steps.Length];
        _context.Retain();
        try
        {
            _context.Enter();
            _arena = _context.Allocate(Math.Max(plan.ArenaBytes, 256), "the values of one run");
            for (int i = 0; i < _steps.Length; i++)
            {
                PlanStep step = plan.Steps[i];
                var builder = new StepBuilder(step.Node, _context.Limits, At, parameters, _arena + (ulong)step.WorkspaceOffsetBytes, step.WorkspaceBytes);
                try
                {
                    CudaSteps.Build(builder);
                }
                finally
                {
                    _steps[i] = [.. builder.Calls]; // what a step that failed has made is disposed with the rest
                }
            }

            foreach (Node node in plan.Graph.Inputs.Values)
            {
                _inputs.Add(node.Name!, new InputSlot(node));
            }

            _context.Ok(_context.Driver.EventCreate(out _start, CudaCreateFlags.None));
            _context.Ok(_context.Driver.EventCreate(out _end, CudaCreateFlags.None));
            LoadModules();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public Plan Plan { get; }

    /// <inheritdoc/>
    public long ArenaBytes => Plan.ArenaBytes;

    /// <inheritdoc/>
    public IReadOnlyList<int> StepLaunches => [.. _steps.Select(s => s.Length)];

    /// <inheritdoc/>
    public IReadOnlyList<double> StepSeconds => _seconds;

    /// <inheritdoc/>
    public bool Timing
    {
        get => _timing;
        set
        {
            if (value && !_timing)
            {
                Array.Clear(_seconds);
            }

            _timing = value;
        }
    }

    /// <inheritdoc/>
    public void SetInput(string name, ReadOnlySpan<float> values) => Set(name, DType.F32, values);

    /// <inheritdoc/>
    public void SetInput(string name, ReadOnlySpan<int> values) => Set(name, DType.I32, values);

    /// <inheritdoc/>
    public void Run()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        foreach (InputSlot slot in _inputs.Values)
        {
            if (!slot.IsSet)
            {
                throw new InvalidOperationException($"input {slot.Node.Name} {slot.Node.Type} was never set");
            }
        }

        _context.Enter();
        if (_timing)
        {
            RunTimed();
        }
        else if (_replay)
        {
            if (_graphExec == 0)
            {
                Capture();
            }

            _context.Ok(_context.Driver.GraphLaunch(_graphExec, _context.Stream), "cuGraphLaunch");
        }
        else
        {
            for (int i = 0; i < _steps.Length; i++)
            {
                Launch(i);
            }
        }
    }

    /// <inheritdoc/>
    public void GetOutput(string name, Span<float> destination)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        Node? node = null;
        foreach ((string output, Node candidate) in Plan.Graph.Outputs)
        {
            node = output == name ? candidate : node;
        }

        if (node is null)
        {
            throw new ArgumentException($"there is no output {name}; outputs: {string.Join(", ", Plan.Graph.Outputs.Select(o => o.Name))}");
        }

        if (destination.Length != node.Shape.Elements)
        {
            throw new ShapeException($"output {name} {node.Shape} has {node.Shape.Elements} elements, the destination {destination.Length}");
        }

        _context.Enter();
        Operand x = At(node);
        if (x.Dense)
        {
            _context.Download(x.Address, destination);
            return;
        }

        for (long r = 0; r < x.Rows; r++)
        {
            _context.Download(x.Address + (ulong)(r * x.Stride * x.ElementBytes), destination.Slice((int)(r * x.Columns), x.Columns));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        ICudaDriver driver = _context.Driver;
        try
        {
            _context.Enter();
        }
        catch (CudaException)
        {
            // Spoiled by an error that has been reported; what follows fails in the same way, and the driver frees it with the context.
        }

        driver.StreamSynchronize(_context.Stream);
        Destroy(_graphExec, driver.GraphExecDestroy);
        Destroy(_graph, driver.GraphDestroy);
        Destroy(_start, driver.EventDestroy);
        Destroy(_end, driver.EventDestroy);
        foreach (StepCall[] step in _steps)
        {
            foreach (StepCall call in step)
            {
                call.Library?.Dispose();
            }
        }

        if (_arena != 0)
        {
            driver.MemFree(_arena);
        }

        _context.Release();
    }

    private static void Destroy(nint handle, Func<nint, CudaStatus> destroy)
    {
        if (handle != 0)
        {
            destroy(handle);
        }
    }

    private void Set<T>(string name, DType dtype, ReadOnlySpan<T> values) where T : unmanaged
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (!_inputs.TryGetValue(name, out InputSlot? slot))
        {
            throw new ArgumentException($"there is no input {name}; inputs: {string.Join(", ", _inputs.Keys)}");
        }

        TensorType type = slot.Node.Type;
        if (type.DType != dtype || type.Shape.Elements != values.Length)
        {
            throw new ShapeException($"input {name} is {type}; got {values.Length} values of {dtype}");
        }

        if (Plan.Layouts[slot.Node.Id].Storage == Storage.Arena)
        {
            _context.Enter();
            Operand x = At(slot.Node);
            if (x.Dense)
            {
                _context.Upload(values, x.Address);
            }
            else
            {
                for (long r = 0; r < x.Rows; r++)
                {
                    _context.Upload(values.Slice((int)(r * x.Columns), x.Columns), x.Address + (ulong)(r * x.Stride * x.ElementBytes));
                }
            }
        }

        slot.IsSet = true;
    }

    /// <summary>Loading a module is not allowed while a stream is captured, and not in a step's time.</summary>
    private void LoadModules()
    {
        foreach (StepCall call in _steps.SelectMany(s => s))
        {
            call.Load(_context);
        }
    }

    private void Launch(int step)
    {
        try
        {
            foreach (StepCall call in _steps[step])
            {
                call.Enqueue(_context);
            }
        }
        catch (CudaException e)
        {
            throw e.At($"step {step}, {Plan.Steps[step].Node}");
        }
    }

    private void Capture()
    {
        ICudaDriver driver = _context.Driver;
        _context.Ok(driver.StreamBeginCapture(_context.Stream));
        try
        {
            for (int i = 0; i < _steps.Length; i++)
            {
                Launch(i);
            }
        }
        catch
        {
            driver.StreamEndCapture(_context.Stream, out _graph);
            throw;
        }

        _context.Ok(driver.StreamEndCapture(_context.Stream, out _graph));
        _context.Ok(driver.GraphInstantiate(out _graphExec, _graph));
    }

    private void RunTimed()
    {
        ICudaDriver driver = _context.Driver;
        for (int i = 0; i < _steps.Length; i++)
        {
            _context.Ok(driver.EventRecord(_start, _context.Stream));
            Launch(i);
            _context.Ok(driver.EventRecord(_end, _context.Stream));
            _context.Ok(driver.EventSynchronize(_end));
            _context.Ok(driver.EventElapsedTime(out float ms, _start, _end));
            _seconds[i] += ms / 1e3;
        }
    }

    private Operand At(Node node)
    {
        ValueLayout layout = Plan.Layouts[node.Id];
        return layout.Storage switch
        {
            Storage.Arena => new Operand(_arena + (ulong)layout.OffsetBytes, layout.RowStride, node.Shape, KernelDType.F32),
            Storage.Parameter => new Operand(_parameters.Get(node.Name!, node.Shape, WeightForm.Plain), node.Shape.Last, node.Shape, KernelDType.F32),
            _ => throw new InvalidOperationException($"the plan uses %{node.Id}, which it does not store: {node}"),
        };
    }

    private sealed class InputSlot(Node node)
    {
        public Node Node => node;

        public bool IsSet { get; set; }
    }
}
