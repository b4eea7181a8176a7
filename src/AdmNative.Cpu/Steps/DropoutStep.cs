using AdmNative.Core;
using AdmNative.Cpu.Kernels;

namespace AdmNative.Cpu.Steps;

/// <summary>Dropout keyed by a seed input: the mask depends on seed, stream and element number alone.</summary>
internal sealed unsafe class DropoutStep<S, V> : ParallelStep
    where S : struct, ISimd<V>
    where V : unmanaged
{
    /// <summary>Elements per unit of work when dense.</summary>
    private const int Unit = 64;

    private readonly Operand _x;
    private readonly Operand _seed;
    private readonly Operand _y;
    private readonly uint _stream;
    private readonly uint _threshold;
    private readonly float _factor;
    private readonly bool _dense;
    private readonly long _items;
    private readonly int _tasks;

    public DropoutStep(StepContext context, Dropout op)
        : base(context.Pool)
    {
        _x = context.In(0);
        _seed = context.In(1);
        _y = context.Out;
        _stream = unchecked((uint)op.Stream);
        _threshold = op.Threshold;
        _factor = (float)(1 / (1 - op.Probability));
        _dense = _x.Dense && _y.Dense;
        _items = _dense ? (_y.Shape.Elements + Unit - 1) / Unit : _y.Rows;
        _tasks = Tasks.For(context.Pool, _items, 4.0 * (_dense ? Unit : _y.Columns));
    }

    public override void Run()
    {
        for (int i = 0; i < 2; i++)
        {
            if ((uint)_seed.Ints[i] >= 1 << 24)
            {
                throw new ArgumentOutOfRangeException(
                    nameof(Dropout), $"seed word {i} is {_seed.Ints[i]}; both must be in 0..{(1 << 24) - 1}");
            }
        }

        RunPhase(0, _tasks);
    }

    protected override void Execute(int phase, int task, int worker)
    {
        (uint key0, uint key1) = ((uint)_seed.Ints[0], (uint)_seed.Ints[1]);
        long begin = Tasks.Begin(_items, _tasks, task), end = Tasks.Begin(_items, _tasks, task + 1);
        if (_dense)
        {
            long first = begin * Unit, count = Math.Min(end * Unit, _y.Shape.Elements) - first;
            DropoutKernels<S, V>.Apply(_x.Data + first, _y.Data + first, first, count, key0, key1, _stream, _threshold, _factor);
            return;
        }

        for (long r = begin; r < end; r++)
        {
            DropoutKernels<S, V>.Apply(
                _x.Row(r), _y.Row(r), r * _y.Columns, _y.Columns, key0, key1, _stream, _threshold, _factor);
        }
    }
}
