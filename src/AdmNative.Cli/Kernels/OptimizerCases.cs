using System.Runtime.InteropServices;
using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Cases of kernels/optim.cu.</summary>
internal static class OptimizerCases
{
    /// <summary>All.</summary>
    public static IEnumerable<KernelCase> All()
    {
        foreach (KernelDType dtype in KernelDTypes.All)
        {
            foreach (int n in (int[])[1, 3, 4096, 4097, 10_007])
            {
                yield return new OptimizerCase(dtype, n, steps: 3, ema: n % 2 == 1, copy: dtype != KernelDType.F32, scaled: dtype == KernelDType.F16);
            }
        }

        yield return new OptimizerCase(KernelDType.BF16, 77, steps: 100, ema: true, copy: true, scaled: false);

        yield return new OptimizerCase(KernelDType.F16, 4100, steps: 3, ema: true, copy: true, scaled: true, overflowAt: 1);
        yield return new OptimizerCase(KernelDType.F16, 2049, steps: 2, ema: true, copy: true, scaled: true, overflowAt: 1);
        yield return new OptimizerCase(KernelDType.F32, 5000, steps: 2, ema: true, copy: false, scaled: false, maxNorm: 0.5);
        yield return new OptimizerCase(KernelDType.F16, 1 << 20, steps: 1, ema: true, copy: true, scaled: true) { Layer = true };
    }
}

