using System.Diagnostics.CodeAnalysis;
using AdmNative.Core;

namespace AdmNative.Cuda;

/// <summary>A plan with its arena and its launches. Running replays them, as one CUDA graph where that is wanted, and allocates nothing.</summary>
internal sealed class CudaExecutable : ICudaExecutable
{
    private readonly CudaContext _context;
    private readonly CudaParameters _parameters;
    private readonly IDisposable _weights;
    private readonly bool _replay;
    private readonly CuHandle? _arena, _start, _end;
    private readonly StepCall[][] _steps;
    private readonly double[] _seconds;
    private readonly Dictionary<string, InputSlot> _inputs = [];
    private CuHandle? _graph, _graphExec;
    private bool _timing, _disposed;

    public CudaExecutable(Plan plan, CudaParameters parameters, bool replay)
    {
        foreach (Node node in plan.Graph.Inputs.Values.Concat(plan.Graph.Outputs.Select(o => o.Node)))
        {
            if (plan.Layouts[node.Id].DType != node.Type.DType)
            {
                throw new ArgumentException($"inputs and outputs are stored in their own type, not {plan.Layouts[node.Id].DType}: {node}", nameof(plan));
            }
        }

        (Plan, _parameters, _context, _replay) = (plan, parameters, parameters.Context, replay);
        _steps = new StepCall[plan.Steps.Count][];
        Array.Fill(_steps, []);
        _seconds = new double[_steps.Length];
        foreach (Node node in plan.Graph.Inputs.Values)
        {
            _inputs.Add(node.Name!, new InputSlot(node));
        }

        _weights = parameters.Keep();
        try
        {
            _context.Enter();
            long tickets = LaunchRule.RoundUp(Math.Max(plan.ArenaBytes, 256), 256);
            long ticketBytes = plan.Steps.Select(s => StepBuilder.TicketBytes(s.Node, _context.Limits)).Append(256).Max();
            _arena = _context.Allocate(tickets + ticketBytes, "the values of one run");
            _context.Upload<byte>(new byte[ticketBytes], _arena.Address + (ulong)tickets);
            for (int i = 0; i < _steps.Length; i++)
            {
                PlanStep step = plan.Steps[i];
                var builder = new StepBuilder(step.Node, _context.Limits, At, parameters, _arena.Address + (ulong)step.WorkspaceOffsetBytes, step.WorkspaceBytes, _arena.Address + (ulong)tickets) { Cudnn = _context.Cudnn };
                try
                {
                    CudaSteps.Build(builder);
                }
                finally
                {
                    _steps[i] = [.. builder.Calls]; // what a step that failed has made is disposed with the rest
                }
            }

            _start = Event();
            _end = Event();
            LoadModules();
        }
        catch (CudaException e)
        {
            CudaException about = About(e);
            Dispose();
            throw about;
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

        try
        {
            _context.Enter();
            if (_timing)
            {
                RunTimed();
            }
            else if (_replay)
            {
                if (_graphExec is null)
                {
                    Capture();
                }

                _context.Ok(_context.Driver.GraphLaunch(_graphExec.Handle, _context.Stream), "cuGraphLaunch");
            }
            else
            {
                for (int i = 0; i < _steps.Length; i++)
                {
                    Launch(i);
                }
            }
        }
        catch (CudaException e)
        {
            throw About(e);
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

        try
        {
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
        catch (CudaException e)
        {
            throw _context.About(e, $"reading output {name} {node.Type}{Hint}");
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
        _context.Settle();
        _graphExec?.Dispose();
        _graph?.Dispose();
        _start?.Dispose();
        _end?.Dispose();
        foreach (StepCall[] step in _steps)
        {
            foreach (StepCall call in step)
            {
                call.Library?.Dispose();
            }
        }

        _arena?.Dispose();
        _weights.Dispose();
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
            try
            {
                Write(slot.Node, values);
            }
            catch (CudaException e)
            {
                throw _context.About(e, $"setting input {name} {type}{Hint}");
            }
        }

        slot.IsSet = true;
    }

    private void Write<T>(Node node, ReadOnlySpan<T> values) where T : unmanaged
    {
        _context.Enter();
        Operand x = At(node);
        if (x.Dense)
        {
            _context.Upload(values, x.Address);
            return;
        }

        for (long r = 0; r < x.Rows; r++)
        {
            _context.Upload(values.Slice((int)(r * x.Columns), x.Columns), x.Address + (ulong)(r * x.Stride * x.ElementBytes));
        }
    }

    /// <summary>Loading a module is not allowed while a stream is captured, and not in a step's time. The arena holds nothing yet.</summary>
    private void LoadModules()
    {
        for (int i = 0; i < _steps.Length; i++)
        {
            try
            {
                foreach (StepCall call in _steps[i])
                {
                    call.Load(_context);
                    if (_replay && call.Library is not null)
                    {
                        call.Enqueue(_context); // a library loads its kernels when it first runs them; what it computes here nobody reads
                    }
                }
            }
            catch (CudaException e)
            {
                throw _context.About(e, $"step {i}, {Plan.Steps[i].Node}");
            }
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
            throw _context.About(e, $"step {step}, {Plan.Steps[step].Node}");
        }
    }

    [MemberNotNull(nameof(_graphExec))]
    private void Capture()
    {
        ICudaDriver driver = _context.Driver;
        _graph?.Dispose(); // of a capture whose graph was not instantiated
        _context.Ok(driver.StreamBeginCapture(_context.Stream));
        bool whole = false;
        try
        {
            for (int i = 0; i < _steps.Length; i++)
            {
                Launch(i);
            }

            whole = true;
        }
        finally
        {
            // A capture ends whatever happened in it: the stream is of no use before.
            CudaStatus status = driver.StreamEndCapture(_context.Stream, out nint graph);
            _graph = graph == 0 ? null : _context.Own("cuGraphDestroy", graph, static (d, g) => d.GraphDestroy(g));
            if (whole)
            {
                _context.Ok(status, "cuStreamEndCapture");
            }
        }

        _context.Ok(driver.GraphInstantiate(out nint executable, _graph!.Handle));
        _graphExec = _context.Own("cuGraphExecDestroy", executable, static (d, e) => d.GraphExecDestroy(e));
    }

    private void RunTimed()
    {
        ICudaDriver driver = _context.Driver;
        for (int i = 0; i < _steps.Length; i++)
        {
            try
            {
                _context.Ok(driver.EventRecord(_start!.Handle, _context.Stream));
                Launch(i);
                _context.Ok(driver.EventRecord(_end!.Handle, _context.Stream));
                _context.Ok(driver.EventSynchronize(_end.Handle));
                _context.Ok(driver.EventElapsedTime(out float ms, _start.Handle, _end.Handle));
                _seconds[i] += ms / 1e3;
            }
            catch (CudaException e)
            {
                throw _context.About(e, $"step {i}, {Plan.Steps[i].Node}");
            }
        }
    }

    private CuHandle Event()
    {
        _context.Ok(_context.Driver.EventCreate(out nint made, CudaCreateFlags.None));
        return _context.Own("cuEventDestroy", made, static (d, e) => d.EventDestroy(e));
    }

    /// <summary>A failure that no single step, input or output had.</summary>
    private CudaException About(CudaException e) => _context.About(
        e, $"{Plan.Steps.Count} steps from {string.Join(", ", _inputs.Values.Select(i => $"{i.Node.Name} {i.Node.Type}"))} to "
        + $"{string.Join(", ", Plan.Graph.Outputs.Select(o => $"{o.Name} {o.Node.Type}"))}{Hint}");

    /// <summary>Launches fail asynchronously: what reports it may be innocent.</summary>
    private string Hint => _context.Library.SynchronizeEachLaunch ? "" : " (if a kernel failed, ADMNATIVE_SYNC=1 names its step)";

    private Operand At(Node node)
    {
        ValueLayout layout = Plan.Layouts[node.Id];
        return layout.Storage switch
        {
            Storage.Arena => new Operand(_arena!.Address + (ulong)layout.OffsetBytes, layout.RowStride, node.Shape, StoredTypes.KernelType(layout.DType)),
            Storage.Parameter => new Operand(_parameters.Get(node.Name!, node.Shape, WeightForm.Plain, KernelDType.F32), node.Shape.Last, node.Shape, KernelDType.F32),
            _ => throw new InvalidOperationException($"the plan uses %{node.Id}, which it does not store: {node}"),
        };
    }

    private sealed class InputSlot(Node node)
    {
        public Node Node => node;

        public bool IsSet { get; set; }
    }
}
