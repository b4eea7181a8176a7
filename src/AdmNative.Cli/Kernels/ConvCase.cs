using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>What a convolution case computes.</summary>
internal enum ConvWork
{
    /// <summary>y.</summary>
    Forward,

    /// <summary>Flipped weights, then dx.</summary>
    InputGradient,

    /// <summary>dw and db.</summary>
    WeightGradient,
}

/// <summary>A convolution or one of its gradients against the definition in f64.</summary>
internal sealed class ConvCase(ConvShape shape, KernelDType dtype, ConvWork kind, string input = "normal", int tile = 0, int slices = 0, int pad = 0, bool compared = false)
    : KernelCase("conv", Describe(shape, kind), dtype, $"{shape.N}x{shape.H}x{shape.W}x{shape.C} K{shape.K}", KindOf(input, tile, slices, pad))
{
    /// <inheritdoc/>
    public override IReadOnlyList<KernelVariant> Variants => compared ? ConvVersionCase.Of(shape, DType) : [];

    /// <summary>f32: 2^-23 sqrt(depth) sum|a b|; f16 and bf16: one unit in the last place + 4e-7 sum|a b|.</summary>
    public static Tolerance Allowed(double[] magnitudes, KernelDType dtype, KernelDType result, long depth) =>
        Tolerances.Product(result, magnitudes, dtype == KernelDType.F32 ? Math.ScaleB(Math.Sqrt(depth), -23) : 4e-7);

    /// <summary>
    /// Products: no bank conflicts, and one barrier of four warps for each step and one for each block (two with statistics, three with slices). Rows that are no whole
    /// sectors cost more of them; fewer than eight channels are written one by one.
    /// </summary>
    /// <param name="launch">Of the case.</param>
    /// <param name="s">With strides.</param>
    /// <param name="dtype">Of activations and weights.</param>
    /// <param name="plan">Of the product; null for a weight gradient.</param>
    public static LaunchGates ProductGates(PlannedLaunch launch, ConvShape s, KernelDType dtype, ConvPlan? plan)
    {
        bool sliced = plan?.Slices > 1;
        int barriersPerBlock = sliced ? 3 : plan?.HasStatistics == true ? 2 : 1;
        bool forward = launch.Entry.Contains("igemm", StringComparison.Ordinal), product = forward || launch.Entry.Contains("wgrad", StringComparison.Ordinal);
        bool large = launch.Entry.Contains("_128_", StringComparison.Ordinal);
        bool aligned = new[] { s.C, s.K, s.StrideX, s.StrideY }.All(count => count * dtype.Bytes() % 32 == 0);
        long? steps = launch.MmaInstructions == 0 ? null : launch.MmaInstructions / (large ? 256 : 128);
        return new LaunchGates
        {
            Sectors = aligned ? 1.05 : Math.Min(s.C, s.K) >= 8 ? 2 : 3,
            Conflicts = product ? 0 : 0.02,
            Barriers = steps is null ? null : 4 * (steps + (forward ? barriersPerBlock * launch.Shape.GridX : 0)),
            Atomics = forward && sliced ? launch.Shape.GridX : 0, // a ticket per block
            Registers = !product ? 64 : large ? 240 : 128,
        };
    }

    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        ConvShape s = Strided();
        var data = new ConvData(s, DType, input);
        switch (kind)
        {
            case ConvWork.Forward:
                Forward(work, s, data, limits);
                break;
            case ConvWork.InputGradient:
                InputGradient(work, s, data, limits);
                break;
            default:
                WeightGradient(work, s, data, limits);
                break;
        }

        return work;
    }

    /// <inheritdoc/>
    public override IReadOnlyList<KernelPlan> Plans(in DeviceLimits limits)
    {
        ConvShape s = Strided();
        return kind switch
        {
            ConvWork.Forward => [ConvKernels.Plan(s, DType, limits, false, tile, slices)],
            ConvWork.InputGradient => [ConvKernels.PlanFlip(s, DType, limits), ConvKernels.PlanInputGradient(s, DType, limits, tile, slices)],
            _ => [ConvKernels.PlanWeightGradient(s, DType, s.N % 2 == 0, limits, tile, slices)],
        };
    }

    private ConvShape Strided()
    {
        long StrideOf(int channels) => ConvShape.Padded(channels, DType) + (long)(pad * 16 / DType.Bytes());
        return shape with { StrideX = StrideOf(shape.C), StrideY = StrideOf(shape.K), StrideResidual = StrideOf(kind == ConvWork.Forward ? shape.K : shape.C) };
    }

    private static string Describe(ConvShape s, ConvWork kind) => string.Join(' ', new[]
    {
        kind switch { ConvWork.Forward => "forward", ConvWork.InputGradient => "input gradient", _ => "weight gradient" }, $"{s.Side}x{s.Side}",
        s.Stride == 2 ? "stride 2" : "", s.Upsample ? "upsampled" : "", s.Residual ? "residual" : "",
    }.Where(t => t.Length > 0));

    private static string KindOf(string input, int tile, int slices, int pad) => string.Join(", ", new[]
    {
        input, tile == 0 ? "" : $"tile {tile}", slices == 0 ? "" : $"{slices} slices", pad == 0 ? "" : "wide rows",
    }.Where(t => t.Length > 0));

    /// <summary>
    /// A weight gradient is an f32 reduction over pixels: 8 x 2^-24 sum|terms|, as for other reductions; and tensor cores truncate the running sum, about
    /// |ref| at the end, at each of (pixels of a slice / 16) products, by 2^-22 of it (docs/virtual-device.md).
    /// </summary>
    private Tolerance AllowedSum(double[] magnitudes, long pixels, int slices)
    {
        if (input == "integers" || DType == KernelDType.F32)
        {
            return Allowed(magnitudes, KernelDType.F32, pixels);
        }

        Tolerance sum = Tolerances.Sum(magnitudes);
        double truncation = Math.ScaleB(Math.Ceiling(pixels / 16.0 / slices), -22);
        return (i, r) => sum(i, r) + (truncation * Math.Abs(r));
    }

    /// <summary>Whole numbers must come out with the bits of one rounding.</summary>
    private Tolerance Allowed(double[] magnitudes, KernelDType result, long depth) => input == "integers" ? Tolerances.Exact : Allowed(magnitudes, DType, result, depth);

    private void Forward(CaseWork work, ConvShape s, ConvData data, in DeviceLimits limits)
    {
        ConvPlan plan = ConvKernels.Plan(s, DType, limits, false, tile, slices);
        KernelBuffer x = work.Input("x", data.X, DType, s.C, s.StrideX), w = Weights(work, s, data), y = work.Output("y", s.ResultPixels, s.K, DType, s.StrideY);
        KernelBuffer? bias = s.Bias ? work.Input("bias", data.Bias, KernelDType.F32) : null;
        KernelBuffer? residual = s.Residual ? work.Input("residual", data.ResidualY, DType, s.K, s.StrideResidual) : null;
        KernelBuffer? workspace = work.Workspace(plan), tickets = work.Tickets(plan.TicketBytes);
        work.Gates = launch => ProductGates(launch, s, DType, plan);
        work.Run(plan, () => ConvKernels.Enqueue(plan, new ConvArguments(x.Address, w.Address, y.Address)
        {
            Bias = bias?.Address ?? 0,
            Residual = residual?.Address ?? 0,
            Workspace = workspace?.Address ?? 0,
            Tickets = tickets?.Address ?? 0,
        }));
        work.Expect(y, Reference(data.Forward(false), DType), Allowed(data.Forward(true), DType, (long)s.Side * s.Side * s.C));
    }

    private void InputGradient(CaseWork work, ConvShape s, ConvData data, in DeviceLimits limits)
    {
        ConvFlipPlan flip = ConvKernels.PlanFlip(s, DType, limits);
        ConvPlan plan = ConvKernels.PlanInputGradient(s, DType, limits, tile, slices);
        int padded = ConvShape.Padded(s.K, DType);
        KernelBuffer dy = work.Input("dy", data.Dy, DType, s.K, s.StrideY), w = Weights(work, s, data);
        KernelBuffer flipped = work.Output("flipped weights", (long)s.C * s.Side * s.Side, padded, DType), dx = work.Output("dx", (long)s.N * s.H * s.W, s.C, DType, s.StrideX);
        KernelBuffer? addend = s.Residual ? work.Input("addend", data.ResidualX, DType, s.C, s.StrideResidual) : null;
        KernelBuffer? workspace = work.Workspace(plan), tickets = work.Tickets(plan.TicketBytes);
        work.Gates = launch => ProductGates(launch, s, DType, plan);
        work.Run(flip, () => ConvKernels.EnqueueFlip(flip, w.Address, flipped.Address));
        work.Run(plan, () => ConvKernels.Enqueue(plan, new ConvArguments(dy.Address, flipped.Address, dx.Address)
        {
            Residual = addend?.Address ?? 0,
            Workspace = workspace?.Address ?? 0,
            Tickets = tickets?.Address ?? 0,
        }));
        work.Expect(flipped, data.Flipped(padded), Tolerances.Exact);
        work.Expect(dx, Reference(data.InputGradient(false), DType), Allowed(data.InputGradient(true), DType, (long)s.Side * s.Side * s.K * (s.Upsample ? 4 : 1)));
    }

    private void WeightGradient(CaseWork work, ConvShape s, ConvData data, in DeviceLimits limits)
    {
        bool accumulate = s.N % 2 == 0;
        ConvGradientPlan plan = ConvKernels.PlanWeightGradient(s, DType, accumulate, limits, tile, slices);
        int padded = ConvShape.Padded(s.C, DType);
        long rows = (long)s.K * s.Side * s.Side;
        float[] oldW = KernelInputs.Integers(rows * padded, 8, 5), oldB = KernelInputs.Integers(s.K, 9, 5);
        KernelBuffer x = work.Input("x", data.X, DType, s.C, s.StrideX), dy = work.Input("dy", data.Dy, DType, s.K, s.StrideY);
        KernelBuffer dw = accumulate ? work.Input("dw", oldW, KernelDType.F32, padded) : work.Output("dw", rows, padded, KernelDType.F32);
        KernelBuffer db = accumulate ? work.Input("db", oldB, KernelDType.F32) : work.Output("db", 1, s.K, KernelDType.F32);
        KernelBuffer? workspace = work.Workspace(plan);
        work.Gates = launch => ProductGates(launch, s, DType, plan: null);
        work.Run(plan, () => ConvKernels.EnqueueWeightGradient(plan, new(x.Address, dy.Address, dw.Address, db.Address, workspace?.Address ?? 0)));
        double[] Added(double[] gradient, float[] old) => accumulate ? [.. gradient.Zip(old, (g, o) => g + o)] : gradient;
        double[] Magnitude(double[] gradient, float[] old) => accumulate ? [.. gradient.Zip(old, (g, o) => g + Math.Abs(o))] : gradient;
        work.Expect(dw, Added(data.WeightGradient(false, padded), oldW), AllowedSum(Magnitude(data.WeightGradient(true, padded), oldW), s.ResultPixels, plan.Slices));
        work.Expect(db, Added(data.BiasGradient(false), oldB), Tolerances.Sum(Magnitude(data.BiasGradient(true), oldB)));
    }

    private KernelBuffer Weights(CaseWork work, ConvShape s, ConvData data) => work.Input("weights", data.Weights, DType, s.C, ConvShape.Padded(s.C, DType));

    private double[] Reference(double[] values, KernelDType dtype) => input != "integers" ? values
        : Array.ConvertAll(values, v => KernelNumbers.Decode(KernelNumbers.Encode((float)v, dtype), dtype));
}
