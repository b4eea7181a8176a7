using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>Coefficient rows: definitions, check values of one sampler step, refusals.</summary>
public sealed class CoefficientsTests
{
    private static readonly Schedule s_schedule = Schedule.Create(NoiseSchedule.Linear, 1000, "250");

    [Theory]
    [InlineData(VarianceKind.FixedLarge)]
    [InlineData(VarianceKind.FixedSmall)]
    [InlineData(VarianceKind.LearnedRange)]
    public void Rows_are_the_tables_rounded_once(VarianceKind variance)
    {
        const double Eta = 0.7;
        var k = new Coefficients(s_schedule, variance, Eta);
        Assert.Equal(250, k.Steps);
        for (int t = 0; t < 250; t++)
        {
            (double ac, double prev, double next) = (s_schedule.AlphaBar[t], s_schedule.AlphaBarPrev[t], s_schedule.AlphaBarNext[t]);
            double sigma = Eta * Math.Sqrt((1 - prev) / (1 - ac)) * Math.Sqrt(1 - (ac / prev));
            double fixedVariance = variance != VarianceKind.FixedLarge ? s_schedule.PosteriorVariance[t]
                : t == 0 ? s_schedule.PosteriorVariance[1] : s_schedule.Betas[t];
            double fixedLog = variance != VarianceKind.FixedLarge ? s_schedule.PosteriorLogVariance[t] : Math.Log(fixedVariance);
            double[] row =
            [
                s_schedule.SqrtRecipAlphaBar[t], s_schedule.SqrtRecipM1AlphaBar[t], s_schedule.PosteriorMeanX0[t],
                s_schedule.PosteriorMeanXt[t], s_schedule.PosteriorLogVariance[t], Math.Log(s_schedule.Betas[t]), fixedVariance, fixedLog,
                t == 0 ? 0 : 1, Math.Sqrt(prev), s_schedule.SqrtOneMinusAlphaBar[t], sigma, Math.Sqrt(1 - prev - (sigma * sigma)),
                Math.Sqrt(next), Math.Sqrt(1 - next), 0,
            ];
            Assert.Equal(row.Select(v => (float)v), k.Row(t).ToArray());
        }
    }

    [Fact]
    public void Fixed_small_disagrees_with_itself_at_the_first_step_on_purpose()
    {
        ReadOnlySpan<float> row = new Coefficients(s_schedule, VarianceKind.FixedSmall).Row(0);
        Assert.Equal(0, row[Coef.FixedVariance]);
        Assert.Equal(-9.3646282f, row[Coef.FixedLogVar], 1e-6f);
        ReadOnlySpan<float> large = new Coefficients(s_schedule, VarianceKind.FixedLarge).Row(0);
        Assert.Equal(8.5702534e-5f, large[Coef.FixedVariance], 1e-11f);
    }

    /// <summary>x_t, eps, noise and gradient of the two pixels of the check step; expected after one DDIM step.</summary>
    [Theory]
    [InlineData(100, 0, 0.40197935, -1.30377341, 0.42649635, -1.33646274)]
    [InlineData(0, 0, 0.39751988, -1, 0.39766988, -1.00020001)]
    [InlineData(249, 0, 0.40026087, -1.30025935, 0.46201492, -1.38259807)]
    [InlineData(100, 1, 0.52195013, -1.34001248, double.NaN, double.NaN)]
    [InlineData(0, 1, 0.39751988, -1, double.NaN, double.NaN)]
    [InlineData(249, 1, 0.57959063, -1.33263141, double.NaN, double.NaN)]
    public void Ddim_check_values(int t, double eta, double plain0, double plain1, double guided0, double guided1)
    {
        ReadOnlySpan<float> k = new Coefficients(s_schedule, VarianceKind.LearnedRange, eta).Row(t);
        double[] expected = [plain0, plain1];
        double[] expectedGuided = [guided0, guided1];
        double[] xt = [0.4, -1.3];
        double[] epsilon = [0.25, -0.9];
        double[] noise = [0.7, -0.3];
        double[] gradient = [1.5, -2.0];
        for (int i = 0; i < 2; i++)
        {
            double x0 = Math.Clamp((k[Coef.SqrtRecip] * xt[i]) - (k[Coef.SqrtRecipM1] * epsilon[i]), -1, 1);
            // Eight printed digits and coefficients of 24 bits; x_0 up to 63 before clipping, eps up to 30 at t = 0.
            Assert.Equal(expected[i], Step(k, xt[i], x0, noise[i]), 2e-6);
            if (!double.IsNaN(expectedGuided[i]))
            {
                double eps = ((k[Coef.SqrtRecip] * xt[i]) - x0) / k[Coef.SqrtRecipM1];
                double guided = (k[Coef.SqrtRecip] * xt[i]) - (k[Coef.SqrtRecipM1] * (eps - (k[Coef.SqrtOneMinusAc] * gradient[i])));
                Assert.Equal(expectedGuided[i], Step(k, xt[i], guided, noise[i]), 4e-5);
            }
        }
    }

