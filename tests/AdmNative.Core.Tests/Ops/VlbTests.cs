namespace AdmNative.Core.Tests;

/// <summary>The variational bound: the specification's numbers (C.2), and its gradients where real schedules put it.</summary>
public sealed class VlbTests
{
    private static readonly double[] s_betas = TestSchedule.Linear(1000);

    public static TheoryData<MeanKind, VarianceKind, bool, int> Settings()
    {
        var data = new TheoryData<MeanKind, VarianceKind, bool, int>();
        foreach (MeanKind mean in Enum.GetValues<MeanKind>())
        {
            foreach (VarianceKind variance in Enum.GetValues<VarianceKind>())
            {
                foreach (int t in (int[])[0, 1, 500])
                {
                    data.Add(mean, variance, false, t);
                    data.Add(mean, variance, true, t);
                }
            }
        }

        return data;
    }

    [Theory]
    [InlineData(1000, 0, 0.95923037, 0.98048037)]
    [InlineData(1000, 1, 0.05435466, 0.07560466)]
    [InlineData(1000, 100, 0.00033423, 0.02158423)]
    [InlineData(1000, 999, 0.00031284, 0.02156284)]
    [InlineData(4000, 100, 0.00028554, 0.02153554)]
    public void Hybrid_loss_of_C2(int steps, int t, double vb, double loss)
    {
        Shape image = [1, 1, 2, 1];
        double[] row = TestSchedule.Row(TestSchedule.Linear(steps), t);
        (double[] x0, double[] noise) = ([0.2, -1.0], [0.7, -0.3]);
        double[] xt = [.. x0.Zip(noise, (x, e) => TestSchedule.Noised(row, x, e))];
        HostArray<double> eps = OpTable.Array64(image, 0.65, -0.1);
        double actual = OpTable.Run(
            new VlbPerSample(MeanKind.Epsilon, VarianceKind.LearnedRange, false),
            eps,
            OpTable.Array64(image, x0),
            OpTable.Array64(image, xt),
            OpTable.Array64([1, Coef.Columns], row),
            OpTable.Array64(image, 0.2, -0.6)).Data[0];
        double mse = OpTable.Run(new MsePerSample(), OpTable.Array64(image, noise), eps).Data[0];
        Assert.Equal(0.02125, mse, 1e-15);
        Assert.Equal(vb, actual, 6e-9);
        Assert.Equal(loss, mse + actual, 6e-9);
    }

    [Theory]
    [InlineData(0.1, -2, 0.3, -1.5, 0.14289911)]
    [InlineData(0.5, 0.2, 0, 0, 0.13570138)]
    public void Kl_of_two_gaussians(double mean1, double logVar1, double mean2, double logVar2, double expected)
    {
        // c1 = 1 and c2 = 0 make x_0 the true mean.
        var row = new double[Coef.Columns];
        (row[Coef.PosteriorX0], row[Coef.PosteriorLogVar], row[Coef.NotFirst]) = (1, logVar1, 1);
        Assert.Equal(expected, Nats(mean2, mean1, logVar2, row), 6e-9);
    }

    [Theory]
    [InlineData(0, 0.1, -2, -4.04096405)]
    [InlineData(-1, -0.9, -3, -3.61946095)]
    [InlineData(1, 0.9, -3, -3.61946095)]
    [InlineData(0.5, -0.5, -6, -27.63102112)] // the 1e-12 floor
    [InlineData(-55 / 255.0, -0.2, -4, -2.13670494)]
    public void Discretised_log_likelihood(double x, double mean, double logScale, double expected) =>
        Assert.Equal(-expected, Nats(mean, x, 2 * logScale, new double[Coef.Columns]), 2e-8);

