namespace AdmNative.Core.Tests;

/// <summary>Every row of the specification's Appendix C.3, and what C.3 does not reach.</summary>
public sealed class SamplerStepTests
{
    private static readonly double[] s_betas = TestSchedule.Respace(TestSchedule.Linear(1000), 250);
    private static readonly Shape s_image = [1, 1, 2, 1];
    private static readonly HostArray<double> s_xt = OpTable.Array64(s_image, 0.4, -1.3);
    private static readonly HostArray<double> s_out = OpTable.Array64([1, 1, 2, 2], 0.25, 0.2, -0.9, -0.6); // eps, v per pixel
    private static readonly HostArray<double> s_noise = OpTable.Array64(s_image, 0.7, -0.3);
    private static readonly HostArray<double> s_grad = OpTable.Array64(s_image, 1.5, -2.0);

    // Columns: t = 100, t = 0, t = 249; two pixels each. C.3 prints 8 decimals, 9 digits at t = 249.
    public static TheoryData<string, double[]> Rows() => new()
    {
        { "x_0 before clip", [0.40001071, -1.12053908, 0.39751988, -1.29106455, 23.6123627, -62.9670417] },
        { "mean", [0.39752401, -1.28668700, 0.39751988, -1, 0.38469488, -1.24910466] },
        { "log-variance", [-3.45002835, -3.45316712, -9.27205549, -9.33377060, -2.55722912, -2.55723047] },
        { "p_sample", [0.52224338, -1.34005434, 0.39751988, -1, 0.57959082, -1.33263144] },
        { "guided mean", [0.44514112, -1.34997751, 0.39766090, -1.00017678, 0.50097374, -1.40414293] },
        { "guided p_sample", [0.56986049, -1.40334485, 0.39766090, -1.00017678, 0.69586968, -1.48766971] },
        { "eps from clipped x_0", [0.25, -0.95876000, 0.25, -30.00500013, 0.39365513, -1.29367329] },
        { "ddim eta 0", [0.40197935, -1.30377341, 0.39751988, -1, 0.40026087, -1.30025935] },
        { "ddim eta 1", [0.52195013, -1.34001248, 0.39751988, -1, 0.57959063, -1.33263141] },
        { "condition_score eps'", [-1.09832695, 0.83900926, 0.235, -29.98500013, -1.10631461, 0.70628635] },
        { "condition_score x_0'", [3.16594140, -4.68790758, 0.39766988, -1.00020001, 237.106157, -315.808209] },
        { "condition_score mean'", [0.44607003, -1.35141502, 0.39766988, -1.00020001, 0.50576103, -1.41052619] },
        { "guided ddim eta 0", [0.42649635, -1.33646274, 0.39766988, -1.00020001, 0.46201492, -1.38259807] },
        { "ddim reverse", [0.39801582, -1.29618379, 0.40399060, -1.79294409, 0.39365513, -1.29367329] },
    };

    [Theory]
    [MemberData(nameof(Rows))]
    public void Appendix_C3(string quantity, double[] expected)
    {
        int[] timesteps = [100, 0, 249];
        for (int i = 0; i < timesteps.Length; i++)
        {
            double[] actual = Evaluate(quantity, timesteps[i]);
            for (int pixel = 0; pixel < 2; pixel++)
            {
                // Half a unit of the last digit printed, with room for the schedule's own rounding.
                double wanted = expected[(2 * i) + pixel];
                double tolerance = Math.Abs(wanted) < 10 ? 6e-9 : Math.Abs(wanted) < 100 ? 6e-8 : 6e-7;
                Assert.True(
                    Math.Abs(actual[pixel] - wanted) <= tolerance,
                    $"{quantity}, t = {timesteps[i]}, pixel {pixel}: expected {wanted}, got {actual[pixel]:R}");
            }
        }
    }

    [Theory]
    [InlineData(0, -1, -9.8167251)]
    [InlineData(0, 0, -9.5135328)]
    [InlineData(0, 1, -9.2103404)]
    [InlineData(10, 0.3, -8.1656251)]
    [InlineData(999, -0.5, -3.9120236)]
    public void Learned_range_interpolates_the_log_variance(int t, double v, double expected)
    {
        HostArray<double> result = OpTable.Run(
            new ModelLogVariance(VarianceKind.LearnedRange),
            OpTable.Array64([1, 1], 0.3),
            OpTable.Array64([1, 2], 9, v),
            Coefficients(TestSchedule.Row(TestSchedule.Linear(1000), t)));
        Assert.Equal(expected, result.Data[0], 6e-8);
    }

