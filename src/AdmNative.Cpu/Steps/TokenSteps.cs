using AdmNative.Core;
using AdmNative.Cpu.Kernels;

namespace AdmNative.Cpu.Steps;

/// <summary>Row r of y = map(row of x, row of p); the rows of x and p follow from r by simple arithmetic.</summary>
/// <param name="pool">Threads.</param>
/// <param name="map">The function.</param>
/// <param name="x">First operand: row r belongs to row r of y.</param>
/// <param name="p">Second operand: row r / rowsPerP.</param>
/// <param name="rowsPerP">Rows of y that share a row of p.</param>
/// <param name="y">Result.</param>
internal sealed unsafe class RowsStep<S, V, F>(WorkerPool pool, F map, Rows x, Rows p, int rowsPerP, Operand y) : ParallelStep(pool)
    where S : struct, ISimd<V>
    where V : unmanaged
    where F : struct, IMap<V>
{
    private readonly int _tasks = Tasks.For(pool, y.Rows, y.Columns);

    public override void Run() => RunPhase(0, _tasks);

    protected override void Execute(int phase, int task, int worker)
    {
        long end = Tasks.Begin(y.Rows, _tasks, task + 1);
        for (long r = Tasks.Begin(y.Rows, _tasks, task); r < end; r++)
        {
            MapKernels<S, V, F>.Binary(map, x.At(r), p.At(r / rowsPerP), y.Row(r), y.Columns);
        }
    }
}

/// <summary>Rows in groups: group g begins <see cref="GroupStride"/> floats after the one before it.</summary>
/// <param name="Data">Row 0 of group 0.</param>
/// <param name="Stride">Floats between rows of a group.</param>
/// <param name="PerGroup">Rows in a group.</param>
/// <param name="GroupStride">Floats between groups.</param>
internal readonly unsafe record struct Rows(nint Data, long Stride, int PerGroup, long GroupStride)
{
    /// <summary>Every row of a value.</summary>
    public static Rows Of(Operand x) => new((nint)x.Data, x.Stride, int.MaxValue, 0);

    /// <summary>Rows skip..skip+count of each group of x that has <paramref name="perGroup"/> rows.</summary>
    public static Rows Of(Operand x, int perGroup, int skip, int count) =>
        new((nint)x.Row(skip), x.Stride, count, x.Stride * perGroup);

    public float* At(long row)
    {
        (long group, long index) = Math.DivRem(row, PerGroup);
        return (float*)Data + (group * GroupStride) + (index * Stride);
    }
}

/// <summary>y[n,t,c] = x[n,t,c] + p[c,t].</summary>
internal sealed unsafe class AddPositionalStep(StepContext context) : ParallelStep(context.Pool)
{
    private readonly Operand _x = context.In(0);
    private readonly Operand _p = context.In(1);
    private readonly Operand _y = context.Out;
    private readonly int _tasks = Tasks.For(context.Pool, context.Out.Rows, 2 * context.Out.Columns);

    public override void Run() => RunPhase(0, _tasks);

    protected override void Execute(int phase, int task, int worker)
    {
        long end = Tasks.Begin(_y.Rows, _tasks, task + 1);
        for (long r = Tasks.Begin(_y.Rows, _tasks, task); r < end; r++)
        {
            float* x = _x.Row(r);
            float* y = _y.Row(r);
            float* p = _p.Data + (r % _y.RowsPerSample);
            for (int c = 0; c < _y.Columns; c++)
            {
                y[c] = x[c] + p[c * _p.Stride];
            }
        }
    }
}

/// <summary>y[c,t] = sum over n of dy[n,t,c].</summary>
internal sealed unsafe class PositionalGradStep(StepContext context) : ParallelStep(context.Pool)
{
    private readonly Operand _dy = context.In(0);
    private readonly Operand _y = context.Out;
    private readonly int _tasks = Tasks.For(context.Pool, context.Out.Columns, 2.0 * context.In(0).Samples * context.Out.Rows);

    public override void Run() => RunPhase(0, _tasks);

