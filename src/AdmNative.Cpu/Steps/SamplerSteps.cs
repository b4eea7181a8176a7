using AdmNative.Core;

namespace AdmNative.Cpu.Steps;

/// <summary>What a sampler update may read at one element; operands the op has not are 0.</summary>
/// <param name="Xt">x_t.</param>
/// <param name="Output">The network's mean output.</param>
/// <param name="Variance">The network's variance output, if it has one.</param>
/// <param name="X0">The predicted x_0.</param>
/// <param name="Noise">Standard normal.</param>
/// <param name="Grad">The classifier's gradient, already scaled.</param>
internal readonly record struct SamplerElement(
    double Xt, double Output, double Variance, double X0, double Noise, double Grad);

/// <summary>The formula of a sampler op for one element.</summary>
internal interface ISamplerFormula
{
    double Invoke(in SamplerElement e, ReadOnlySpan<double> k);
}

/// <summary>Operands of a sampler op, by role.</summary>
internal readonly record struct SamplerOperands(
    Operand Xt, Operand Output, Operand X0, Operand Coef, Operand Noise, Operand Grad);

/// <summary>Applies a sampler formula to every element, in double.</summary>
internal sealed unsafe class SamplerStep<F>(StepContext context, F formula, SamplerOperands operands) : ParallelStep(context.Pool)
    where F : struct, ISamplerFormula
{
    private readonly Operand _y = context.Out;
    private readonly int _tasks = Tasks.For(context.Pool, context.Out.Rows, 20.0 * context.Out.Columns);

    public override void Run() => RunPhase(0, _tasks);

    protected override void Execute(int phase, int task, int worker)
    {
        Span<double> k = stackalloc double[Coef.Columns];
        int columns = _y.Columns, sample = -1;
        bool learned = !operands.Output.IsNull && operands.Output.Columns == 2 * columns;
        long end = Tasks.Begin(_y.Rows, _tasks, task + 1);
        for (long r = Tasks.Begin(_y.Rows, _tasks, task); r < end; r++)
        {
            int n = (int)(r / _y.RowsPerSample);
            if (n != sample)
            {
                Coefficients.Load(operands.Coef, n, k);
                sample = n;
            }

            float* y = _y.Row(r);
            float* xt = operands.Xt.Row(r);
            float* output = operands.Output.IsNull ? null : operands.Output.Row(r);
            float* x0 = operands.X0.IsNull ? null : operands.X0.Row(r);
            float* noise = operands.Noise.IsNull ? null : operands.Noise.Row(r);
            float* grad = operands.Grad.IsNull ? null : operands.Grad.Row(r);
            for (int c = 0; c < columns; c++)
            {
                var e = new SamplerElement(
                    xt[c], output is null ? 0 : output[c], learned ? output[columns + c] : 0, x0 is null ? 0 : x0[c],
                    noise is null ? 0 : noise[c], grad is null ? 0 : grad[c]);
                y[c] = (float)formula.Invoke(e, k);
            }
        }
    }
}

internal readonly record struct XStartFormula(PredictXStart Op) : ISamplerFormula
{
    public double Invoke(in SamplerElement e, ReadOnlySpan<double> k)
    {
        double x0 = ModelMath.XStart(Op.Mean, e.Xt, e.Output, k);
        return Op.Clip ? ModelMath.Clip(x0) : x0;
    }
}

internal readonly record struct MeanFormula(MeanKind Mean) : ISamplerFormula
{
    public double Invoke(in SamplerElement e, ReadOnlySpan<double> k) => ModelMath.Mean(Mean, e.Xt, e.Output, e.X0, k);
}

internal readonly record struct LogVarianceFormula(VarianceKind Variance) : ISamplerFormula
{
    public double Invoke(in SamplerElement e, ReadOnlySpan<double> k) => ModelMath.LogVariance(Variance, e.Variance, k);
}

internal readonly record struct DdpmFormula(DdpmStep Op) : ISamplerFormula
{
    public double Invoke(in SamplerElement e, ReadOnlySpan<double> k)
    {
        double logVariance = ModelMath.LogVariance(Op.Variance, e.Variance, k);
        double variance = Op.Variance.IsLearned() ? Math.Exp(logVariance) : k[Coef.FixedVariance];
        double mean = ModelMath.Mean(Op.Mean, e.Xt, e.Output, e.X0, k) + (variance * e.Grad);
        return mean + (k[Coef.NotFirst] * Math.Exp(0.5 * logVariance) * e.Noise);
    }
}

internal readonly record struct DdimXStartFormula : ISamplerFormula
{
    public double Invoke(in SamplerElement e, ReadOnlySpan<double> k)
    {
        double epsilon = ModelMath.Epsilon(e.Xt, e.X0, k) - (k[Coef.SqrtOneMinusAc] * e.Grad);
        return (k[Coef.SqrtRecip] * e.Xt) - (k[Coef.SqrtRecipM1] * epsilon);
    }
}

internal readonly record struct DdimFormula : ISamplerFormula
{
    public double Invoke(in SamplerElement e, ReadOnlySpan<double> k) =>
        (k[Coef.SqrtAcPrev] * e.X0) + (k[Coef.DdimDirection] * ModelMath.Epsilon(e.Xt, e.X0, k))
        + (k[Coef.NotFirst] * k[Coef.DdimSigma] * e.Noise);
}

internal readonly record struct DdimReverseFormula : ISamplerFormula
{
    public double Invoke(in SamplerElement e, ReadOnlySpan<double> k) =>
        (k[Coef.SqrtAcNext] * e.X0) + (k[Coef.SqrtOneMinusAcNext] * ModelMath.Epsilon(e.Xt, e.X0, k));
}
