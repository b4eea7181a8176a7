using AdmNative.Core;
using AdmNative.Cpu.Kernels;

namespace AdmNative.Cpu.Steps;

/// <summary>How the rows of a sample are cut for a reduction: by shape alone, so that results do not depend on threads.</summary>
internal readonly struct Slices
{
    private const long Elements = 16384;
    private const int Most = 64;

    public Slices(int rows, int columns)
    {
        Rows = rows;
        long wanted = Math.Clamp((rows * (long)columns) / Elements, 1, Math.Min(Most, Math.Max(rows, 1)));
        Height = (int)((rows + wanted - 1) / wanted);
        Count = rows == 0 ? 1 : (rows + Height - 1) / Height;
    }

    /// <summary>Rows of the whole.</summary>
    public int Rows { get; }

    /// <summary>Rows of a slice; the last may have fewer.</summary>
    public int Height { get; }

    public int Count { get; }

    public int Begin(int slice) => Math.Min(slice * Height, Rows);
}

/// <summary>Column sums of each of several segments of rows, times a factor; optionally of products with a second operand too.</summary>
internal sealed unsafe class ColumnSumStep<S, V> : ParallelStep
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private readonly Operand _x;
    private readonly Operand _dy;
    private readonly Operand _y;
    private readonly float* _parts;
    private readonly Slices _slices;
    private readonly int _segments;
    private readonly int _width;
    private readonly float _factor;
    private readonly bool _parallel;

    /// <param name="context">x, and dy if the result is [sum of x dy | sum of dy].</param>
    /// <param name="segments">Segments of equally many rows, one result row each.</param>
    /// <param name="factor">Multiplies the sums.</param>
    /// <param name="y">First result row and the stride between them.</param>
    public ColumnSumStep(StepContext context, int segments, double factor, Operand y)
        : base(context.Pool)
    {
        _x = context.In(0);
        _dy = context.In(1);
        _y = y;
        _parts = (float*)context.Workspace;
        _segments = segments;
        _slices = new Slices(RowsOf(_x.Rows, segments), _x.Columns);
        _width = Width(_x.Columns, !_dy.IsNull);
        _factor = (float)factor;
        _parallel = Tasks.For(context.Pool, segments * _slices.Count, _slices.Height * (double)_x.Columns) > 1;
    }

    public static long WorkspaceBytes(TensorType x, int segments, bool products)
    {
        var slices = new Slices(RowsOf(x.Shape.Rows, segments), x.Shape.Last);
        return (long)segments * slices.Count * Width(x.Shape.Last, products) * sizeof(float);
    }

    public override void Run()
    {
        int tasks = _segments * _slices.Count;
        if (_parallel)
        {
            RunPhase(0, tasks);
        }
        else
        {
            for (int task = 0; task < tasks; task++)
            {
                Execute(0, task, 0);
            }
        }

        for (int segment = 0; segment < _segments; segment++)
        {
            float* parts = _parts + ((long)segment * _slices.Count * _width);
            SumKernels<S, V>.Merge(parts, _width, _slices.Count, _width, _factor, _y.Row(segment));
        }
    }

    protected override void Execute(int phase, int task, int worker)
    {
        (int segment, int slice) = Math.DivRem(task, _slices.Count);
        int begin = _slices.Begin(slice), rows = _slices.Begin(slice + 1) - begin;
        long first = ((long)segment * _slices.Rows) + begin;
        float* part = _parts + ((long)task * _width);
        if (_dy.IsNull)
        {
            SumKernels<S, V>.Columns(_x.Row(first), _x.Stride, rows, _x.Columns, part);
            return;
        }

        SumKernels<S, V>.Products(_x.Row(first), _x.Stride, _dy.Row(first), _dy.Stride, rows, _x.Columns, part);
        SumKernels<S, V>.Columns(_dy.Row(first), _dy.Stride, rows, _x.Columns, part + _x.Columns);
    }

    private static int RowsOf(long rows, int segments) => segments == 0 ? 0 : checked((int)(rows / segments));

    private static int Width(int columns, bool products) => products ? 2 * columns : columns;
}
