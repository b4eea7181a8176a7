namespace AdmNative.Cuda.Tests.Launch;

/// <summary>Plans of attention: valid for every legal shape, exact in what they promise, refused by name otherwise.</summary>
public sealed class AttentionKernelsTests
{
    private static readonly DeviceLimits[] s_devices = [DeviceLimits.Sm80, DeviceLimits.Sm86, DeviceLimits.Sm89, DeviceLimits.Sm90];

    /// <summary>Every plan has blocks, an entry of the bundle, that entry's block size, and shared memory the device grants.</summary>
    [Fact]
    public void Plans_are_valid_for_every_shape()
    {
        KernelBundle bundle = KernelBundle.Open();
        foreach (int d in (int[])[1, 2, 7, 30, 32, 48, 64, 80, 96, 128, 160, 192, 255, 256])
        {
            foreach (int tokens in (int[])[1, 2, 17, 49, 64, 65, 100, 196, 256, 784, 1023, 1024, 1025, 4097, 16384])
            {
                foreach ((int n, int heads) in (ReadOnlySpan<(int, int)>)[(1, 1), (1, 3), (2, 16), (257, 1), (4096, 16)])
                {
                    foreach (KernelDType dtype in KernelDTypes.All)
                    {
                        foreach (DeviceLimits limits in s_devices)
                        {
                            AttentionShape shape = AttentionShape.Self(n, tokens, heads, d);
                            AttentionForwardPlan forward = AttentionKernels.PlanForward(shape, dtype, limits);
                            AttentionBackwardPlan backward = AttentionKernels.PlanBackward(shape, dtype, limits);
                            Assert.Equal((long)n * heads * ((tokens + 63) / 64 * 64) * 8, backward.WorkspaceBytes);
                            foreach (PlannedLaunch launch in forward.Launches.Concat(backward.Launches))
                            {
                                KernelEntry entry = bundle[launch.Entry];
                                Assert.Equal((uint)entry.MaxThreads[0], launch.Shape.BlockX);
                                Assert.InRange(launch.Shape.GridX, 1u, (uint)int.MaxValue);
                                Assert.Equal((1u, 1u), (launch.Shape.GridY, launch.Shape.GridZ));
                                Assert.InRange(launch.Shape.SharedBytes, 0u, (uint)limits.SharedPerBlockOptIn);
                                Assert.Equal(entry.DynamicShared, launch.Shape.SharedBytes > 0);
                                Assert.True(launch.TrafficBytes > 0 && launch.MmaInstructions >= 0);
                            }
                        }
                    }
                }
            }
        }
    }

    /// <summary>Registers of the catalogue and shared memory of the plan leave the blocks per SM that the kernels promise.</summary>
    [Theory]
    [InlineData(64, KernelDType.F16, 64, 4, 3, 3, 4)]
    [InlineData(32, KernelDType.BF16, 64, 4, 4, 4, 4)]
    [InlineData(128, KernelDType.F16, 64, 2, 1, 1, 2)]
    [InlineData(64, KernelDType.BF16, 128, 2, 2, 2, 2)]
    [InlineData(48, KernelDType.F16, 64, 4, 3, 3, 4)]
    public void Forward_blocks_fit(int d, KernelDType dtype, int tile, params int[] least)
    {
        KernelBundle bundle = KernelBundle.Open();
        for (int i = 0; i < s_devices.Length; i++)
        {
            PlannedLaunch launch = AttentionKernels.PlanForward(AttentionShape.Self(1, 256, 4, d), dtype, s_devices[i], tile).Launches[0];
            int registers = bundle[launch.Entry].Resources[new[] { "sm_80", "sm_86", "sm_89", "sm_90" }[i]].Registers;
            Assert.InRange(s_devices[i].ResidentBlocks(128, registers, (int)launch.Shape.SharedBytes), least[i], 16);
        }
    }

    /// <summary>As above; the guide asks for 2/1/1/2.</summary>
    [Theory]
    [InlineData(32)]
    [InlineData(64)]
    [InlineData(128)]
    public void Backward_blocks_fit(int d)
    {
        KernelBundle bundle = KernelBundle.Open();
        for (int i = 0; i < s_devices.Length; i++)
        {
            foreach (PlannedLaunch launch in AttentionKernels.PlanBackward(AttentionShape.Self(1, 256, 4, d), KernelDType.F16, s_devices[i]).Launches)
            {
                int registers = bundle[launch.Entry].Resources[new[] { "sm_80", "sm_86", "sm_89", "sm_90" }[i]].Registers;
                Assert.InRange(s_devices[i].ResidentBlocks(128, registers, (int)launch.Shape.SharedBytes), i is 1 or 2 && d == 128 ? 1 : 2, 16);
            }
        }
    }

