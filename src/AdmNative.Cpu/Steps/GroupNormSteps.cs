using AdmNative.Core;
using AdmNative.Cpu.Kernels;

namespace AdmNative.Cpu.Steps;

/// <summary>
/// What the steps of the normalisation family share: sizes, scratch, and the choice between one task per sample (all phases of a
/// sample while it is in cache) and one phase after another over slices of pixels. Both do the same arithmetic.
/// </summary>
internal abstract unsafe class NormStep<S, V, A> : ParallelStep
    where S : struct, ISimd<V>
    where V : unmanaged
    where A : struct, IActivation<S, V>
{
    private readonly bool _bySample;
    private readonly int _phases;

    /// <param name="context">Operand 0 is x.</param>
    /// <param name="groups">G.</param>
    /// <param name="resample">What follows the activation.</param>
    /// <param name="phases">Phases of the step; the last may be elementwise.</param>
    protected NormStep(StepContext context, int groups, NormResample resample, int phases)
        : base(context.Pool)
    {
        X = context.In(0);
        Samples = X.Samples;
        Groups = groups;
        if (X.Shape.Elements == 0)
        {
            throw new ShapeException($"{context.Node}: nothing to normalise");
        }

        int channels = X.Columns, pixels = X.RowsPerSample;
        (int height, int width) = X.Shape.Rank == 4 ? (X.Height, X.Width) : (1, pixels);
        Geometry = new NormGeometry(height, width, channels, resample);
        Slices = new Slices(pixels, channels);
        Scratch = (float*)context.Workspace;
        _phases = phases;
        int threads = context.Pool.Threads;
        _bySample = threads == 1 || Samples % threads == 0 || Samples >= 4 * threads
            || (long)pixels * channels * Samples < Tasks.Grain;
        SampleTasks = (long)pixels * channels * Samples < Tasks.Grain ? Math.Min(1, Samples) : Samples;
    }

    protected Operand X { get; }

    protected int Samples { get; }

    protected int Groups { get; }

    protected NormGeometry Geometry { get; }

    protected Slices Slices { get; }

    /// <summary>The step's workspace.</summary>
    protected float* Scratch { get; }

    protected int Channels => Geometry.Channels;

    private int SampleTasks { get; }

    public override void Run()
    {
        if (_bySample)
        {
            RunPhase(-1, SampleTasks);
            return;
        }

        for (int phase = 0; phase < _phases; phase++)
        {
            RunPhase(phase, Samples * Parts(phase));
        }
    }

    /// <summary>Into how many parts a phase of one sample is cut.</summary>
    protected abstract int Parts(int phase);

    /// <summary>One part of a phase of sample n.</summary>
    protected abstract void Part(int phase, int n, int part);

    protected override void Execute(int phase, int task, int worker)
    {
        if (phase >= 0)
        {
            (int sample, int part) = Math.DivRem(task, Parts(phase));
            Part(phase, sample, part);
            return;
        }

        int first = SampleTasks == Samples ? task : 0, last = SampleTasks == Samples ? task + 1 : Samples;
        for (int n = first; n < last; n++)
        {
            for (int p = 0; p < _phases; p++)
            {
                for (int part = 0; part < Parts(p); part++)
                {
                    Part(p, n, part);
                }
            }
        }
    }

    /// <summary>First row of x in sample n.</summary>
    protected float* Sample(Operand x, int n) => x.Data + ((long)n * (x.Rows / Samples) * x.Stride);

    /// <summary>Floats of scratch for the channel sums of all slices: two per channel and slice.</summary>
    protected static long SumFloats(Shape x) =>
        (long)x[0] * new Slices(RowsPerSample(x), x.Last).Count * 2 * x.Last;

    /// <summary>Rows of one sample.</summary>
    protected static int RowsPerSample(Shape x) => x[0] == 0 ? 0 : checked((int)(x.Rows / x[0]));

    /// <summary>Channel sums of slice s of sample n: C sums, then C sums of squares (or of dz).</summary>
    protected float* Sums(int n, int s) => Scratch + ((((long)n * Slices.Count) + s) * 2 * Channels);

    private PilotRows Pilots(int n) => new(Sample(X, n), X.Stride, Geometry.Pixels);

    /// <summary>The channel sums of one slice of x.</summary>
    protected void SumSlice(int n, int s)
    {
        float* x = Sample(X, n);
        float* sums = Sums(n, s);
        int begin = Slices.Begin(s), rows = Slices.Begin(s + 1) - begin;
        GroupNormKernels<S, V, A>.Sums(x + (begin * X.Stride), X.Stride, rows, Channels, Pilots(n), sums, sums + Channels);
    }

    /// <summary>Mean and 1 / sqrt(variance + eps) of a group, from the channel sums of all slices.</summary>
    protected (double Mean, double Rstd) Statistics(int n, int group, double eps)
    {
        int width = Channels / Groups, first = group * width;
        double pixels = Geometry.Pixels;
        PilotRows pilots = Pilots(n);

        // Channel means relative to a pilot of the group, so that a large common mean costs no digits here either.
        double anchor = pilots.Median(first), mean = 0, squares = 0, spread = 0;
        for (int c = first; c < first + width; c++)
        {
            double sum = 0, square = 0;
            for (int s = 0; s < Slices.Count; s++)
            {
                float* sums = Sums(n, s);
                sum += sums[c];
                square += sums[Channels + c];
            }

            double channelMean = pilots.Median(c) - anchor + (sum / pixels);
            squares += square - (sum * (sum / pixels));
            mean += channelMean;
            spread += channelMean * channelMean;
        }

        mean /= width;
        squares += pixels * Math.Max(spread - (width * mean * mean), 0);
        double variance = Math.Max(squares, 0) / (pixels * width);
        return (anchor + mean, 1 / Math.Sqrt(variance + eps));
    }
}

