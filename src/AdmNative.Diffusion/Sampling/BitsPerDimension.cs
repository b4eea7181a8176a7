using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// A likelihood evaluation of N images over T steps. Column 0 of the [N,T] tables is t = T-1, the last one t = 0.
/// </summary>
/// <param name="Total">Bits per dimension, [N]: the sum of <paramref name="Vb"/> over the steps plus <paramref
/// name="Prior"/>.</param>
/// <param name="Prior">What x_T still tells about x_0, [N].</param>
/// <param name="Vb">Terms of the variational bound, [N,T].</param>
/// <param name="XStartMse">Mean squared error of the predicted x_0, [N,T].</param>
/// <param name="Mse">Mean squared error of the noise it implies, [N,T].</param>
public sealed record BpdResult(Tensor Total, Tensor Prior, Tensor Vb, Tensor XStartMse, Tensor Mse);

/// <summary>
/// The reference's calc_bpd_loop: the variational bound of images, step by step, with fresh noise at each.
/// </summary>
public sealed class BitsPerDimension : IDisposable
{
    internal const string Bound = "vb";
    private const string XStartMse = "xstart_mse";

    private readonly Networks _networks;
    private readonly DiffusionProcess _process;
    private readonly Coefficients _coefficients;
    private readonly ExecutableCache _runs;

    /// <summary>An evaluator over a loaded denoiser.</summary>
    public BitsPerDimension(Networks networks, DiffusionProcess process, bool clipDenoised = true)
    {
        ArgumentNullException.ThrowIfNull(networks);
        ArgumentNullException.ThrowIfNull(process);
        _networks = networks;
        _process = process;
        _coefficients = new Coefficients(process.Schedule, process.Config.Variance);
        _runs = new ExecutableCache(networks, shape => Build(networks.Denoiser, process, shape, clipDenoised));
    }

    /// <summary>Evaluates a batch.</summary>
    /// <param name="images">x_0, [N,C,H,W] in [-1,1].</param>
    /// <param name="noise">Noise of the steps.</param>
    /// <param name="labels">One per image, for conditional networks.</param>
    /// <param name="first">Number of the first image in the whole run.</param>
    /// <param name="stepDone">Told after each step how many are done; may throw to stop.</param>
    public BpdResult Evaluate(
        Tensor images, INoise noise, IReadOnlyList<int>? labels = null, long first = 0, Action<int>? stepDone = null)
    {
        ArgumentNullException.ThrowIfNull(images);
        ArgumentNullException.ThrowIfNull(noise);
        Shape shape = ChannelsLast.Of(images.Shape);
        (int n, int steps) = (shape[0], _process.Steps);
        _networks.CheckLabels(labels, n);
        IExecutable run = _runs.For(shape); // first: a device refuses what it cannot hold
        var state = new StepState(_process, _coefficients, shape, labels, lowRes: null);
        float[] x0 = ChannelsLast.From(images);
        var result = new BpdResult(
            new Tensor(DType.F32, [n]), new Tensor(DType.F32, [n]), Table(n, steps), Table(n, steps), Table(n, steps));
        var column = new float[n];
        for (int t = steps - 1; t >= 0; t--)
        {
            int at = steps - 1 - t;
            state.At(t);
            noise.Normals(t, first, shape, state.Noise);
            _process.Diffuse(x0, state.Noise, state.Steps, state.X);
            state.Feed(run);
            run.SetInput(TrainingLosses.X0, x0);
            run.Run();

            run.GetOutput(Bound, column);
            Put(column, result.Vb, at, steps);
            run.GetOutput(XStartMse, column);
            Put(column, result.XStartMse, at, steps);
            run.GetOutput(StepGraphs.PredXStart, state.X0);
            NoiseError(state, t, column);
            Put(column, result.Mse, at, steps);
            stepDone?.Invoke(at + 1);
        }

        Summarise(result, x0, n, steps);
        return result;
    }

    /// <inheritdoc/>
    public void Dispose() => _runs.Dispose();

    internal static Graph Build(IDenoiser denoiser, DiffusionProcess process, Shape shape, bool clip)
    {
        var graph = new Graph();
        Node x = graph.Input(InputNames.X, shape);
        Node x0 = graph.Input(TrainingLosses.X0, shape);
        Node coef = StepGraphs.Coefficients(graph, shape);
        Node output = StepGraphs.Denoise(graph, denoiser, process, x);
        Node predicted = graph.PredictXStart(x, output, coef, process.Config.Mean, clip);
        (Node mean, Node? variance) = TrainingLosses.Split(graph, output, shape.Last);
        DiffusionConfig config = process.Config;
        graph.Output(Bound, graph.VlbPerSample(mean, x0, x, coef, variance, config.Mean, config.Variance, clip));
        graph.Output(XStartMse, graph.MsePerSample(predicted, x0));
        graph.Output(StepGraphs.PredXStart, predicted);
        return graph;
    }

    /// <summary>mean of (eps(x_t, predicted x_0) - noise)^2 per image.</summary>
    private void NoiseError(StepState state, int t, Span<float> column)
    {
        int perImage = state.X.Length / column.Length;
        for (int n = 0; n < column.Length; n++)
        {
            double sum = 0;
            for (int i = n * perImage; i < (n + 1) * perImage; i++)
            {
                double implied = Posterior.EpsilonFromXStart(_process.Schedule, t, state.X[i], state.X0[i]);
                double error = implied - state.Noise[i];
                sum += error * error;
            }

            column[n] = (float)(sum / perImage);
        }
    }

    private void Summarise(BpdResult result, float[] x0, int n, int steps)
    {
        int perImage = x0.Length / n;
        for (int i = 0; i < n; i++)
        {
            double prior = Posterior.PriorBitsPerDimension(_process.Schedule, x0.AsSpan(i * perImage, perImage));
            double total = prior;
            foreach (float term in result.Vb.AsSpan<float>().Slice(i * steps, steps))
            {
                total += term;
            }

            result.Prior.AsSpan<float>()[i] = (float)prior;
            result.Total.AsSpan<float>()[i] = (float)total;
        }
    }

    private static Tensor Table(int n, int steps) => new(DType.F32, [n, steps]);

    private static void Put(ReadOnlySpan<float> column, Tensor table, int at, int steps)
    {
        Span<float> values = table.AsSpan<float>();
        for (int n = 0; n < column.Length; n++)
        {
            values[(n * steps) + at] = column[n];
        }
    }
}