    /// <summary>Products of padded tiles: forward 2, dK and dV 4, dQ 3 of 64 x 64 x d, each ceil(M/16) ceil(N/8) ceil(K/16).</summary>
    [Theory]
    [InlineData(64, 65, 2)]
    [InlineData(32, 128, 2)]
    [InlineData(128, 1, 1)]
    public void Mma_counts_are_those_of_padded_tiles(int d, int tokens, int tiles)
    {
        AttentionShape shape = AttentionShape.Self(3, tokens, 5, d);
        long product = 64 / 16 * (64 / 8) * (d / 16), cells = 15L * tiles * tiles;
        Assert.Equal(2 * product * cells, AttentionKernels.PlanForward(shape, KernelDType.F16, DeviceLimits.Sm80).MmaInstructions);
        IReadOnlyList<PlannedLaunch> backward = AttentionKernels.PlanBackward(shape, KernelDType.F16, DeviceLimits.Sm80).Launches;
        int half = d == 128 ? 2 : 1; // columns come in tiles of 32 at d = 128: one token fills half a tile of 64
        Assert.Equal([0L, 4 * product * cells / half, 3 * product * cells / half], backward.Select(l => l.MmaInstructions));
        Assert.Equal(0, AttentionKernels.PlanForward(shape, KernelDType.F32, DeviceLimits.Sm80).MmaInstructions);
    }

    /// <summary>Above 256, or on request, scores are stored: theirs is the workspace.</summary>
    [Theory]
    [InlineData(257, AttentionVersion.Best)]
    [InlineData(64, AttentionVersion.Stored)]
    public void Stored_scores_for_wide_heads(int d, AttentionVersion version)
    {
        KernelBundle bundle = KernelBundle.Open();
        var shape = new AttentionShape(2, 3, 100, 5, d);
        AttentionForwardPlan forward = AttentionKernels.PlanForward(shape, KernelDType.BF16, DeviceLimits.Sm90, version: version);
        AttentionBackwardPlan backward = AttentionKernels.PlanBackward(shape, KernelDType.BF16, DeviceLimits.Sm90, version);
        Assert.Equal(["attn_plain_scores_bf16", "attn_plain_softmax_f32", "attn_plain_apply_bf16"], forward.Launches.Select(l => l.Entry));
        Assert.Equal([20u, 4u, 10u * (uint)(((3 * d) + 255) / 256)], forward.Launches.Select(l => l.Shape.GridX));
        Assert.Equal((12032, 24064), (forward.WorkspaceBytes, backward.WorkspaceBytes));
        Assert.Equal(7, backward.Launches.Count);
        Assert.All(forward.Launches.Concat(backward.Launches), l => Assert.Equal((uint)bundle[l.Entry].MaxThreads[0], l.Shape.BlockX));
        ArgumentException e = Assert.Throws<ArgumentException>(
            () => AttentionKernels.EnqueueForward(forward, AttentionTensors.Packed(4096, 65536, 0, shape, KernelDType.BF16, newOrder: true)));
        Assert.Contains("the workspace must be 256-byte aligned", e.Message, StringComparison.Ordinal);
    }

    /// <summary>Versions kept for comparison are refused where they do not exist.</summary>
    [Fact]
    public void Earlier_versions_say_what_they_offer()
    {
        AttentionShape shape = AttentionShape.Self(1, 64, 1, 64);
        PlannedLaunch step = AttentionKernels.PlanForward(shape, KernelDType.F16, DeviceLimits.Sm80, version: AttentionVersion.OneStage).Launches[0];
        Assert.Equal(("attn_step_fwd_d64_f16", 16384u, 256), (step.Entry, step.Shape.SharedBytes, step.MmaInstructions));
        Assert.Equal("attn_fwd_any_f16", AttentionKernels.PlanForward(shape, KernelDType.F16, DeviceLimits.Sm80, version: AttentionVersion.Tiles).Launches[0].Entry);
        void Refused(Action plan, string clause) => Assert.Contains(clause, Assert.Throws<ArgumentException>(plan).Message, StringComparison.Ordinal);
        Refused(() => AttentionKernels.PlanForward(shape, KernelDType.F32, DeviceLimits.Sm80, version: AttentionVersion.OneStage), "one stage is only offered");
        Refused(() => AttentionKernels.PlanBackward(shape, KernelDType.F16, DeviceLimits.Sm80, AttentionVersion.OneStage), "one stage is only offered forward");
        Refused(
            () => AttentionKernels.PlanForward(AttentionShape.Self(1, 64, 1, 300), KernelDType.F16, DeviceLimits.Sm80, version: AttentionVersion.Tiles),
            "this version's head dimension must lie in 1..256");
    }

    /// <summary>Head dimensions that tensor-core kernels pad, and those no padding serves.</summary>
    [Theory]
    [InlineData(8, KernelDType.F16, "attn_fwd_d32_f16")]
    [InlineData(40, KernelDType.BF16, "attn_fwd_d64_bf16")]
    [InlineData(96, KernelDType.F16, "attn_fwd_d128_f16")]
    [InlineData(96, KernelDType.F32, "attn_fwd_any_f32")]
    [InlineData(36, KernelDType.F16, "attn_fwd_any_f16")]
    [InlineData(136, KernelDType.F16, "attn_fwd_any_f16")]
    public void Head_dimensions_are_padded_to_a_kernel(int d, KernelDType dtype, string entry)
    {
        PlannedLaunch launch = AttentionKernels.PlanForward(AttentionShape.Self(1, 64, 1, d), dtype, DeviceLimits.Sm80).Launches[0];
        Assert.Equal(entry, launch.Entry);
        long rows = entry.Contains("any", StringComparison.Ordinal) ? 6 : 4; // Q and O once, K and V once per query tile of 32 or 64
        Assert.Equal((rows * 64 * d * dtype.Bytes()) + (4 * 64), launch.TrafficBytes);
    }

