using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// The host side of one batch in the sampler's loop: images in graph order, and what the graphs are told at each step.
/// </summary>
internal sealed class StepState
{
    private readonly DiffusionProcess _process;
    private readonly Coefficients _coefficients;

    public StepState(
        DiffusionProcess process, Coefficients coefficients, Shape shape, IReadOnlyList<int>? labels, Tensor? lowRes)
    {
        _process = process;
        _coefficients = coefficients;
        Shape = shape;
        int n = shape[0];
        X = new float[shape.Elements];
        Noise = new float[shape.Elements];
        Sample = new float[shape.Elements];
        X0 = new float[shape.Elements];
        Steps = new int[n];
        Times = new float[n];
        ClassifierTimes = new float[n];
        Coefficients = new float[n * Coef.Columns];
        Labels = labels?.ToArray();
        LowRes = lowRes is null ? null : ChannelsLast.From(lowRes);
        LowResShape = lowRes is null ? null : ChannelsLast.Of(lowRes.Shape);
    }

    /// <summary>[N,H,W,C].</summary>
    public Shape Shape { get; }

    /// <summary>x_t.</summary>
    public float[] X { get; private set; }

    public float[] Noise { get; }

    /// <summary>x_{t-1}.</summary>
    public float[] Sample { get; private set; }

    /// <summary>The x_0 the step reports.</summary>
    public float[] X0 { get; }

    public float[] Times { get; }

    public float[] ClassifierTimes { get; }

    public float[] Coefficients { get; }

    public int[]? Labels { get; }

    public float[]? LowRes { get; }

    public Shape? LowResShape { get; }

    /// <summary>The step of each sample.</summary>
    public int[] Steps { get; }

    /// <summary>Puts the whole batch at step t.</summary>
    /// <param name="t">The step.</param>
    /// <param name="guidanceAtMean">The classifier looks at the mean of x_{t-1} and is told that step.</param>
    public void At(int t, bool guidanceAtMean = false)
    {
        Steps.AsSpan().Fill(t);
        At(Steps, guidanceAtMean);
    }

    /// <summary>Puts each sample at its own step.</summary>
    public void At(ReadOnlySpan<int> t, bool guidanceAtMean = false)
    {
        _coefficients.Fill(t, Coefficients);
        t.CopyTo(Steps);
        for (int n = 0; n < t.Length; n++)
        {
            Times[n] = _process.Time(t[n]);
            ClassifierTimes[n] = _process.Time(guidanceAtMean ? Math.Max(t[n] - 1, 0) : t[n]);
        }
    }

    /// <summary>The result of this step becomes x_t of the next.</summary>
    public void Advance() => (X, Sample) = (Sample, X);

    /// <summary>Gives an executable those of its inputs that the state holds.</summary>
    public void Feed(IExecutable run)
    {
        foreach ((string name, Node node) in run.Plan.Graph.Inputs)
        {
            switch (name)
            {
                case InputNames.X: run.SetInput(name, X); break;
                case InputNames.T: run.SetInput(name, Times); break;
                case InputNames.ClassifierT: run.SetInput(name, ClassifierTimes); break;
                case InputNames.Coefficients: run.SetInput(name, Coefficients); break;
                case InputNames.Noise: run.SetInput(name, Noise); break;
                case InputNames.Labels: run.SetInput(name, Labels ?? throw Missing("labels (y)")); break;
                case InputNames.LowRes when LowResShape is not null && LowResShape != node.Shape:
                    throw new ShapeException(
                        $"small images (low_res) must be {ChannelsLast.Undo(node.Shape)}, got {ChannelsLast.Undo(LowResShape)}");
                case InputNames.LowRes: run.SetInput(name, LowRes ?? throw Missing("small images (low_res)")); break;
                default: break;
            }
        }
    }

    private static ArgumentException Missing(string what) => new($"the networks of this run need {what}");
}
