using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// Images to noise by the deterministic process run backwards: eps from x_t and the predicted x_0, then
/// x_{t+1} = sqrt(alphaBar_{t+1}) x_0 + sqrt(1 - alphaBar_{t+1}) eps, for t = 0, 1, ...
/// </summary>
public sealed class DdimInverter : IDisposable
{
    private readonly Networks _networks;
    private readonly DiffusionProcess _process;
    private readonly Coefficients _coefficients;
    private readonly ExecutableCache _runs;

    /// <summary>An inverter over a loaded denoiser.</summary>
    public DdimInverter(Networks networks, DiffusionProcess process, bool clipDenoised = true)
    {
        ArgumentNullException.ThrowIfNull(networks);
        ArgumentNullException.ThrowIfNull(process);
        _networks = networks;
        _process = process;
        _coefficients = new Coefficients(process.Schedule, process.Config.Variance);
        _runs = new ExecutableCache(networks, shape => Build(networks.Denoiser, process, shape, clipDenoised));
    }

    /// <summary>Yields x_{t+1} after each step. A step's T is the t it started from.</summary>
    /// <param name="x0">Images [N,C,H,W] in [-1,1].</param>
    /// <param name="labels">One per image, for conditional networks.</param>
    /// <param name="stopOneEarly">Leave out the last step, whose result is the bare noise estimate and cannot be
    /// undone.</param>
    public IEnumerable<SamplerStep> Progressive(Tensor x0, IReadOnlyList<int>? labels = null, bool stopOneEarly = false)
    {
        ArgumentNullException.ThrowIfNull(x0);
        Shape shape = ChannelsLast.Of(x0.Shape);
        _networks.CheckLabels(labels, shape[0]);
        var state = new StepState(_process, _coefficients, shape, labels, lowRes: null);
        PixelOrder.ToNhwc<float>(x0.ToFloats(), shape, state.X);
        IExecutable run = _runs.For(shape);
        foreach (int t in DdimInversion.EncodeSteps(_process.Schedule, stopOneEarly))
        {
            state.At(t);
            state.Feed(run);
            run.Run();
            run.GetOutput(StepGraphs.Sample, state.Sample);
            run.GetOutput(StepGraphs.PredXStart, state.X0);
            state.Advance();
            yield return new SamplerStep(
                t, ChannelsLast.ToTensor(state.X, shape), ChannelsLast.ToTensor(state.X0, shape));
        }
    }

    /// <summary>The last of <see cref="Progressive"/>.</summary>
    public Tensor Encode(Tensor x0, IReadOnlyList<int>? labels = null, bool stopOneEarly = true) =>
        Progressive(x0, labels, stopOneEarly).Last().Sample;

    /// <inheritdoc/>
    public void Dispose() => _runs.Dispose();

    internal static Graph Build(IDenoiser denoiser, DiffusionProcess process, Shape shape, bool clip)
    {
        var graph = new Graph();
        Node x = graph.Input(InputNames.X, shape);
        Node coef = StepGraphs.Coefficients(graph, shape);
        Node output = StepGraphs.Denoise(graph, denoiser, process, x);
        Node x0 = graph.PredictXStart(x, output, coef, process.Config.Mean, clip);
        graph.Output(StepGraphs.Sample, graph.DdimReverseStep(x, x0, coef));
        graph.Output(StepGraphs.PredXStart, x0);
        return graph;
    }
}