/// <summary>Some steps from fresh moments; with <paramref name="overflowAt"/>, the gradients of that step overflow and it must change nothing but the scale.</summary>
internal sealed class OptimizerCase(KernelDType dtype, int elements, int steps, bool ema, bool copy, bool scaled, int overflowAt = -1, double maxNorm = 0)
    : KernelCase(
    "optim", $"adamw {steps} steps{(ema ? " ema" : "")}{(copy ? " copy" : "")}{(scaled ? " scaled" : "")}{(maxNorm > 0 ? " clip" : "")}", dtype, $"{elements}",
    overflowAt < 0 ? "normal" : $"overflow at {overflowAt}")
{
    private const double SlowRate = 0.9;

    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        var settings = new OptimizerSettings { LearningRate = 1e-3, WeightDecay = 0.05, EmaRate = 0.99, Scaled = scaled, MaxNorm = maxNorm };
        OptimizerPlan plan = OptimizerKernels.Plan(elements, ema, copy, DType, limits);
        EmaPlan slowPlan = OptimizerKernels.PlanEma(elements, limits);
        OptimizerState start = OptimizerState.Start(scaled ? 10 : 0);
        float[] weights = KernelInputs.Normal(elements, 1, 0.1), zeros = new float[elements], average = KernelInputs.Normal(elements, 2, 0.1);
        KernelBuffer p = work.Input("parameters", weights, KernelDType.F32), m = work.Input("moment 1", zeros, KernelDType.F32);
        KernelBuffer v = work.Input("moment 2", zeros, KernelDType.F32);
        KernelBuffer? e = ema ? work.Input("average", average, KernelDType.F32) : null;
        KernelBuffer? slow = ema ? work.Input("slow average", average, KernelDType.F32) : null;
        KernelBuffer? half = copy ? work.Input("copy", zeros, DType) : null;
        KernelBuffer state = work.Input("state", MemoryMarshal.AsBytes<OptimizerState>([start]).ToArray());
        KernelBuffer partial = work.Workspace(plan)!;

        double[] wp = Doubles(weights), wm = new double[elements], wv = new double[elements], we = Doubles(average), ws = Doubles(average);
        float lg = scaled ? 10 : 0; // kept in f32 on the device too
        double norm = 0, parameters = 0, clip = 1;
        int made = 0;
        for (int step = 0; step < steps; step++)
        {
            double scale = Math.Pow(2, lg);
            float[] gradients = KernelInputs.Normal(elements, (uint)(10 + step), 0.02 * scale);
            if (step == overflowAt)
            {
                gradients[elements - 1] = float.PositiveInfinity;
            }

            KernelBuffer g = work.Input($"gradients {step}", gradients, KernelDType.F32);
            work.Run(plan, () => OptimizerKernels.Enqueue(plan, new OptimizerOperands
            {
                Parameters = p.Address,
                Moment1 = m.Address,
                Moment2 = v.Address,
                Ema = e?.Address ?? 0,
                Copy = half?.Address ?? 0,
                Gradients = g.Address,
                State = state.Address,
            }, settings, partial.Address));
            if (slow is not null)
            {
                work.Run(slowPlan, () => [OptimizerKernels.EnqueueEma(slowPlan, p.Address, slow.Address, state.Address, SlowRate)]);
            }

            parameters = Math.Sqrt(wp.Sum(w => w * w));
            norm = Math.Sqrt(gradients.Sum(x => (double)x * x)) / scale;
            if (step == overflowAt)
            {
                lg -= 1;
                continue;
            }

            made++;
            clip = maxNorm > 0 && norm > maxNorm ? maxNorm / norm : 1;
            double step1 = settings.LearningRate / (1 - Math.Pow(settings.Beta1, made)), root = 1 / Math.Sqrt(1 - Math.Pow(settings.Beta2, made));
            for (int i = 0; i < elements; i++)
            {
                double x = gradients[i] / scale * clip;
                wm[i] = (settings.Beta1 * wm[i]) + ((1 - settings.Beta1) * x);
                wv[i] = (settings.Beta2 * wv[i]) + ((1 - settings.Beta2) * x * x);
                wp[i] = (wp[i] * (1 - (settings.LearningRate * settings.WeightDecay))) - (step1 * wm[i] / ((Math.Sqrt(wv[i]) * root) + settings.Epsilon));
                we[i] += (1 - settings.EmaRate) * (wp[i] - we[i]);
                ws[i] += (1 - SlowRate) * (wp[i] - ws[i]);
            }

            lg += scaled ? (float)settings.ScaleGrowth : 0;
        }

        // 4 units in the last place per step, and 1e-5 in the long run; a moment or weight near zero after cancellation is judged by the
        // terms it is a sum of. The scale 2^lg is good to 2 units, the norm behind a clip factor to 8: both enter the second moment squared.
        int units = 4 + (scaled ? 4 : 0) + (maxNorm > 0 ? 16 : 0);
        Tolerance Steps(double floor) => (_, r) => Math.Min(
            units * steps * KernelNumbers.Ulp(Math.Max(Math.Abs(r), floor), KernelDType.F32), Math.Max(1e-5 * Math.Max(Math.Abs(r), floor), 1e-9));
        Tolerance weight = Steps(settings.LearningRate);
        work.Expect(p, wp, weight);
        work.Expect(m, wm, Steps(0.01));
        work.Expect(v, wv, Steps(1e-6));
        if (ema)
        {
            work.Expect(e!, we, Steps(0.1));
            work.Expect(slow!, ws, Steps(0.1));
        }

        if (half is not null)
        {
            work.Expect(half, wp, (i, r) => (0.5 * KernelNumbers.Ulp(r, DType)) + weight(i, r));
        }

        work.ExpectBytes(state, bytes => Judge(MemoryMarshal.Read<OptimizerState>(bytes), made, lg, norm, parameters, clip));
        work.Gates = l => new LaunchGates { Registers = 72, Bytes = elements < 2048 || l.Entry.Contains("control", StringComparison.Ordinal) ? null : 1.03 };
        return work;
    }

    private static double[] Doubles(float[] values) => [.. values.Select(v => (double)v)];

    /// <summary>What is wrong with the state; null when nothing is.</summary>
    private string? Judge(in OptimizerState s, int made, double lg, double norm, double parameters, double clip)
    {
        bool skipped = overflowAt == steps - 1, infinite = double.IsInfinity(norm);
        double power1 = Math.Pow(0.9, made), power2 = Math.Pow(0.999, made);
        return s.Steps != made ? $"{s.Steps} steps, expected {made}"
            : s.Skip != (skipped ? 1 : 0) || s.SkippedInRow != s.Skip ? $"skip is {s.Skip}, {s.SkippedInRow} in a row"
            : s.LgScale != (float)lg ? $"log of the scale is {s.LgScale}, expected {lg}"
            : Off(s.Scale, Math.Pow(2, lg)) ? $"the scale is {s.Scale}, expected {Math.Pow(2, lg)}"
            : infinite ? (float.IsInfinity(s.GradientNorm) ? null : $"the norm is {s.GradientNorm}, expected infinity")
            : Off(s.GradientNorm, norm) ? $"the norm of the gradients is {s.GradientNorm}, expected {norm}"
            : Off(s.ParameterNorm, parameters, 8 + (4 * steps)) ? $"the norm of the parameters is {s.ParameterNorm}, expected {parameters}"
            : Off(s.Clip, clip) ? $"the clip factor is {s.Clip}, expected {clip}"
            : Off(s.Factor * s.UsedScale, clip) ? $"the factor is {s.Factor} after a scale of {s.UsedScale}"
            : Math.Abs(s.Power1 - power1) > 1e-12 || Math.Abs(s.Power2 - power2) > 1e-12 ? $"b^k is {s.Power1} and {s.Power2}, expected {power1} and {power2}"
            : null;
    }

    /// <summary>More than 8 x 2^-24 away, the guide's bound for sums of terms of one sign; steps before add 4 each.</summary>
    private static bool Off(float value, double expected, int units = 8) => !(Math.Abs(value - expected) <= units * Math.ScaleB(expected, -24));
}
