using System.Globalization;
using AdmNative.Core;
using AdmNative.Cuda;
using AdmNative.Diffusion;

namespace AdmNative.Cli;

/// <summary>Cases of kernels/sampler.cu.</summary>
internal static class SamplerCases
{
    /// <summary>Samples, pixels, channels: one element, odd sizes, whole blocks, one past a block, more than one.</summary>
    private static readonly (int N, int P, int C)[] s_shapes = [(1, 1, 1), (3, 35, 3), (2, 512, 2), (2, 205, 5), (1, 1025, 1), (2, 800, 3)];

    /// <summary>All.</summary>
    public static IEnumerable<KernelCase> All()
    {
        foreach (KernelDType dtype in KernelDTypes.All)
        {
            for (int i = 0; i < s_shapes.Length; i++)
            {
                if (dtype != KernelDType.F32 && i % 2 == (dtype == KernelDType.F16 ? 0 : 1))
                {
                    continue; // the halves differ in one load only: every shape is taken by one of them
                }

                (int n, int p, int c) = s_shapes[i];
                for (int mean = dtype == KernelDType.F32 ? 0 : 2; mean < 3; mean++)
                {
                    int variance = (i + mean) % 4;
                    bool even = (i + mean) % 2 == 0;
                    yield return new SamplerCase(dtype, new(SamplerPass.Ddpm, n, p, c, mean, variance, GivenX0: i == 4, Guided: even, GivenNoise: mean == 1, WantsX0: !even, Clip: even));
                    yield return new SamplerCase(dtype, new(SamplerPass.Ddim, n, p, c, mean, 3, GivenX0: i == 3, Guided: !even, GivenNoise: mean == 0, WantsX0: even, Clip: even));
                }

                yield return new SamplerCase(dtype, new(SamplerPass.Ddpm, n, p, c, 2, 3, false, Guided: true, GivenNoise: false, WantsX0: true, Clip: true));
                yield return new SamplerCase(dtype, new(SamplerPass.Reverse, n, p, c, 2, 3, false, false, false, WantsX0: i % 2 == 0, Clip: true));
                yield return new SamplerCase(dtype, new(SamplerPass.XStart, n, p, c, i % 3, 3, GivenX0: i == 1, Guided: i % 2 == 1, false, true, Clip: i == 5));
                yield return new SamplerCase(dtype, new(SamplerPass.Mean, n, p, c, i % 3, 3, GivenX0: i % 2 == 0, false, false, false, Clip: true));
                yield return new SamplerCase(dtype, new(SamplerPass.LogVariance, n, p, c, 2, i % 4, false, false, false, false, false));
            }
        }

        foreach ((int n, int p, int c) in s_shapes)
        {
            yield return new NoisingCase(n, p * c, given: n == 2, wants: c != 3);
        }

        foreach (KernelDType dtype in KernelDTypes.All)
        {
            yield return new SamplerCase(dtype, new(SamplerPass.Ddpm, 16, 64 * 64, 3, 2, 3, false, true, false, true, true)) { Layer = true };
            yield return new SamplerCase(dtype, new(SamplerPass.Ddim, 4, 256 * 256, 3, 2, 3, false, true, false, true, true)) { Layer = true };
        }
    }

    /// <summary>[N, 16] coefficients of the linear schedule of 1000 steps, at another timestep for each sample; sample 0 is at t = 0.</summary>
    internal static float[] Coefficients(int samples)
    {
        var table = new float[samples * Coef.Columns];
        var cumulative = new double[1001];
        cumulative[0] = 1;
        for (int t = 0; t < 1000; t++)
        {
            cumulative[t + 1] = cumulative[t] * (1 - Beta(t));
        }

        for (int n = 0; n < samples; n++)
        {
            int t = n * 997 % 999;
            double ac = cumulative[t + 1], before = cumulative[t], beta = Beta(t), next = cumulative[t + 2 > 1000 ? 1000 : t + 2];
            double posterior = beta * (1 - before) / (1 - ac), clipped = t == 0 ? Beta(1) * (1 - cumulative[1]) / (1 - cumulative[2]) : posterior;
            double sigma = t == 0 ? 0 : 0.7 * Math.Sqrt((1 - before) / (1 - ac) * (1 - (ac / before)));
            double[] row =
            [
                Math.Sqrt(1 / ac), Math.Sqrt((1 / ac) - 1), beta * Math.Sqrt(before) / (1 - ac), (1 - before) * Math.Sqrt(1 - beta) / (1 - ac), Math.Log(clipped),
                Math.Log(beta), posterior, Math.Log(clipped), t == 0 ? 0 : 1, Math.Sqrt(before), Math.Sqrt(1 - ac), sigma,
                Math.Sqrt(Math.Max(0, 1 - before - (sigma * sigma))), Math.Sqrt(next), Math.Sqrt(1 - next), 0,
            ];
            for (int k = 0; k < row.Length; k++)
            {
                table[(n * Coef.Columns) + k] = (float)row[k];
            }
        }

        return table;
    }

