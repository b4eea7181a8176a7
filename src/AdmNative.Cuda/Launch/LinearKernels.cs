using static AdmNative.Cuda.LaunchRule;

namespace AdmNative.Cuda;

/// <summary>A linear layer y = act(x W^T + bias + residual): few rows x [N, K], weights [M, K] as checkpoints hold them.</summary>
/// <param name="N">Rows.</param>
/// <param name="M">Results of a row.</param>
/// <param name="K">Inputs of a row; whole 16 bytes.</param>
public sealed record LinearShape(int N, int M, int K)
{
    /// <summary>A bias [M] f32 is added; its gradient is wanted.</summary>
    public bool Bias { get; init; } = true;

    /// <summary>Forward: a residual [N, M]; input gradient: an addend [N, K].</summary>
    public bool Residual { get; init; }

    /// <summary>Forward: SiLU of the result. Gradients are those without it.</summary>
    public bool Silu { get; init; }

    /// <summary>Elements between rows of x and dx; 0 = K.</summary>
    public long StrideX { get; init; }

    /// <summary>Elements between rows of y and dy; 0 = M in whole 16 bytes.</summary>
    public long StrideY { get; init; }

    /// <summary>Elements between rows of the residual or addend; 0 = as the result's.</summary>
    public long StrideResidual { get; init; }
}

/// <summary>Addresses of y = act(x W^T + bias + residual); 0 where there is no operand.</summary>
/// <param name="X">[N, K], 16-byte aligned.</param>
/// <param name="Weights">[M, K], 16-byte aligned.</param>
/// <param name="Y">[N, M], 16-byte aligned; may be the residual.</param>
public readonly record struct LinearArguments(ulong X, ulong Weights, ulong Y)
{
    /// <summary>[M] f32, 16-byte aligned.</summary>
    public ulong Bias { get; init; }

    /// <summary>[N, M], 16-byte aligned.</summary>
    public ulong Residual { get; init; }
}

/// <summary>Addresses of dx = dy W + addend; 0 where there is no operand.</summary>
/// <param name="Dy">[N, M], 16-byte aligned.</param>
/// <param name="Weights">[M, K], 16-byte aligned.</param>
/// <param name="Dx">[N, K], 16-byte aligned; may be the addend.</param>
/// <param name="Addend">[N, K], 16-byte aligned.</param>
/// <param name="Workspace">The plan's.</param>
public readonly record struct LinearInputArguments(ulong Dy, ulong Weights, ulong Dx, ulong Addend, ulong Workspace);

/// <summary>Addresses of dW (+)= dy^T x and db (+)= sum of rows of dy.</summary>
/// <param name="X">[N, K], 16-byte aligned.</param>
/// <param name="Dy">[N, M], 16-byte aligned.</param>
/// <param name="Dw">[M, K] f32, 16-byte aligned.</param>
/// <param name="Db">[M] f32, 16-byte aligned; 0 without a bias.</param>
/// <param name="Workspace">The plan's.</param>
public readonly record struct LinearWeightArguments(ulong X, ulong Dy, ulong Dw, ulong Db, ulong Workspace);

/// <summary>A planned forward pass.</summary>
public sealed record LinearPlan(LinearShape Shape, KernelDType DType, PlannedLaunch Launch) : KernelPlan([Launch], 0);

/// <summary>A planned input gradient.</summary>
/// <param name="Shape">Sizes.</param>
/// <param name="DType">Of dy, weights, dx.</param>
/// <param name="Slices">Slices of the weights' rows.</param>
/// <param name="Rows">Weights' rows of a slice.</param>
/// <param name="Steps">The product, and the sum of slices if there are several.</param>
/// <param name="Workspace">Bytes of the slices' sums.</param>
public sealed record LinearInputPlan(LinearShape Shape, KernelDType DType, int Slices, int Rows, IReadOnlyList<PlannedLaunch> Steps, long Workspace) : KernelPlan(Steps, Workspace);

