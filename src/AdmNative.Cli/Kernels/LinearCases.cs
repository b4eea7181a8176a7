using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Cases of linear layers: kernels/linear.cu, linear_grad.cu, linear_f32.cu.</summary>
internal static class LinearCases
{
    /// <summary>All.</summary>
    public static IEnumerable<KernelCase> All()
    {
        foreach (KernelDType dtype in KernelDTypes.All)
        {
            foreach (LinearWork work in Enum.GetValues<LinearWork>())
            {
                yield return new LinearCase(new(1, 1, 8), dtype, work, "integers");
                yield return new LinearCase(new(3, 72, 192) { Residual = true }, dtype, work);
                yield return new LinearCase(new(7, 37, 104) { Residual = true, StrideX = 128, StrideY = 48 }, dtype, work);
                yield return new LinearCase(new(16, 200, 72) { Bias = false }, dtype, work, "integers");
                yield return new LinearCase(new(33, 70, 96) { Residual = true }, dtype, work, "integers");
                yield return new LinearCase(new(64, 96, 32), dtype, work);
                yield return new LinearCase(new(8, 768, 192), dtype, work) { Full = true };
                yield return new LinearCase(new(64, 768, 768), dtype, work) { Layer = true };
                yield return new LinearCase(new(8, 20_352, 768), dtype, work) { Layer = true };
            }

            yield return new LinearCase(new(9, 48, 160) { Residual = true, Silu = true }, dtype, LinearWork.Forward);
            yield return new LinearCase(new(9, 40, 64), dtype, LinearWork.Forward, "one row NaN");
            yield return new LinearCase(new(9, 40, 64), dtype, LinearWork.InputGradient, "one row NaN");
            yield return new LinearCase(new(5, 333, 72) { Residual = true }, dtype, LinearWork.InputGradient, "integers", slices: 4);
            yield return new LinearCase(new(200, 24, 8), dtype, LinearWork.WeightGradient, "integers");
        }
    }
}

/// <summary>What a case of a linear layer computes.</summary>
internal enum LinearWork
{
    /// <summary>y.</summary>
    Forward,

    /// <summary>dx.</summary>
    InputGradient,

    /// <summary>dW and db.</summary>
    WeightGradient,
}

