using System.Runtime.InteropServices;
using AdmNative.Core;
using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Cases of kernels/loss.cu and loss_select.cu.</summary>
internal static class LossCases
{
    /// <summary>All.</summary>
    public static IEnumerable<KernelCase> All()
    {
        foreach (KernelDType dtype in KernelDTypes.All)
        {
            foreach ((int n, int p, int c) in ((int, int, int)[])[(1, 1, 1), (3, 49, 3), (2, 700, 3)])
            {
                var hybrid = new LossShape(n, p, c);
                yield return new LossCase(dtype, hybrid with { Gradient = true });
                yield return new LossCase(dtype, hybrid with { BoundFactor = 4, Values = p == 49, Gradient = true, Scaled = true }, "far");
                yield return new LossCase(dtype, hybrid with { Error = false, Through = true, Gradient = true, BoundFactor = 1000 });
                yield return new LossCase(dtype, hybrid with { Error = false, Clip = true }, "far");
                yield return new LossCase(dtype, hybrid with { Bound = false, Mean = 1, Variance = 2, Gradient = true });
                yield return new LossCase(dtype, hybrid with { Mean = 0, Variance = 0, GivenTarget = false, Gradient = true });
                yield return new LossCase(dtype, hybrid with { Error = false, Through = true, Mean = 1, Variance = 2, Clip = true, Gradient = true });
                yield return new LossCase(dtype, hybrid with { Error = false, Through = true, Mean = 0, Variance = 1, Gradient = true });
            }

            yield return new LossCase(dtype, new(3, 49, 3) { Gradient = true, Through = true }, "one sample NaN");
            yield return new LossCase(dtype, new(8, 64 * 64, 3) { Gradient = true }) { Layer = true };
        }

        foreach ((int n, int k) in ((int, int)[])[(1, 1), (3, 5), (2, 1000), (65, 10), (4, 129)])
        {
            yield return new SelectCase(n, k, crossEntropy: n % 2 == 0, values: true, gradient: n != 4);
            yield return new SelectCase(n, k, crossEntropy: n % 2 == 1, values: n == 3, gradient: true, "large");
        }

        yield return new SelectCase(4, 33, crossEntropy: true, values: true, gradient: true, "bad label");
        yield return new SelectCase(256, 1000, crossEntropy: true, values: true, gradient: true) { Layer = true };
    }
}