    [Theory]
    [MemberData(nameof(Settings))]
    public void Gradients_on_a_real_schedule(MeanKind mean, VarianceKind variance, bool clip, int t)
    {
        // The second sample is at another timestep, so both branches run in one evaluation when t is 0.
        Shape shape = [2, 2, 2, 3];
        double[][] rows = [TestSchedule.Row(s_betas, t, variance), TestSchedule.Row(s_betas, 300, variance)];
        HostArray<double> x0 = OpTable.Random64(shape, 1);
        (x0.Data[3], x0.Data[7]) = (-1, 1); // the open bins at both ends
        HostArray<double> noise = OpTable.Random64(shape, 2);
        var xt = new HostArray<double>(shape);
        var meanOut = new HostArray<double>(shape);
        HostArray<double> varOut = OpTable.Random64(shape, 3);
        for (int i = 0; i < xt.Data.Length; i++)
        {
            double[] row = rows[i / 12];
            xt.Data[i] = TestSchedule.Noised(row, x0.Data[i], noise.Data[i]);
            double deviation = Math.Exp(0.5 * row[Coef.PosteriorLogVar]);

            // Near the truth, by about a standard deviation in the mean of x_{t-1}; varOut likewise when it is the log-variance itself.
            double off = 0.8 * deviation * Math.Sin(i + 1);
            double c1 = row[Coef.PosteriorX0];
            meanOut.Data[i] = mean switch
            {
                MeanKind.PreviousX => (c1 * x0.Data[i]) + (row[Coef.PosteriorXt] * xt.Data[i]) + off,
                MeanKind.StartX => x0.Data[i] + (off / c1),
                _ => noise.Data[i] - (off / c1 / row[Coef.SqrtRecipM1]),
            };
            if (variance == VarianceKind.Learned)
            {
                varOut.Data[i] = row[Coef.PosteriorLogVar] + (0.3 * varOut.Data[i]);
            }
        }

        HostArray<double> coef = OpTable.Array64([2, Coef.Columns], [.. rows[0], .. rows[1]]);
        HostArray<double>[] inputs = variance.IsLearned() ? [meanOut, x0, xt, coef, varOut] : [meanOut, x0, xt, coef];
        GradientTests.Check(
            new VlbPerSample(mean, variance, clip),
            [.. inputs.Select(a => TensorType.F32(a.Shape))],
            inputs,
            step: 1e-6);
    }

    [Fact]
    public void No_gradient_under_the_floor_and_none_through_the_clamp()
    {
        Shape image = [1, 1, 1, 2];
        HostArray<double> one = OpTable.Array64([1], 1);

        // First element: mean far from x_0 at t = 0; second: fine.
        HostArray<double> zeros = new([1, Coef.Columns]);
        HostArray<double> x0 = OpTable.Array64(image, 0.5, 0.5);
        HostArray<double> meanOut = OpTable.Array64(image, -0.5, 0.49);
        HostArray<double> varOut = OpTable.Array64(image, -12, -6);
        for (int side = 0; side < 2; side++)
        {
            double[] gradient = OpTable.Run(
                new VlbPerSampleGrad(MeanKind.PreviousX, VarianceKind.Learned, false, side), meanOut, x0, x0, zeros, varOut, one).Data;
            Assert.Equal(0, gradient[0]);
            Assert.NotEqual(0, gradient[1]);
        }

        HostArray<double> coef = OpTable.Array64([1, Coef.Columns], TestSchedule.Row(s_betas, 100, VarianceKind.FixedSmall));
        HostArray<double> outside = OpTable.Array64(image, 1.5, 0.4);
        double[] clamped = OpTable.Run(
            new VlbPerSampleGrad(MeanKind.StartX, VarianceKind.FixedSmall, true, 0), outside, x0, x0, coef, one).Data;
        Assert.Equal(0, clamped[0]);
        Assert.NotEqual(0, clamped[1]);
    }

    /// <summary>The bound of one element in nats, with PreviousX and Learned, which take mean and log-variance as they are.</summary>
    private static double Nats(double mean, double x0, double logVar, double[] row) =>
        Math.Log(2) * OpTable.Run(
            new VlbPerSample(MeanKind.PreviousX, VarianceKind.Learned, false),
            OpTable.Array64([1, 1], mean),
            OpTable.Array64([1, 1], x0),
            OpTable.Array64([1, 1], 0),
            OpTable.Array64([1, Coef.Columns], row),
            OpTable.Array64([1, 1], logVar)).Data[0];
}
