using static AdmNative.Cuda.LaunchRule;

namespace AdmNative.Cuda;

/// <summary>Addresses of a convolution or input gradient.</summary>
/// <param name="X">x; for an input gradient dy.</param>
/// <param name="Weights">[K, side, side, C]; for an input gradient the flipped weights [C, side, side, K] of <see cref="ConvKernels.PlanFlip"/>.</param>
/// <param name="Y">y; for an input gradient dx.</param>
public readonly record struct ConvArguments(ulong X, ulong Weights, ulong Y)
{
    /// <summary>[K] f32 when the shape has a bias (forward).</summary>
    public ulong Bias { get; init; }

    /// <summary>What is added, when the shape says so; may be Y itself.</summary>
    public ulong Residual { get; init; }

    /// <summary>Sums for a following group norm, StatisticsBytes of the plan.</summary>
    public ulong Statistics { get; init; }

    /// <summary>WorkspaceBytes of the plan, 256-byte aligned.</summary>
    public ulong Workspace { get; init; }

    /// <summary>TicketBytes of the plan, all zero; zero again when the launch has ended. Launches that may run at the same time must not share them.</summary>
    public ulong Tickets { get; init; }
}

/// <summary>Addresses of a weight gradient.</summary>
/// <param name="X">x.</param>
/// <param name="Dy">dy.</param>
/// <param name="Dw">[K, side, side, C] f32, C in whole 16 bytes of the activations' type.</param>
/// <param name="Db">[K] f32; 0 when the plan has no bias gradient.</param>
/// <param name="Workspace">WorkspaceBytes of the plan, 256-byte aligned.</param>
public readonly record struct ConvGradientArguments(ulong X, ulong Dy, ulong Dw, ulong Db, ulong Workspace);

/// <summary>
/// Convolutions: kernels/conv_igemm.cu (f16, bf16; tensor cores) and conv_f32.cu, conv_wgrad.cu and conv_wgrad_f32.cu, conv_reduce.cu.
/// </summary>
/// <remarks>
/// Tiles of 128 in general; tiles of 64 for fewer than 8192 rows or at most 64 channels. Where tiles are fewer than two per multiprocessor, the
/// depth is cut into so many slices that there are two, of at least 256 deep, at most 16; the last block of a tile adds them in order. Rows are those
/// of all samples, so sums differ between batch sizes. The count of stages is what lets two blocks of 128 share a multiprocessor.
/// </remarks>
public static partial class ConvKernels
{
    private const string Op = "convolution";
    private const uint Threads = 128;
    private const int StageBytes = 16384, MaxSlices = 16, LeastDepth = 256, LargeRegisters = 240;

    /// <summary>Rows and elements are counted in 32 bits, to the end of the last block.</summary>
    private const long MostIndices = (1L << 31) - 1024;

    /// <summary>Plans y = x * w + bias + residual.</summary>
    /// <param name="shape">Sizes.</param>
    /// <param name="dtype">Of activations and weights.</param>
    /// <param name="limits">Of the device.</param>
    /// <param name="statistics">Also store sums of every sample and channel for a group norm that follows (f16 and bf16).</param>
    /// <param name="tile">64 or 128; 0 = choose.</param>
    /// <param name="slices">Slices of the depth; 0 = choose.</param>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static ConvPlan Plan(ConvShape shape, KernelDType dtype, in DeviceLimits limits, bool statistics = false, int tile = 0, int slices = 0)
    {
        Validate(shape, dtype);
        Require(!statistics || dtype != KernelDType.F32, Op, $"statistics are stored in f16 and bf16 only");
        return Plan(shape, dtype, ConvPass.Forward, ConvGeometry.Forward(shape), limits, statistics, tile, slices);
    }

