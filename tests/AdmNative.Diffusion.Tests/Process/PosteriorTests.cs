using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>Relations and densities of the process against printed check values.</summary>
public sealed class PosteriorTests
{
    private static readonly Schedule s_linear = Schedule.Linear(1000);
    private static readonly Schedule s_250 = Schedule.Create(NoiseSchedule.Linear, 1000, "250");

    [Theory]
    [InlineData(0.1, -2, 0.3, -1.5, 0.14289911)]
    [InlineData(0.5, 0.2, 0, 0, 0.13570138)]
    public void Normal_kl(double m1, double l1, double m2, double l2, double expected) =>
        Printed(expected, Posterior.NormalKl(m1, l1, m2, l2));

    [Theory]
    [InlineData(0, 0.1, -2, -4.04096405)]
    [InlineData(-1, -0.9, -3, -3.61946095)]
    [InlineData(1, 0.9, -3, -3.61946095)]
    [InlineData(0.5, -0.5, -6, -27.63102112)]
    [InlineData(-55.0 / 255, -0.2, -4, -2.13670494)]
    public void Discretized_log_likelihood(double x, double mean, double logScale, double expected) =>
        Printed(expected, Posterior.DiscretizedLogLikelihood(x, mean, logScale));

    [Fact]
    public void The_bins_of_a_pixel_have_probability_one()
    {
        double sum = 0;
        for (int value = 0; value < 256; value++)
        {
            sum += Math.Exp(Posterior.DiscretizedLogLikelihood((value / 127.5) - 1, 0.3, -1.2));
        }

        // Neighbouring bins share an edge up to the rounding of value / 127.5.
        Assert.Equal(1, sum, 1e-9);
    }

    [Theory]
    [InlineData(0, -1, -9.8167251)]
    [InlineData(0, 0, -9.5135328)]
    [InlineData(0, 1, -9.2103404)]
    [InlineData(10, 0.3, -8.1656251)]
    [InlineData(999, -0.5, -3.9120236)]
    public void Learned_range_log_variance(int t, double v, double expected) =>
        Assert.Equal(expected, Posterior.LearnedRangeLogVariance(s_linear, t, v), 6e-8);

    [Theory]
    [InlineData(0, 0.20699000, -1.00295000, 0.95923037)]
    [InlineData(1, 0.21035851, -1.00433883, 0.05435466)]
    [InlineData(100, 0.41589678, -1.04326477, 0.00033423)]
    [InlineData(999, 0.70125644, -0.30634676, 0.00031284)]
    public void Hybrid_loss_check_values(int t, double x0, double x1, double bound) =>
        CheckBound(s_linear, t, x0, x1, bound);

    [Fact]
    public void Hybrid_loss_of_4000_steps()
    {
        Schedule schedule = Schedule.Linear(4000);
        CheckBound(schedule, 100, null, null, 0.00028554);
        Assert.Equal(1.14217573, 4000 * Bound(schedule, 100), 1e-7);
    }

    [Fact]
    public void Prior_bits_per_dimension() =>
        Printed(1.5139014e-5, Posterior.PriorBitsPerDimension(s_linear, [0.2f, -1.0f]), 1e-11);

    [Theory]
    [InlineData(100, 0.40001071, -1.12053908)]
    [InlineData(0, 0.39751988, -1.29106455)]
    [InlineData(249, 23.6123627, -62.9670417)]
    public void One_sampler_step(int t, double first, double second)
    {
        double[] xt = [0.4, -1.3];
        double[] epsilon = [0.25, -0.9];
        double[] expected = [first, second];
        for (int i = 0; i < 2; i++)
        {
            double x0 = Posterior.XStartFromEpsilon(s_250, t, xt[i], epsilon[i]);
            Printed(expected[i], x0, 6e-7);
            Assert.Equal(epsilon[i], Posterior.EpsilonFromXStart(s_250, t, xt[i], x0), 1e-9);
            double previous = Posterior.Mean(s_250, t, x0, xt[i]);
            Assert.Equal(x0, Posterior.XStartFromPrevious(s_250, t, xt[i], previous), 1e-9 * Math.Max(1, Math.Abs(x0)));
        }
    }

