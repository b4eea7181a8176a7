using AdmNative.Core;
using AdmNative.Formats;

namespace AdmNative.Diffusion;

/// <summary>A training loss with its gradients, and the reverse distribution at the same points.</summary>
internal static class ReplayLoss
{
    public static Dictionary<string, Tensor> Run(
        ReplayConfig config, IBackend backend, ITensorSource weights, NpzFile input, CancellationToken stop)
    {
        using Networks networks = Replay.Load(config, backend, weights, null, input);
        DiffusionProcess process = Replay.Process(config);
        Tensor images = ReplayInput.Floats(input, "x");
        Shape shape = ChannelsLast.Of(ReplayInput.Images(images, "x"));
        int[] t = ReplayInput.Integers(input, "t");
        int[]? labels = ReplayInput.Labels(input);
        networks.CheckLabels(labels, shape[0]);

        var coefficients = new Coefficients(process.Schedule, process.Config.Variance);
        var state = new StepState(process, coefficients, shape, labels, lowRes: null);
        state.At(t);
        float[] x0 = ChannelsLast.From(images);
        ChannelsLast.From(ReplayInput.Floats(input, "noise")).CopyTo(state.Noise, 0);
        process.Diffuse(x0, state.Noise, t, state.X);
        Tensor xt = ChannelsLast.ToTensor(state.X, shape);
        var result = new Dictionary<string, Tensor> { ["x_t"] = xt };

        using IExecutable loss = networks.Load(TrainingLosses.Build(networks.Denoiser, process, shape, gradients: true));
        state.Feed(loss);
        loss.SetInput(TrainingLosses.X0, x0);
        loss.SetInput(TrainingLosses.Weight, [.. Enumerable.Repeat(1f / shape[0], shape[0])]);
        stop.ThrowIfCancellationRequested();
        loss.Run();
        stop.ThrowIfCancellationRequested();
        foreach ((string name, Tensor value) in ReplayModel.Outputs(loss))
        {
            bool gradient = name.StartsWith(TrainingLosses.GradientPrefix, StringComparison.Ordinal);
            result.Add(gradient ? name : $"loss.{name}", value);
        }

        using var distribution = new ReverseDistribution(networks, process, config.ClipDenoised);
        ReverseMoments moments = distribution.Evaluate(xt, t, labels);
        result.Add("pmv.mean", moments.Mean);
        result.Add("pmv.variance", moments.Variance);
        result.Add("pmv.log_variance", moments.LogVariance);
        result.Add("pmv.pred_xstart", moments.PredXStart);

        using IExecutable bound = networks.Load(BitsPerDimension.Build(networks.Denoiser, process, shape, config.ClipDenoised));
        state.Feed(bound);
        bound.SetInput(TrainingLosses.X0, x0);
        stop.ThrowIfCancellationRequested();
        bound.Run();
        stop.ThrowIfCancellationRequested();
        var vb = new float[shape[0]];
        bound.GetOutput(BitsPerDimension.Bound, vb);
        result.Add("vb_bpd", Tensor.From([shape[0]], vb));
        return result;
    }
}
