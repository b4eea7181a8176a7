using static AdmNative.Cuda.LaunchRule;

namespace AdmNative.Cuda;

/// <summary>Gradients of weights and bias: sums over the pixels, cut into slices that are fixed by the plan and added in order.</summary>
public static partial class ConvKernels
{
    private const int LeastPixels = 512, MaxGradientSlices = 64;

    /// <summary>Plans dw (and db), replaced or added to.</summary>
    /// <param name="shape">Sizes of the forward convolution; Bias says whether there is a db.</param>
    /// <param name="dtype">Of x and dy.</param>
    /// <param name="accumulate">Adds to the gradients instead of replacing them.</param>
    /// <param name="limits">Of the device.</param>
    /// <param name="tile">64 or 128; 0 = choose.</param>
    /// <param name="slices">Slices of the pixels; 0 = choose.</param>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static ConvGradientPlan PlanWeightGradient(
        ConvShape shape, KernelDType dtype, bool accumulate, in DeviceLimits limits, int tile = 0, int slices = 0)
    {
        Validate(shape, dtype);
        (long pixels, int b, bool half, ConvShape s) = (shape.ResultPixels, dtype.Bytes(), dtype != KernelDType.F32, shape);
        Require(pixels <= 1L << 30, Op, $"a weight gradient may have 2^30 pixels of y, not {pixels}");
        long columns = (long)s.Side * s.Side * ConvShape.Padded(s.C, dtype), elements = s.K * columns;
        long Area(int side) => RoundUp(s.K, side) * RoundUp(columns, side);

        // A tile of 128 does half the shared-memory reads per product, worth half as much again of padding.
        int chosen = tile != 0 ? tile : !half || 2 * Area(128) > 3 * Area(64) ? 64 : 128;
        Require(chosen == 64 || (chosen == 128 && half), Op, $"tile {tile} is not offered in {dtype.Suffix()}");
        long tilesK = CeilDiv(s.K, chosen), tilesQ = CeilDiv(columns, chosen), tiles = tilesK * tilesQ;
        long wanted = slices != 0 ? slices : Math.Min(Math.Min(CeilDiv(2L * limits.SmCount, tiles), MaxGradientSlices), CeilDiv(pixels, LeastPixels));
        (int Slices, int Rows) weights = Cut(pixels, wanted, 64);

        int depth = half && chosen == 64 ? 64 : 32, stages = chosen == 64 ? 3 : limits.ResidentBlocks((int)Threads, LargeRegisters, 4 * StageBytes) >= 2 ? 4 : 3;
        long pairs = ValidGradientPairs(s), direct = weights.Slices == 1 ? (accumulate ? 8 : 4) * elements : 4L * weights.Slices * elements;
        long operands = (pixels * s.K * b * tilesQ) + (pairs * s.C * b * tilesK);
        long steps = Enumerable.Range(0, weights.Slices).Sum(i => CeilDiv(Math.Min(weights.Rows, pixels - ((long)i * weights.Rows)), depth));
        long mma = half ? tiles * steps * ((long)chosen * chosen / 128 * depth / 16) : 0;
        string entry = half ? $"conv_wgrad_{chosen}_s{stages}_{dtype.Suffix()}" : "conv_wgrad_f32";
        List<PlannedLaunch> launches =
            [new(entry, Linear(Op, checked(tiles * weights.Slices), Threads, (long)stages * StageBytes, limits), operands + direct, mma)];
        long weightBytes = 0, biasBytes = 0;
        if (weights.Slices > 1)
        {
            weightBytes = RoundUp(4L * weights.Slices * elements, 256);
            launches.Add(Sum(elements, weights.Slices, accumulate, limits));
        }

        (int Slices, int Rows) bias = default;
        if (s.Bias)
        {
            long slabs = CeilDiv(s.K, 32 * 16 / b), padded = RoundUp(s.K, 8);
            bias = Cut(pixels, Math.Min(Math.Min(CeilDiv(4L * limits.SmCount, slabs), MaxGradientSlices), CeilDiv(pixels, 64)), 8);
            biasBytes = RoundUp(4L * bias.Slices * padded, 256);
            launches.Add(new($"conv_colsum_{dtype.Suffix()}", Linear(Op, slabs * bias.Slices, 256, 0, limits), (pixels * s.K * b) + (4L * bias.Slices * padded)));
            launches.Add(Sum(s.K, bias.Slices, accumulate, limits));
        }

        return new(shape, dtype, chosen, weights, bias, accumulate, launches, weightBytes, weightBytes + biasBytes);
    }

    /// <summary>The launches of a plan.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static IReadOnlyList<KernelLaunch> EnqueueWeightGradient(ConvGradientPlan plan, in ConvGradientArguments a)
    {
        ArgumentNullException.ThrowIfNull(plan);
        (ConvShape s, KernelDType dtype) = (plan.Shape, plan.DType);
        foreach ((string name, ulong address) in (ReadOnlySpan<(string, ulong)>)[("x", a.X), ("dy", a.Dy), ("dw", a.Dw)])
        {
            Require(address != 0 && address % 16 == 0, Op, $"{name} must be 16-byte aligned, not {address}");
        }

        Require(s.Bias == (a.Db != 0) && a.Db % 16 == 0, Op, $"db must be given, 16-byte aligned, when the shape has a bias, else not");
        CheckWorkspace(Op, plan, a.Workspace);
        (long ldx, long ldy, _) = Strides(s, dtype, ConvPass.Forward);
        (uint magicP, uint shiftP) = ConvGeometry.Magic((long)s.ResultH * s.ResultW);
        (uint magicW, uint shiftW) = ConvGeometry.Magic(s.ResultW);
        bool sliced = plan.Slices > 1;
        int at = 0;
        List<KernelLaunch> launches =
        [
            KernelLaunch.Of(plan.Launches[at++], new ConvGradParams
            {
                X = a.X,
                Dy = a.Dy,
                Out = sliced ? a.Workspace : a.Dw,
                Ldx = ldx,
                Ldy = ldy,
                H = s.H,
                W = s.W,
                C = s.C,
                K = s.K,
                Side = s.Side,
                Stride = s.Stride,
                Up = s.Upsample ? 1 : 0,
                M = (int)s.ResultPixels,
                Ho = s.ResultH,
                Wo = s.ResultW,
                MagicP = magicP,
                ShiftP = shiftP,
                MagicW = magicW,
                ShiftW = shiftW,
                Slices = plan.Slices,
                Rows = plan.Weights.Rows,
                Accumulate = plan.Accumulate && !sliced ? 1 : 0,
            }),
        ];
        if (sliced)
        {
            long elements = s.WeightElements(dtype);
            launches.Add(SumOf(plan.Launches[at++], a.Workspace, a.Dw, elements, elements, plan.Slices, plan.Accumulate));
        }

        if (s.Bias)
        {
            ulong partial = a.Workspace + (ulong)plan.WeightWorkspaceBytes;
            launches.Add(KernelLaunch.Of(plan.Launches[at++], new ConvColumnsParams
            {
                Y = a.Dy,
                Partial = partial,
                Ldy = ldy,
                M = (int)s.ResultPixels,
                K = s.K,
                Rows = plan.BiasSlices.Rows,
                Slabs = (int)CeilDiv(s.K, 32 * 16 / dtype.Bytes()),
            }));
            launches.Add(SumOf(plan.Launches[at], partial, a.Db, s.K, RoundUp(s.K, 8), plan.BiasSlices.Slices, plan.Accumulate));
        }

        return launches;
    }

    /// <summary>At most so many slices, of whole units, none empty.</summary>
    private static (int Slices, int Rows) Cut(long pixels, long slices, int unit)
    {
        long rows = RoundUp(CeilDiv(pixels, Math.Max(1, slices)), unit);
        return ((int)CeilDiv(pixels, rows), (int)rows);
    }

    private static PlannedLaunch Sum(long count, int slices, bool accumulate, in DeviceLimits limits) =>
        new("conv_sum_f32", Linear(Op, CeilDiv(count, 1024), 256, 0, limits), 4 * count * (slices + (accumulate ? 2 : 1)));

    private static KernelLaunch SumOf(PlannedLaunch launch, ulong partial, ulong result, long count, long stride, int slices, bool accumulate) =>
        KernelLaunch.Of(launch, new ConvSumParams { Partial = partial, Out = result, Stride = stride, Count = (int)count, Slices = slices, Accumulate = accumulate ? 1 : 0 });

    /// <summary>Pairs of a pixel of y and a place of the filter whose source pixel exists.</summary>
    private static long ValidGradientPairs(ConvShape s)
    {
        int up = s.Upsample ? 2 : 1, pad = s.Side / 2;
        long Axis(int result, int size) => Enumerable.Range(-pad, s.Side).Sum(
            r => Math.Max(0, Math.Min(result - 1, (int)Math.Floor((double)((size * up) - 1 - r) / s.Stride)) - Math.Max(0, -(int)Math.Floor((double)r / s.Stride)) + 1L));
        return s.N * Axis(s.ResultH, s.H) * Axis(s.ResultW, s.W);
    }
}