    [Theory]
    [InlineData(VarianceKind.FixedSmall)]
    [InlineData(VarianceKind.FixedLarge)]
    public void Fixed_variances_are_table_entries(VarianceKind variance)
    {
        double[] row = TestSchedule.Row(s_betas, 100, variance);
        HostArray<double> coef = Coefficients(row);
        HostArray<double> narrow = OpTable.Array64(s_image, 0.25, -0.9);
        HostArray<double> x0 = OpTable.Run(new PredictXStart(MeanKind.Epsilon, true), s_xt, narrow, coef);
        double[] plain = OpTable.Run(new DdpmStep(MeanKind.Epsilon, variance), s_xt, narrow, x0, coef, s_noise).Data;
        double[] guided = OpTable.Run(new DdpmStep(MeanKind.Epsilon, variance), s_xt, narrow, x0, coef, s_noise, s_grad).Data;
        double[] logVar = OpTable.Run(new ModelLogVariance(variance), s_xt, narrow, coef).Data;
        double[] mean = OpTable.Run(new DdpmMean(MeanKind.Epsilon), s_xt, narrow, x0, coef).Data;
        for (int i = 0; i < 2; i++)
        {
            Assert.Equal(Math.Log(row[Coef.FixedVariance]), logVar[i], 1e-12);
            Assert.Equal(mean[i] + (Math.Sqrt(row[Coef.FixedVariance]) * s_noise.Data[i]), plain[i], 1e-12);
            Assert.Equal(plain[i] + (row[Coef.FixedVariance] * s_grad.Data[i]), guided[i], 1e-12);
        }
    }

    [Fact]
    public void At_the_last_step_fixed_small_moves_nothing_though_its_log_is_finite()
    {
        HostArray<double> coef = Coefficients(TestSchedule.Row(s_betas, 0, VarianceKind.FixedSmall));
        HostArray<double> x0 = OpTable.Array64(s_image, 0.1, -0.2);
        var step = new DdpmStep(MeanKind.StartX, VarianceKind.FixedSmall);
        Assert.Equal(x0.Data, OpTable.Run(step, s_xt, s_noise, x0, coef, s_noise, s_grad).Data);
        Assert.True(double.IsFinite(coef.Data[Coef.FixedLogVar]));
    }

    [Fact]
    public void Ddim_noise_needs_both_sigma_and_a_step_that_is_not_the_last()
    {
        double[] row = TestSchedule.Row(s_betas, 100, eta: 1);
        double[] last = [.. row];
        last[Coef.NotFirst] = 0;
        HostArray<double> x0 = OpTable.Array64(s_image, 0.3, -0.8);
        double[] with = OpTable.Run(new DdimStep(), s_xt, x0, Coefficients(row), s_noise).Data;
        double[] without = OpTable.Run(new DdimStep(), s_xt, x0, Coefficients(last), s_noise).Data;
        Assert.Equal(OpTable.Run(new DdimStep(), s_xt, x0, Coefficients(row), new(s_image)).Data, without);
        for (int i = 0; i < 2; i++)
        {
            Assert.Equal(row[Coef.DdimSigma] * s_noise.Data[i], with[i] - without[i], 1e-15);
        }
    }

    [Fact]
    public void A_predicted_mean_is_used_as_it_is_and_implies_its_x0()
    {
        double[] row = TestSchedule.Row(s_betas, 100);
        HostArray<double> coef = Coefficients(row);
        HostArray<double> x0 = OpTable.Array64(s_image, 0.3, -0.8);
        double[] mean = [.. x0.Data.Select((x, i) => (row[Coef.PosteriorX0] * x) + (row[Coef.PosteriorXt] * s_xt.Data[i]))];
        HostArray<double> predicted = OpTable.Array64(s_image, mean);
        OpTable.Close(x0, OpTable.Run(new PredictXStart(MeanKind.PreviousX, false), s_xt, predicted, coef), 1e-12);
        HostArray<double> wrongX0 = OpTable.Array64(s_image, 1, 1);
        Assert.Equal(mean, OpTable.Run(new DdpmMean(MeanKind.PreviousX), s_xt, predicted, wrongX0, coef).Data);
        double[] step = OpTable.Run(
            new DdpmStep(MeanKind.PreviousX, VarianceKind.FixedSmall), s_xt, predicted, wrongX0, coef, new(s_image)).Data;
        Assert.Equal(mean, step);
    }