    /// <summary>Plans dx from dy and flipped weights (+ an addend where the shape has a residual).</summary>
    /// <param name="shape">Sizes of the forward convolution.</param>
    /// <param name="dtype">Of activations and weights.</param>
    /// <param name="limits">Of the device.</param>
    /// <param name="tile">64 or 128; 0 = choose.</param>
    /// <param name="slices">Slices of the depth; 0 = choose.</param>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static ConvPlan PlanInputGradient(ConvShape shape, KernelDType dtype, in DeviceLimits limits, int tile = 0, int slices = 0)
    {
        Validate(shape, dtype);
        return Plan(shape with { Bias = false }, dtype, ConvPass.InputGradient, ConvGeometry.InputGradient(shape), limits, false, tile, slices);
    }

    /// <summary>Plans the weights of an input gradient from those of the forward convolution: transposed, flipped. Once per change of the weights.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static ConvFlipPlan PlanFlip(ConvShape shape, KernelDType dtype, in DeviceLimits limits)
    {
        Validate(shape, dtype);
        int taps = shape.Side * shape.Side, kw = ConvShape.Padded(shape.K, dtype);
        long blocks = taps * CeilDiv(kw, 32) * CeilDiv(shape.C, 32), traffic = ((long)shape.K + kw) * shape.C * taps * dtype.Bytes();
        return new(shape, dtype, [new($"conv_flip_{dtype.Suffix()}", Linear(Op, blocks, 256, 0, limits), traffic)]);
    }

    /// <summary>The launch of a plan.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static IReadOnlyList<KernelLaunch> Enqueue(ConvPlan plan, in ConvArguments a)
    {
        ArgumentNullException.ThrowIfNull(plan);
        (ConvShape s, ConvGeometry g) = (plan.Shape, plan.Geometry);
        foreach ((string name, ulong address) in (ReadOnlySpan<(string, ulong)>)[("x", a.X), ("weights", a.Weights), ("y", a.Y)])
        {
            Require(address != 0 && address % 16 == 0, Op, $"{name} must be 16-byte aligned, not {address}");
        }

        Require(s.Bias == (a.Bias != 0), Op, $"the bias must be given when the shape has one, else not");
        Require(a.Bias % 16 == 0, Op, $"bias must be 16-byte aligned, not {a.Bias}");
        Require(s.Residual == (a.Residual != 0), Op, $"the residual must be given when the shape has one, else not");
        Require(a.Residual % 16 == 0, Op, $"residual must be 16-byte aligned, not {a.Residual}");
        Require(a.X != a.Y && a.X != a.Weights && a.Y != a.Weights, Op, $"y must be neither x nor the weights");
        Require(plan.HasStatistics == (a.Statistics != 0) && a.Statistics % 16 == 0, Op, $"statistics must be given, 16-byte aligned, when the plan has them, else not");
        CheckWorkspace(Op, plan, a.Workspace);
        Require((plan.TicketBytes > 0) == (a.Tickets != 0) && a.Tickets % 4 == 0, Op, $"tickets must be given, 4-byte aligned, when the plan has several slices, else not");
        (long ldx, long ldy, long ldr) = Strides(s, plan.DType, plan.Pass);
        (uint magicP, uint shiftP) = ConvGeometry.Magic((long)g.RowsH * g.RowsW);
        (uint magicW, uint shiftW) = ConvGeometry.Magic(g.RowsW);
        return [KernelLaunch.Of(plan.Launches[0], new ConvParams
        {
            X = a.X,
            Weights = a.Weights,
            Bias = a.Bias,
            Residual = a.Residual,
            Y = a.Y,
            Partial = a.Workspace,
            Tickets = a.Tickets,
            Stats = a.Statistics,
            Ldx = ldx,
            Ldr = ldr,
            Ldy = ldy,
            N = g.N,
            H = g.H,
            W = g.W,
            C = g.C,
            K = g.K,
            Ho = g.Ho,
            Wo = g.Wo,
            Side = g.Side,
            Stride = g.Stride,
            Spread = g.Spread,
            RowsH = g.RowsH,
            RowsW = g.RowsW,
            MagicP = magicP,
            ShiftP = shiftP,
            MagicW = magicW,
            ShiftW = shiftW,
            Taps0 = g.Packed(0),
            Taps1 = g.Packed(1),
            Slices = plan.Slices,
        })];
    }

