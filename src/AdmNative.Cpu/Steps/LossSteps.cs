using AdmNative.Core;

namespace AdmNative.Cpu.Steps;

/// <summary>One task per sample, scalar arithmetic in double: losses are a sliver of any run.</summary>
internal abstract unsafe class SampleStep(StepContext context, Operand first) : ParallelStep(context.Pool)
{
    private readonly int _tasks = Tasks.For(
        context.Pool, first.Samples, first.Samples == 0 ? 0 : 8.0 * first.Shape.Elements / first.Samples);

    /// <summary>Samples.</summary>
    protected int Count => first.Samples;

    /// <summary>Rows of one sample; a rank-1 value has one row of one element per sample.</summary>
    protected int Rows => first.Shape.Rank <= 1 ? 1 : first.RowsPerSample;

    /// <summary>Elements of a row.</summary>
    protected int Columns => first.Shape.Rank <= 1 ? 1 : first.Columns;

    /// <summary>Elements of a sample.</summary>
    protected double Size => (double)Rows * Columns;

    public override void Run() => RunPhase(0, _tasks);

    protected abstract void Sample(int n);

    protected override void Execute(int phase, int task, int worker)
    {
        int end = (int)Tasks.Begin(Count, _tasks, task + 1);
        for (int n = (int)Tasks.Begin(Count, _tasks, task); n < end; n++)
        {
            Sample(n);
        }
    }

    /// <summary>Row r of sample n of an operand shaped like the first.</summary>
    protected float* Row(Operand x, int n, int r) => x.Shape.Rank <= 1 ? x.Data + n : x.Row(((long)n * Rows) + r);
}

/// <summary>logits[n, y[n]] - log sum exp logits[n].</summary>
internal sealed unsafe class LogSoftmaxSelectStep(StepContext context) : SampleStep(context, context.In(0))
{
    private readonly Operand _logits = context.In(0);
    private readonly Operand _labels = context.In(1);
    private readonly Operand _y = context.Out;

    /// <summary>Largest logit and sum of exp(logit - largest).</summary>
    public static (double Max, double Sum) Statistics(float* logits, int count)
    {
        double max = double.NegativeInfinity;
        for (int k = 0; k < count; k++)
        {
            max = Math.Max(max, logits[k]);
        }

        double sum = 0;
        for (int k = 0; k < count; k++)
        {
            sum += Math.Exp(logits[k] - max);
        }

        return (max, sum);
    }

    protected override void Sample(int n)
    {
        float* logits = _logits.Row(n);
        int label = Labels.Check(_labels.Ints[n], n, Columns, nameof(LogSoftmaxSelect));
        (double max, double sum) = Statistics(logits, Columns);
        _y.Data[n] = (float)(logits[label] - max - Math.Log(sum));
    }
}

/// <summary>dy[n] (1[k = y[n]] - softmax(logits[n])[k]).</summary>
internal sealed unsafe class LogSoftmaxSelectGradStep(StepContext context) : SampleStep(context, context.In(0))
{
    private readonly Operand _logits = context.In(0);
    private readonly Operand _labels = context.In(1);
    private readonly Operand _dy = context.In(2);
    private readonly Operand _y = context.Out;

    protected override void Sample(int n)
    {
        float* logits = _logits.Row(n);
        float* y = _y.Row(n);
        int label = Labels.Check(_labels.Ints[n], n, Columns, nameof(LogSoftmaxSelectGrad));
        (double max, double sum) = LogSoftmaxSelectStep.Statistics(logits, Columns);
        for (int k = 0; k < Columns; k++)
        {
            y[k] = (float)(_dy.Data[n] * ((k == label ? 1 : 0) - (Math.Exp(logits[k] - max) / sum)));
        }
    }
}

/// <summary>Mean of x, or of (a - b)^2, over each sample.</summary>
internal sealed unsafe class SampleMeanStep(StepContext context) : SampleStep(context, context.In(0))
{
    private readonly Operand _a = context.In(0);
    private readonly Operand _b = context.In(1);
    private readonly Operand _y = context.Out;

    protected override void Sample(int n)
    {
        double sum = 0;
        for (int r = 0; r < Rows; r++)
        {
            float* a = Row(_a, n, r);
            float* b = _b.IsNull ? null : Row(_b, n, r);
            for (int c = 0; c < Columns; c++)
            {
                double d = b is null ? a[c] : (double)a[c] - b[c];
                sum += b is null ? d : d * d;
            }
        }

        _y.Data[n] = (float)(sum / Size);
    }
}

