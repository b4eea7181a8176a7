using static AdmNative.Cuda.LaunchRule;

namespace AdmNative.Cuda;

/// <summary>Versions of the 3x3 convolution that ours is compared with, oldest first.</summary>
public enum ConvVersion
{
    /// <summary>One thread per result.</summary>
    Plain,

    /// <summary>Tiles in shared memory, no tensor cores; f16 and bf16.</summary>
    Tiled,

    /// <summary>Tensor cores over one stage of shared memory, rows side by side; f16 and bf16.</summary>
    SingleStage,
}

/// <summary>A planned convolution by an earlier version.</summary>
/// <param name="Shape">3x3, stride 1, dense, with a bias.</param>
/// <param name="DType">Element type.</param>
/// <param name="Launches">One.</param>
public sealed record ConvComparisonPlan(ConvShape Shape, KernelDType DType, IReadOnlyList<PlannedLaunch> Launches) : KernelPlan(Launches, 0);

/// <summary>Plain and earlier versions: kernels/conv_plain.cu and conv_ladder.cu. For reports only.</summary>
public static partial class ConvKernels
{
    /// <summary>Plans y = x * w + bias by an earlier version.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static ConvComparisonPlan PlanComparison(ConvShape shape, KernelDType dtype, ConvVersion version, in DeviceLimits limits)
    {
        Validate(shape, dtype);
        int unit = 16 / dtype.Bytes();
        Require(
            shape is { Side: 3, Stride: 1, Upsample: false, Bias: true, Residual: false } && shape.C % unit == 0 && shape.K % unit == 0, Op,
            $"earlier versions do 3x3, stride 1, with a bias, without a residual, on channels in multiples of {unit}");
        Require(version == ConvVersion.Plain || dtype != KernelDType.F32, Op, $"earlier versions with tiles are for f16 and bf16");
        ConvGeometry g = ConvGeometry.Forward(shape);
        long tilesM = CeilDiv(g.Pixels, 64), tilesN = CeilDiv(shape.K, 64), b = dtype.Bytes(), results = g.Pixels * shape.K * b;
        Require(g.Pixels * shape.K < MostIndices, Op, $"earlier versions make fewer than 2^31 - 1024 results, not {g.Pixels * shape.K}");

        // Plain: x and w as often as they are multiplied, as far as lanes of a warp do not share them.
        long traffic = version == ConvVersion.Plain ? (g.ValidPairs * shape.C * shape.K * 2 * b) + results + (4 * results / b)
            : (g.ValidPairs * shape.C * b * tilesN) + (tilesM * shape.K * 9 * shape.C * b) + results + (8 * results / b);
        long mma = version == ConvVersion.SingleStage ? tilesM * tilesN * 9 * CeilDiv(shape.C, 32) * 64 : 0;
        PlannedLaunch launch = version switch
        {
            ConvVersion.Plain => new($"conv_plain_{dtype.Suffix()}", Linear(Op, CeilDiv(g.Pixels * shape.K, 256), 256, 0, limits), traffic),
            ConvVersion.Tiled => new($"conv_ladder_tile_{dtype.Suffix()}", Linear(Op, tilesM * tilesN, 256, 0, limits), traffic),
            _ => new($"conv_ladder_mma_{dtype.Suffix()}", Linear(Op, tilesM * tilesN, 128, 0, limits), traffic, mma),
        };
        return new(shape, dtype, [launch]);
    }

    /// <summary>The launch of a plan; rows are dense.</summary>
    /// <exception cref="ArgumentException">A clause does not hold; the message names it.</exception>
    public static IReadOnlyList<KernelLaunch> EnqueueComparison(ConvComparisonPlan plan, in ConvArguments a)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ConvShape s = plan.Shape;
        Require(a.X != 0 && a.X % 16 == 0 && a.Weights != 0 && a.Weights % 16 == 0 && a.Y != 0 && a.Y % 16 == 0, Op, $"x, weights and y must be 16-byte aligned");
        Require(a.Bias != 0 && a.Bias % 4 == 0, Op, $"the bias must be given, 4-byte aligned");
        return [KernelLaunch.Of(plan.Launches[0], new ConvPlainParams
        {
            X = a.X,
            Weights = a.Weights,
            Bias = a.Bias,
            Y = a.Y,
            N = s.N,
            H = s.H,
            W = s.W,
            C = s.C,
            K = s.K,
        })];
    }
}
