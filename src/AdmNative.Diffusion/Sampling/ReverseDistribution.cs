using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>p(x_{t-1} | x_t) of a batch, [N,C,H,W] each: the reference's p_mean_variance.</summary>
/// <param name="Mean">Mean of x_{t-1}.</param>
/// <param name="Variance">Its variance; with a fixed small variance 0 at t = 0, where its logarithm is clipped.</param>
/// <param name="LogVariance">Logarithm of the variance.</param>
/// <param name="PredXStart">The predicted x_0.</param>
public sealed record ReverseMoments(Tensor Mean, Tensor Variance, Tensor LogVariance, Tensor PredXStart);

/// <summary>Evaluates the reverse distribution for looking at it; samplers run it as part of their step.</summary>
public sealed class ReverseDistribution : IDisposable
{
    private readonly Networks _networks;
    private readonly DiffusionProcess _process;
    private readonly Coefficients _coefficients;
    private readonly ExecutableCache _runs;

    /// <summary>Over a loaded denoiser.</summary>
    public ReverseDistribution(Networks networks, DiffusionProcess process, bool clipDenoised = true)
    {
        ArgumentNullException.ThrowIfNull(networks);
        ArgumentNullException.ThrowIfNull(process);
        _networks = networks;
        _process = process;
        _coefficients = new Coefficients(process.Schedule, process.Config.Variance);
        _runs = new ExecutableCache(networks, shape => Build(networks.Denoiser, process, shape, clipDenoised));
    }

    /// <summary>Evaluates a batch, each image at its own step.</summary>
    /// <param name="xt">Noisy images [N,C,H,W].</param>
    /// <param name="t">Step of each image.</param>
    /// <param name="labels">One per image, for conditional networks.</param>
    public ReverseMoments Evaluate(Tensor xt, ReadOnlySpan<int> t, IReadOnlyList<int>? labels = null)
    {
        ArgumentNullException.ThrowIfNull(xt);
        Shape shape = ChannelsLast.Of(xt.Shape);
        _networks.CheckLabels(labels, shape[0]);
        var state = new StepState(_process, _coefficients, shape, labels, lowRes: null);
        PixelOrder.ToNhwc<float>(xt.ToFloats(), shape, state.X);
        state.At(t);
        IExecutable run = _runs.For(shape);
        state.Feed(run);
        run.Run();

        Tensor Get(string name)
        {
            run.GetOutput(name, state.Sample);
            return ChannelsLast.ToTensor(state.Sample, shape);
        }

        Tensor logVariance = Get(StepGraphs.LogVariance);
        return new ReverseMoments(
            Get(StepGraphs.Mean), Variance(logVariance, state.Coefficients), logVariance, Get(StepGraphs.PredXStart));
    }

    /// <inheritdoc/>
    public void Dispose() => _runs.Dispose();

    private static Graph Build(IDenoiser denoiser, DiffusionProcess process, Shape shape, bool clip)
    {
        var graph = new Graph();
        Node x = graph.Input(InputNames.X, shape);
        Node coef = StepGraphs.Coefficients(graph, shape);
        Node output = StepGraphs.Denoise(graph, denoiser, process, x);
        Node x0 = graph.PredictXStart(x, output, coef, process.Config.Mean, clip);
        graph.Output(StepGraphs.PredXStart, x0);
        graph.Output(StepGraphs.Mean, graph.DdpmMean(x, output, x0, coef, process.Config.Mean));
        graph.Output(StepGraphs.LogVariance, graph.ModelLogVariance(x, output, coef, process.Config.Variance));
        return graph;
    }

    private Tensor Variance(Tensor logVariance, float[] coefficients)
    {
        var result = new Tensor(DType.F32, logVariance.Shape);
        ReadOnlySpan<float> logs = logVariance.AsSpan<float>();
        Span<float> values = result.AsSpan<float>();
        int perImage = values.Length / logVariance.Shape[0];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = _process.Config.Variance.IsLearned()
                ? MathF.Exp(logs[i])
                : coefficients[(i / perImage * Coef.Columns) + Coef.FixedVariance];
        }

        return result;
    }
}
