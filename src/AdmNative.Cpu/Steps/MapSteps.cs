using AdmNative.Cpu.Kernels;

namespace AdmNative.Cpu.Steps;

/// <summary>y = f(a) or f(a, b), element by element.</summary>
internal sealed unsafe class MapStep<S, V, F> : ParallelStep
    where S : struct, ISimd<V>
    where V : unmanaged
    where F : struct, IMap<V>
{
    /// <summary>Floats per unit when everything is dense: tasks begin on cache lines.</summary>
    private const int Unit = 64;

    private readonly F _map;
    private readonly Operand _a;
    private readonly Operand _b;
    private readonly Operand _y;
    private readonly bool _dense;
    private readonly long _items;
    private readonly int _tasks;

    /// <param name="context">Operands and result.</param>
    /// <param name="map">The function.</param>
    /// <param name="cost">Work per element, 1 for an addition.</param>
    public MapStep(StepContext context, F map, double cost)
        : base(context.Pool)
    {
        _map = map;
        _a = context.In(0);
        _b = context.In(1);
        _y = context.Out;
        _dense = _a.Dense && _y.Dense && (_b.IsNull || _b.Dense);
        long count = _y.Shape.Elements;
        _items = _dense ? (count + Unit - 1) / Unit : _y.Rows;
        _tasks = Tasks.For(context.Pool, _items, cost * (_dense ? Unit : _y.Columns));
    }

    public override void Run() => RunPhase(0, _tasks);

    protected override void Execute(int phase, int task, int worker)
    {
        long begin = Tasks.Begin(_items, _tasks, task), end = Tasks.Begin(_items, _tasks, task + 1);
        if (_dense)
        {
            long first = begin * Unit;
            Apply(_a.Data + first, _b.Data + first, _y.Data + first, Math.Min(end * Unit, _y.Shape.Elements) - first);
            return;
        }

        for (long r = begin; r < end; r++)
        {
            Apply(_a.Row(r), _b.Row(r), _y.Row(r), _y.Columns);
        }
    }

    private void Apply(float* a, float* b, float* y, long count)
    {
        if (_b.IsNull)
        {
            MapKernels<S, V, F>.Unary(_map, a, y, count);
        }
        else
        {
            MapKernels<S, V, F>.Binary(_map, a, b, y, count);
        }
    }
}

/// <summary>y[n,...,c] = f(x[n,...,c], p[n,c]) or f(x, p[n,c], p[n,C+c]).</summary>
internal sealed unsafe class SampleMapStep<S, V, F> : ParallelStep
    where S : struct, ISimd<V>
    where V : unmanaged
    where F : struct, IMap<V>
{
    private readonly F _map;
    private readonly Operand _x;
    private readonly Operand _p;
    private readonly Operand _y;
    private readonly bool _pair;
    private readonly int _tasks;

    /// <param name="context">Operands x and p, and the result.</param>
    /// <param name="map">The function.</param>
    /// <param name="pair">Whether f takes the second half of p's row too.</param>
    public SampleMapStep(StepContext context, F map, bool pair)
        : base(context.Pool)
    {
        _map = map;
        _x = context.In(0);
        _p = context.In(1);
        _y = context.Out;
        _pair = pair;
        _tasks = Tasks.For(context.Pool, _y.Rows, _y.Columns);
    }

    public override void Run() => RunPhase(0, _tasks);

    protected override void Execute(int phase, int task, int worker)
    {
        long end = Tasks.Begin(_y.Rows, _tasks, task + 1);
        int rowsPerSample = _y.RowsPerSample;
        for (long r = Tasks.Begin(_y.Rows, _tasks, task); r < end; r++)
        {
            float* p = _p.Row(r / rowsPerSample);
            if (_pair)
            {
                MapKernels<S, V, F>.Ternary(_map, _x.Row(r), p, p + _y.Columns, _y.Row(r), _y.Columns);
            }
            else
            {
                MapKernels<S, V, F>.Binary(_map, _x.Row(r), p, _y.Row(r), _y.Columns);
            }
        }
    }
}