/// <summary>A loss and its gradient against the operations of the graph in f64.</summary>
internal sealed class LossCase(KernelDType dtype, LossShape shape, string input = "normal")
    : KernelCase("loss", Describe(shape), dtype, $"{shape.Samples}x{shape.Pixels}x{shape.Channels}", input)
{
    private const double Unit = 1.0 / (1 << 24);

    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        LossShape s = shape;
        LossPlan plan = LossKernels.Plan(s, DType, limits);
        int perSample = s.Pixels * s.Channels, all = perSample * s.Samples, width = s.Width, stride = width + 2;
        Data d = Make(s);
        float scale = s.Scaled ? 256 : 1;
        float[] weights = KernelInputs.Normal(s.Samples, 7);
        var output = new float[s.Samples * s.Pixels * width];
        for (int i = 0; i < all; i++)
        {
            int at = (i / s.Channels * width) + (i % s.Channels);
            output[at] = d.Output[i];
            if (s.ReadsVariance)
            {
                output[at + s.Channels] = d.Variance[i];
            }
        }

        KernelBuffer bOutput = work.Input("output", output, DType, width, stride);
        KernelBuffer? bTarget = s.Error && s.GivenTarget ? work.Input("target", d.Target, KernelDType.F32) : null;
        KernelBuffer? bx0 = s.ReadsProcess ? work.Input("x0", d.X0, KernelDType.F32) : null, bxt = s.ReadsProcess ? work.Input("xt", d.Xt, KernelDType.F32) : null;
        KernelBuffer? bCoef = s.ReadsProcess ? work.Input("coefficients", d.Coef, KernelDType.F32) : null;
        KernelBuffer? bWeight = s.Gradient ? work.Input("weight", weights, KernelDType.F32) : null;
        KernelBuffer? bScale = s.Gradient && s.Scaled ? work.Input("scale", [scale], KernelDType.F32) : null;
        KernelBuffer? Row(string name, bool wanted) => s.Values && wanted ? work.Output(name, 1, s.Samples, KernelDType.F32) : null;
        KernelBuffer? loss = Row("loss", true), mse = Row("mse", s.Error), vb = Row("vb", s.Bound);
        KernelBuffer? gradient = s.Gradient ? work.Output("gradient", (long)s.Samples * s.Pixels, width, DType, stride) : null;
        KernelBuffer? workspace = work.Workspace(plan);
        work.Run(plan, () => LossKernels.Enqueue(plan, new LossOperands
        {
            Output = bOutput.Address,
            OutputStride = stride,
            Target = bTarget?.Address ?? 0,
            X0 = bx0?.Address ?? 0,
            Xt = bxt?.Address ?? 0,
            Coefficients = bCoef?.Address ?? 0,
            Weight = bWeight?.Address ?? 0,
            Scale = bScale?.Address ?? 0,
            Loss = loss?.Address ?? 0,
            Mse = mse?.Address ?? 0,
            Vb = vb?.Address ?? 0,
            Gradient = gradient?.Address ?? 0,
            GradientStride = stride,
            Workspace = workspace?.Address ?? 0,
        }));

        Terms t = Reference(s, d);
        double[] errors = new double[s.Samples], errorsOff = new double[s.Samples], bounds = new double[s.Samples], boundsOff = new double[s.Samples];
        var gradients = new double[(long)s.Samples * s.Pixels * width];
        var off = new double[gradients.Length];
        for (int i = 0; i < all; i++)
        {
            int n = i / perSample, at = (i / s.Channels * width) + (i % s.Channels);
            double difference = d.Output[i] - t.Target[i], w = weights[n] * scale / perSample;
            errors[n] += difference * difference / perSample;
            errorsOff[n] += ((12 * Unit * difference * difference) + (2 * Math.Abs(difference) * t.TargetOff[i])) / perSample;
            bounds[n] += s.BoundFactor * t.Bound[i] / perSample;
            boundsOff[n] += s.BoundFactor * (t.BoundOff[i] + (12 * Unit * Math.Abs(t.Bound[i]))) / perSample;
            double byError = s.Error ? 2 * difference : 0, byBound = s.Through ? s.BoundFactor * t.ByOutput[i] : 0;
            gradients[at] = w * (byError + byBound);
            off[at] = Math.Abs(w) * ((8 * Unit * (Math.Abs(byError) + Math.Abs(byBound))) + (s.Error ? 2 * t.TargetOff[i] : 0) + (s.Through ? s.BoundFactor * t.ByOutputOff[i] : 0));
            if (s.ReadsVariance)
            {
                gradients[at + s.Channels] = w * s.BoundFactor * t.ByVariance[i];
                off[at + s.Channels] = Math.Abs(w) * s.BoundFactor * (t.ByVarianceOff[i] + (8 * Unit * Math.Abs(t.ByVariance[i])));
            }
        }

        void Expect(KernelBuffer? buffer, double[] reference, double[] allowed)
        {
            if (buffer is not null)
            {
                work.Expect(buffer, reference, (i, r) => allowed[i] + (buffer.DType == KernelDType.F32 ? 0 : KernelNumbers.Ulp(r, buffer.DType)));
            }
        }

        Expect(mse, errors, errorsOff);
        Expect(vb, bounds, boundsOff);
        Expect(loss, [.. errors.Zip(bounds, (e, b) => (s.Error ? e : 0) + (s.Bound ? b : 0))], [.. errorsOff.Zip(boundsOff, (e, b) => (s.Error ? e : 0) + (s.Bound ? b : 0))]);
        Expect(gradient, gradients, off);

        // Rows of the output hold more than a warp reads of them at a time: see the sampler's cases. Coefficients are read by every warp. A sample's sums begin
        // anywhere in a sector.
        double sectors = Math.Max(1.6, stride / (double)s.Channels);
        work.Gates = launch => launch.Entry.StartsWith("loss_hybrid", StringComparison.Ordinal)
            ? new LaunchGates { Sectors = sectors, Registers = 64, Bytes = perSample < 512 ? null : 1.05 }
            : new LaunchGates { Sectors = 1.2, Bytes = null, Registers = 64 };
        return work;
    }

    /// <summary>Images of bytes, their noising, an output near what it should be ("far": anywhere), each sample at another timestep, the first at t = 0.</summary>
    private Data Make(LossShape s)
    {
        int perSample = s.Pixels * s.Channels, all = perSample * s.Samples;
        float[] coef = SamplerCases.Coefficients(s.Samples), noise = KernelInputs.Normal(all, 1), wrong = KernelInputs.Normal(all, 2, Input == "far" ? 20 : 0.3);
        float[] pixels = KernelInputs.Normal(all, 3, 90, 127), mixture = KernelInputs.Normal(all, 4, 0.7), x0 = new float[all], xt = new float[all], output = new float[all];
        var variance = new float[all];
        for (int i = 0; i < all; i++)
        {
            ReadOnlySpan<float> k = coef.AsSpan(i / perSample * Coef.Columns, Coef.Columns);
            x0[i] = (float)((Math.Clamp(Math.Round(pixels[i]), 0, 255) / 127.5) - 1);
            xt[i] = (float)((Math.Sqrt(1 - ((double)k[10] * k[10])) * x0[i]) + (k[10] * noise[i]));
            output[i] = s.Mean switch
            {
                0 => (float)(((double)k[2] * x0[i]) + ((double)k[3] * xt[i]) + (0.02 * wrong[i])),
                1 => (float)(x0[i] + (0.02 * wrong[i])),
                _ => noise[i] + wrong[i],
            };
            variance[i] = s.Variance == 0 ? k[4] + (0.5f * mixture[i]) : mixture[i];
        }

        if (Input == "one sample NaN")
        {
            output.AsSpan(perSample, perSample).Fill(float.NaN);
        }

        return new(x0, xt, KernelNumbers.Rounded(output, DType), KernelNumbers.Rounded(variance, DType), s.Mean == 1 ? x0 : noise, coef);
    }

    /// <summary>
    /// Every element as a sample of its own. What f32 may be off by: 8 units of the largest term of each step, and what the f64 operations move by when each
    /// input does by 8 units (which bounds the steps' amplification); the likelihood's f64 reference itself is a difference near 1, 1e-15 / p uncertain, and
    /// so are the densities 1 - tanh^2.
    /// </summary>
    private static Terms Reference(LossShape s, Data d)
    {
        int perSample = s.Pixels * s.Channels, all = perSample * s.Samples;
        var (mean, variance) = ((MeanKind)s.Mean, (VarianceKind)s.Variance);
        Shape one = [all, 1];
        var coef = new HostArray<double>([all, Coef.Columns]);
        for (int i = 0; i < all; i++)
        {
            for (int c = 0; c < Coef.Columns; c++)
            {
                coef.Data[(i * Coef.Columns) + c] = d.Coef[(i / perSample * Coef.Columns) + c];
            }
        }

        HostArray<double> Host(float[] values, bool move)
        {
            HostArray<double> array = KernelInputs.Host(one, values);
            for (int i = 0; i < all && move; i++)
            {
                array.Data[i] += 8 * Unit * Math.Max(Math.Abs(array.Data[i]), values == d.Variance ? 1 : 0);
            }

            return array;
        }

        var t = new Terms(all);
        HostArray<double> ones = new([all]);
        Array.Fill(ones.Data, 1);
        for (int moved = 0; moved < 5 && s.Bound; moved++)
        {
            HostArray<double>[] inputs = [Host(d.Output, moved == 1), Host(d.X0, moved == 2), Host(d.Xt, moved == 3), coef];
            inputs = s.ReadsVariance ? [.. inputs, Host(d.Variance, moved == 4)] : inputs;
            void Take(Op op, HostArray<double>[] operands, double[] values, double[] away, Shape result)
            {
                double[] got = KernelInputs.Twin(op, result, operands);
                for (int i = 0; i < all; i++)
                {
                    away[i] += moved == 0 ? 0 : Math.Abs(got[i] - values[i]);
                    values[i] = moved == 0 ? got[i] : values[i];
                }
            }

            Take(new VlbPerSample(mean, variance, s.Clip), inputs, t.Bound, t.BoundOff, [all]);
            Take(new VlbPerSampleGrad(mean, variance, s.Clip, 0), [.. inputs, ones], t.ByOutput, t.ByOutputOff, one);
            if (s.ReadsVariance)
            {
                Take(new VlbPerSampleGrad(mean, variance, s.Clip, 1), [.. inputs, ones], t.ByVariance, t.ByVarianceOff, one);
            }
        }

        for (int i = 0; i < all; i++)
        {
            ReadOnlySpan<float> k = d.Coef.AsSpan(i / perSample * Coef.Columns, Coef.Columns);
            double o = d.Output[i], x0 = d.X0[i], xt = d.Xt[i], v = d.Variance[i], a = (double)k[2] * x0, b = (double)k[3] * xt;
            t.Target[i] = s.GivenTarget ? d.Target[i] : a + b;
            t.TargetOff[i] = s.GivenTarget ? 0 : 8 * Unit * Math.Max(Math.Abs(a), Math.Abs(b));
            if (!s.Bound)
            {
                continue;
            }

            double log2 = Math.Log(2), logVariance = s.Variance == 0 ? v : s.Variance == 3 ? ((v + 1) / 2 * k[5]) + ((1 - v) / 2 * k[4]) : k[7];
            double slope = s.Variance == 3 ? 0.5 * Math.Abs((double)k[5] - k[4]) : 1, byMean = s.Mean == 0 ? 1 : s.Mean == 1 ? k[2] : (double)k[2] * k[1];
            if (k[8] != 0)
            {
                double apart = logVariance - k[4], ratio = Math.Exp(-apart), square = (2 * log2 * t.Bound[i]) + 1 - apart - ratio;
                double largest = Math.Max(Math.Max(1, Math.Abs(apart)), Math.Max(ratio, square));
                t.BoundOff[i] += 8 * Unit * largest / log2;
                t.ByOutputOff[i] += 8 * Unit * Math.Abs(t.ByOutput[i]);
                t.ByVarianceOff[i] += 8 * Unit * largest * slope / log2;
                continue;
            }

            double predicted = s.Mean == 1 ? o : (k[0] * xt) - (k[1] * o);
            double m = s.Mean == 0 ? o : (k[2] * (s.Clip ? Math.Clamp(predicted, -1, 1) : predicted)) + b;
            double inverse = Math.Exp(-0.5 * logVariance), up = inverse * (x0 - m + (1 / 255.0)), down = inverse * (x0 - m - (1 / 255.0)), p = Math.Exp(-t.Bound[i] * log2);
            (double aUp, double atUp) = Cdf(up);
            (double aDown, double atDown) = Cdf(down);
            double steep = 8 + (4 * Math.Min(Math.Max(aUp, aDown), 40)), unsure = 1e-15 / p, flat = 1e-15 * (1 + (up * up) + (down * down));
            t.BoundOff[i] += ((steep * Unit) + unsure) / log2;
            t.ByOutputOff[i] += ((((steep * Unit) + unsure) * (atUp + atDown)) + flat) * inverse / p * byMean / log2;
            t.ByVarianceOff[i] += ((((steep * Unit) + unsure) * ((atUp * Math.Abs(up)) + (atDown * Math.Abs(down)))) + (flat * (Math.Abs(up) + Math.Abs(down)))) / p * slope / log2;
        }

        return t;
    }

    /// <summary>|2 w(z)| and the density at z.</summary>
    private static (double Exponent, double Density) Cdf(double z)
    {
        double root = 2 * Math.Sqrt(2 / Math.PI), a = Math.Abs(root * (z + (0.044715 * z * z * z))), e = Math.Exp(-a);
        return (a, root * (1 + (3 * 0.044715 * z * z)) * e / ((1 + e) * (1 + e)));
    }

    private static string Describe(LossShape s) => string.Join(' ', new[]
    {
        s.Error ? s.GivenTarget ? "error" : "error of mean" : "", s.Bound ? $"bound {(VarianceKind)s.Variance}{(s.Clip ? " clip" : "")}{(s.Through ? " through" : "")}" : "",
        $"{(MeanKind)s.Mean}", s.Values ? "values" : "", s.Gradient ? "gradient" : "", s.Scaled ? "scaled" : "",
    }.Where(t => t.Length > 0));

    private sealed record Data(float[] X0, float[] Xt, float[] Output, float[] Variance, float[] Target, float[] Coef);

    /// <summary>Per element, in bits: values, and what each may be off by.</summary>
    private sealed class Terms(int count)
    {
        public double[] Target { get; } = new double[count];

        public double[] TargetOff { get; } = new double[count];

        public double[] Bound { get; } = new double[count];

        public double[] BoundOff { get; } = new double[count];

        public double[] ByOutput { get; } = new double[count];

        public double[] ByOutputOff { get; } = new double[count];

        public double[] ByVariance { get; } = new double[count];

        public double[] ByVarianceOff { get; } = new double[count];
    }
}