/// <summary>Planned gradients of weights and bias.</summary>
/// <param name="Shape">Sizes.</param>
/// <param name="DType">Of x and dy.</param>
/// <param name="Accumulate">Gradients are added to.</param>
/// <param name="BiasSlices">Slices of dy's rows for the bias gradient.</param>
/// <param name="BiasRows">Rows of a slice.</param>
/// <param name="Steps">The product; sums of columns and of their slices.</param>
/// <param name="Workspace">Bytes of the slices' sums.</param>
public sealed record LinearWeightPlan(
    LinearShape Shape, KernelDType DType, bool Accumulate, int BiasSlices, int BiasRows, IReadOnlyList<PlannedLaunch> Steps, long Workspace) : KernelPlan(Steps, Workspace);

/// <summary>
/// Launchers of kernels/linear.cu, linear_grad.cu and linear_f32.cu: linear layers with few rows, where reading the weights is the cost. Any
/// number of rows is correct; beyond 64 or so a 1x1 convolution (<see cref="ConvKernels"/>) reads the weights less often.
/// </summary>
public static class LinearKernels
{
    private const string Op = "linear";
    private const uint Threads = 128;
    private const int MaxSlices = 64, LeastRows = 256;

    /// <summary>Plans y.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static LinearPlan Plan(LinearShape shape, KernelDType dtype, in DeviceLimits limits)
    {
        Validate(shape, dtype);
        (long n, long m, long k, long b, bool half) = (shape.N, shape.M, shape.K, dtype.Bytes(), dtype != KernelDType.F32);
        long tilesN = CeilDiv(n, half ? 32 : 8), tilesM = CeilDiv(m, 16);
        long traffic = (m * k * b * tilesN) + (n * k * b * (half ? tilesM : CeilDiv(m, 4)))
            + (shape.Bias ? 4 * m * CeilDiv(n, half ? 8 : 2) : 0) + (n * m * b * (shape.Residual ? 2 : 1));
        long mma = half ? 2 * CeilDiv(k, 32) * CeilDiv(n, 8) * tilesM : 0;
        return new(shape, dtype, new($"linear_fwd_{dtype.Suffix()}", Linear(Op, tilesM * tilesN, Threads, 0, limits), traffic, mma));
    }

    /// <summary>The launch of a plan.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static KernelLaunch Enqueue(LinearPlan plan, in LinearArguments a)
    {
        ArgumentNullException.ThrowIfNull(plan);
        LinearShape s = plan.Shape;
        Present(a.X, true, "x");
        Present(a.Weights, true, "the weights");
        Present(a.Y, true, "y");
        Present(a.Bias, s.Bias, "the bias");
        Present(a.Residual, s.Residual, "the residual");
        Require(a.Y != a.X && a.Y != a.Weights, Op, $"y must be neither x nor the weights");
        (long ldx, long ldy) = Strides(s, plan.DType);
        return KernelLaunch.Of(plan.Launch, new LinearParams
        {
            X = a.X,
            W = a.Weights,
            Bias = a.Bias,
            Residual = a.Residual,
            Y = a.Y,
            Ldx = ldx,
            Ldr = s.StrideResidual != 0 ? s.StrideResidual : ldy,
            Ldy = ldy,
            N = s.N,
            M = s.M,
            K = s.K,
            Silu = s.Silu ? 1 : 0,
        });
    }

