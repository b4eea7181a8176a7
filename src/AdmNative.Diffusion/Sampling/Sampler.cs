using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// The loop that all samplers share: x_T, then T steps down to x_0. What a step computes is the derived class's rule.
/// Executables are kept per batch shape, so a run allocates on the device only when a new shape turns up.
/// </summary>
public abstract class Sampler : IDisposable
{
    private readonly Networks _networks;
    private readonly StepRule _rule;
    private readonly SamplerOptions _options;
    private readonly Coefficients _coefficients;
    private readonly Guidance? _guidance;
    private readonly Dictionary<Shape, IStepEngine> _engines = [];

    private protected Sampler(
        Networks networks, DiffusionProcess process, StepRule rule, SamplerOptions? options, double eta)
    {
        ArgumentNullException.ThrowIfNull(networks);
        ArgumentNullException.ThrowIfNull(process);
        _networks = networks;
        _rule = rule;
        _options = options ?? new SamplerOptions();
        _coefficients = new Coefficients(process.Schedule, process.Config.Variance, eta);
        Process = process;
        if (_options.ClassifierScale == 0)
        {
            return;
        }

        if (!double.IsFinite(_options.ClassifierScale))
        {
            throw new ConfigException($"classifier_scale is {_options.ClassifierScale}; it must be finite");
        }

        if (_options.Condition is not null)
        {
            throw new ConfigException("give either a condition function or a classifier scale, not both");
        }

        EncoderUNetConfig classifier = networks.Classifier
            ?? throw new ConfigException(
                $"classifier_scale {_options.ClassifierScale} needs a classifier; give its weights or scale 0");
        _guidance = new Guidance(classifier, _options.ClassifierScale, _options.GuidanceAtMean);
    }

    /// <summary>The process that is walked back.</summary>
    public DiffusionProcess Process { get; }

    /// <summary>Draws a batch: the last sample, [N,C,H,W].</summary>
    /// <exception cref="NumericException">A sample is not finite.</exception>
    public Tensor Sample(SampleBatch batch)
    {
        StepState state = Start(batch);
        foreach (int _ in Walk(state, batch))
        {
            // Only the last state is wanted.
        }

        return ChannelsLast.ToTensor(state.X, state.Shape);
    }

    /// <summary>Draws a batch and hands out every step as it is made, noisiest first.</summary>
    /// <exception cref="NumericException">A sample is not finite.</exception>
    public IEnumerable<SamplerStep> Progressive(SampleBatch batch)
    {
        StepState state = Start(batch);
        foreach (int t in Walk(state, batch))
        {
            yield return new SamplerStep(
                t, ChannelsLast.ToTensor(state.X, state.Shape), ChannelsLast.ToTensor(state.X0, state.Shape));
        }
    }

    /// <summary>Frees the executables; the networks stay.</summary>
    public void Dispose()
    {
        foreach (IStepEngine engine in _engines.Values)
        {
            engine.Dispose();
        }

        _engines.Clear();
        GC.SuppressFinalize(this);
    }

    /// <summary>The executable plan of a step for a batch shape [N,H,W,C]; null when steps run in pieces.</summary>
    internal Plan? PlanFor(Shape shape) => (Engine(shape) as WholeStep)?.Executable.Plan;

    private IEnumerable<int> Walk(StepState state, SampleBatch batch)
    {
        IStepEngine engine = Engine(state.Shape);
        for (int t = batch.StartStep ?? (Process.Steps - 1); t >= 0; t--)
        {
            state.At(t, _options.GuidanceAtMean);
            // Noise is drawn at every step, also where its factor is 0, so that streams advance alike in all samplers.
            batch.Noise.Normals(t, batch.First, state.Shape, state.Noise);
            engine.Run(state);
            state.Advance();
            RequireFinite(state, t);
            yield return t;
        }
    }

    private StepState Start(SampleBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        if (batch.Count < 1 || batch.Height < 1 || batch.Width < 1)
        {
            throw new ShapeException($"cannot draw {batch.Count} images of {batch.Height}x{batch.Width}");
        }

        Shape shape = [batch.Count, batch.Height, batch.Width, _networks.Denoiser.ImageChannels];
        if (batch.StartStep is int first && (batch.Start is null || first < 0 || first >= Process.Steps))
        {
            throw new ArgumentException(
                $"starting at step {first} needs an image to start from and a step within 0..{Process.Steps - 1}");
        }

        _networks.CheckLabels(batch.Labels, batch.Count, classify: _guidance is not null);
        _ = Engine(shape); // before anything of the batch's size: a device refuses what it cannot hold
        var state = new StepState(Process, _coefficients, shape, batch.Labels, batch.LowRes);
        if (batch.Start is not Tensor start)
        {
            batch.Noise.Normals(INoise.Initial, batch.First, shape, state.X);
            return state;
        }

        if (start.Shape != ChannelsLast.Undo(shape))
        {
            throw new ShapeException($"x_T must be {ChannelsLast.Undo(shape)}, got {start.Shape}");
        }

        PixelOrder.ToNhwc<float>(start.ToFloats(), shape, state.X);
        return state;
    }

    private IStepEngine Engine(Shape shape)
    {
        if (!_engines.TryGetValue(shape, out IStepEngine? engine))
        {
            bool whole = _options.Condition is null && _options.Denoised is null;
            engine = whole
                ? new WholeStep(_networks.Load(
                    StepGraphs.Step(_networks.Denoiser, Process, _rule, shape, _options.ClipDenoised, _guidance)))
                : new PiecewiseStep(_networks, Process, _rule, _options, _guidance, shape);
            _engines.Add(shape, engine);
        }

        return engine;
    }

    private void RequireFinite(StepState state, int t)
    {
        int bad = state.X.AsSpan().IndexOfAny(float.NaN, float.PositiveInfinity, float.NegativeInfinity);
        if (bad >= 0)
        {
            int perImage = state.X.Length / state.Shape[0];
            throw new NumericException(
                $"sampling step {t} (original step {Process.Schedule.TimestepMap[t]}): image {bad / perImage} of the batch "
                + $"has the value {state.X[bad]} at element {bad % perImage}; "
                + "check the checkpoint and its flags, or lower the guidance scale");
        }
    }
}
