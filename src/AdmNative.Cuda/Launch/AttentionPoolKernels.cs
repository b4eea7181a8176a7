namespace AdmNative.Cuda;

/// <summary>What a pass of the pool's tokens computes.</summary>
public enum PoolPass
{
    /// <summary>Tokens from pixels: the mean, then every pixel, each plus its position.</summary>
    Tokens,

    /// <summary>The same without positions.</summary>
    PlainTokens,

    /// <summary>Gradient of the pixels from that of the tokens.</summary>
    TokensBackward,

    /// <summary>Gradient of the positions, which replaces what is there.</summary>
    PositionGradient,

    /// <summary>Gradient of the positions, added to what is there.</summary>
    PositionGradientAdded,
}

/// <summary>Sizes of the classifier's attention pool (spec 2.2).</summary>
/// <param name="N">Samples.</param>
/// <param name="Pixels">Pixels per sample; one token more.</param>
/// <param name="Channels">Channels.</param>
public readonly record struct PoolShape(int N, int Pixels, int Channels);

/// <summary>A planned pass of the pool: one launch.</summary>
public sealed record PoolPlan(PoolPass Pass, PoolShape Shape, KernelDType DType, PlannedLaunch Launch) : KernelPlan([Launch], 0);

/// <summary>Device addresses of a pass; strides are elements between rows.</summary>
/// <param name="Tokens">y or dy [N, Pixels + 1, Channels].</param>
/// <param name="Pixels">x or dx [N, Pixels, Channels]; 0 for the positions' gradient.</param>
/// <param name="Position">[Pixels + 1, Channels] f32 or its gradient: the checkpoint's positional embedding transposed; 0 for plain tokens and the pixels' gradient.</param>
/// <param name="TokenStride">Of tokens.</param>
/// <param name="PixelStride">Of pixels.</param>
public readonly record struct PoolTensors(ulong Tokens, ulong Pixels, ulong Position, long TokenStride, long PixelStride);

/// <summary>
/// The tokens of the classifier's attention pool, kernels/attn_pool.cu. The pool is these tokens, a projection, <see cref="AttentionKernels"/> with
/// one query (token 0 alone is returned) over Pixels + 1 keys, and a projection.
/// </summary>
public static class AttentionPoolKernels
{
    private const string Op = "attention pool";

    /// <summary>Plans a pass.</summary>
    /// <exception cref="ArgumentException">A clause of the kernel does not hold.</exception>
    public static PoolPlan Plan(PoolPass pass, in PoolShape shape, KernelDType dtype, in DeviceLimits limits)
    {
        (int n, int l, int c) = shape;
        (int b, int vector) = (dtype.Bytes(), 16 / dtype.Bytes());
        LaunchRule.Require(n >= 1 && l >= 1 && l < int.MaxValue, Op, $"samples and pixels must be positive, not {n} and {l}");
        LaunchRule.Require(c >= 1 && c % vector == 0, Op, $"channels must be a multiple of {vector} in {dtype.Suffix()}, not {c}");
        long tokens = (l + 1L) * c, slabs = LaunchRule.CeilDiv(c, 128) * n;
        (string name, long blocks, long traffic) = pass switch
        {
            PoolPass.Tokens => ("tokens", slabs, n * (((l * (long)c) + tokens) * b + (4 * tokens))),
            PoolPass.PlainTokens => ("tokens", slabs, n * ((l * (long)c) + tokens) * b),
            PoolPass.TokensBackward => ("tokens_bwd", slabs, n * ((2L * l) + Math.Min(l, 8)) * c * b), // token 0 once per warp
            PoolPass.PositionGradient => ("position_grad", LaunchRule.CeilDiv(tokens / 4, 256), (n * tokens * b) + (4 * tokens)),
            PoolPass.PositionGradientAdded => ("position_grad", LaunchRule.CeilDiv(tokens / 4, 256), (n * tokens * b) + (8 * tokens)),
            _ => throw new ArgumentOutOfRangeException(nameof(pass)),
        };
        LaunchRule.Require(pass < PoolPass.PositionGradient || tokens / 4 <= int.MaxValue - 256, Op, $"positions must lie below 2^31 quads, not {tokens / 4}");
        return new(pass, shape, dtype, new($"attn_pool_{name}_{dtype.Suffix()}", LaunchRule.Linear(Op, blocks, 256, 0, limits), traffic));
    }

    /// <summary>The launch of a plan.</summary>
    /// <exception cref="ArgumentException">An address or stride breaks a clause of the kernel.</exception>
    public static IReadOnlyList<KernelLaunch> Enqueue(PoolPlan plan, in PoolTensors t)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ((int n, int l, int c), int vector) = (plan.Shape, 16 / plan.DType.Bytes());
        bool pixels = plan.Pass < PoolPass.PositionGradient, position = plan.Pass is not (PoolPass.PlainTokens or PoolPass.TokensBackward);
        Require("tokens", t.Tokens, t.TokenStride, c, vector);
        if (pixels)
        {
            Require("pixels", t.Pixels, t.PixelStride, c, vector);
        }

        if (position)
        {
            Require("position", t.Position, c, c, 4);
        }

        return plan.Pass switch
        {
            PoolPass.Tokens or PoolPass.PlainTokens => [KernelLaunch.Of(plan.Launch, new PoolTokensParams
            {
                X = t.Pixels,
                Position = position ? t.Position : 0,
                Y = t.Tokens,
                Ldx = t.PixelStride,
                Ldy = t.TokenStride,
                N = n,
                L = l,
                C = c,
            })],
            PoolPass.TokensBackward => [KernelLaunch.Of(plan.Launch, new PoolTokensBwdParams
            {
                Dy = t.Tokens,
                Dx = t.Pixels,
                Lddy = t.TokenStride,
                Lddx = t.PixelStride,
                N = n,
                L = l,
                C = c,
            })],
            _ => [KernelLaunch.Of(plan.Launch, new PoolPositionGradParams
            {
                Dy = t.Tokens,
                DPosition = t.Position,
                Lddy = t.TokenStride,
                N = n,
                L = l,
                C = c,
                Accumulate = plan.Pass == PoolPass.PositionGradientAdded ? 1 : 0,
            })],
        };
    }

    private static void Require(string name, ulong address, long stride, int channels, int unit)
    {
        LaunchRule.Require(address != 0 && address % 16 == 0, Op, $"{name} must be 16-byte aligned, not {address}");
        LaunchRule.Require(stride >= channels && stride % unit == 0, Op, $"{name}: row stride must be at least {channels} and a multiple of {unit}, not {stride}");
    }
}
