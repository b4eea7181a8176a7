using AdmNative.Core;
using AdmNative.Cpu.Kernels;

namespace AdmNative.Cpu.Steps;

/// <summary>Copies rows between two places; nothing is done when they are the same place.</summary>
internal sealed unsafe class CopyStep<S, V> : ParallelStep
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private readonly Operand _from;
    private readonly Operand _to;
    private readonly int _columns;
    private readonly long _rows;
    private readonly int _tasks;

    public CopyStep(WorkerPool pool, Operand from, Operand to)
        : base(pool)
    {
        if (from.Shape.Elements != to.Shape.Elements || (from.Columns != to.Columns && !from.Dense && !to.Dense))
        {
            throw new ShapeException($"cannot copy {from.Shape} (row stride {from.Stride}) to {to.Shape} (row stride {to.Stride})");
        }

        // Another shape for the same elements: whichever side is dense takes the rows of the other.
        if (from.Columns != to.Columns)
        {
            (from, to) = to.Dense
                ? (from, new Operand(to.Data, from.Columns, from.Shape))
                : (new Operand(from.Data, to.Columns, to.Shape), to);
        }

        _from = from;
        _to = to;
        _columns = to.Columns;
        bool same = from.Data == to.Data && (from.Stride == to.Stride || to.Rows <= 1);
        _rows = same ? 0 : to.Rows;
        _tasks = Tasks.For(pool, _rows, _columns);
    }

    public override void Run()
    {
        if (_rows > 0)
        {
            RunPhase(0, _tasks);
        }
    }

    protected override void Execute(int phase, int task, int worker)
    {
        long begin = Tasks.Begin(_rows, _tasks, task), end = Tasks.Begin(_rows, _tasks, task + 1);
        LayoutKernels<S, V>.Copy(_from.Row(begin), _from.Stride, _to.Row(begin), _to.Stride, end - begin, _columns);
    }
}

/// <summary>Several steps in a row: a concatenation is one copy per input.</summary>
internal sealed class Sequence(Step[] steps) : Step
{
    public override void Run()
    {
        foreach (Step step in steps)
        {
            step.Run();
        }
    }
}

/// <summary>Fills columns begin..end of a value.</summary>
internal sealed unsafe class FillStep<S, V>(Operand y, int begin, int end, float value) : Step
    where S : struct, ISimd<V>
    where V : unmanaged
{
    public override void Run()
    {
        if (end > begin)
        {
            LayoutKernels<S, V>.Fill(value, y.Data + begin, y.Stride, y.Rows, end - begin);
        }
    }
}

/// <summary>Nearest-neighbour doubling or 2x2 mean.</summary>
internal sealed unsafe class ResampleStep<S, V> : ParallelStep
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private readonly Operand _x;
    private readonly Operand _y;
    private readonly bool _up;
    private readonly float _factor;
    private readonly long _lines;
    private readonly int _tasks;

    public ResampleStep(StepContext context, Resample op)
        : base(context.Pool)
    {
        _x = context.In(0);
        _y = context.Out;
        _up = op.Mode == ResampleMode.Up2;
        _factor = (float)op.Factor;
        Operand small = _up ? _x : _y;
        _lines = (long)small.Samples * small.Height;
        _tasks = Tasks.For(context.Pool, _lines, 4.0 * small.Width * small.Columns);
    }

    public override void Run() => RunPhase(0, _tasks);

    protected override void Execute(int phase, int task, int worker)
    {
        long begin = Tasks.Begin(_lines, _tasks, task), end = Tasks.Begin(_lines, _tasks, task + 1);
        if (_up)
        {
            LayoutKernels<S, V>.Up2(_x.Data, _x.Stride, _y.Data, _y.Stride, begin, end, _x.Width, _x.Columns, _factor);
        }
        else
        {
            LayoutKernels<S, V>.Down2(_x.Data, _x.Stride, _y.Data, _y.Stride, begin, end, _y.Width, _y.Columns, _factor);
        }
    }
}

/// <summary>Bilinear resize with half-pixel centres; sources and weights are worked out once.</summary>
internal sealed unsafe class BilinearStep : ParallelStep
{
    private readonly Operand _x;
    private readonly Operand _y;
    private readonly Tap[] _rows;
    private readonly Tap[] _columns;
    private readonly int _tasks;

    public BilinearStep(StepContext context)
        : base(context.Pool)
    {
        _x = context.In(0);
        _y = context.Out;
        _rows = Taps(_x.Height, _y.Height);
        _columns = Taps(_x.Width, _y.Width);
        _tasks = Tasks.For(context.Pool, Lines, 8.0 * _y.Width * _y.Columns);
    }

    private long Lines => (long)_y.Samples * _y.Height;

    public override void Run() => RunPhase(0, _tasks);

    protected override void Execute(int phase, int task, int worker)
    {
        long end = Tasks.Begin(Lines, _tasks, task + 1);
        for (long line = Tasks.Begin(Lines, _tasks, task); line < end; line++)
        {
            (long n, long h) = Math.DivRem(line, _y.Height);
            Tap v = _rows[h];
            for (int w = 0; w < _y.Width; w++)
            {
                Tap u = _columns[w];
                float* top0 = Pixel(n, v.First, u.First);
                float* top1 = Pixel(n, v.First, u.Second);
                float* low0 = Pixel(n, v.Second, u.First);
                float* low1 = Pixel(n, v.Second, u.Second);
                float* y = _y.Row((line * _y.Width) + w);
                for (int c = 0; c < _y.Columns; c++)
                {
                    float top = ((1 - u.Weight) * top0[c]) + (u.Weight * top1[c]);
                    float low = ((1 - u.Weight) * low0[c]) + (u.Weight * low1[c]);
                    y[c] = ((1 - v.Weight) * top) + (v.Weight * low);
                }
            }
        }
    }

    private static Tap[] Taps(int from, int to)
    {
        var taps = new Tap[to];
        for (int i = 0; i < to; i++)
        {
            double p = Math.Max(((i + 0.5) * ((double)from / to)) - 0.5, 0);
            int first = Math.Min((int)p, from - 1);
            taps[i] = new Tap(first, Math.Min(first + 1, from - 1), (float)(p - first));
        }

        return taps;
    }

    private float* Pixel(long n, int h, int w) => _x.Row((((n * _x.Height) + h) * _x.Width) + w);

    /// <summary>Two source lines and the weight of the second.</summary>
    private readonly record struct Tap(int First, int Second, float Weight);
}