/// <summary>A linear layer or one of its gradients against the definition in f64.</summary>
internal sealed class LinearCase(LinearShape shape, KernelDType dtype, LinearWork kind, string input = "normal", int slices = 0)
    : KernelCase("linear", Describe(shape, kind), dtype, $"{shape.N}x{shape.K}->{shape.M}", input + (slices > 0 ? $", {slices} slices" : ""))
{
    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        LinearShape s = shape;
        (long n, long m, long k) = (s.N, s.M, s.K);
        long ldx = s.StrideX != 0 ? s.StrideX : k, ldy = s.StrideY != 0 ? s.StrideY : (m + (16 / DType.Bytes()) - 1) / (16 / DType.Bytes()) * (16 / DType.Bytes());
        float[] x = Data(n * k, 1), w = Data(m * k, 2), dy = Data(n * m, 3), bias = Data(m, 4, KernelDType.F32);
        if (Input == "one row NaN")
        {
            x.AsSpan((int)k, (int)k).Fill(float.NaN);
            dy.AsSpan((int)m, (int)m).Fill(float.NaN);
        }

        bool aligned = k * DType.Bytes() % 32 == 0 && ldx * DType.Bytes() % 32 == 0 && ldy * DType.Bytes() % 32 == 0 && m * DType.Bytes() % 32 == 0;
        work.Gates = launch => new LaunchGates
        {
            // Rows that begin or end inside a sector; where results are no whole vectors, the sum of a bias gradient's slices ends element by element.
            Sectors = aligned ? 1.05 : 2.1,
            Conflicts = launch.Entry.StartsWith("linear", StringComparison.Ordinal) ? 0 : 0.02,
            Registers = launch.Entry.StartsWith("linear_dx", StringComparison.Ordinal) ? 168 : 128,
        };
        switch (kind)
        {
            case LinearWork.Forward:
                LinearPlan plan = LinearKernels.Plan(s, DType, limits);
                float[] residual = s.Residual ? Data(n * m, 5) : [];
                KernelBuffer bx = work.Input("x", x, DType, k, ldx), bw = work.Input("weights", w, DType, k), y = work.Output("y", n, m, DType, ldy);
                KernelBuffer? bb = s.Bias ? work.Input("bias", bias, KernelDType.F32) : null;
                KernelBuffer? br = s.Residual ? work.Input("residual", residual, DType, m, ldy) : null;
                work.Run(plan, () => [LinearKernels.Enqueue(plan, new(bx.Address, bw.Address, y.Address) { Bias = bb?.Address ?? 0, Residual = br?.Address ?? 0 })]);
                Expect(work, y, DType, k, Product(x, w, n, m, k, k, 1, k, 1), s.Bias ? i => bias[i % m] : null, s.Residual ? i => residual[i] : null, s.Silu);
                break;

            case LinearWork.InputGradient:
                LinearInputPlan inputPlan = LinearKernels.PlanInputGradient(s, DType, limits, slices);
                float[] addend = s.Residual ? Data(n * k, 6) : [];
                KernelBuffer bdy = work.Input("dy", dy, DType, m, ldy), weights = work.Input("weights", w, DType, k), dx = work.Output("dx", n, k, DType, ldx);
                KernelBuffer? ba = s.Residual ? work.Input("addend", addend, DType, k, ldx) : null, sums = work.Workspace(inputPlan);
                work.Run(inputPlan, () =>
                    LinearKernels.EnqueueInputGradient(inputPlan, new(bdy.Address, weights.Address, dx.Address, ba?.Address ?? 0, sums?.Address ?? 0)));
                Expect(work, dx, DType, m, Product(dy, w, n, k, m, m, 1, 1, k), s.Residual ? i => addend[i] : null);
                break;

            default:
                bool accumulate = s.N % 2 == 1;
                LinearWeightPlan weightPlan = LinearKernels.PlanWeightGradient(s, DType, accumulate, limits);
                float[] oldW = Data(m * k, 7, KernelDType.F32), oldB = Data(m, 8, KernelDType.F32), ones = [.. Enumerable.Repeat(1f, s.N)];
                KernelBuffer gx = work.Input("x", x, DType, k, ldx), gdy = work.Input("dy", dy, DType, m, ldy);
                KernelBuffer dw = accumulate ? work.Input("dw", oldW, KernelDType.F32, k) : work.Output("dw", m, k, KernelDType.F32);
                KernelBuffer? db = !s.Bias ? null : accumulate ? work.Input("db", oldB, KernelDType.F32) : work.Output("db", 1, m, KernelDType.F32);
                KernelBuffer? slots = work.Workspace(weightPlan);
                work.Run(weightPlan, () =>
                    LinearKernels.EnqueueWeightGradient(weightPlan, new(gx.Address, gdy.Address, dw.Address, db?.Address ?? 0, slots?.Address ?? 0)));
                Expect(work, dw, KernelDType.F32, n, Product(dy, x, m, k, n, 1, m, 1, k), accumulate ? i => oldW[i] : null);
                if (db is not null)
                {
                    Expect(work, db, KernelDType.F32, n, Product(dy, ones, m, 1, n, 1, m, 0, 1), accumulate ? i => oldB[i] : null, null, false, 8 * Math.ScaleB(1, -24));
                }

                break;
        }

        return work;
    }

    private static string Describe(LinearShape s, LinearWork kind) => string.Join(' ', new[]
    {
        kind switch { LinearWork.Forward => "forward", LinearWork.InputGradient => "input gradient", _ => "weight gradient" },
        kind == LinearWork.WeightGradient ? (s.Bias ? "bias" : "") : s.Residual ? "residual" : "",
        s.Silu ? "silu" : "", s.StrideX != 0 ? "wide rows" : "",
    }.Where(t => t.Length > 0));

    /// <summary>sum[i, j] and sum|.| over d of a[i, d] b[j, d], given by strides.</summary>
    private static (double[] Sum, double[] Magnitude) Product(float[] a, float[] b, long rows, long columns, long depth, long ai, long ad, long bi, long bd)
    {
        double[] sum = new double[rows * columns], magnitude = new double[rows * columns];
        Parallel.For(0, rows, i =>
        {
            for (long d = 0; d < depth; d++)
            {
                double v = a[(i * ai) + (d * ad)];
                for (long j = 0; j < columns; j++)
                {
                    double term = v * b[(j * bi) + (d * bd)];
                    sum[(i * columns) + j] += term;
                    magnitude[(i * columns) + j] += Math.Abs(term);
                }
            }
        });
        return (sum, magnitude);
    }

    /// <summary>
    /// f32 products: 2^-23 sqrt(depth) sum|a b|; f16 and bf16: 4e-7 sum|a b|; one unit in the last place of a half result more; integers: bits, after the one
    /// rounding. SiLU's slope is at most 1.1; its own arithmetic, approximate in half types, is good to 16 units of f32. The sum of columns has its own factor.
    /// </summary>
    private void Expect(
        CaseWork work, KernelBuffer buffer, KernelDType result, long depth, (double[] Sum, double[] Magnitude) product, Func<long, double>? first,
        Func<long, double>? second = null, bool silu = false, double? ofSums = null)
    {
        (double[] sum, double[] magnitude) = product;
        for (long i = 0; i < sum.LongLength; i++)
        {
            double a = first?.Invoke(i) ?? 0, b = second?.Invoke(i) ?? 0, total = sum[i] + a + b;
            magnitude[i] += Math.Abs(a) + Math.Abs(b);
            sum[i] = silu ? total / (1 + Math.Exp(-total)) : input == "integers" ? KernelNumbers.Decode(KernelNumbers.Encode((float)total, result), result) : total;
        }

        double factor = ofSums ?? (DType == KernelDType.F32 ? Math.ScaleB(Math.Sqrt(depth), -23) : 4e-7);
        Tolerance product1 = Tolerances.Product(result, magnitude, silu ? 1.1 * factor : factor);
        work.Expect(buffer, sum, input == "integers" ? Tolerances.Exact : silu ? (i, r) => product1(i, r) + (16 * KernelNumbers.Ulp(r, KernelDType.F32)) : product1);
    }

    private float[] Data(long count, uint seed, KernelDType? type = null) => input == "integers"
        ? KernelInputs.Integers(count, seed, 5)
        : KernelNumbers.Rounded(KernelInputs.Normal(count, seed), type ?? DType);
}