    /// <summary>Plans dx.</summary>
    /// <param name="shape">Sizes; Residual says whether there is an addend.</param>
    /// <param name="dtype">Of dy, weights, dx.</param>
    /// <param name="limits">Of the device.</param>
    /// <param name="slices">Slices of the weights' rows at most; 0 = choose.</param>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static LinearInputPlan PlanInputGradient(LinearShape shape, KernelDType dtype, in DeviceLimits limits, int slices = 0)
    {
        Validate(shape, dtype);
        Require(slices >= 0, Op, $"slices must not be negative, not {slices}");
        (long n, long m, long k, long b, bool half) = (shape.N, shape.M, shape.K, dtype.Bytes(), dtype != KernelDType.F32);
        long tilesN = CeilDiv(n, half ? 32 : 8), tilesK = CeilDiv(k, half ? 64 : 128), tiles = tilesN * tilesK, padded = RoundUp(k, 8);

        // Slices until every multiprocessor has two blocks, each with enough rows of W to pay for storing and adding its sums.
        long wanted = slices != 0 ? slices : Math.Min(Math.Min(CeilDiv(2L * limits.SmCount, tiles), MaxSlices), CeilDiv(m, LeastRows));
        int rows = (int)RoundUp(CeilDiv(m, wanted), 64), count = (int)CeilDiv(m, rows);
        bool sliced = count > 1;
        Require(!sliced || n * padded / 4 <= int.MaxValue, Op, $"sums of slices are limited to 2^33 elements each, not {n * padded}");
        long result = n * k * b * (shape.Residual ? 2 : 1), partial = 4 * count * n * k;
        long steps = Enumerable.Range(0, count).Sum(i => CeilDiv(Math.Min(rows, m - ((long)i * rows)), 16));
        List<PlannedLaunch> launches =
        [
            new($"linear_dx_{dtype.Suffix()}", Linear(Op, checked(tiles * count), Threads, 0, limits),
                (m * k * b * tilesN) + (n * m * b * tilesK) + (sliced ? partial : result), half ? 4 * tilesK * CeilDiv(n, 8) * steps : 0),
        ];
        if (sliced)
        {
            launches.Add(new($"conv_reduce_{dtype.Suffix()}", Linear(Op, CeilDiv(n * padded / 4, 256), 256, 0, limits), partial + result));
        }

        return new(shape, dtype, count, rows, launches, sliced ? RoundUp(4 * count * n * padded, 256) : 0);
    }

    /// <summary>The launches of a plan.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static IReadOnlyList<KernelLaunch> EnqueueInputGradient(LinearInputPlan plan, in LinearInputArguments a)
    {
        ArgumentNullException.ThrowIfNull(plan);
        LinearShape s = plan.Shape;
        Present(a.Dy, true, "dy");
        Present(a.Weights, true, "the weights");
        Present(a.Dx, true, "dx");
        Present(a.Addend, s.Residual, "the addend");
        Require(a.Dx != a.Dy && a.Dx != a.Weights, Op, $"dx must be neither dy nor the weights");
        CheckWorkspace(Op, plan, a.Workspace);
        (long ldx, long ldy) = Strides(s, plan.DType);
        long lda = s.StrideResidual != 0 ? s.StrideResidual : ldx;
        bool sliced = plan.Slices > 1;
        var product = KernelLaunch.Of(plan.Launches[0], new LinearInputParams
        {
            Dy = a.Dy,
            W = a.Weights,
            Addend = sliced ? 0 : a.Addend,
            Dx = sliced ? 0 : a.Dx,
            Partial = sliced ? a.Workspace : 0,
            Lddy = ldy,
            Lda = lda,
            Lddx = ldx,
            N = s.N,
            M = s.M,
            K = s.K,
            Rows = plan.Rows,
        });
        return !sliced ? [product] : [product, KernelLaunch.Of(plan.Launches[1], new ConvReduceParams
        {
            Partial = a.Workspace,
            Residual = a.Addend,
            Y = a.Dx,
            Ldr = lda,
            Ldy = ldx,
            M = s.N,
            K = s.K,
            Slices = plan.Slices,
        })];
    }

    /// <summary>Plans dW, and db where the shape has a bias; replaced or added to.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static LinearWeightPlan PlanWeightGradient(LinearShape shape, KernelDType dtype, bool accumulate, in DeviceLimits limits)
    {
        Validate(shape, dtype);
        (long n, long m, long k, long b, bool half) = (shape.N, shape.M, shape.K, dtype.Bytes(), dtype != KernelDType.F32);
        long blocks = half ? CeilDiv(m, 64) * CeilDiv(k, 128) : CeilDiv(m, 32) * CeilDiv(k, 128);
        long traffic = (n * m * b * CeilDiv(k, half ? 64 : 128)) + (n * k * b * CeilDiv(m, half ? 32 : 8)) + (m * k * (accumulate ? 8 : 4));
        long mma = half ? 16 * CeilDiv(m, 32) * CeilDiv(k, 64) * CeilDiv(n, 16) : 0;
        List<PlannedLaunch> launches = [new($"linear_dw_{dtype.Suffix()}", Linear(Op, blocks, Threads, 0, limits), traffic, mma)];
        if (!shape.Bias)
        {
            return new(shape, dtype, accumulate, 0, 0, launches, 0);
        }

        long slabs = Slabs(m, dtype), padded = RoundUp(m, 8);
        long wanted = Math.Min(Math.Min(CeilDiv(4L * limits.SmCount, slabs), MaxSlices), CeilDiv(n, 64));
        int rows = (int)RoundUp(CeilDiv(n, wanted), 8), slices = (int)CeilDiv(n, rows);
        launches.Add(new($"conv_colsum_{dtype.Suffix()}", Linear(Op, slabs * slices, 256, 0, limits), (n * m * b) + (4 * slices * padded)));
        launches.Add(new("conv_sum_f32", Linear(Op, CeilDiv(m, 1024), 256, 0, limits), 4 * m * (slices + (accumulate ? 2 : 1))));
        return new(shape, dtype, accumulate, slices, rows, launches, RoundUp(4 * slices * padded, 256));
    }