/// <summary>
/// The whole normalisation y = resample(act(modulate(norm(x)))), with statistics of its own or given ones. When it computes them it
/// can also leave them for the gradient.
/// </summary>
internal sealed unsafe class GroupNormStep<S, V, A> : NormStep<S, V, A>
    where S : struct, ISimd<V>
    where V : unmanaged
    where A : struct, IActivation<S, V>
{
    private const int Folds = 3;

    private readonly double _eps;
    private readonly Operand _given;
    private readonly Operand _gamma;
    private readonly Operand _beta;
    private readonly Operand _m;
    private readonly Operand _y;
    private readonly Operand _stats;
    private readonly float* _fold;
    private readonly int _units;
    private readonly int _applyParts;

    /// <param name="context">x, then given statistics if <paramref name="eps"/> is null, then gamma, beta and maybe m.</param>
    /// <param name="groups">G.</param>
    /// <param name="eps">Epsilon of the statistics, or null when they are operand 1.</param>
    /// <param name="resample">What follows the activation.</param>
    /// <param name="stats">Where computed statistics are left, if anywhere.</param>
    public GroupNormStep(StepContext context, int groups, double? eps, NormResample resample, Operand stats = default)
        : base(context, groups, resample, 3)
    {
        int p = eps is null ? 2 : 1;
        _eps = eps ?? 0;
        _given = eps is null ? context.In(1) : default;
        (_gamma, _beta, _m, _y) = (context.In(p), context.In(p + 1), context.In(p + 2), context.Out);
        _stats = stats;
        _fold = Scratch + (eps is null ? 0 : SumFloats(X.Shape));
        _units = resample == NormResample.Down2 ? Geometry.ResultPixels : Geometry.Pixels;
        _applyParts = (int)Math.Clamp((long)_units * Channels / (Tasks.Grain / 2), 1, Math.Min(_units, 4 * context.Pool.Threads));
    }

    /// <summary>Scratch: channel sums if statistics are computed, and mean, a, b per sample and channel.</summary>
    public static long WorkspaceBytes(Shape x, bool computesStatistics) =>
        ((computesStatistics ? SumFloats(x) : 0) + ((long)Folds * x[0] * x.Last)) * sizeof(float);

    protected override int Parts(int phase) => phase switch
    {
        0 => _given.IsNull ? Slices.Count : 0,
        1 => Groups,
        _ => _applyParts,
    };

    protected override void Part(int phase, int n, int part)
    {
        switch (phase)
        {
            case 0: SumSlice(n, part); break;
            case 1: Fold(n, part); break;
            default: Apply(n, part); break;
        }
    }

    /// <summary>Array i of sample n: mean, a, b.</summary>
    private float* At(int n, int i) => _fold + ((((long)n * Folds) + i) * Channels);

    private void Fold(int n, int group)
    {
        double mean, rstd;
        if (_given.IsNull)
        {
            (mean, rstd) = Statistics(n, group, _eps);
            if (!_stats.IsNull)
            {
                // The gradient will read these, so this pass uses the same rounded numbers.
                float* row = _stats.Row(((long)n * Groups) + group);
                (row[0], row[1]) = ((float)mean, (float)rstd);
                (mean, rstd) = (row[0], row[1]);
            }
        }
        else
        {
            float* row = _given.Row(((long)n * Groups) + group);
            (mean, rstd) = (row[0], row[1]);
        }

        float* means = At(n, 0);
        float* a = At(n, 1);
        float* b = At(n, 2);
        float* m = _m.IsNull ? null : _m.Row(n);
        int width = Channels / Groups;
        for (int c = group * width; c < (group + 1) * width; c++)
        {
            double scale = m is null ? 1 : 1.0 + m[c], shift = m is null ? 0 : m[Channels + c];
            means[c] = (float)mean;
            a[c] = (float)(rstd * scale * _gamma.Data[c]);
            b[c] = (float)((_beta.Data[c] * scale) + shift);
        }
    }

    private void Apply(int n, int part)
    {
        int begin = (int)Tasks.Begin(_units, _applyParts, part), end = (int)Tasks.Begin(_units, _applyParts, part + 1);
        GroupNormKernels<S, V, A>.Apply(
            Geometry, Sample(X, n), X.Stride, At(n, 0), At(n, 1), At(n, 2), Sample(_y, n), _y.Stride, begin, end);
    }
}

