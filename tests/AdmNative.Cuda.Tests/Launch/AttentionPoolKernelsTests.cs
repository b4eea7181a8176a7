namespace AdmNative.Cuda.Tests.Launch;

/// <summary>Plans of the attention pool's tokens.</summary>
public sealed class AttentionPoolKernelsTests
{
    /// <summary>Every plan has blocks, an entry of the bundle and that entry's block size; blocks cover all channels or positions.</summary>
    [Fact]
    public void Plans_are_valid_for_every_shape()
    {
        KernelBundle bundle = KernelBundle.Open();
        foreach (PoolPass pass in Enum.GetValues<PoolPass>())
        {
            foreach (KernelDType dtype in KernelDTypes.All)
            {
                foreach ((int n, int pixels, int channels) in (ReadOnlySpan<(int, int, int)>)[(1, 1, 8), (1, 64, 512), (3, 49, 1344), (4096, 64, 1024), (257, 256, 264)])
                {
                    PoolPlan plan = AttentionPoolKernels.Plan(pass, new(n, pixels, channels), dtype, DeviceLimits.Sm86);
                    Assert.Equal((uint)bundle[plan.Launch.Entry].MaxThreads[0], plan.Launch.Shape.BlockX);
                    long covered = pass < PoolPass.PositionGradient ? plan.Launch.Shape.GridX / n * 128 : plan.Launch.Shape.GridX * 1024L;
                    Assert.InRange(covered, pass < PoolPass.PositionGradient ? channels : (pixels + 1L) * channels, long.MaxValue);
                    Assert.True(plan.TrafficBytes > 0 && plan.WorkspaceBytes == 0);
                }
            }
        }
    }

    [Fact]
    public void Shapes_and_addresses_are_refused_by_clause()
    {
        void Refused(Action action, string clause) => Assert.Contains(clause, Assert.Throws<ArgumentException>(action).Message, StringComparison.Ordinal);
        Refused(() => AttentionPoolKernels.Plan(PoolPass.Tokens, new(0, 4, 8), KernelDType.F16, DeviceLimits.Sm80), "samples and pixels must be positive");
        Refused(() => AttentionPoolKernels.Plan(PoolPass.Tokens, new(1, 4, 12), KernelDType.F16, DeviceLimits.Sm80), "channels must be a multiple of 8 in f16");
        PoolPlan plan = AttentionPoolKernels.Plan(PoolPass.Tokens, new(1, 4, 16), KernelDType.F16, DeviceLimits.Sm80);
        var good = new PoolTensors(256, 512, 1024, 16, 24);
        Assert.Single(AttentionPoolKernels.Enqueue(plan, good));
        Refused(() => AttentionPoolKernels.Enqueue(plan, good with { Tokens = 264 }), "tokens must be 16-byte aligned");
        Refused(() => AttentionPoolKernels.Enqueue(plan, good with { Position = 0 }), "position must be 16-byte aligned");
        Assert.Single(AttentionPoolKernels.Enqueue(AttentionPoolKernels.Plan(PoolPass.PlainTokens, new(1, 4, 16), KernelDType.F16, DeviceLimits.Sm80), good with { Position = 0 }));
        Refused(() => AttentionPoolKernels.Enqueue(plan, good with { PixelStride = 20 }), "pixels: row stride must be at least 16 and a multiple of 8");
        Refused(() => AttentionPoolKernels.Enqueue(plan, good with { TokenStride = 8 }), "tokens: row stride must be at least 16");
    }
}