    [Fact]
    public void Each_sample_reads_its_own_row()
    {
        HostArray<double> both = Coefficients([.. TestSchedule.Row(s_betas, 7), .. TestSchedule.Row(s_betas, 200)]);
        HostArray<double> x = OpTable.Random64([2, 1, 3, 2], 5);
        HostArray<double> net = OpTable.Random64([2, 1, 3, 4], 6);
        HostArray<double> noise = OpTable.Random64([2, 1, 3, 2], 7);
        var step = new DdpmStep(MeanKind.Epsilon, VarianceKind.LearnedRange);
        double[] together = OpTable.Run(step, x, net, x, both, noise).Data;
        for (int n = 0; n < 2; n++)
        {
            HostArray<double> Part(HostArray<double> a) =>
                new(Shape.Create([1, .. a.Shape.ToArray()[1..]]), a.Data[(n * a.Data.Length / 2)..((n + 1) * a.Data.Length / 2)]);
            double[] alone = OpTable.Run(step, Part(x), Part(net), Part(x), Part(both), Part(noise)).Data;
            Assert.Equal(alone, together[(n * 6)..((n + 1) * 6)]);
        }
    }

    [Fact]
    public void NaN_is_not_clipped_away()
    {
        HostArray<double> coef = Coefficients(TestSchedule.Row(s_betas, 100));
        double[] x0 = OpTable.Run(new PredictXStart(MeanKind.StartX, true), s_xt, OpTable.Array64(s_image, double.NaN, 3), coef).Data;
        Assert.True(double.IsNaN(x0[0]));
        Assert.Equal(1, x0[1]);
    }

    private static double[] Evaluate(string quantity, int t)
    {
        double[] row = TestSchedule.Row(s_betas, t, eta: quantity == "ddim eta 1" ? 1 : 0);
        HostArray<double> coef = Coefficients(row);
        HostArray<double> x0 = OpTable.Run(new PredictXStart(MeanKind.Epsilon, true), s_xt, s_out, coef);
        HostArray<double> guided = OpTable.Run(new DdimXStart(), s_xt, x0, coef, s_grad);
        var step = new DdpmStep(MeanKind.Epsilon, VarianceKind.LearnedRange);
        HostArray<double> result = quantity switch
        {
            "x_0 before clip" => OpTable.Run(new PredictXStart(MeanKind.Epsilon, false), s_xt, s_out, coef),
            "mean" => OpTable.Run(new DdpmMean(MeanKind.Epsilon), s_xt, s_out, x0, coef),
            "log-variance" => OpTable.Run(new ModelLogVariance(VarianceKind.LearnedRange), s_xt, s_out, coef),
            "p_sample" => OpTable.Run(step, s_xt, s_out, x0, coef, s_noise),
            "guided mean" => OpTable.Run(step, s_xt, s_out, x0, coef, new(s_image), s_grad),
            "guided p_sample" => OpTable.Run(step, s_xt, s_out, x0, coef, s_noise, s_grad),
            "eps from clipped x_0" => Noise(x0, row),
            "ddim eta 0" or "ddim eta 1" => OpTable.Run(new DdimStep(), s_xt, x0, coef, s_noise),
            "condition_score eps'" => Noise(guided, row),
            "condition_score x_0'" => guided,
            "condition_score mean'" => OpTable.Run(new DdpmMean(MeanKind.Epsilon), s_xt, s_out, guided, coef),
            "guided ddim eta 0" => OpTable.Run(new DdimStep(), s_xt, guided, coef, s_noise),
            "ddim reverse" => OpTable.Run(new DdimReverseStep(), s_xt, x0, coef),
            _ => throw new ArgumentException(quantity),
        };
        return result.Data;
    }

    /// <summary>The noise that x0 implies: a reverse step onto pure noise.</summary>
    private static HostArray<double> Noise(HostArray<double> x0, double[] row)
    {
        double[] pure = [.. row];
        (pure[Coef.SqrtAcNext], pure[Coef.SqrtOneMinusAcNext]) = (0, 1);
        return OpTable.Run(new DdimReverseStep(), s_xt, x0, Coefficients(pure));
    }

    private static HostArray<double> Coefficients(double[] rows) => OpTable.Array64([rows.Length / Coef.Columns, Coef.Columns], rows);
}