    /// <summary>The launches of a plan.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static IReadOnlyList<KernelLaunch> EnqueueWeightGradient(LinearWeightPlan plan, in LinearWeightArguments a)
    {
        ArgumentNullException.ThrowIfNull(plan);
        LinearShape s = plan.Shape;
        Present(a.X, true, "x");
        Present(a.Dy, true, "dy");
        Present(a.Dw, true, "dw");
        Present(a.Db, s.Bias, "db");
        CheckWorkspace(Op, plan, a.Workspace);
        (long ldx, long ldy) = Strides(s, plan.DType);
        List<KernelLaunch> launches =
        [
            KernelLaunch.Of(plan.Launches[0], new LinearWeightParams
            {
                X = a.X,
                Dy = a.Dy,
                Dw = a.Dw,
                Ldx = ldx,
                Lddy = ldy,
                N = s.N,
                M = s.M,
                K = s.K,
                Accumulate = plan.Accumulate ? 1 : 0,
            }),
        ];
        if (s.Bias)
        {
            launches.Add(KernelLaunch.Of(plan.Launches[1], new ConvColumnsParams
            {
                Y = a.Dy,
                Partial = a.Workspace,
                Ldy = ldy,
                M = s.N,
                K = s.M,
                Rows = plan.BiasRows,
                Slabs = (int)Slabs(s.M, plan.DType),
            }));
            launches.Add(KernelLaunch.Of(plan.Launches[2], new ConvSumParams
            {
                Partial = a.Workspace,
                Out = a.Db,
                Stride = RoundUp(s.M, 8),
                Count = s.M,
                Slices = plan.BiasSlices,
                Accumulate = plan.Accumulate ? 1 : 0,
            }));
        }

        return launches;
    }

    private static long Slabs(long columns, KernelDType dtype) => CeilDiv(columns, 32 * 16 / dtype.Bytes());

    private static (long X, long Y) Strides(LinearShape s, KernelDType dtype) =>
        (s.StrideX != 0 ? s.StrideX : s.K, s.StrideY != 0 ? s.StrideY : RoundUp(s.M, 16 / dtype.Bytes()));

    private static void Validate(LinearShape s, KernelDType dtype)
    {
        ArgumentNullException.ThrowIfNull(s);
        int unit = 16 / dtype.Bytes();
        Require(s.N >= 1 && s.M >= 1 && s.K >= 1, Op, $"N, M and K must be at least 1, not {s.N}, {s.M}, {s.K}");
        Require(s.K % unit == 0, Op, $"K must be a multiple of {unit} in {dtype.Suffix()}, not {s.K}");
        Require(s.N <= 1 << 20 && s.M <= 1 << 24 && s.K <= 1 << 24, Op, $"N may be 2^20, M and K 2^24, not {s.N}, {s.M}, {s.K}");
        foreach ((string name, long stride, int columns) in (ReadOnlySpan<(string, long, int)>)
            [("x", s.StrideX, s.K), ("y", s.StrideY, s.M), ("the residual", s.Residual ? s.StrideResidual : 0, 1)])
        {
            Require(stride == 0 || (stride >= columns && stride % unit == 0), Op, $"the row stride of {name} must be a multiple of {unit} and at least {columns}, not {stride}");
        }
    }

    private static void Present(ulong address, bool wanted, string what)
    {
        Require(address != 0 || !wanted, Op, $"{what} is missing");
        Require(address == 0 || wanted, Op, $"{what} is not part of this plan");
        Require(address % 16 == 0, Op, $"{what} is not 16-byte aligned");
    }
}
