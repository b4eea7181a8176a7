using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>Plans are valid for every legal shape, and refuse the rest by name.</summary>
public sealed class GroupNormPlanTests
{
    private static readonly (int C, int G)[] s_channels =
        [(1, 1), (2, 1), (3, 3), (30, 3), (32, 32), (64, 32), (96, 32), (125, 5), (160, 32), (192, 32), (576, 32), (1344, 32), (2048, 32), (4096, 1), (2047, 1)];

    private static readonly (int H, int W)[] s_sizes = [(1, 1), (1, 2), (2, 2), (7, 7), (8, 8), (13, 31), (16, 16), (32, 32), (64, 64), (101, 103), (256, 256), (1, 1009)];

    private static readonly DeviceLimits[] s_devices = [DeviceLimits.Sm80, DeviceLimits.Sm86, DeviceLimits.Sm89, DeviceLimits.Sm90];

    public static TheoryData<int> Samples() => [1, 2, 3, 7, 8, 31, 64, 257, 1024, 4095, 4096];

    [Theory]
    [MemberData(nameof(Samples))]
    public void Every_legal_shape_has_a_plan_that_covers_it(int n)
    {
        foreach ((int c, int g) in s_channels)
        {
            foreach ((int h, int w) in s_sizes)
            {
                foreach (KernelDType dtype in KernelDTypes.All)
                {
                    foreach (KernelResample resample in Enum.GetValues<KernelResample>().Where(r => r != KernelResample.Down2 || (h % 2 == 0 && w % 2 == 0)))
                    {
                        DeviceLimits limits = s_devices[(n + c + h) % s_devices.Length];
                        var shape = new GroupNormShape(n, h, w, c, g) { Silu = true, Resample = resample };
                        Covers(GroupNormKernels.Plan(shape, dtype, limits), limits);
                        Covers(GroupNormKernels.PlanBackward(shape, dtype, addsDxIn: true, parameterGradients: true, limits), limits);
                        Covers(GroupNormKernels.PlanGradSums(shape, dtype, limits), limits);
                    }
                }
            }
        }
    }

    [Fact]
    public void Small_layers_take_one_launch_and_large_ones_two()
    {
        DeviceLimits limits = DeviceLimits.Sm80;
        foreach ((int size, int c) in new[] { (8, 1024), (16, 2048), (8, 1344), (7, 64), (16, 576), (32, 1024) })
        {
            GroupNormPlan plan = GroupNormKernels.Plan(new(1, size, size, c, 32), KernelDType.F16, limits);
            Assert.True(plan.IsSmall, $"{size}x{size}x{c}");
            Assert.Equal(2L * size * size * c * 2, plan.ContractBytes);
        }

        GroupNormPlan large = GroupNormKernels.Plan(new(1, 64, 64, 576, 32), KernelDType.F16, limits);
        Assert.Equal(["gn_stats_f16", "gn_apply_none_keep_f16"], large.Launches.Select(l => l.Entry));
        Assert.Equal(3L * 64 * 64 * 576 * 2, large.ContractBytes);
    }

    [Fact]
    public void Small_layers_that_resample_take_one_launch_too()
    {
        foreach ((KernelResample resample, long written) in new[] { (KernelResample.Down2, 1L), (KernelResample.Up2, 16L) })
        {
            GroupNormPlan plan = GroupNormKernels.Plan(new(1, 16, 16, 576, 32) { Silu = true, Resample = resample }, KernelDType.F16, DeviceLimits.Sm80);
            Assert.Equal($"gn_small_silu_{resample.ToString().ToLowerInvariant()}_f16", Assert.Single(plan.Launches).Entry);
            Assert.Equal(16L * 16 * 576 * 2 * (4 + written) / 4, plan.ContractBytes);
        }
    }

    [Fact]
    public void Earlier_versions_cover_what_they_take_and_refuse_the_rest()
    {
        foreach (GroupNormVersion version in Enum.GetValues<GroupNormVersion>())
        {
            foreach ((int n, int c, int g) in new[] { (1, 64, 32), (3, 576, 32), (4096, 96, 32), (2, 2048, 32) })
            {
                GroupNormPlan plan = GroupNormKernels.PlanVersion(new(n, 28, 28, c, g), KernelDType.F16, version, DeviceLimits.Sm80);
                foreach (GroupNormPlan.Step s in plan.Steps)
                {
                    Assert.True(KernelBundle.Default.TryFind(s.Launch.Entry, out _), s.Launch.Entry);
                    Assert.True((long)s.Slabs * s.Channels >= c && s.Slices * (long)s.Rows >= 28 * 28);
                }

                Assert.Equal(version == GroupNormVersion.Plain ? 1 : 2, plan.Steps.Count);
            }

            Assert.Throws<ArgumentException>(() => GroupNormKernels.PlanVersion(new(1, 8, 8, 64, 32), KernelDType.BF16, version, DeviceLimits.Sm80));
            Assert.Throws<ArgumentException>(() => GroupNormKernels.EnqueueVersion(GroupNormKernels.Plan(new(1, 8, 8, 64, 32), KernelDType.F16, DeviceLimits.Sm80), default));
        }

        Assert.Throws<ArgumentException>(() => GroupNormKernels.PlanVersion(new(1, 8, 8, 1024, 2), KernelDType.F16, GroupNormVersion.Moments, DeviceLimits.Sm80));
    }

    [Fact]
    public void Small_batches_still_fill_the_device()
    {
        DeviceLimits limits = DeviceLimits.Sm80;
        GroupNormPlan plan = GroupNormKernels.Plan(new(1, 64, 64, 1024, 32), KernelDType.F16, limits);
        Assert.All(plan.Launches, l => Assert.True(l.Shape.GridX >= limits.SmCount, $"{l.Entry}: {l.Shape.GridX} blocks"));
    }