/// <summary>Log-probability of labels, or cross-entropy, and the gradient.</summary>
internal sealed class SelectCase(int samples, int classes, bool crossEntropy, bool values, bool gradient, string input = "normal") : KernelCase(
    "loss", $"{(crossEntropy ? "cross-entropy" : "log softmax")}{(values ? " values" : "")}{(gradient ? " gradient" : "")}", KernelDType.F32, $"{samples}x{classes}", input)
{
    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        const double Unit = 1.0 / (1 << 24);
        SelectPlan plan = LossKernels.PlanSelect(samples, classes, crossEntropy, values, gradient, limits);
        int stride = classes + (samples % 2 * 3);
        float[] logits = KernelInputs.Normal((long)samples * classes, 1, Input == "large" ? 1e4 : 4), weights = KernelInputs.Normal(samples, 2);
        int[] labels = [.. Enumerable.Range(0, samples).Select(i => i * 37 % classes)];
        if (Input == "bad label")
        {
            (labels[1], labels[2]) = (classes, -1);
        }

        KernelBuffer bLogits = work.Input("logits", logits, KernelDType.F32, classes, stride), bLabels = work.Input("labels", MemoryMarshal.AsBytes<int>(labels).ToArray());
        KernelBuffer? bWeight = gradient ? work.Input("weight", weights, KernelDType.F32) : null, bScale = gradient && samples == 3 ? work.Input("scale", [128f], KernelDType.F32) : null;
        KernelBuffer? value = values ? work.Output("value", 1, samples, KernelDType.F32) : null;
        KernelBuffer? d = gradient ? work.Output("gradient", samples, classes, KernelDType.F32, stride) : null;
        work.Run(plan, () =>
        [
            LossKernels.EnqueueSelect(plan, new SelectOperands
            {
                Logits = bLogits.Address,
                Stride = stride,
                Labels = bLabels.Address,
                Weight = bWeight?.Address ?? 0,
                Scale = bScale?.Address ?? 0,
                Value = value?.Address ?? 0,
                Gradient = d?.Address ?? 0,
                GradientStride = stride,
            }),
        ]);
        double[] expected = new double[samples], largest = new double[samples], slopes = new double[samples * classes], off = new double[samples * classes];
        for (int n = 0; n < samples; n++)
        {
            float[] row = logits[(n * classes)..((n + 1) * classes)];
            double max = row.Max(), sum = row.Sum(l => Math.Exp(l - max)), sign = crossEntropy ? -1 : 1, factor = sign * weights[n] * (bScale is null ? 1 : 128);
            bool valid = labels[n] >= 0 && labels[n] < classes;
            expected[n] = valid ? sign * (row[labels[n]] - max - Math.Log(sum)) : double.NaN;
            largest[n] = valid ? Math.Max(Math.Max(Math.Abs(row[labels[n]]), Math.Abs(max)), Math.Log(sum)) : 0;
            for (int k = 0; k < classes; k++)
            {
                // The exponent is rounded: its half unit is a relative error of the result. 16 units for the sum, its inverse, products; a
                // difference and two products with the factor at the label.
                double softmax = Math.Exp(row[k] - max) / sum, one = k == labels[n] ? 1 : 0;
                slopes[(n * classes) + k] = valid ? factor * (one - softmax) : double.NaN;
                off[(n * classes) + k] = Math.Abs(factor) * Unit * (((16 + (max - row[k])) * softmax) + (3 * one)) + 1e-44;
            }
        }

        if (value is not null)
        {
            work.Expect(value, expected, (i, _) => 8 * KernelNumbers.Ulp(largest[i], KernelDType.F32));
        }

        if (d is not null)
        {
            work.Expect(d, slopes, (i, _) => off[i]);
        }

        // Rows of any length begin anywhere in a sector. Maxima and the sum pass through a few words of shared memory.
        work.Gates = _ => new LaunchGates { Sectors = 1.6, Registers = 40, Bytes = classes < 100 ? null : 1.05 };
        return work;
    }
}