    [Fact]
    public void Rows_are_gathered_by_sample()
    {
        var k = new Coefficients(s_schedule, VarianceKind.LearnedRange);
        var rows = new float[3 * Coef.Columns];
        k.Fill([7, 0, 249], rows);
        Assert.Equal(k.Row(7).ToArray(), rows[..16]);
        Assert.Equal(k.Row(0).ToArray(), rows[16..32]);
        Assert.Equal(k.Row(249).ToArray(), rows[32..]);
        k.Fill(11, rows);
        Assert.Equal((float[])[.. k.Row(11), .. k.Row(11), .. k.Row(11)], rows);

        Assert.Throws<ShapeException>(() => k.Fill([1, 2], rows));
        Assert.Throws<ShapeException>(() => k.Fill([1, 2, 250], rows));
        Assert.Throws<ShapeException>(() => k.Fill([1, 2, -1], rows));
        Assert.Throws<ShapeException>(() => k.Fill(0, new float[17]));
    }

    [Theory]
    [InlineData(-0.1)]
    [InlineData(1.5)]
    [InlineData(double.NaN)]
    public void An_impossible_eta_is_refused(double eta)
    {
        var e = Assert.Throws<ConfigException>(() => new Coefficients(s_schedule, VarianceKind.FixedLarge, eta));
        Assert.Contains("eta", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(NoiseSchedule.Linear, "")]
    [InlineData(NoiseSchedule.Cosine, "")]
    [InlineData(NoiseSchedule.Cosine, "ddim25")]
    [InlineData(NoiseSchedule.Linear, "2")]
    public void Every_row_is_finite(NoiseSchedule kind, string respacing)
    {
        var k = new Coefficients(Schedule.Create(kind, 1000, respacing), VarianceKind.FixedSmall, eta: 1);
        for (int t = 0; t < k.Steps; t++)
        {
            Assert.All(k.Row(t).ToArray(), v => Assert.True(float.IsFinite(v), $"step {t}"));
        }
    }

    [Fact]
    public void Flags_decide_what_the_network_predicts()
    {
        var flags = new DiffusionFlags();
        Assert.Equal((MeanKind.Epsilon, VarianceKind.FixedLarge, LossKind.Mse),
            (flags.ToConfig().Mean, flags.ToConfig().Variance, flags.ToConfig().Loss));
        DiffusionConfig all = (flags with
        {
            PredictXstart = true,
            LearnSigma = true,
            UseKl = true,
            RescaleLearnedSigmas = true,
            RescaleTimesteps = true,
            SigmaSmall = true,
            TimestepRespacing = "ddim25",
        }).ToConfig();
        Assert.Equal((MeanKind.StartX, VarianceKind.LearnedRange, LossKind.RescaledKl), (all.Mean, all.Variance, all.Loss));
        Assert.True(all.RescaleTimesteps && all.Loss.IsBound());
        Assert.Equal(25, all.CreateSchedule().Steps);
        Assert.Equal(VarianceKind.FixedSmall, (flags with { SigmaSmall = true }).ToConfig().Variance);
        Assert.Equal(LossKind.RescaledMse, (flags with { RescaleLearnedSigmas = true }).ToConfig().Loss);

        UNetConfig six = Presets.Digits32.ToNetwork();
        all.Check(six);
        var e = Assert.Throws<ConfigException>(() => flags.ToConfig().Check(six));
        Assert.Contains("learn_sigma False", e.Message, StringComparison.Ordinal);
    }

    private static double Step(ReadOnlySpan<float> k, double xt, double x0, double noise)
    {
        double epsilon = ((k[Coef.SqrtRecip] * xt) - x0) / k[Coef.SqrtRecipM1];
        return (k[Coef.SqrtAcPrev] * x0) + (k[Coef.DdimDirection] * epsilon) + (k[Coef.NotFirst] * k[Coef.DdimSigma] * noise);
    }
}
