using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>Takes a batch one step on: from x_t to x_{t-1} and the reported x_0.</summary>
internal interface IStepEngine : IDisposable
{
    void Run(StepState state);
}

/// <summary>The whole step as one graph.</summary>
internal sealed class WholeStep(IExecutable run) : IStepEngine
{
    public IExecutable Executable => run;

    public void Run(StepState state)
    {
        state.Feed(run);
        run.Run();
        run.GetOutput(StepGraphs.Sample, state.Sample);
        run.GetOutput(StepGraphs.PredXStart, state.X0);
    }

    public void Dispose() => run.Dispose();
}

/// <summary>The step in pieces, with the caller's functions between them on host tensors.</summary>
internal sealed class PiecewiseStep : IStepEngine
{
    private readonly SamplerOptions _options;
    private readonly IExecutable _predict;
    private readonly IExecutable? _meanVariance;
    private readonly IExecutable? _classifier;
    private readonly IExecutable _update;
    private readonly float[] _output;
    private readonly float[] _at;
    private readonly float[] _gradient;

    public PiecewiseStep(
        Networks networks,
        DiffusionProcess process,
        StepRule rule,
        SamplerOptions options,
        Guidance? guidance,
        Shape shape)
    {
        _options = options;
        bool guided = options.Condition is not null || guidance is not null;
        bool clipInGraph = options.ClipDenoised && options.Denoised is null;
        _predict = networks.Load(StepGraphs.Predict(networks.Denoiser, process, shape, clipInGraph));
        bool atMean = guided && options.GuidanceAtMean;
        _meanVariance = atMean ? networks.Load(StepGraphs.MeanVariance(process, shape)) : null;
        _classifier = guidance is null ? null : networks.Load(
            StepGraphs.ClassifierGradient(guidance.Classifier, shape, guidance.Scale, Networks.ClassifierPrefix));
        _update = networks.Load(StepGraphs.Update(process, rule, shape, guided));
        _output = new float[_update.Plan.Graph.Inputs[StepGraphs.Output].Shape.Elements];
        _at = new float[shape.Elements];
        _gradient = new float[shape.Elements];
    }

    public void Run(StepState state)
    {
        state.Feed(_predict);
        _predict.Run();
        _predict.GetOutput(StepGraphs.Output, _output);
        _predict.GetOutput(StepGraphs.PredXStart, state.X0);
        Denoised(state);
        if (_update.Plan.Graph.Inputs.ContainsKey(StepGraphs.Gradient))
        {
            Gradient(state);
            _update.SetInput(StepGraphs.Gradient, _gradient);
        }

        state.Feed(_update);
        _update.SetInput(StepGraphs.Output, _output);
        _update.SetInput(StepGraphs.PredXStart, state.X0);
        _update.Run();
        _update.GetOutput(StepGraphs.Sample, state.Sample);
        _update.GetOutput(StepGraphs.PredXStart, state.X0);
    }

    public void Dispose()
    {
        _predict.Dispose();
        _meanVariance?.Dispose();
        _classifier?.Dispose();
        _update.Dispose();
    }

    private void Denoised(StepState state)
    {
        if (_options.Denoised is not DenoisedFunction hook)
        {
            return;
        }

        Take(hook(ChannelsLast.ToTensor(state.X0, state.Shape)), state.Shape, state.X0, "denoised_fn");
        if (_options.ClipDenoised)
        {
            foreach (ref float v in state.X0.AsSpan())
            {
                v = Math.Clamp(v, -1, 1);
            }
        }
    }

    private void Gradient(StepState state)
    {
        float[] at = state.X;
        if (_meanVariance is not null)
        {
            state.Feed(_meanVariance);
            _meanVariance.SetInput(StepGraphs.Output, _output);
            _meanVariance.SetInput(StepGraphs.PredXStart, state.X0);
            _meanVariance.Run();
            _meanVariance.GetOutput(StepGraphs.Mean, _at);
            at = _at;
        }

        if (_options.Condition is ConditionFunction condition)
        {
            Tensor gradient = condition(ChannelsLast.ToTensor(at, state.Shape), state.ClassifierTimes, state.Labels);
            Take(gradient, state.Shape, _gradient, "cond_fn");
            return;
        }

        state.Feed(_classifier!);
        _classifier!.SetInput(InputNames.X, at);
        _classifier.Run();
        _classifier.GetOutput(StepGraphs.Gradient, _gradient);
    }

    private static void Take(Tensor result, Shape shape, float[] destination, string who)
    {
        Shape expected = ChannelsLast.Undo(shape);
        if (result.Shape != expected)
        {
            throw new ShapeException($"{who} must give {expected}, it gave {result.Shape}");
        }

        PixelOrder.ToNhwc<float>(result.ToFloats(), shape, destination);
    }
}