    [Fact]
    public void Posterior_means_of_the_check_step()
    {
        Printed(0.39752401, Posterior.Mean(s_250, 100, Clip(Posterior.XStartFromEpsilon(s_250, 100, 0.4, 0.25)), 0.4));
        Printed(-1.28668700, Posterior.Mean(s_250, 100, -1, -1.3));
        Printed(0.38469488, Posterior.Mean(s_250, 249, 1, 0.4));
        Printed(-1.24910466, Posterior.Mean(s_250, 249, -1, -1.3));
        Printed(-3.45002835, Posterior.LearnedRangeLogVariance(s_250, 100, 0.2));
        Printed(-3.45316712, Posterior.LearnedRangeLogVariance(s_250, 100, -0.6));
        Printed(-9.27205549, Posterior.LearnedRangeLogVariance(s_250, 0, 0.2));
        Printed(-2.55723047, Posterior.LearnedRangeLogVariance(s_250, 249, -0.6));
    }

    [Fact]
    public void Inversion_stops_one_step_early_unless_told_otherwise()
    {
        Schedule schedule = Schedule.Create(NoiseSchedule.Linear, 1000, "ddim25");
        Assert.Equal(Enumerable.Range(0, 24), DdimInversion.EncodeSteps(schedule));
        Assert.Equal(Enumerable.Range(0, 25), DdimInversion.EncodeSteps(schedule, stopOneEarly: false));
        Assert.Equal(24, DdimInversion.DecodeSteps(schedule)[0]);
        Assert.Equal(0, DdimInversion.DecodeSteps(schedule)[^1]);
    }

    [Fact]
    public void Inversion_of_a_known_image_is_undone_by_decoding()
    {
        // With the true x_0 as prediction, both directions follow the same line; only the last reverse step forgets the image.
        Schedule schedule = Schedule.Create(NoiseSchedule.Cosine, 1000, "ddim25");
        var k = new Coefficients(schedule, VarianceKind.FixedSmall);
        const double X0 = 0.37;
        foreach (bool early in (bool[])[true, false])
        {
            double x = Posterior.Sample(schedule, 0, X0, 0.8);
            foreach (int t in DdimInversion.EncodeSteps(schedule, early))
            {
                double epsilon = Posterior.EpsilonFromXStart(schedule, t, x, X0);
                x = (k.Row(t)[Coef.SqrtAcNext] * X0) + (k.Row(t)[Coef.SqrtOneMinusAcNext] * epsilon);
            }

            double noise = Posterior.EpsilonFromXStart(schedule, schedule.Steps - 1, x, X0);
            // Coefficients are floats: 25 steps of relative error 2^-24 each.
            Assert.Equal(0.8, early ? noise : x, 25 * 4 / 16777216.0);
        }
    }

    private static double Clip(double x) => Math.Clamp(x, -1, 1);

    private static void CheckBound(Schedule schedule, int t, double? first, double? second, double expected)
    {
        if (first is not null && second is not null)
        {
            Printed(first.Value, Posterior.Sample(schedule, t, 0.2, 0.7));
            Printed(second.Value, Posterior.Sample(schedule, t, -1, -0.3));
        }

        Printed(expected, Bound(schedule, t));
    }

    /// <summary>The bound of the two-pixel example: eps = [0.65, -0.1], v = [0.2, -0.6], not clipped.</summary>
    private static double Bound(Schedule schedule, int t)
    {
        double sum = 0;
        foreach ((double x0, double noise, double epsilon, double v) in
            ((double, double, double, double)[])[(0.2, 0.7, 0.65, 0.2), (-1, -0.3, -0.1, -0.6)])
        {
            double xt = Posterior.Sample(schedule, t, x0, noise);
            double mean = Posterior.Mean(schedule, t, Posterior.XStartFromEpsilon(schedule, t, xt, epsilon), xt);
            sum += Posterior.BoundTerm(schedule, t, x0, xt, mean, Posterior.LearnedRangeLogVariance(schedule, t, v));
        }

        return sum / 2;
    }

    /// <summary>Equal to the digits printed: eight after the point unless told otherwise.</summary>
    private static void Printed(double expected, double actual, double tolerance = 6e-9) => Assert.Equal(expected, actual, tolerance);
}