/// <summary>factor v[n] everywhere in sample n, or factor (a - b) v[n].</summary>
internal sealed unsafe class SampleSpreadStep(StepContext context, double factor, Operand v) : SampleStep(context, context.Out)
{
    private readonly Operand _a = context.Inputs > 1 ? context.In(0) : default;
    private readonly Operand _b = context.Inputs > 1 ? context.In(1) : default;
    private readonly Operand _y = context.Out;

    protected override void Sample(int n)
    {
        float scale = (float)(factor * v.Data[n]);
        for (int r = 0; r < Rows; r++)
        {
            float* y = Row(_y, n, r);
            if (_a.IsNull)
            {
                new Span<float>(y, Columns).Fill(scale);
                continue;
            }

            float* a = Row(_a, n, r);
            float* b = Row(_b, n, r);
            for (int c = 0; c < Columns; c++)
            {
                y[c] = scale * (a[c] - b[c]);
            }
        }
    }
}

/// <summary>
/// Variational bound per sample, in bits per dimension. Each term is computed in float on purpose, as the reference does: where the bin's
/// edges agree to 2^-24 the difference of distribution functions is 0, the likelihood is at its floor and has no gradient. In double the
/// far tails would train the network, with gradients some hundred times larger than the reference's.
/// </summary>
internal sealed unsafe class VlbStep(StepContext context, VlbPerSample op) : SampleStep(context, context.In(0))
{
    private readonly Operand _mean = context.In(0);
    private readonly Operand _x0 = context.In(1);
    private readonly Operand _xt = context.In(2);
    private readonly Operand _coef = context.In(3);
    private readonly Operand _variance = context.In(4);
    private readonly Operand _y = context.Out;

    protected override void Sample(int n)
    {
        var k = new ReadOnlySpan<float>(_coef.Row(n), Coef.Columns);
        double sum = 0;
        for (int r = 0; r < Rows; r++)
        {
            float* output = Row(_mean, n, r);
            float* x0 = Row(_x0, n, r);
            float* xt = Row(_xt, n, r);
            float* v = _variance.IsNull ? null : Row(_variance, n, r);
            for (int c = 0; c < Columns; c++)
            {
                sum += VlbMath.Term<float>(op.Mean, op.Variance, op.Clip, output[c], x0[c], xt[c], v is null ? 0 : v[c], k);
            }
        }

        _y.Data[n] = (float)(sum / (Size * Math.Log(2)));
    }
}

/// <summary>Gradient of the bound by the mean output or by the variance output; in float like the bound.</summary>
internal sealed unsafe class VlbGradStep(StepContext context, VlbPerSampleGrad op) : SampleStep(context, context.In(0))
{
    private readonly Operand _mean = context.In(0);
    private readonly Operand _x0 = context.In(1);
    private readonly Operand _xt = context.In(2);
    private readonly Operand _coef = context.In(3);
    private readonly Operand _variance = context.Inputs > 5 ? context.In(4) : default;
    private readonly Operand _dy = context.In(context.Inputs - 1);
    private readonly Operand _y = context.Out;

    protected override void Sample(int n)
    {
        var k = new ReadOnlySpan<float>(_coef.Row(n), Coef.Columns);
        double scale = _dy.Data[n] / (Size * Math.Log(2));
        for (int r = 0; r < Rows; r++)
        {
            float* output = Row(_mean, n, r);
            float* x0 = Row(_x0, n, r);
            float* xt = Row(_xt, n, r);
            float* v = _variance.IsNull ? null : Row(_variance, n, r);
            float* y = Row(_y, n, r);
            for (int c = 0; c < Columns; c++)
            {
                (float byMean, float byVariance) = VlbMath.Slopes<float>(
                    op.Mean, op.Variance, op.Clip, output[c], x0[c], xt[c], v is null ? 0 : v[c], k);
                y[c] = (float)(scale * (op.Side == 0 ? byMean : byVariance));
            }
        }
    }
}

/// <summary>A sample's row of coefficients, as doubles.</summary>
internal static unsafe class Coefficients
{
    public static void Load(Operand coef, int n, Span<double> row)
    {
        float* k = coef.Row(n);
        for (int i = 0; i < row.Length; i++)
        {
            row[i] = k[i];
        }
    }
}