    [Fact]
    public void Odd_channels_and_strides_take_the_narrow_kernels()
    {
        foreach (GroupNormShape shape in new GroupNormShape[] { new(2, 5, 3, 125, 5), new(2, 4, 4, 64, 32) { StrideX = 67 }, new(2, 4, 4, 64, 32) { StrideY = 65 } })
        {
            Assert.All(GroupNormKernels.Plan(shape, KernelDType.F16, DeviceLimits.Sm80).Launches, l => Assert.Contains("narrow", l.Entry, StringComparison.Ordinal));
        }
    }

    [Theory]
    [InlineData(0, 4, 4, 64, 32, "must be at least 1")]
    [InlineData(1, 4, 4, 64, 31, "31 groups must divide 64 channels")]
    [InlineData(1, 4, 4, 8192, 1, "4096 channels")]
    [InlineData(1, 3, 4, 64, 32, "even height and width")]
    [InlineData(1, 100000, 100000, 64, 32, "2^28 pixels")]
    public void Illegal_shapes_are_refused_by_their_clause(int n, int h, int w, int c, int g, string clause)
    {
        var shape = new GroupNormShape(n, h, w, c, g) { Resample = KernelResample.Down2 };
        ArgumentException e = Assert.Throws<ArgumentException>(() => GroupNormKernels.Plan(shape, KernelDType.F16, DeviceLimits.Sm80));
        Assert.Contains(clause, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Addresses_are_checked_before_a_launch()
    {
        GroupNormPlan plan = GroupNormKernels.Plan(new(1, 64, 64, 64, 32), KernelDType.F16, DeviceLimits.Sm80);
        var good = new GroupNormArguments { X = 256, Y = 1 << 20, Gamma = 4, Beta = 4, Mean = 4, Rstd = 4, Ab = 16, Workspace = 256, Tickets = 4, Eps = 1e-5f };
        Assert.Equal(2, GroupNormKernels.Enqueue(plan, good).Count);
        foreach ((GroupNormArguments bad, string clause) in new[]
        {
            (good with { X = 264 }, "16-byte aligned"), (good with { Y = 256 }, "y must not be x"), (good with { Workspace = 0 }, "workspace"), (good with { Tickets = 0 }, "tickets"), (good with { Tickets = 2 }, "tickets"),
            (good with { Scale = 4 }, "scale and shift"), (good with { Gamma = 0 }, "must be given"),
        })
        {
            Assert.Contains(clause, Assert.Throws<ArgumentException>(() => GroupNormKernels.Enqueue(plan, bad)).Message, StringComparison.Ordinal);
        }
    }

    private static void Covers(GroupNormPlan plan, in DeviceLimits limits)
    {
        GroupNormShape s = plan.Shape;
        Assert.True(plan.WorkspaceBytes >= 0 && plan.WorkspaceBytes % 256 == 0);
        int unit = plan.Steps[0].Unit;
        Assert.Equal(unit > 0 ? 4L * s.N * (((s.C - 1) / unit) + 1) : 0, plan.TicketBytes);
        foreach (GroupNormPlan.Step step in plan.Steps)
        {
            LaunchShape shape = step.Launch.Shape;
            Assert.True(KernelBundle.Default.TryFind(step.Launch.Entry, out KernelEntry? entry), step.Launch.Entry);
            Assert.Equal((256u, 1u, 1u, 1u), (shape.BlockX, shape.BlockY, shape.GridY, shape.GridZ));
            Assert.InRange(shape.GridX, 1u, (uint)int.MaxValue);
            Assert.True(step.Launch.TrafficBytes > 0);
            Assert.True(shape.SharedBytes + entry.StaticSharedBytes <= limits.SharedPerBlockOptIn, $"{step.Launch.Entry}: {shape.SharedBytes} shared bytes");
            Assert.True((long)step.Slabs * step.Channels >= s.C && (step.Slabs - 1L) * step.Channels < s.C, "slabs cover the channels, none is empty");
            bool finalize = step.Launch.Entry.Contains("finalize", StringComparison.Ordinal), small = step.Launch.Entry.Contains("small", StringComparison.Ordinal);
            if (step.Launch.Entry.StartsWith("gn_param", StringComparison.Ordinal))
            {
                Assert.Equal((s.C + 255) / 256, (int)shape.GridX);
                continue;
            }

            Assert.Equal((long)s.N * step.Slabs * (finalize ? 1 : step.Slices), shape.GridX);
            int whole = step.Launch.Entry.StartsWith("gn_stats", StringComparison.Ordinal) ? step.Unit : finalize || small ? step.Channels : s.D;
            Assert.True(whole > 0 && whole % s.D == 0 && whole / s.D <= 64, $"{step.Launch.Entry}: {whole} channels of groups of {s.D}");
            Assert.True(step.Unit == 0 || step.Unit == s.C || step.Unit >= 32, $"{step.Launch.Entry}: a ticket for {step.Unit} channels");

            if (!finalize)
            {
                bool narrow = step.Launch.Entry.Contains("narrow", StringComparison.Ordinal);
                int vector = narrow ? 1 : step.Launch.Entry.Contains("bwd", StringComparison.Ordinal) ? 4 : 16 / plan.DType.Bytes();
                long items = s.Resample == KernelResample.Down2 && !step.Launch.Entry.Contains("stats", StringComparison.Ordinal) ? s.ResultPixels : s.Pixels;
                Assert.True((long)step.Slices * step.Rows >= items && (step.Slices - 1L) * step.Rows < items, "slices cover the pixels, none is empty");
                Assert.True(step.Channels % vector == 0 && step.Channels <= (narrow ? 256 : 512));
            }
        }
    }
}