/// <summary>Mean and rstd per sample and group.</summary>
internal sealed unsafe class GroupNormStatsStep<S, V> : NormStep<S, V, Identity<S, V>>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private readonly double _eps;
    private readonly Operand _y;

    public GroupNormStatsStep(StepContext context, GroupNormStats op)
        : base(context, op.Groups, NormResample.None, 2)
    {
        _eps = op.Eps;
        _y = context.Out;
    }

    public static long WorkspaceBytes(Shape x) => SumFloats(x) * sizeof(float);

    protected override int Parts(int phase) => phase == 0 ? Slices.Count : Groups;

    protected override void Part(int phase, int n, int part)
    {
        if (phase == 0)
        {
            SumSlice(n, part);
            return;
        }

        (double mean, double rstd) = Statistics(n, part, _eps);
        float* row = _y.Row(((long)n * Groups) + part);
        (row[0], row[1]) = ((float)mean, (float)rstd);
    }
}

/// <summary>
/// The gradient by x, its channel sums, or both in one pass over the samples. With d = x - mean, g = gamma (1 + scale), m = P D:
/// dx = rstd g dz - rstd^2 c2 / m d - rstd c1 / m, c1 = sum over the group of g B, c2 of g A.
/// </summary>
internal sealed unsafe class GroupNormGradStep<S, V, A> : NormStep<S, V, A>
    where S : struct, ISimd<V>
    where V : unmanaged
    where A : struct, IActivation<S, V>
{
    private const int Folds = 6;

    private readonly Operand _dy;
    private readonly Operand _stats;
    private readonly Operand _gamma;
    private readonly Operand _beta;
    private readonly Operand _m;
    private readonly Operand _sums;
    private readonly Operand _addend;
    private readonly Operand _dx;
    private readonly bool _makesSums;
    private readonly float* _fold;
    private readonly int _applyParts;

    /// <param name="context">Whose operand 0 is x.</param>
    /// <param name="groups">G.</param>
    /// <param name="resample">What followed the activation.</param>
    /// <param name="makesSums">Whether the sums are computed here or given.</param>
    /// <param name="operands">Everything but x.</param>
    public GroupNormGradStep(StepContext context, int groups, NormResample resample, bool makesSums, GroupNormGradOperands operands)
        : base(context, groups, resample, 5)
    {
        (_dy, _stats, _gamma, _beta, _m) = (operands.Dy, operands.Stats, operands.Gamma, operands.Beta, operands.M);
        (_sums, _addend, _dx) = (operands.Sums, operands.Addend, operands.Dx);
        _makesSums = makesSums;
        _fold = Scratch + (makesSums ? SumFloats(X.Shape) : 0);
        int pixels = Geometry.Pixels;
        _applyParts = (int)Math.Clamp((long)pixels * Channels / (Tasks.Grain / 4), 1, Math.Min(pixels, 4 * context.Pool.Threads));
    }

    public static long WorkspaceBytes(Shape x, bool makesSums) =>
        ((makesSums ? SumFloats(x) : 0) + ((long)Folds * x[0] * x.Last)) * sizeof(float);

    protected override int Parts(int phase) => phase switch
    {
        0 => 1,
        1 => _makesSums ? Slices.Count : 0,
        2 => _makesSums ? 1 : 0,
        3 => _dx.IsNull ? 0 : Groups,
        _ => _dx.IsNull ? 0 : _applyParts,
    };

    protected override void Part(int phase, int n, int part)
    {
        switch (phase)
        {
            case 0: FoldForward(n); break;
            case 1: SumGrad(n, part); break;
            case 2: MergeSums(n); break;
            case 3: FoldBack(n, part); break;
            default: Apply(n, part); break;
        }
    }

    /// <summary>Array i of sample n: mean, a, b, k1, k2, k3.</summary>
    private float* At(int n, int i) => _fold + ((((long)n * Folds) + i) * Channels);

    private float* Stats(int n, int group) => _stats.Row(((long)n * Groups) + group);

    /// <summary>u = a (x - mean) + b, the input of the activation.</summary>
    private void FoldForward(int n)
    {
        int width = Channels / Groups;
        float* m = _m.IsNull ? null : _m.Row(n);
        float* mean = At(n, 0);
        float* a = At(n, 1);
        float* b = At(n, 2);
        for (int c = 0; c < Channels; c++)
        {
            float* stats = Stats(n, c / width);
            double scale = m is null ? 1 : 1.0 + m[c], shift = m is null ? 0 : m[Channels + c];
            mean[c] = stats[0];
            a[c] = (float)(stats[1] * scale * _gamma.Data[c]);
            b[c] = (float)((_beta.Data[c] * scale) + shift);
        }
    }

    private void SumGrad(int n, int slice)
    {
        float* sums = Sums(n, slice);
        GroupNormKernels<S, V, A>.GradSums(
            Geometry, Sample(X, n), X.Stride, Sample(_dy, n), _dy.Stride, At(n, 0), At(n, 1), At(n, 2), sums, sums + Channels,
            Slices.Begin(slice), Slices.Begin(slice + 1));
    }

    private void MergeSums(int n)
    {
        int width = Channels / Groups;
        float* result = _sums.Row(2L * n);
        float* second = _sums.Row((2L * n) + 1);
        for (int c = 0; c < Channels; c++)
        {
            double byX = 0, one = 0;
            for (int s = 0; s < Slices.Count; s++)
            {
                float* sums = Sums(n, s);
                byX += sums[c];
                one += sums[Channels + c];
            }

            result[c] = (float)(byX * Stats(n, c / width)[1]);
            second[c] = (float)one;
        }
    }

    private void FoldBack(int n, int group)
    {
        int width = Channels / Groups, first = group * width, last = first + width;
        float* m = _m.IsNull ? null : _m.Row(n);
        float* sumXhat = _sums.Row(2L * n);
        float* sumOne = _sums.Row((2L * n) + 1);
        double c1 = 0, c2 = 0, rstd = Stats(n, group)[1], count = (double)Geometry.Pixels * width;
        for (int c = first; c < last; c++)
        {
            double g = _gamma.Data[c] * (m is null ? 1 : 1.0 + m[c]);
            c1 += g * sumOne[c];
            c2 += g * sumXhat[c];
        }

        float* k1 = At(n, 3);
        float* k2 = At(n, 4);
        float* k3 = At(n, 5);
        for (int c = first; c < last; c++)
        {
            k1[c] = (float)(rstd * _gamma.Data[c] * (m is null ? 1 : 1.0 + m[c]));
            k2[c] = (float)(-rstd * rstd * c2 / count);
            k3[c] = (float)(-rstd * c1 / count);
        }
    }

    private void Apply(int n, int part)
    {
        int pixels = Geometry.Pixels;
        GroupNormKernels<S, V, A>.InputGrad(
            Geometry, Sample(X, n), X.Stride, Sample(_dy, n), _dy.Stride, At(n, 0), At(n, 1), At(n, 2), At(n, 3), At(n, 4), At(n, 5),
            _addend.IsNull ? null : Sample(_addend, n), _addend.Stride, Sample(_dx, n), _dx.Stride,
            (int)Tasks.Begin(pixels, _applyParts, part), (int)Tasks.Begin(pixels, _applyParts, part + 1));
    }
}

