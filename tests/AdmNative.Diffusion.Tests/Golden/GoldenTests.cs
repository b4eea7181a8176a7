using AdmNative.Core;
using AdmNative.Diffusion;
using AdmNative.Formats;

namespace AdmNative.Tests;

/// <summary>
/// Recorded runs of the reference (tests/golden/README.md), replayed. Agreement: 1e-4 of each tensor's largest
/// magnitude for one network evaluation and its gradients. Trajectories feed their own results back for 20 to 25 steps:
/// 2e-3 for every step.
/// </summary>
public class GoldenTests
{
    private const double OneEvaluation = 1e-4;
    private const double Trajectory = 2e-3;

    [Theory]
    [GoldenCases("unet", Backends.Avx512)]
    [GoldenCases("unet", Backends.Avx2)]
    [GoldenCases("unet", Backends.Portable)]
    [GoldenCases("unet", Backends.Twin, "pool-*")]
    [GoldenCases("superres", Backends.Avx512)]
    [GoldenCases("superres", Backends.Avx2)]
    [GoldenCases("superres", Backends.Portable)]
    [GoldenCases("classifier", Backends.Avx512)]
    [GoldenCases("classifier", Backends.Avx2)]
    [GoldenCases("classifier", Backends.Portable)]
    [GoldenCases("classifier", Backends.Twin, "adaptive")]
    public void Model(string name, string backend) =>
        Check(name, backend, ReplayKind.Model, OneEvaluation, (config, device, input) => Replay.Model(config, device, Weights(config), input));

    [Theory]
    [GoldenCases("loss", Backends.Avx512)]
    [GoldenCases("loss", Backends.Avx2)]
    [GoldenCases("loss", Backends.Portable)]
    [GoldenCases("loss", Backends.Twin, "linear-epsilon-learned_range-rescaled_mse")]
    public void Loss(string name, string backend) => Check(
        name, backend, ReplayKind.Loss, OneEvaluation, (config, device, input) => Replay.Loss(config, device, Weights(config), input),
        (output, config, recorded, found) =>
        {
            if (output == "pmv.pred_xstart")
            {
                // x_0 = a x_t - b out magnifies the rounding of a network result (about 16 half units in the last
                // place, 2^-20 of its size) by b, up to 20000 at t = 999 of the cosine schedule; clipping then hides
                // that the number was large.
                float[] magnified = Magnification(config, recorded.Read("t").ToFloats());
                Agreement.CheckAbsolute(name, recorded.Read(output), found, n => OneEvaluation + (magnified[n] * Math.ScaleB(1, -20)));
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

    [Theory]
    [GoldenCases("sample", Backends.Avx512)]
    [GoldenCases("sample", Backends.Avx2)]
    [GoldenCases("sample", Backends.Portable)]
    public void Sample(string name, string backend) =>
        Check(name, backend, ReplayKind.Sample, Trajectory, (config, device, input) => Replay.Sample(
            config, device, Weights(config), new ComputedWeights(config.Classifier!, config.Seed), input));

    [Theory]
    [GoldenCases("bpd", Backends.Avx512)]
    [GoldenCases("bpd", Backends.Avx2)]
    [GoldenCases("bpd", Backends.Portable)]
    public void Bpd(string name, string backend) =>
        Check(name, backend, ReplayKind.Bpd, OneEvaluation, (config, device, input) => Replay.Bpd(config, device, Weights(config), input));

    [Theory]
    [GoldenCases("ddim-reverse", Backends.Avx512)]
    [GoldenCases("ddim-reverse", Backends.Avx2)]
    [GoldenCases("ddim-reverse", Backends.Portable)]
    public void DdimReverse(string name, string backend) =>
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
                Agreement.Check($"{name} on {backend}: {output}", recorded.Read(output), found[output], tolerance);
            }
        }
    }
}
