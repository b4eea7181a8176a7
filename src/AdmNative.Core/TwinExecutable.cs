using System.Diagnostics;
using System.Numerics;

namespace AdmNative.Core;

/// <summary>
/// A plan replayed by twins: operands are gathered from their arena rows, the result is scattered back. Values are not rounded to the type they are stored
/// in, but take its room: a number stands for every two bytes of the arena, and an element of four fills its second with NaN.
/// </summary>
internal sealed class TwinExecutable<T> : IExecutable where T : unmanaged, IFloatingPointIeee754<T>
{
    private const int CellBytes = 2;

    private readonly T[] _arena;
    private readonly Dictionary<string, HostArray<T>> _inputs = [];
    private readonly Dictionary<Node, HostArray<T>> _parameters = [];
    private readonly double[] _stepSeconds;
    private bool _hasRun;

    public TwinExecutable(Plan plan, TwinParameters parameters)
    {
        Plan = plan;
        _arena = new T[plan.ArenaBytes / CellBytes];
        _stepSeconds = new double[plan.Steps.Count];
        foreach (Node node in plan.Graph.Parameters.Values)
        {
            if (!parameters.Values.TryGetValue(node.Name!, out HostArray<float>? value) || value.Shape != node.Shape)
            {
                throw new ArgumentException($"no loaded value for {node}");
            }

            _parameters.Add(node, new HostArray<T>(node.Shape, [.. value.Data.Select(T.CreateChecked)]));
        }
    }

    public Plan Plan { get; }

    public bool Timing { get; set; }

    public IReadOnlyList<double> StepSeconds => _stepSeconds;

    public long ArenaBytes => Plan.ArenaBytes;

    public void SetInput(string name, ReadOnlySpan<float> values) => SetInput(name, DType.F32, values);

    public void SetInput(string name, ReadOnlySpan<int> values) => SetInput(name, DType.I32, values);

    /// <summary>Sets an input in the backend's own precision.</summary>
    public void SetValues(string name, HostArray<T> values) =>
        SetInput<T>(name, Input(name, values.Data.Length).Type.DType, values.Data);

    public void Run()
    {
        Array.Fill(_arena, T.NaN);
        foreach (Node node in Plan.Graph.Inputs.Values)
        {
            Scatter(node, _inputs.TryGetValue(node.Name!, out HostArray<T>? value) ? value
                : throw new InvalidOperationException($"{node} was not set before the run"));
        }

        for (int s = 0; s < Plan.Steps.Count; s++)
        {
            long start = Timing ? Stopwatch.GetTimestamp() : 0;
            Run(Plan.Steps[s]);
            _stepSeconds[s] += Timing ? Stopwatch.GetElapsedTime(start).TotalSeconds : 0;
        }

        _hasRun = true;
    }

    public void GetOutput(string name, Span<float> destination)
    {
        HostArray<T> value = GetValues(name);
        if (destination.Length != value.Data.Length)
        {
            throw new ShapeException($"output {name} is {value.Shape}, the destination holds {destination.Length} elements");
        }

        for (int i = 0; i < destination.Length; i++)
        {
            destination[i] = float.CreateTruncating(value.Data[i]);
        }
    }

    /// <summary>An output in the backend's own precision.</summary>
    public HostArray<T> GetValues(string name)
    {
        Node? node = Plan.Graph.Outputs.FirstOrDefault(o => o.Name == name).Node;
        return node is null ? throw new ArgumentException($"no output {name}; there are {string.Join(", ", Plan.Graph.Outputs.Select(o => o.Name))}")
            : _hasRun ? Gather(node)
            : throw new InvalidOperationException($"output {name} is read before the first run");
    }

    public void Dispose()
    {
        // Host arrays only: nothing to give back.
    }

    private void Run(PlanStep step)
    {
        _arena.AsSpan((int)(step.WorkspaceOffsetBytes / CellBytes), (int)((step.WorkspaceBytes + CellBytes - 1) / CellBytes)).Fill(T.NaN);
        HostArray<T>[] operands = [.. step.Node.Inputs.Select(Gather)];
        if (step.Node.Op is ConcatChannels)
        {
            for (int i = 0; i < operands.Length; i++)
            {
                if (!Plan.IsInPlacePart(step.Node, i))
                {
                    Scatter(operands[i], Plan.Layouts[step.Node.Id], Core.Plan.FirstColumn(step.Node, i));
                }
            }

            return;
        }

        var result = new HostArray<T>(step.Node.Shape);
        step.Node.Op!.Twin(operands, result);
        Scatter(step.Node, result);
    }

    private HostArray<T> Gather(Node node)
    {
        if (node.Kind == NodeKind.Parameter)
        {
            return _parameters[node];
        }

        ValueLayout layout = Plan.Layouts[node.Id];
        var value = new HostArray<T>(node.Shape);
        int columns = node.Shape.Last, cells = layout.DType.SizeBytes() / CellBytes;
        for (int r = 0; r < node.Shape.Rows; r++)
        {
            long cell = (layout.OffsetBytes / CellBytes) + (r * layout.RowStride * cells);
            for (int c = 0; c < columns; c++, cell += cells)
            {
                value.Data[(r * columns) + c] = _arena[cell];
            }
        }

        return value;
    }

    private void Scatter(Node node, HostArray<T> value) => Scatter(value, Plan.Layouts[node.Id], 0);

    private void Scatter(HostArray<T> value, ValueLayout layout, long column)
    {
        int columns = value.Shape.Last, cells = layout.DType.SizeBytes() / CellBytes;
        for (int r = 0; r < value.Shape.Rows; r++)
        {
            long cell = (layout.OffsetBytes / CellBytes) + (((r * layout.RowStride) + column) * cells);
            for (int c = 0; c < columns; c++, cell += cells)
            {
                _arena.AsSpan((int)cell, cells).Fill(T.NaN);
                _arena[cell] = value.Data[(r * columns) + c];
            }
        }
    }

    private void SetInput<V>(string name, DType dtype, ReadOnlySpan<V> values) where V : unmanaged, INumberBase<V>
    {
        Node node = Input(name, values.Length);
        if (node.Type.DType != dtype)
        {
            throw new ShapeException($"{node} was given {dtype} values");
        }

        var value = new HostArray<T>(node.Shape);
        for (int i = 0; i < values.Length; i++)
        {
            value.Data[i] = T.CreateTruncating(values[i]);
        }

        _inputs[name] = value;
    }

    private Node Input(string name, int count)
    {
        if (!Plan.Graph.Inputs.TryGetValue(name, out Node? node))
        {
            throw new ArgumentException($"no input {name}; there are {string.Join(", ", Plan.Graph.Inputs.Keys)}");
        }

        return node.Shape.Elements == count ? node : throw new ShapeException($"{node} was given {count} elements");
    }
}