    /// <summary>8 units in the last place of the largest term, as f32.</summary>
    internal static Tolerance EightUlp(double[] largest) => (i, _) => 8 * KernelNumbers.Ulp(largest[i], KernelDType.F32);

    private static double Beta(int t) => 1e-4 + ((0.02 - 1e-4) * t / 999);
}

/// <summary>One pass of a reverse step.</summary>
internal sealed class SamplerCase(KernelDType dtype, SamplerShape shape) : KernelCase(
    "sampler", Describe(shape), dtype, $"{shape.Samples}x{shape.Pixels}x{shape.Channels}")
{
    private const ulong Seed = 0x1234_5678_9ABC_DEF0;
    private const long FirstSample = 5_000_000_000;
    private const int Step = 77;

    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        SamplerShape s = shape;
        SamplerPlan plan = SamplerKernels.Plan(s, DType, limits);
        int width = s.Variance is 0 or 3 ? 2 * s.Channels : s.Channels, stride = width + (s.Samples % 2);
        long elements = (long)s.Samples * s.Pixels * s.Channels;
        bool noisy = s.Pass is SamplerPass.Ddpm or SamplerPass.Ddim, guides = s.Guided && (noisy || s.Pass == SamplerPass.XStart);
        float[] x = KernelInputs.Normal(elements, 1), gradient = KernelInputs.Normal(elements, 2, 3), given = KernelInputs.Normal(elements, 3, 0.5);
        float[] output = KernelNumbers.Rounded(KernelInputs.Normal((long)s.Samples * s.Pixels * width, 4), DType);
        float[] coefficients = SamplerCases.Coefficients(s.Samples), noise = KernelInputs.Normal(elements, 5);
        if (!s.GivenNoise)
        {
            new PhiloxNoise(Seed).Normals(Step, FirstSample, [s.Samples, s.Pixels, s.Channels], noise);
        }

        KernelBuffer bx = work.Input("x", x, KernelDType.F32), bOutput = work.Input("output", output, DType, width, stride);
        KernelBuffer bCoefficients = work.Input("coefficients", coefficients, KernelDType.F32);
        KernelBuffer? bGiven = s.GivenX0 && s.Pass != SamplerPass.LogVariance ? work.Input("given x0", given, KernelDType.F32) : null;
        KernelBuffer? bGradient = guides ? work.Input("gradient", gradient, KernelDType.F32) : null;
        KernelBuffer? bNoise = noisy && s.GivenNoise ? work.Input("noise", noise, KernelDType.F32) : null;
        KernelBuffer? by = s.Pass == SamplerPass.XStart ? null : work.Output("y", 1, elements, KernelDType.F32);
        bool writesX0 = s.Pass != SamplerPass.LogVariance && (s.WantsX0 || s.Pass == SamplerPass.XStart);
        KernelBuffer? bx0 = writesX0 ? work.Output("x0", 1, elements, KernelDType.F32) : null;
        work.Run(plan, () =>
        [
            SamplerKernels.Enqueue(plan, new SamplerOperands
            {
                X = s.Pass == SamplerPass.LogVariance ? 0 : bx.Address,
                Output = bOutput.Address,
                OutputStride = stride,
                GivenX0 = bGiven?.Address ?? 0,
                Gradient = bGradient?.Address ?? 0,
                Noise = bNoise?.Address ?? 0,
                Coefficients = bCoefficients.Address,
                Y = by?.Address ?? 0,
                X0 = bx0?.Address ?? 0,
                Seed = Seed,
                FirstSample = FirstSample,
                Step = Step,
            }),
        ]);

        // The operations of the graph, in f64.
        Shape image = [s.Samples, s.Pixels, s.Channels];
        HostArray<double> hx = KernelInputs.Host(image, x), hOutput = KernelInputs.Host([s.Samples, s.Pixels, width], output);
        HostArray<double> hCoef = KernelInputs.Host([s.Samples, Coef.Columns], coefficients), hNoise = KernelInputs.Host(image, noise);
        HostArray<double> hGradient = KernelInputs.Host(image, gradient), x0 = KernelInputs.Host(image, given);
        var mean = (MeanKind)s.Mean;
        var variance = (VarianceKind)s.Variance;
        if (!s.GivenX0 && s.Pass != SamplerPass.LogVariance)
        {
            new PredictXStart(mean, s.Clip).Twin([hx, hOutput, hCoef], x0);
        }

        double[] unguided = [.. x0.Data];
        bool shifts = guides && s.Pass != SamplerPass.Ddpm;
        if (shifts)
        {
            var guided = new HostArray<double>(image);
            new DdimXStart().Twin([hx, x0, hCoef, hGradient], guided);
            x0 = guided;
        }

        var y = new HostArray<double>(image);
        switch (s.Pass)
        {
            case SamplerPass.Ddpm when guides:
                new DdpmStep(mean, variance).Twin([hx, hOutput, x0, hCoef, hNoise, hGradient], y);
                break;
            case SamplerPass.Ddpm:
                new DdpmStep(mean, variance).Twin([hx, hOutput, x0, hCoef, hNoise], y);
                break;
            case SamplerPass.Ddim:
                new DdimStep().Twin([hx, x0, hCoef, hNoise], y);
                break;
            case SamplerPass.Reverse:
                new DdimReverseStep().Twin([hx, x0, hCoef], y);
                break;
            case SamplerPass.Mean:
                new DdpmMean(mean).Twin([hx, hOutput, x0, hCoef], y);
                break;
            case SamplerPass.LogVariance:
                new ModelLogVariance(variance).Twin([hx, hOutput, hCoef], y);
                break;
        }

        double[] termsX0 = new double[elements], termsY = new double[elements];
        for (int i = 0; i < elements; i++)
        {
            ReadOnlySpan<float> k = coefficients.AsSpan((int)(i / (elements / s.Samples)) * Coef.Columns, Coef.Columns);
            int at = (i / s.Channels * width) + (i % s.Channels);
            double o = output[at], v = s.Variance is 0 or 3 ? output[at + s.Channels] : 0;
            double f = (v + 1) / 2, logVariance = s.Variance == 0 ? v : s.Variance == 3 ? (f * k[5]) + ((1 - f) * k[4]) : k[7];
            double predicted = s.GivenX0 ? 0 : s.Mean switch { 0 => Largest(o / k[2], k[3] / k[2] * x[i]), 1 => 0, _ => Largest(k[0] * x[i], k[1] * o) };
            double epsilon = Largest(k[0] * x[i], unguided[i], predicted) / k[1];
            double shifted = shifts ? Largest(k[0] * x[i], k[1] * epsilon, k[1] * k[10] * gradient[i]) : predicted;
            double fromX0 = Largest(x0.Data[i], shifted);
            termsX0[i] = fromX0;
            termsY[i] = s.Pass switch
            {
                SamplerPass.Ddpm => Largest(
                    s.Mean == 0 ? o : Largest(k[2] * fromX0, k[3] * x[i]), guides ? (s.Variance is 0 or 3 ? Math.Exp(logVariance) : k[6]) * gradient[i] : 0,
                    k[8] * Math.Exp(0.5 * logVariance) * noise[i]),
                SamplerPass.Ddim => Largest(k[9] * fromX0, k[12] * Largest(epsilon, shifted / k[1], shifts ? k[10] * gradient[i] : 0), k[8] * k[11] * noise[i]),
                SamplerPass.Reverse => Largest(k[13] * fromX0, k[14] * epsilon),
                SamplerPass.Mean => s.Mean == 0 ? o : Largest(k[2] * fromX0, k[3] * x[i]),
                _ => s.Variance == 3 ? Largest(f * k[5], (1 - f) * k[4]) : Math.Abs(logVariance),
            };
        }

        if (by is not null)
        {
            work.Expect(by, y.Data, SamplerCases.EightUlp(termsY));
        }

        if (bx0 is not null)
        {
            work.Expect(bx0, x0.Data, SamplerCases.EightUlp(termsX0));
        }

        // Rows of the output are read in part: a warp touches stride / C times the sectors that hold what it wants (the other part finds
        // them in the cache). Rows of odd length begin anywhere in a sector.
        double sectors = Math.Max(1.5, stride / (double)s.Channels);
        work.Gates = _ => new LaunchGates { Sectors = sectors, Registers = 64, Bytes = s.Pixels * s.Channels < 512 ? null : 1.05, Barriers = 0 };
        return work;
    }

    private static double Largest(params ReadOnlySpan<double> values)
    {
        double largest = 0;
        foreach (double v in values)
        {
            largest = Math.Max(largest, Math.Abs(v));
        }

        return largest;
    }

    private static string Describe(in SamplerShape s)
    {
        string text = string.Create(CultureInfo.InvariantCulture, $"{s.Pass.ToString().ToLowerInvariant()} {(MeanKind)s.Mean} {(VarianceKind)s.Variance}");
        return text + (s.GivenX0 ? " given-x0" : "") + (s.Guided ? " guided" : "") + (s.GivenNoise ? " given-noise" : "") + (s.WantsX0 ? " x0" : "") + (s.Clip ? " clip" : "");
    }
}

