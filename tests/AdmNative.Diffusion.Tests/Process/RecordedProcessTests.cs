using AdmNative.Core;
using AdmNative.Diffusion;
using AdmNative.Formats;
using Newtonsoft.Json.Linq;

namespace AdmNative.Tests;

/// <summary>The relations of the process between tensors that the reference recorded, with no network evaluated.</summary>
public sealed class RecordedProcessTests
{
    private const double FloatDifference = 2.0 / (1 << 22);

    public static TheoryData<string> LossCases() =>
        [.. Directory.EnumerateDirectories(Repo.Path("tests", "golden", "loss")).Select(d => Path.GetFileName(d)).Order(StringComparer.Ordinal)];

    [Fact]
    public void There_are_eighteen_loss_cases() => Assert.Equal(18, LossCases().Count);

    [Theory]
    [MemberData(nameof(LossCases))]
    public void Recorded_steps_obey_the_schedule(string name)
    {
        (JObject config, NpzFile file) = Open("loss", name);
        using NpzFile io = file;
        Schedule schedule = Schedule.Create(FlagText.NoiseSchedule((string)config["schedule"]!), (int)config["steps"]!);
        VarianceKind variance = Enum.Parse<VarianceKind>(((string)config["var"]!).Replace("_", "", StringComparison.Ordinal), ignoreCase: true);
        bool previous = (string?)config["mean"] == "PREVIOUS_X";
        var coefficients = new Coefficients(schedule, variance);
        long[] steps = io.Read("t").AsSpan<long>().ToArray();
        float[] x0 = io.Read("x").ToFloats();
        float[] noise = io.Read("noise").ToFloats();
        float[] xt = io.Read("x_t").ToFloats();
        float[] mean = io.Read("pmv.mean").ToFloats();
        float[] predicted = io.Read("pmv.pred_xstart").ToFloats();
        float[] logVariance = io.Read("pmv.log_variance").ToFloats();
        float[] varianceValues = io.Read("pmv.variance").ToFloats();
        float[] bound = io.Read("vb_bpd").ToFloats();
        int perImage = x0.Length / steps.Length;
        for (int n = 0; n < steps.Length; n++)
        {
            int t = (int)steps[n];
            ReadOnlySpan<float> k = coefficients.Row(t);
            double sum = 0;
            double least = 0;
            double most = 0;
            for (int i = n * perImage; i < (n + 1) * perImage; i++)
            {
                // Two products of floats of a few units and a sum: four roundings of 2^-24.
                Near(Posterior.Sample(schedule, t, x0[i], noise[i]), xt[i], 4 * 5 / 16777216.0, $"x_t[{i}]");
                if (!previous)
                {
                    Near(Posterior.Mean(schedule, t, predicted[i], xt[i]), mean[i], 4 * 5 / 16777216.0, $"mean[{i}]");
                }

                if (!variance.IsLearned())
                {
                    Near(k[Coef.FixedLogVar], logVariance[i], 1e-6 * Math.Abs(logVariance[i]), "log-variance");
                    Near(k[Coef.FixedVariance], varianceValues[i], 1e-6 * varianceValues[i], "variance");
                }

                double bits = Posterior.BoundTerm(schedule, t, x0[i], xt[i], mean[i], logVariance[i]);
                sum += bits;
                if (t == 0)
                {
                    // The reference takes the difference of two distribution functions in floats: each is off by up to 2^-22.
                    double probability = Math.Pow(2, -bits);
                    least -= Math.Log2(probability + FloatDifference);
                    most -= Math.Log2(Math.Max(probability - FloatDifference, 1e-12));
                }
            }

            double expected = bound[n] * perImage;
            if (t == 0)
            {
                Assert.InRange(expected, least, most);
            }
            else
            {
                // Mean and log-variance are recorded as floats; a divergence of a few bits keeps four digits.
                Near(sum, expected, 1e-4 * Math.Max(perImage, Math.Abs(expected)), $"bound of sample {n} at t = {t}");
            }
        }
    }

    [Fact]
    public void The_prior_of_a_recorded_likelihood()
    {
        (JObject config, NpzFile file) = Open("bpd", "");
        using NpzFile io = file;
        Schedule schedule = Schedule.Create(
            FlagText.NoiseSchedule((string)config["schedule"]!), (int)config["steps"]!, (string)config["respacing"]!);
        float[] x = io.Read("x").ToFloats();
        float[] prior = io.Read("prior_bpd").ToFloats();
        for (int n = 0; n < prior.Length; n++)
        {
            double actual = Posterior.PriorBitsPerDimension(schedule, x.AsSpan(n * x.Length / prior.Length, x.Length / prior.Length));
            // exp(l) - l - 1 with l near 0 cancels in the reference's floats: absolute error of about 2^-24 per element.
            Near(actual, prior[n], 2e-7, $"prior of image {n}");
        }
    }

    private static (JObject Config, NpzFile File) Open(string group, string name)
    {
        string folder = Repo.Path("tests", "golden", group, name);
        return (GoldenConfig.Read(Path.Combine(folder, "config.json")), NpzFile.Open(Path.Combine(folder, "io.npz")));
    }

    private static void Near(double expected, double actual, double tolerance, string what) =>
        Assert.True(Math.Abs(expected - actual) <= tolerance, $"{what}: {expected:R} against {actual:R}, tolerance {tolerance:R}");
}
