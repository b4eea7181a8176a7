using AdmNative.Core;
using AdmNative.Formats;

namespace AdmNative.Diffusion;

/// <summary>
/// Runs recorded cases: takes a case's inputs, gives the arrays the case records under the same names, for comparing
/// numbers with another implementation. Images are [N,C,H,W].
/// </summary>
public static class Replay
{
    /// <summary>
    /// One evaluation. Inputs x, t, (y), (low_res): gives out. With w also grad_x and grad.NAME of sum(out * w). For a
    /// classifier the result is logits; with y also log_prob and grad_x of sum(log_prob).
    /// </summary>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was set; looked at between runs of the network.</exception>
    public static IReadOnlyDictionary<string, Tensor> Model(
        ReplayConfig config, IBackend backend, ITensorSource weights, NpzFile input, CancellationToken stop = default) =>
        ReplayModel.Run(config, backend, weights, input, stop);

    /// <summary>
    /// A trajectory. Inputs x_T, noise [T,...] in sampling order, (y), (low_res): gives x_steps and pred_xstart_steps.
    /// </summary>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was set; looked at after every step.</exception>
    public static IReadOnlyDictionary<string, Tensor> Sample(
        ReplayConfig config, IBackend backend, ITensorSource weights, ITensorSource? classifierWeights, NpzFile input,
        CancellationToken stop = default)
    {
        using Networks networks = Load(config, backend, weights, classifierWeights, input);
        var options = new SamplerOptions { ClipDenoised = config.ClipDenoised, ClassifierScale = config.ClassifierScale };
        DiffusionProcess process = Process(config);
        using Sampler sampler = config.Ddim
            ? new DdimSampler(networks, process, options, config.Eta)
            : new DdpmSampler(networks, process, options);
        Tensor start = ReplayInput.Floats(input, "x_T");
        Shape shape = ReplayInput.Images(start, "x_T");
        var batch = new SampleBatch
        {
            Count = shape[0],
            Height = shape[2],
            Width = shape[3],
            Noise = ReplayInput.Noise(input, start, process.Steps),
            Labels = ReplayInput.Labels(input),
            LowRes = input.Contains("low_res") ? ReplayInput.Floats(input, "low_res") : null,
        };
        var samples = new List<Tensor>();
        var predictions = new List<Tensor>();
        foreach (SamplerStep step in sampler.Progressive(batch))
        {
            stop.ThrowIfCancellationRequested();
            samples.Add(step.Sample);
            predictions.Add(step.PredXStart);
        }

        return new Dictionary<string, Tensor>
        {
            ["x_steps"] = Stack(samples),
            ["pred_xstart_steps"] = Stack(predictions),
        };
    }

    /// <summary>
    /// A likelihood evaluation. Inputs x, noise [T,...] from t = T-1 on, (y): gives total_bpd, prior_bpd, vb,
    /// xstart_mse, mse.
    /// </summary>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was set; looked at after every step.</exception>
    public static IReadOnlyDictionary<string, Tensor> Bpd(
        ReplayConfig config, IBackend backend, ITensorSource weights, NpzFile input, CancellationToken stop = default)
    {
        using Networks networks = Load(config, backend, weights, null, input);
        DiffusionProcess process = Process(config);
        Tensor x = ReplayInput.Floats(input, "x");
        using var evaluation = new BitsPerDimension(networks, process, config.ClipDenoised);
        BpdResult r = evaluation.Evaluate(
            x, ReplayInput.Noise(input, x, process.Steps), ReplayInput.Labels(input), stepDone: _ => stop.ThrowIfCancellationRequested());
        return new Dictionary<string, Tensor>
        {
            ["total_bpd"] = r.Total,
            ["prior_bpd"] = r.Prior,
            ["vb"] = r.Vb,
            ["xstart_mse"] = r.XStartMse,
            ["mse"] = r.Mse,
        };
    }

    /// <summary>A DDIM inversion through all steps. Inputs x0, (y): gives x_steps.</summary>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was set; looked at after every step.</exception>
    public static IReadOnlyDictionary<string, Tensor> DdimReverse(
        ReplayConfig config, IBackend backend, ITensorSource weights, NpzFile input, CancellationToken stop = default)
    {
        using Networks networks = Load(config, backend, weights, null, input);
        using var inverter = new DdimInverter(networks, Process(config), config.ClipDenoised);
        Tensor x0 = ReplayInput.Floats(input, "x0");
        var samples = new List<Tensor>();
        foreach (SamplerStep step in inverter.Progressive(x0, ReplayInput.Labels(input)))
        {
            stop.ThrowIfCancellationRequested();
            samples.Add(step.Sample);
        }

        return new Dictionary<string, Tensor> { ["x_steps"] = Stack(samples) };
    }

    /// <summary>
    /// A training loss. Inputs x (= x_0), t (steps), noise, (y): gives x_t, loss.*, grad.NAME of mean(loss), pmv.* (the
    /// reverse distribution with a clipped x_0) and vb_bpd (its term of the bound).
    /// </summary>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was set; looked at between runs of the network.</exception>
    public static IReadOnlyDictionary<string, Tensor> Loss(
        ReplayConfig config, IBackend backend, ITensorSource weights, NpzFile input, CancellationToken stop = default) =>
        ReplayLoss.Run(config, backend, weights, input, stop);

    internal static DiffusionProcess Process(ReplayConfig config) =>
        new(config.Diffusion ?? throw new ConfigException("this case has no diffusion process"));

    internal static Networks Load(
        ReplayConfig config, IBackend backend, ITensorSource weights, ITensorSource? classifierWeights, NpzFile input)
    {
        ArgumentNullException.ThrowIfNull(config);
        IDenoiser denoiser = ReplayInput.Denoiser(config, input);
        bool guided = config.ClassifierScale != 0 && config.Classifier is not null;
        return guided
            ? new Networks(backend, denoiser, weights, (EncoderUNetConfig)config.Classifier!.Config, classifierWeights)
            : new Networks(backend, denoiser, weights);
    }

    private static Tensor Stack(List<Tensor> steps)
    {
        var result = new Tensor(DType.F32, Shape.Create([steps.Count, .. steps[0].Shape.ToArray()]));
        Span<byte> bytes = result.Bytes;
        for (int i = 0; i < steps.Count; i++)
        {
            steps[i].Bytes.CopyTo(bytes[(i * steps[i].Bytes.Length)..]);
        }

        return result;
    }
}
