using System.Diagnostics;
using System.Numerics;

namespace AdmNative.Core;

/// <summary>A plan replayed by twins: operands are gathered from their arena rows, the result is scattered back.</summary>
internal sealed class TwinExecutable<T> : IExecutable where T : unmanaged, IFloatingPointIeee754<T>
{
    private readonly T[] _arena;
    private readonly Dictionary<string, HostArray<T>> _inputs = [];
    private readonly Dictionary<Node, HostArray<T>> _parameters = [];
    private readonly double[] _stepSeconds;
    private bool _hasRun;

    public TwinExecutable(Plan plan, TwinParameters parameters)
    {
        Plan = plan;
        _arena = new T[plan.ArenaBytes / 4];
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
        _arena.AsSpan((int)(step.WorkspaceOffsetBytes / 4), (int)((step.WorkspaceBytes + 3) / 4)).Fill(T.NaN);
        HostArray<T>[] operands = [.. step.Node.Inputs.Select(Gather)];
        if (step.Node.Op is ConcatChannels)
        {
            for (int i = 0; i < operands.Length; i++)
            {
                if (!Plan.IsInPlacePart(step.Node, i))
                {
                    ValueLayout whole = Plan.Layouts[step.Node.Id];
                    Scatter(operands[i], (whole.OffsetBytes / 4) + Core.Plan.FirstColumn(step.Node, i), whole.RowStride);
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
        int columns = node.Shape.Last;
        for (int r = 0; r < node.Shape.Rows; r++)
        {
            _arena.AsSpan((int)((layout.OffsetBytes / 4) + (r * layout.RowStride)), columns)
                .CopyTo(value.Data.AsSpan(r * columns));
        }

        return value;
    }

    private void Scatter(Node node, HostArray<T> value)
    {
        ValueLayout layout = Plan.Layouts[node.Id];
        Scatter(value, layout.OffsetBytes / 4, layout.RowStride);
    }

    private void Scatter(HostArray<T> value, long offset, long rowStride)
    {
        int columns = value.Shape.Last;
        for (int r = 0; r < value.Shape.Rows; r++)
        {
            value.Data.AsSpan(r * columns, columns).CopyTo(_arena.AsSpan((int)(offset + (r * rowStride))));
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
