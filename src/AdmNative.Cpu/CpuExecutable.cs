using System.Diagnostics;
using AdmNative.Core;
using AdmNative.Cpu.Steps;

namespace AdmNative.Cpu;

/// <summary>A plan with its arena and its steps. One allocation holds every value; running allocates nothing.</summary>
internal sealed unsafe class CpuExecutable : IExecutable
{
    private readonly AlignedMemory _arena;
    private readonly CpuParameters _parameters;
    private readonly Step[] _steps;
    private readonly double[] _seconds;
    private readonly Dictionary<string, InputSlot> _inputs = [];
    private bool _timing;

    public CpuExecutable(Plan plan, CpuParameters parameters, WorkerPool pool, Isa isa, IStepFactory factory)
    {
        Plan = plan;
        _parameters = parameters;
        // Asked for, it might be granted and then end the process when it is used.
        long memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (plan.ArenaBytes > memory)
        {
            throw new InsufficientMemoryException($"the values of one run take {plan.ArenaBytes >> 20} MiB, this machine has {memory >> 20}");
        }

        _arena = new AlignedMemory(plan.ArenaBytes);
        try
        {
            HoldRowMajor(plan, parameters, pool, isa);
            _steps = new Step[plan.Steps.Count];
            for (int i = 0; i < _steps.Length; i++)
            {
                _steps[i] = factory.Create(new StepContext(plan, plan.Steps[i], _arena.Address, parameters, pool, isa));
            }

            foreach (Node node in plan.Graph.Inputs.Values)
            {
                _inputs.Add(node.Name!, new InputSlot(node));
            }

            Guard = ArenaGuard.IsWanted ? new ArenaGuard(plan, _arena) : null;
        }
        catch
        {
            _arena.Dispose();
            throw;
        }

        _seconds = new double[_steps.Length];
    }

    public Plan Plan { get; }

    public long ArenaBytes => Plan.ArenaBytes;

    /// <summary>The whole arena, for tests.</summary>
    internal Span<float> Arena => new(_arena.Floats, checked((int)(_arena.Bytes / sizeof(float))));

    /// <summary>The arena's owner, for tests.</summary>
    internal AlignedMemory Memory => _arena;

    /// <summary>Checks around each step, if wanted.</summary>
    internal ArenaGuard? Guard { get; set; }

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

    public IReadOnlyList<double> StepSeconds => _seconds;

    public void SetInput(string name, ReadOnlySpan<float> values)
    {
        InputSlot slot = Slot(name, DType.F32, values.Length);
        Operand x = At(slot.Node);
        if (!x.IsNull)
        {
            for (long r = 0; r < x.Rows; r++)
            {
                values.Slice((int)(r * x.Columns), x.Columns).CopyTo(new Span<float>(x.Row(r), x.Columns));
            }
        }

        slot.IsSet = true;
    }

    public void SetInput(string name, ReadOnlySpan<int> values)
    {
        InputSlot slot = Slot(name, DType.I32, values.Length);
        Operand x = At(slot.Node);
        if (!x.IsNull)
        {
            values.CopyTo(new Span<int>(x.Ints, values.Length));
        }

        slot.IsSet = true;
    }

    public void Run()
    {
        ObjectDisposedException.ThrowIf(_arena.IsDisposed, this);
        foreach (InputSlot slot in _inputs.Values)
        {
            if (!slot.IsSet)
            {
                throw new InvalidOperationException($"input {slot.Node.Name} {slot.Node.Type} was never set");
            }
        }

        if (Guard is not null)
        {
            for (int i = 0; i < _steps.Length; i++)
            {
                Guard.Before(i);
                _steps[i].Run();
                Guard.After(i);
            }

            return;
        }

        if (!_timing)
        {
            foreach (Step step in _steps)
            {
                step.Run();
            }

            return;
        }

        long begin = Stopwatch.GetTimestamp();
        for (int i = 0; i < _steps.Length; i++)
        {
            _steps[i].Run();
            long end = Stopwatch.GetTimestamp();
            _seconds[i] += (end - begin) / (double)Stopwatch.Frequency;
            begin = end;
        }
    }

    public void GetOutput(string name, Span<float> destination)
    {
        Node? node = null;
        foreach ((string output, Node candidate) in Plan.Graph.Outputs)
        {
            node = output == name ? candidate : node;
        }

        if (node is null)
        {
            throw new ArgumentException(
                $"there is no output {name}; outputs: {string.Join(", ", Plan.Graph.Outputs.Select(o => o.Name))}");
        }

        if (destination.Length != node.Shape.Elements)
        {
            throw new ShapeException($"output {name} {node.Shape} has {node.Shape.Elements} elements, the destination {destination.Length}");
        }

        Operand x = At(node);
        for (long r = 0; r < x.Rows; r++)
        {
            new ReadOnlySpan<float>(x.Row(r), x.Columns).CopyTo(destination[(int)(r * x.Columns)..]);
        }
    }

    public void Dispose() => _arena.Dispose();

    /// <summary>
    /// Asks for every weight that some step reads as it is, so that packing it for another step does not let it go first.
    /// </summary>
    private static void HoldRowMajor(Plan plan, CpuParameters parameters, WorkerPool pool, Isa isa)
    {
        foreach (PlanStep step in plan.Steps)
        {
            for (int i = 0; i < step.Node.Inputs.Count; i++)
            {
                Node input = step.Node.Inputs[i];
                if (input.Kind == NodeKind.Parameter && !ConvStep.ReadsPacked(step.Node, i, isa, pool.Threads))
                {
                    parameters.Get(input.Name!, input.Shape, RowMajor.Form);
                }
            }
        }
    }

    private InputSlot Slot(string name, DType dtype, long count)
    {
        if (!_inputs.TryGetValue(name, out InputSlot? slot))
        {
            throw new ArgumentException($"there is no input {name}; inputs: {string.Join(", ", _inputs.Keys)}");
        }

        TensorType type = slot.Node.Type;
        return type.DType == dtype && type.Shape.Elements == count ? slot
            : throw new ShapeException($"input {name} is {type}; got {count} values of {dtype}");
    }

    private Operand At(Node node)
    {
        ValueLayout layout = Plan.Layouts[node.Id];
        return layout.Storage switch
        {
            Storage.Arena => new Operand((float*)(_arena.Address + layout.OffsetBytes), layout.RowStride, node.Shape),
            Storage.Parameter => new Operand(_parameters.Get(node.Name!, node.Shape, RowMajor.Form), node.Shape.Last, node.Shape),
            _ => default,
        };
    }

    private sealed class InputSlot(Node node)
    {
        public Node Node => node;

        public bool IsSet { get; set; }
    }
}