/// <summary>Operands of the gradient of a normalisation besides x. Sums are a result when they are made, else given.</summary>
internal readonly record struct GroupNormGradOperands(
    Operand Dy, Operand Stats, Operand Gamma, Operand Beta, Operand M, Operand Sums, Operand Addend, Operand Dx);

/// <summary>Gradients of gamma, beta and the modulation from the sums A, B: a few numbers per channel.</summary>
internal sealed unsafe class GroupNormParamStep(StepContext context, GroupNormParam which) : Step
{
    private readonly Operand _sums = context.In(0);
    private readonly Operand _gamma = context.In(1);
    private readonly Operand _beta = context.In(2);
    private readonly Operand _m = context.In(3);
    private readonly Operand _y = context.Out;

    public override void Run()
    {
        int channels = _sums.Columns, samples = _sums.Samples;
        if (which == GroupNormParam.Modulation)
        {
            for (int n = 0; n < samples; n++)
            {
                float* a = _sums.Row(2L * n);
                float* b = _sums.Row((2L * n) + 1);
                float* y = _y.Row(n);
                for (int c = 0; c < channels; c++)
                {
                    y[c] = (_gamma.Data[c] * a[c]) + (_beta.Data[c] * b[c]);
                    y[channels + c] = b[c];
                }
            }

            return;
        }

        for (int c = 0; c < channels; c++)
        {
            double sum = 0;
            for (int n = 0; n < samples; n++)
            {
                float value = _sums.Row((2L * n) + (which == GroupNormParam.Gamma ? 0 : 1))[c];
                sum += _m.IsNull ? value : value * (1.0 + _m.Row(n)[c]);
            }

            _y.Data[c] = (float)sum;
        }
    }
}
