using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>
/// A convolution that stores sums on the way, then the group norm and SiLU that live on them. Inputs are whole numbers, so that the rounded y, and
/// with it the terms of every sum, are known exactly.
/// </summary>
internal sealed class ConvStatisticsCase(ConvShape shape, int groups, KernelDType dtype, int tile = 0)
    : KernelCase("conv", $"forward {shape.Side}x{shape.Side} {(shape.Upsample ? "upsampled " : "")}to group norm", dtype, $"{shape.N}x{shape.H}x{shape.W}x{shape.C} K{shape.K}", tile == 0 ? "integers" : $"integers, tile {tile}")
{
    private const float Eps = 1e-5f;

    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        var data = new ConvData(shape, DType, "integers");
        ConvPlan plan = ConvKernels.Plan(shape, DType, limits, statistics: true, tile: tile);
        var norm = new GroupNormShape(shape.N, shape.ResultH, shape.ResultW, shape.K, groups) { Silu = true };
        GroupNormPlan after = GroupNormKernels.PlanFromSums(norm, DType, plan.StatisticsSlices, limits);
        (long n, long k, int slices) = (shape.N, shape.K, plan.StatisticsSlices);
        float[] gamma = KernelInputs.Normal(k, 11, 0.3, 1), beta = KernelInputs.Normal(k, 12, 0.3);
        KernelBuffer x = work.Input("x", data.X, DType), w = work.Input("weights", data.Weights, DType), bias = work.Input("bias", data.Bias, KernelDType.F32);
        KernelBuffer g = work.Input("gamma", gamma, KernelDType.F32), b = work.Input("beta", beta, KernelDType.F32);
        KernelBuffer y = work.Output("y", shape.ResultPixels, k, DType), sums = work.Output("sums", n * slices * 2, k, KernelDType.F32);
        KernelBuffer mean = work.Output("mean", n, groups, KernelDType.F32), rstd = work.Output("rstd", n, groups, KernelDType.F32);
        KernelBuffer ab = work.Output("ab", n, 2 * k, KernelDType.F32), z = work.Output("z", shape.ResultPixels, k, DType);
        work.Run(plan, () => ConvKernels.Enqueue(plan, new ConvArguments(x.Address, w.Address, y.Address) { Bias = bias.Address, Statistics = sums.Address }));
        work.Run(after, () => GroupNormKernels.EnqueueFromSums(
            after,
            new GroupNormArguments
            {
                X = y.Address,
                Y = z.Address,
                Gamma = g.Address,
                Beta = b.Address,
                Mean = mean.Address,
                Rstd = rstd.Address,
                Ab = ab.Address,
                Eps = Eps,
            },
            sums.Address,
            bias.Address));
        work.Gates = launch => launch.Entry.StartsWith("conv", StringComparison.Ordinal)
            ? ConvCase.ProductGates(launch, shape, DType, plan) : new LaunchGates { Bytes = 1.03, Conflicts = null, Registers = 64 };

        double[] made = Array.ConvertAll(data.Forward(false), v => KernelNumbers.Decode(KernelNumbers.Encode((float)v, DType), DType));
        work.Expect(y, made, Tolerances.Exact);
        (double[] expected, double[] magnitudes) = Sums(plan, data, made);
        work.Expect(sums, expected, Tolerances.Sum(magnitudes));
        Normalised(work, made, gamma, beta, groups, mean, rstd, z);
        return work;
    }

    /// <summary>Sums by sample, slice, kind and channel: slice = phase, then rows of the phase in tiles.</summary>
    private (double[] Sums, double[] Magnitudes) Sums(ConvPlan plan, ConvData data, double[] y)
    {
        (int height, int width, int k, int slices) = (shape.ResultH, shape.ResultW, shape.K, plan.StatisticsSlices);
        int spread = shape.Upsample ? 2 : 1, rowsW = width / spread, tilesOfPhase = slices / (spread * spread);
        (var sums, var magnitudes) = (new double[(long)shape.N * slices * 2 * k], new double[(long)shape.N * slices * 2 * k]);
        for (int m = 0; m < shape.ResultPixels; m++)
        {
            (int w, int h, int n) = (m % width, m / width % height, m / width / height);
            int phase = ((h % spread) * spread) + (w % spread), row = ((h / spread) * rowsW) + (w / spread), slice = (phase * tilesOfPhase) + (row / plan.Tile);
            for (int c = 0; c < k; c++)
            {
                double d = y[(m * k) + c] - data.Bias[c];
                long at = ((((long)n * slices) + slice) * 2 * k) + c;
                (sums[at], magnitudes[at]) = (sums[at] + d, magnitudes[at] + Math.Abs(d));
                (sums[at + k], magnitudes[at + k]) = (sums[at + k] + (d * d), magnitudes[at + k] + (d * d));
            }
        }

        return (sums, magnitudes);
    }

    /// <summary>The tolerances of the GroupNorm family.</summary>
    private void Normalised(CaseWork work, double[] y, float[] gamma, float[] beta, int groups, KernelBuffer mean, KernelBuffer rstd, KernelBuffer z)
    {
        (int k, int d, int pixels) = (shape.K, shape.K / groups, (int)(shape.ResultPixels / shape.N));
        (var means, var rstds, var result) = (new double[shape.N * groups], new double[shape.N * groups], new double[y.Length]);
        for (int i = 0; i < means.Length; i++)
        {
            (int n, int g) = (i / groups, i % groups);
            IEnumerable<long> elements = Enumerable.Range(0, pixels * d).Select(e => ((((long)n * pixels) + (e / d)) * k) + (g * d) + (e % d));
            double average = elements.Average(e => y[e]), variance = elements.Average(e => (y[e] - average) * (y[e] - average));
            (means[i], rstds[i]) = (average, 1 / Math.Sqrt(variance + Eps));
            foreach (long e in elements)
            {
                double u = ((y[e] - average) * rstds[i] * gamma[e % k]) + beta[e % k];
                result[e] = u / (1 + Math.Exp(-u));
            }
        }

        work.Expect(mean, means, Tolerances.Absolute(1e-4, 1e-6)); // 8 x 2^-24 of a mean |d| below 200, as sums are allowed
        work.Expect(rstd, rstds, Tolerances.Absolute(0, 1e-5));
        work.Expect(z, result, Tolerances.Activation(DType, result));
    }
}