    /// <summary>The wide tile is chosen for long sequences that fill the device, and only where it exists.</summary>
    [Theory]
    [InlineData(1, 1024, 64, false)]
    [InlineData(8, 1024, 64, true)]
    [InlineData(8, 1023, 64, false)]
    [InlineData(8, 1024, 128, false)]
    public void Wide_tiles_when_they_fill_the_device(int n, int tokens, int d, bool wide)
    {
        AttentionForwardPlan plan = AttentionKernels.PlanForward(AttentionShape.Self(n, tokens, 4, d), KernelDType.F16, DeviceLimits.Sm80);
        Assert.Equal(wide, plan.Launches[0].Entry.Contains("_q128_", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(0, 1, 1, 64, "samples must be positive")]
    [InlineData(1, 0, 1, 64, "queries and keys must be positive")]
    [InlineData(1, 1, 0, 64, "heads must be positive")]
    [InlineData(1, 1, 1, 0, "head dimension must be positive")]
    [InlineData(1, 65536, 1, 300, "queries times keys must lie below 2^31")]
    [InlineData(int.MaxValue, 64, 2, 64, "grid x must lie in")]
    public void Shapes_without_a_plan_are_refused_by_clause(int n, int tokens, int heads, int d, string clause)
    {
        AttentionShape shape = AttentionShape.Self(n, tokens, heads, d);
        Assert.Contains(clause, Assert.Throws<ArgumentException>(() => AttentionKernels.PlanForward(shape, KernelDType.F16, DeviceLimits.Sm80)).Message, StringComparison.Ordinal);
        Assert.Contains(clause, Assert.Throws<ArgumentException>(() => AttentionKernels.PlanBackward(shape, KernelDType.F16, DeviceLimits.Sm80)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Addresses_and_strides_are_checked()
    {
        AttentionShape shape = AttentionShape.Self(2, 17, 3, 64);
        AttentionForwardPlan plan = AttentionKernels.PlanForward(shape, KernelDType.F16, DeviceLimits.Sm80);
        var good = AttentionTensors.Packed(4096, 65536, 0, shape, KernelDType.F16, newOrder: true);
        Assert.Single(AttentionKernels.EnqueueForward(plan, good));
        void Refused(AttentionTensors tensors, string clause) => Assert.Contains(
            clause, Assert.Throws<ArgumentException>(() => AttentionKernels.EnqueueForward(plan, tensors)).Message, StringComparison.Ordinal);
        Refused(good with { Q = 4104 }, "q must be 16-byte aligned");
        Refused(good with { O = 0 }, "o must be 16-byte aligned");
        Refused(good with { Lse = 2 }, "lse must be 4-byte aligned");
        Refused(good with { KvStrides = good.KvStrides with { Row = 572 } }, "k: strides must be multiples of 8");
        Refused(good with { QStrides = good.QStrides with { Row = 32 } }, "q: row stride must lie in 64");
        Refused(good with { QStrides = good.QStrides with { Row = 1L << 31 } }, "q: row stride must lie in 64");
        AttentionBackwardPlan backward = AttentionKernels.PlanBackward(shape, KernelDType.F16, DeviceLimits.Sm80);
        ArgumentException e = Assert.Throws<ArgumentException>(() => AttentionKernels.EnqueueBackward(backward, AttentionGradients.Packed(good, 4096, 8192), 256));
        Assert.Contains("lse must be 4-byte aligned", e.Message, StringComparison.Ordinal);
        e = Assert.Throws<ArgumentException>(() => AttentionKernels.EnqueueBackward(backward, AttentionGradients.Packed(good with { Lse = 4 }, 4096, 8192), 100));
        Assert.Contains("the workspace must be 256-byte aligned", e.Message, StringComparison.Ordinal);
    }

    /// <summary>Both channel orders of a packed qkv, by strides.</summary>
    [Fact]
    public void Packed_tensors_follow_the_channel_orders()
    {
        AttentionShape shape = AttentionShape.Self(2, 10, 3, 64);
        var legacy = AttentionTensors.Packed(0, 0, 0, shape, KernelDType.BF16, newOrder: false);
        Assert.Equal((128ul, 256ul, new AttentionStrides(576, 192, 5760)), (legacy.K, legacy.V, legacy.QStrides));
        var fresh = AttentionTensors.Packed(0, 0, 0, shape, KernelDType.BF16, newOrder: true);
        Assert.Equal((384ul, 768ul, new AttentionStrides(576, 64, 5760)), (fresh.K, fresh.V, fresh.KvStrides));
        Assert.Equal(new AttentionStrides(192, 64, 1920), fresh.OStrides);
    }
}
