using AdmNative.Core;
using AdmNative.Cuda;
using AdmNative.Diffusion;
using AdmNative.Formats;

namespace AdmNative.Tests;

/// <summary>
/// Replays recorded runs of the reference (tests/golden/README.md) on a device. Agreement in f32: 1e-4 of each tensor's largest magnitude for one network
/// evaluation and its gradients; trajectories feed their own results back for 20 to 25 steps: 2e-3 for every step. In f16 and bf16: see <see cref="Allowed"/>.
/// </summary>
internal static class GoldenCase
{
    private const double OneEvaluation = 1e-4;
    private const double Trajectory = 2e-3;

    /// <summary>
    /// Half precision rounds every stored activation once, by at most u = 2^-11 (f16) or 2^-8 (bf16) of itself. Independent roundings of about equal
    /// effect add up as a random walk: sqrt(L) u / sqrt(3) for L stored values in a row, at most 100 in these networks, and the largest of thousands of
    /// elements lies at 4 deviations: 23 u. A backward pass reads the rounded forward values and rounds as often again: sqrt(2) times that.
    /// </summary>
    private static double Allowed(double single, string backend, bool gradient) => Backends.Precision(backend) switch
    {
        KernelDType.F16 => Math.Max(single, Math.ScaleB(gradient ? 33 : 23, -11)),
        KernelDType.BF16 => Math.Max(single, Math.ScaleB(gradient ? 33 : 23, -8)),
        _ => single,
    };

    public static void Model(string name, string backend) =>
        Check(name, backend, ReplayKind.Model, OneEvaluation, (config, device, input) => Replay.Model(config, device, Weights(config), input));

    public static void Loss(string name, string backend)
    {
        IReadOnlyDictionary<string, Tensor>? exact = null;
        Check(name, backend, ReplayKind.Loss, OneEvaluation, (config, device, input) => Replay.Loss(config, device, Weights(config), input),
        (output, config, recorded, found) =>
        {
            if (output == "pmv.pred_xstart")
            {
                // x_0 = a x_t - b out magnifies the rounding of a network result (about 16 half units in the last
                // place, 2^-20 of its size) by b, up to 20000 at t = 999 of the cosine schedule; clipping then hides
                // that the number was large.
                float[] magnified = Magnification(config, recorded.Read("t").ToFloats());
                double rounding = Backends.Precision(backend) == KernelDType.F32 ? Math.ScaleB(1, -20) : Allowed(0, backend, gradient: false);
                Agreement.CheckAbsolute(name, recorded.Read(output), found, n => OneEvaluation + (magnified[n] * rounding));
                return true;
            }

            if (Backends.IsVirtual(backend) && config.Diffusion!.Loss is LossKind.Kl or LossKind.RescaledKl
                && output.StartsWith(TrainingLosses.GradientPrefix, StringComparison.Ordinal))
            {
                // The kernels compute the probability of a bin without that cancellation, so they agree with f64 and not with the recorded gradient.
                exact ??= Exact(config, recorded);
                Agreement.Check($"{name} on {backend}: {output}", exact[output], found, Allowed(OneEvaluation, backend, gradient: true));
                return true;
            }

            if (config.Diffusion is { Mean: MeanKind.StartX, Loss: LossKind.RescaledKl }
                && output.StartsWith(TrainingLosses.GradientPrefix, StringComparison.Ordinal))
            {
                // At t = 0 this untrained network is far from the image: the float probability of a pixel's bin is a
                // difference of two distribution functions, k * 2^-24 with small k. A rounding anywhere before makes it
                // k + 1 or k - 1 and changes that pixel's gradient by 1/k; a few of 768 pixels do. (1.2e-4 was seen;
                // the twins have 4.6e-5.)
                Agreement.Check($"{name} on {backend}: {output}", recorded.Read(output), found, 5 * OneEvaluation);
                return true;
            }

            return false;
        });
    }

    private static IReadOnlyDictionary<string, Tensor> Exact(ReplayConfig config, NpzFile input)
    {
        using var twins = new TwinBackend(DType.F64);
        return Replay.Loss(config, twins, Weights(config), input);
    }

    public static void Sample(string name, string backend) =>
        Check(name, backend, ReplayKind.Sample, Trajectory, (config, device, input) => Replay.Sample(
            config, device, Weights(config), new ComputedWeights(config.Classifier!, config.Seed), input),
            (output, config, recorded, found) =>
            {
                if (output != "pred_xstart_steps" || Backends.Precision(backend) == KernelDType.F32)
                {
                    return false;
                }

                // As in a loss: the x_0 of a noisy step magnifies the network's rounding. Steps are recorded from the noisiest on.
                Schedule schedule = config.Diffusion!.CreateSchedule();
                Tensor steps = recorded.Read(output);
                double rounding = Allowed(0, backend, gradient: false);
                Agreement.CheckAbsolute($"{name} on {backend}: {output}", steps, found, n => rounding * (1 + schedule.SqrtRecipM1AlphaBar[steps.Shape[0] - 1 - n]));
                return true;
            });

    public static void Bpd(string name, string backend) =>
        Check(name, backend, ReplayKind.Bpd, OneEvaluation, (config, device, input) => Replay.Bpd(config, device, Weights(config), input));

    public static void DdimReverse(string name, string backend) =>
        Check(name, backend, ReplayKind.DdimReverse, Trajectory, (config, device, input) => Replay.DdimReverse(config, device, Weights(config), input));

    private static ComputedWeights Weights(ReplayConfig config) => new(config.Model, config.Seed);

    private static float[] Magnification(ReplayConfig config, float[] steps)
    {
        Schedule schedule = config.Diffusion!.CreateSchedule();
        return [.. steps.Select(t => config.Diffusion.Mean switch
        {
            MeanKind.Epsilon => (float)schedule.SqrtRecipM1AlphaBar[(int)t],
            MeanKind.PreviousX => (float)(1 / schedule.PosteriorMeanX0[(int)t]),
            _ => 1,
        })];
    }

    // Every recorded array that is not an input of the case must come back.
    private static void Check(
        string name, string backend, ReplayKind kind, double tolerance,
        Func<ReplayConfig, IBackend, NpzFile, IReadOnlyDictionary<string, Tensor>> replay,
        Func<string, ReplayConfig, NpzFile, Tensor, bool>? special = null)
    {
        ReplayConfig config = ReplayConfig.Load(Repo.Path("tests", "golden", name, "config.json"), kind);
        using NpzFile recorded = NpzFile.Open(Repo.Path("tests", "golden", name, "io.npz"));
        using IBackend device = Backends.Create(backend);

        IReadOnlyDictionary<string, Tensor> found = replay(config, device, recorded);

        string[] inputs = ["x", "t", "y", "w", "low_res", "noise", "x_T", "x0"];
        string[] outputs = [.. recorded.Names.Except(inputs)];
        Assert.NotEmpty(outputs);
        foreach (string output in outputs)
        {
            Assert.True(found.ContainsKey(output), $"{name}: {output} was not computed");
            if (special is null || !special(output, config, recorded, found[output]))
            {
                Agreement.Check($"{name} on {backend}: {output}", recorded.Read(output), found[output], Allowed(tolerance, backend, gradient: output.Contains("grad", StringComparison.Ordinal)));
            }
        }
    }
}