/// <summary>The forward process.</summary>
internal sealed class NoisingCase(int samples, int elements, bool given, bool wants) : KernelCase(
    "sampler", $"qsample{(given ? " given-noise" : "")}", KernelDType.F32, $"{samples}x{elements}")
{
    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        NoisingPlan plan = SamplerKernels.PlanNoising(samples, elements, given, wants, limits);
        float[] x0 = KernelInputs.Normal((long)samples * elements, 1), noise = KernelInputs.Normal((long)samples * elements, 2), scales = new float[2 * samples];
        for (int n = 0; n < samples; n++)
        {
            double ac = 0.9 / (n + 1);
            (scales[2 * n], scales[(2 * n) + 1]) = ((float)Math.Sqrt(ac), (float)Math.Sqrt(1 - ac));
        }

        if (!given)
        {
            new PhiloxNoise(9).Normals(3, 4, [samples, elements], noise);
        }

        KernelBuffer bx0 = work.Input("x0", x0, KernelDType.F32), bScales = work.Input("scales", scales, KernelDType.F32);
        KernelBuffer? bNoise = given ? work.Input("noise", noise, KernelDType.F32) : null;
        KernelBuffer y = work.Output("y", 1, x0.Length, KernelDType.F32);
        KernelBuffer? drawn = wants ? work.Output("drawn", 1, x0.Length, KernelDType.F32) : null;
        work.Run(plan, () =>
            [SamplerKernels.EnqueueNoising(plan, bx0.Address, bNoise?.Address ?? 0, bScales.Address, y.Address, drawn?.Address ?? 0, 9, 4, 3)]);
        double[] expected = new double[x0.Length], terms = new double[x0.Length];
        for (int i = 0; i < expected.Length; i++)
        {
            double a = (double)scales[2 * (i / elements)] * x0[i], b = (double)scales[(2 * (i / elements)) + 1] * noise[i];
            (expected[i], terms[i]) = (a + b, Math.Max(Math.Abs(a), Math.Abs(b)));
        }

        work.Expect(y, expected, SamplerCases.EightUlp(terms));
        if (drawn is not null)
        {
            work.Expect(drawn, [.. noise.Select(z => (double)z)], given ? Tolerances.Exact : static (_, r) => Math.ScaleB(Math.Abs(r), -21));
        }

        // Samples of odd length begin anywhere in a sector.
        work.Gates = _ => new LaunchGates { Sectors = elements % 8 == 0 ? 1.05 : 1.5, Registers = 64, Bytes = elements < 512 ? null : 1.05, Barriers = 0 };
        return work;
    }
}