    protected override void Execute(int phase, int task, int worker)
    {
        int tokens = _y.Columns, end = (int)Tasks.Begin(tokens, _tasks, task + 1);
        for (int t = (int)Tasks.Begin(tokens, _tasks, task); t < end; t++)
        {
            for (int c = 0; c < _y.Rows; c++)
            {
                float sum = 0;
                for (int n = 0; n < _dy.Samples; n++)
                {
                    sum += _dy.Row(((long)n * tokens) + t)[c];
                }

                _y.Row(c)[t] = sum;
            }
        }
    }
}

/// <summary>y[n] = [cos(t[n] f), sin(t[n] f)], f_i = exp(-ln(period) i / half); the angle is rounded to f32 as the paper's code does.</summary>
internal sealed unsafe class TimestepStep : Step
{
    private readonly Operand _t;
    private readonly Operand _y;
    private readonly float[] _frequencies;

    public TimestepStep(StepContext context, TimestepEmbedding op)
    {
        _t = context.In(0);
        _y = context.Out;
        int half = op.Dim / 2;
        float minusLog = (float)-Math.Log(op.MaxPeriod);
        _frequencies = new float[half];
        for (int i = 0; i < half; i++)
        {
            _frequencies[i] = (float)Math.Exp(minusLog * i / half);
        }
    }

    public override void Run()
    {
        int half = _frequencies.Length;
        for (int n = 0; n < _y.Rows; n++)
        {
            float* y = _y.Row(n);
            for (int i = 0; i < half; i++)
            {
                float angle = _t.Data[n] * _frequencies[i];
                (double sin, double cos) = Math.SinCos(angle);
                y[i] = (float)cos;
                y[half + i] = (float)sin;
            }

            if (2 * half < _y.Columns)
            {
                y[2 * half] = 0;
            }
        }
    }
}

/// <summary>Rows of a table, picked by label.</summary>
internal sealed unsafe class EmbeddingStep(StepContext context) : Step
{
    private readonly Operand _table = context.In(0);
    private readonly Operand _labels = context.In(1);
    private readonly Operand _y = context.Out;

    public override void Run()
    {
        for (int n = 0; n < _y.Rows; n++)
        {
            int label = Labels.Check(_labels.Ints[n], n, (int)_table.Rows, nameof(Embedding));
            new ReadOnlySpan<float>(_table.Row(label), _y.Columns).CopyTo(new Span<float>(_y.Row(n), _y.Columns));
        }
    }
}

/// <summary>Gradient of a table: the rows of dy added to the rows their labels name, in sample order.</summary>
internal sealed unsafe class EmbeddingGradStep(StepContext context) : ParallelStep(context.Pool)
{
    private readonly Operand _labels = context.In(0);
    private readonly Operand _dy = context.In(1);
    private readonly Operand _y = context.Out;
    private readonly int _tasks = Tasks.For(context.Pool, context.Out.Rows, context.Out.Columns);

    public override void Run()
    {
        for (int n = 0; n < _dy.Rows; n++)
        {
            Labels.Check(_labels.Ints[n], n, (int)_y.Rows, nameof(EmbeddingGrad));
        }

        RunPhase(0, _tasks);
    }

    protected override void Execute(int phase, int task, int worker)
    {
        long begin = Tasks.Begin(_y.Rows, _tasks, task), end = Tasks.Begin(_y.Rows, _tasks, task + 1);
        for (long k = begin; k < end; k++)
        {
            new Span<float>(_y.Row(k), _y.Columns).Clear();
        }

        for (int n = 0; n < _dy.Rows; n++)
        {
            int label = _labels.Ints[n];
            if (label >= begin && label < end)
            {
                float* y = _y.Row(label);
                float* dy = _dy.Row(n);
                for (int c = 0; c < _y.Columns; c++)
                {
                    y[c] += dy[c];
                }
            }
        }
    }
}

/// <summary>Labels come from outside and are checked on every run.</summary>
internal static class Labels
{
    public static int Check(int label, int sample, int classes, string op) =>
        (uint)label < (uint)classes ? label
        : throw new ArgumentOutOfRangeException(
            nameof(label), $"{op}: the label of sample {sample} is {label}, not one of 0..{classes - 1}");
}