    /// <summary>The launch of a plan.</summary>
    /// <param name="plan">From <see cref="PlanFlip"/>.</param>
    /// <param name="weights">[K, side, side, C].</param>
    /// <param name="flipped">[C, side, side, K], K in whole 16 bytes; written.</param>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static IReadOnlyList<KernelLaunch> EnqueueFlip(ConvFlipPlan plan, ulong weights, ulong flipped)
    {
        ArgumentNullException.ThrowIfNull(plan);
        Require(weights != 0 && flipped != 0 && weights != flipped, Op, $"weights and flipped weights must be given, and differ");
        uint bytes = (uint)plan.DType.Bytes();
        Require(weights % bytes == 0 && flipped % bytes == 0, Op, $"weights and flipped weights must be {bytes}-byte aligned, not {weights} and {flipped}");
        ConvShape s = plan.Shape;
        return [KernelLaunch.Of(plan.Launches[0], new ConvFlipParams
        {
            W = weights,
            To = flipped,
            K = s.K,
            C = s.C,
            Cw = ConvShape.Padded(s.C, plan.DType),
            Kw = ConvShape.Padded(s.K, plan.DType),
            Taps = s.Side * s.Side,
        })];
    }

    private static ConvPlan Plan(
        ConvShape shape, KernelDType dtype, ConvPass pass, ConvGeometry g, in DeviceLimits limits, bool statistics, int tile, int slices)
    {
        bool half = dtype != KernelDType.F32;
        int chosen = tile != 0 ? tile : !half || g.Rows * g.Phases < 8192 || g.K <= 64 ? 64 : 128;
        Require(chosen == 64 || (chosen == 128 && half), Op, $"tile {tile} is not offered in {dtype.Suffix()}");
        Require(!statistics || slices <= 1, Op, $"statistics need an undivided depth");
        CheckGeometry(shape, dtype, pass, g, chosen);
        long tilesM = g.TilesM(chosen, statistics), tilesN = CeilDiv(g.K, chosen), tiles = tilesM * tilesN;

        // The depth: steps of a tile, by phase. The phase with the most decides how many slices there can be.
        int depth = !half || chosen == 128 ? 32 : 64;
        long channelSteps = CeilDiv(g.C, depth), most = channelSteps * Enumerable.Range(0, g.Phases).Max(g.TapsOf);
        long wanted = slices != 0 ? slices : statistics || tiles >= 2L * limits.SmCount ? 1
            : Math.Min(Math.Min(CeilDiv(2L * limits.SmCount, tiles), MaxSlices), most * depth / LeastDepth);
        int count = (int)CeilDiv(most, CeilDiv(most, Math.Clamp(wanted, 1, most)));

        // Traffic: see the kernel's header. The product's rows are read for every tile of columns, its columns for every tile of rows.
        (int b, long padded) = (dtype.Bytes(), RoundUp(g.K, 8));
        long partOfRows = tilesM / g.Phases, partial = count * g.Pixels * padded * 4, result = g.Pixels * g.K * b * (shape.Residual ? 2 : 1);
        long operands = (g.ValidPairs * g.C * b * tilesN) + (partOfRows * g.TapsOfAllPhases * g.K * g.C * b);
        long bias = shape.Bias ? tilesM * g.K * (half ? 8L : 16) : 0, sums = statistics ? 8 * tilesM * g.K : 0;
        long mmaOfStep = (long)chosen * chosen / 128 * depth / 16, mma = half ? partOfRows * tilesN * channelSteps * g.TapsOfAllPhases * mmaOfStep : 0;

        // Two blocks of 128 need their four stages, or three, to fit a multiprocessor together.
        int stages = chosen == 64 ? 3 : limits.ResidentBlocks((int)Threads, LargeRegisters, 4 * StageBytes) >= 2 ? 4 : 3;
        string entry = half ? $"conv_igemm_{chosen}_s{stages}_{dtype.Suffix()}" : "conv_igemm_f32";
        LaunchShape launch = Linear(Op, checked(tiles * count), Threads, (long)stages * StageBytes, limits);
        if (count == 1)
        {
            return new(shape, dtype, pass, g, chosen, 1, statistics, [new(entry, launch, operands + bias + sums + result, mma)], 0);
        }

        long tickets = 4L * tiles * count, biasOfRows = shape.Bias ? g.Pixels * g.K * 4 : 0;
        return new(shape, dtype, pass, g, chosen, count, false, [new(entry, launch, operands + (2 * partial) + tickets + biasOfRows + result, mma)], RoundUp(partial, 256));
    }

