namespace AdmNative.Core.Tests;

/// <summary>Spec 4.1, 4.2 and 4.10 written out once more, in double, so that op tests lean on nothing but the specification.</summary>
internal static class TestSchedule
{
    /// <summary>Linear betas.</summary>
    public static double[] Linear(int steps)
    {
        (double first, double last) = (1000.0 / steps * 1e-4, 1000.0 / steps * 0.02);
        return [.. Enumerable.Range(0, steps).Select(i => first + ((last - first) * i / (steps - 1)))];
    }

    /// <summary>Betas of the process that keeps <paramref name="count"/> evenly spread steps.</summary>
    public static double[] Respace(double[] betas, int count)
    {
        var kept = new HashSet<int>();
        double at = 0;
        for (int i = 0; i < count; i++, at += (betas.Length - 1.0) / (count - 1))
        {
            kept.Add((int)Math.Round(at, MidpointRounding.ToEven));
        }

        var result = new List<double>();
        (double ac, double last) = (1, 1);
        for (int i = 0; i < betas.Length; i++)
        {
            ac *= 1 - betas[i];
            if (kept.Contains(i))
            {
                result.Add(1 - (ac / last));
                last = ac;
            }
        }

        return [.. result];
    }

    /// <summary>A coefficient row for timestep t.</summary>
    public static double[] Row(double[] betas, int t, VarianceKind variance = VarianceKind.FixedSmall, double eta = 0)
    {
        double[] ac = new double[betas.Length];
        double product = 1;
        for (int i = 0; i < betas.Length; i++)
        {
            ac[i] = product *= 1 - betas[i];
        }

        double Previous(int i) => i == 0 ? 1 : ac[i - 1];
        double Posterior(int i) => betas[i] * (1 - Previous(i)) / (1 - ac[i]);
        double next = t == betas.Length - 1 ? 0 : ac[t + 1];
        double sigma = eta * Math.Sqrt((1 - Previous(t)) / (1 - ac[t])) * Math.Sqrt(1 - (ac[t] / Previous(t)));
        double large = t == 0 ? Posterior(1) : betas[t];
        var row = new double[Coef.Columns];
        row[Coef.SqrtRecip] = Math.Sqrt(1 / ac[t]);
        row[Coef.SqrtRecipM1] = Math.Sqrt((1 / ac[t]) - 1);
        row[Coef.PosteriorX0] = betas[t] * Math.Sqrt(Previous(t)) / (1 - ac[t]);
        row[Coef.PosteriorXt] = (1 - Previous(t)) * Math.Sqrt(1 - betas[t]) / (1 - ac[t]);
        row[Coef.PosteriorLogVar] = Math.Log(Posterior(Math.Max(t, 1)));
        row[Coef.LogBeta] = Math.Log(betas[t]);
        row[Coef.FixedVariance] = variance == VarianceKind.FixedLarge ? large : Posterior(t);
        row[Coef.FixedLogVar] = variance == VarianceKind.FixedLarge ? Math.Log(large) : row[Coef.PosteriorLogVar];
        row[Coef.NotFirst] = t == 0 ? 0 : 1;
        row[Coef.SqrtAcPrev] = Math.Sqrt(Previous(t));
        row[Coef.SqrtOneMinusAc] = Math.Sqrt(1 - ac[t]);
        row[Coef.DdimSigma] = sigma;
        row[Coef.DdimDirection] = Math.Sqrt(1 - Previous(t) - (sigma * sigma));
        row[Coef.SqrtAcNext] = Math.Sqrt(next);
        row[Coef.SqrtOneMinusAcNext] = Math.Sqrt(1 - next);
        return row;
    }

    /// <summary>sqrt(ac) x_0 + sqrt(1 - ac) noise, from a row.</summary>
    public static double Noised(double[] row, double x0, double noise) =>
        (x0 / row[Coef.SqrtRecip]) + (row[Coef.SqrtOneMinusAc] * noise);
}