    private static (long X, long Y, long Residual) Strides(ConvShape s, KernelDType dtype, ConvPass pass)
    {
        long x = s.StrideX != 0 ? s.StrideX : ConvShape.Padded(s.C, dtype), y = s.StrideY != 0 ? s.StrideY : ConvShape.Padded(s.K, dtype);
        long r = s.StrideResidual != 0 ? s.StrideResidual : ConvShape.Padded(pass == ConvPass.Forward ? s.K : s.C, dtype);
        return pass == ConvPass.Forward ? (x, y, r) : (y, x, r);
    }

    private static void Validate(ConvShape s, KernelDType dtype)
    {
        ArgumentNullException.ThrowIfNull(s);
        Require(s.N >= 1 && s.H >= 1 && s.W >= 1 && s.C >= 1 && s.K >= 1, Op, $"N, H, W, C and K must be at least 1, not {s.N}, {s.H}, {s.W}, {s.C}, {s.K}");
        Require(s.Side is 1 or 3, Op, $"filters must be 1x1 or 3x3, not {s.Side}x{s.Side}");
        Require(s.Stride == 1 || (s.Stride == 2 && s.Side == 3), Op, $"the stride must be 1, or 2 for 3x3, not {s.Stride}");
        Require(!s.Upsample || (s.Side == 3 && s.Stride == 1), Op, $"upsampling goes with 3x3 and stride 1");
        Require(s.C <= 1 << 16 && s.K <= 1 << 16, Op, $"there may be 2^16 channels, not {s.C} and {s.K}");
        Require(s.H <= 1 << 15 && s.W <= 1 << 15, Op, $"an image may have 2^15 rows and columns, not {s.H} x {s.W}");
        Require((long)s.N * s.H * s.W < MostIndices && s.ResultPixels < MostIndices, Op, $"x and y may have fewer than 2^31 - 1024 pixels each, not {(long)s.N * s.H * s.W} and {s.ResultPixels}");
        Require((long)s.Side * s.Side * ConvShape.Padded(s.C, dtype) * ConvShape.Padded(s.K, dtype) < MostIndices, Op, $"weights may have fewer than 2^31 - 1024 elements");
        int unit = 16 / dtype.Bytes();
        foreach ((string name, long stride, int channels) in (ReadOnlySpan<(string, long, int)>)[("x", s.StrideX, s.C), ("y", s.StrideY, s.K), ("the residual", s.StrideResidual, 1)])
        {
            bool good = stride == 0 || (stride >= channels && stride % unit == 0 && stride < 1 << 20);
            Require(good, Op, $"the row stride of {name} must be a multiple of {unit} in {channels}..2^20 - 1, not {stride}");
        }
    }

    /// <summary>Offsets within a block are 32 bits: of a tile's rows, with the taps around them.</summary>
    private static void CheckGeometry(ConvShape s, KernelDType dtype, ConvPass pass, ConvGeometry g, int tile)
    {
        (long ldx, _, long ldr) = Strides(s, dtype, pass);
        Require(!s.Residual || ldr >= g.K, Op, $"the row stride of the residual must be at least {g.K}, not {ldr}");
        long imageRows = CeilDiv(tile, g.RowsW) + 1, samples = CeilDiv(tile, (long)g.RowsH * g.RowsW) + 1;
        long span = Math.Min((long)g.N * g.H, ((imageRows + (2 * samples)) * g.Stride) + 4) * g.W;
        Require((span + (2L * g.W) + 4) * ldx < 1L << 31, Op, $"a tile's rows must lie within 2^31 elements of x: width {g.W}, row stride {ldx}");
        Require(g.Rows < MostIndices, Op, $"a phase may have fewer than 2^31 - 1024 rows, not {g.Rows}");
    }
}
