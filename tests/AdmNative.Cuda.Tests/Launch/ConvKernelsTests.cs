using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>Plans of convolutions: valid for every legal shape, exact in what they promise, refused by name otherwise.</summary>
public sealed class ConvKernelsTests
{
    private static readonly DeviceLimits[] s_devices = [DeviceLimits.Sm80, DeviceLimits.Sm86, DeviceLimits.Sm89, DeviceLimits.Sm90];

    private static readonly (int C, int K)[] s_channels = [(1, 1), (3, 192), (8, 6), (24, 72), (96, 8), (160, 192), (192, 6), (384, 384), (768, 1536), (2048, 1024)];

    private static readonly (int H, int W)[] s_sizes = [(1, 1), (1, 2), (2, 1), (7, 7), (8, 8), (9, 7), (13, 31), (16, 16), (64, 64), (101, 103), (256, 256), (1, 1009)];

    public static TheoryData<int> Samples() => [1, 2, 3, 7, 8, 31, 64, 257, 1024, 4095, 4096];

    /// <summary>Blocks, block size and shared memory are those of the entries and devices; slices cover the depth and none is empty.</summary>
    [Theory]
    [MemberData(nameof(Samples))]
    public void Every_legal_shape_has_a_plan(int n)
    {
        foreach ((int c, int k) in s_channels)
        {
            foreach ((int h, int w) in s_sizes)
            {
                foreach (KernelDType dtype in KernelDTypes.All)
                {
                    DeviceLimits limits = s_devices[(n + c + h) % s_devices.Length];
                    foreach (ConvShape shape in Kinds(new(n, h, w, c, k)))
                    {
                        Check(ConvKernels.Plan(shape, dtype, limits), limits);
                        Check(ConvKernels.PlanInputGradient(shape, dtype, limits), limits);
                        Valid(ConvKernels.PlanFlip(shape, dtype, limits), limits);
                        Check(ConvKernels.PlanWeightGradient(shape, dtype, n % 2 == 0, limits), limits);
                    }
                }
            }
        }
    }

    /// <summary>Rows, taps and valid pairs of every phase give each product of a forward convolution once: counted pair by pair.</summary>
    [Fact]
    public void Geometries_cover_every_product_once()
    {
        foreach ((int h, int w) in new[] { (1, 1), (1, 4), (5, 3), (8, 7), (2, 2) })
        {
            foreach (ConvShape shape in Kinds(new(2, h, w, 8, 8)))
            {
                HashSet<(int, int, int)> wanted = [.. Pairs(shape)];
                ConvGeometry forward = ConvGeometry.Forward(shape), gradient = ConvGeometry.InputGradient(shape);
                List<(int Result, int Source, int Tap)> made = [.. Made(forward)];
                Assert.Equal(made.Count, made.Distinct().Count());
                Assert.True(wanted.SetEquals(made.Select(m => (m.Result, m.Source, m.Tap))));
                int last = (shape.Side * shape.Side) - 1;
                List<(int Result, int Source, int Tap)> back = [.. Made(gradient)];
                Assert.Equal(back.Count, back.Distinct().Count());
                Assert.True(wanted.SetEquals(back.Select(m => (m.Source, m.Result, last - m.Tap))));
                Assert.Equal(made.Count * 2L, forward.ValidPairs);
            }
        }
    }

    /// <summary>Division by multiplication is exact at the ends of the range and around every multiple tried.</summary>
    [Fact]
    public void Magic_divides()
    {
        foreach (int d in (int[])[1, 2, 3, 5, 7, 8, 63, 64, 65, 127, 1000, 1009, 4096, 65535, 65536, 1 << 30, int.MaxValue])
        {
            (uint factor, uint shift) = ConvGeometry.Magic(d);
            foreach (long n in Enumerable.Range(0, 200).SelectMany(i => new[] { i, ((long)d * i) - 1, (long)d * i, int.MaxValue - (long)i }).Where(v => v is >= 0 and <= int.MaxValue))
            {
                Assert.Equal(n / d, (long)((((ulong)n << 1) * factor) >> 32 >> (int)shift));
            }
        }
    }

    /// <summary>Large images take tiles of 128 and an undivided depth, the small layers of a U-Net slices that give two blocks per multiprocessor.</summary>
    [Fact]
    public void Tiles_stages_and_slices_follow_the_guide()
    {
        ConvPlan large = ConvKernels.Plan(new(8, 64, 64, 192, 192), KernelDType.F16, DeviceLimits.Sm80);
        Assert.Equal(("conv_igemm_128_s4_f16", 1, 0L), (large.Launches[0].Entry, large.Slices, large.WorkspaceBytes));
        Assert.Equal(65536u, large.Launches[0].Shape.SharedBytes);
        Assert.Equal("conv_igemm_128_s3_f16", ConvKernels.Plan(new(8, 64, 64, 192, 192), KernelDType.F16, DeviceLimits.Sm86).Launches[0].Entry);
        Assert.Equal("conv_igemm_64_s3_bf16", ConvKernels.Plan(new(8, 64, 64, 192, 6), KernelDType.BF16, DeviceLimits.Sm90).Launches[0].Entry);
        foreach ((int n, int size, int c, int k) in new[] { (1, 8, 1024, 1024), (1, 16, 1024, 1024), (8, 8, 768, 768), (1, 8, 2048, 1024) })
        {
            ConvPlan small = ConvKernels.Plan(new(n, size, size, c, k), KernelDType.F16, DeviceLimits.Sm80);
            Assert.True(small.Slices is > 1 and <= 16 && small.Launches[0].Shape.GridX >= 2 * 108, $"{size}x{size}: {small.Slices} slices, {small.Launches[0].Shape.GridX} blocks");
            Assert.Equal(["conv_igemm_64_s3_f16"], small.Launches.Select(l => l.Entry));
        }
    }

    /// <summary>ceil(M / tile) ceil(K / tile) tiles of tile x tile x padded depth, 16 x 8 x 16 each; the gradient of stride 2 wastes none on zeros.</summary>
    [Fact]
    public void Mma_counts_are_those_of_padded_tiles()
    {
        long Count(long tilesM, long tilesN, int tile, long depth) => tilesM * tilesN * (tile / 16) * (tile / 8) * (depth / 16);
        Assert.Equal(Count(256, 2, 128, 9 * 192), ConvKernels.Plan(new(8, 64, 64, 192, 192), KernelDType.F16, DeviceLimits.Sm80).MmaInstructions);
        Assert.Equal(Count(2, 2, 64, 9 * 128), ConvKernels.Plan(new(2, 9, 7, 96, 72), KernelDType.F16, DeviceLimits.Sm80).MmaInstructions);
        Assert.Equal(Count(1, 3, 64, 192), ConvKernels.Plan(new(1, 7, 5, 160, 192) { Side = 1 }, KernelDType.BF16, DeviceLimits.Sm80).MmaInstructions);
        ConvPlan strided = ConvKernels.PlanInputGradient(new(8, 64, 64, 192, 192) { Stride = 2 }, KernelDType.F16, DeviceLimits.Sm80);
        Assert.Equal(Count(64, 2, 128, 9 * 192), strided.MmaInstructions); // 64 tiles a phase; 1 + 2 + 2 + 4 = 9 taps in four phases
        Assert.Equal(Count(2, 14, 128, 8 * 64 * 64), ConvKernels.PlanWeightGradient(new(8, 64, 64, 192, 192), KernelDType.F16, false, DeviceLimits.Sm80).MmaInstructions);
        Assert.Equal(0, ConvKernels.Plan(new(2, 9, 7, 96, 72), KernelDType.F32, DeviceLimits.Sm80).MmaInstructions);
    }

    /// <summary>Registers of the catalogue and shared memory of the plan leave the blocks per multiprocessor that the kernels promise.</summary>
    [Fact]
    public void Blocks_fit()
    {
        for (int i = 0; i < s_devices.Length; i++)
        {
            foreach ((int tile, int least) in new[] { (128, 2), (64, i == 0 ? 3 : i == 3 ? 4 : 2) })
            {
                foreach (PlannedLaunch launch in new KernelPlan[]
                {
                    ConvKernels.Plan(new(8, 64, 64, 192, 192), KernelDType.F16, s_devices[i], tile: tile),
                    ConvKernels.PlanWeightGradient(new(8, 64, 64, 192, 192) { Bias = false }, KernelDType.BF16, false, s_devices[i], tile, 1),
                }.Select(p => p.Launches[0]))
                {
                    int registers = KernelBundle.Default[launch.Entry].Resources[new[] { "sm_80", "sm_86", "sm_89", "sm_90" }[i]].Registers;
                    Assert.InRange(s_devices[i].ResidentBlocks(128, registers, launch.Shape.SharedBytes), least, 16);
                }
            }
        }
    }

    [Theory]
    [InlineData(0, 4, 4, 8, 8, 3, 1, false, "must be at least 1")]
    [InlineData(1, 4, 4, 8, 8, 5, 1, false, "1x1 or 3x3")]
    [InlineData(1, 4, 4, 8, 8, 1, 2, false, "the stride must be 1, or 2 for 3x3")]
    [InlineData(1, 4, 4, 8, 8, 3, 3, false, "the stride must be 1, or 2 for 3x3")]
    [InlineData(1, 4, 4, 8, 8, 3, 2, true, "upsampling goes with 3x3 and stride 1")]
    [InlineData(1, 4, 4, 70000, 8, 3, 1, false, "2^16 channels")]
    [InlineData(1, 40000, 4, 8, 8, 3, 1, false, "2^15 rows and columns")]
    [InlineData(4096, 1024, 1024, 8, 8, 3, 1, false, "2^31 - 1024 pixels")]
    [InlineData(1, 4, 4, 16384, 16384, 3, 1, false, "2^31 - 1024 elements")]
    public void Illegal_shapes_are_refused_by_their_clause(int n, int h, int w, int c, int k, int side, int stride, bool upsample, string clause)
    {
        var shape = new ConvShape(n, h, w, c, k) { Side = side, Stride = stride, Upsample = upsample };
        foreach (Action plan in (Action[])
        [
            () => ConvKernels.Plan(shape, KernelDType.F16, DeviceLimits.Sm80), () => ConvKernels.PlanInputGradient(shape, KernelDType.F16, DeviceLimits.Sm80),
            () => ConvKernels.PlanWeightGradient(shape, KernelDType.F16, false, DeviceLimits.Sm80), () => ConvKernels.PlanFlip(shape, KernelDType.F16, DeviceLimits.Sm80),
        ])
        {
            Assert.Contains(clause, Assert.Throws<ArgumentException>(plan).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Strides_tiles_and_statistics_are_checked()
    {
        var shape = new ConvShape(1, 8, 8, 24, 24);
        void Refused(ConvShape s, KernelDType dtype, string clause, bool statistics = false, int tile = 0, int slices = 0) => Assert.Contains(
            clause, Assert.Throws<ArgumentException>(() => ConvKernels.Plan(s, dtype, DeviceLimits.Sm80, statistics, tile, slices)).Message, StringComparison.Ordinal);
        Refused(shape with { StrideX = 28 }, KernelDType.F16, "the row stride of x must be a multiple of 8");
        Refused(shape with { StrideY = 16 }, KernelDType.F16, "the row stride of y must be a multiple of 8");
        Refused(shape with { Residual = true, StrideResidual = 16 }, KernelDType.F16, "the row stride of the residual must be at least 24");
        Refused(shape, KernelDType.F32, "tile 128 is not offered in f32", tile: 128);
        Refused(shape, KernelDType.F16, "tile 32 is not offered in f16", tile: 32);
        Refused(shape, KernelDType.F32, "statistics are stored in f16 and bf16 only", statistics: true);
        Refused(shape, KernelDType.F16, "statistics need an undivided depth", statistics: true, slices: 2);
        Refused(new(1, 8, 32768, 24, 24) { StrideX = 1 << 19 }, KernelDType.F16, "within 2^31 elements of x");
    }

    [Fact]
    public void Addresses_are_checked_before_a_launch()
    {
        ConvPlan plan = ConvKernels.Plan(new(1, 8, 8, 512, 64) { Residual = true }, KernelDType.F16, DeviceLimits.Sm80);
        var good = new ConvArguments(256, 1 << 20, 2 << 20) { Bias = 16, Residual = 2 << 20, Workspace = 3 << 20, Tickets = 4 << 20 };
        Assert.Single(ConvKernels.Enqueue(plan, good));
        foreach ((ConvArguments bad, string clause) in new[]
        {
            (good with { X = 264 }, "x must be 16-byte aligned"), (good with { Y = 0 }, "y must be 16-byte aligned"), (good with { Y = 256 }, "y must be neither x nor the weights"),
            (good with { Bias = 0 }, "bias must be given"), (good with { Bias = 4 }, "bias must be 16-byte aligned"), (good with { Residual = 0 }, "residual must be given"),
            (good with { Workspace = 128 }, "workspace"), (good with { Tickets = 0 }, "tickets must be given"), (good with { Tickets = 2 }, "tickets must be given"), (good with { Statistics = 256 }, "statistics"),
        })
        {
            Assert.Contains(clause, Assert.Throws<ArgumentException>(() => ConvKernels.Enqueue(plan, bad)).Message, StringComparison.Ordinal);
        }

        ConvGradientPlan gradient = ConvKernels.PlanWeightGradient(new(1, 8, 8, 512, 64), KernelDType.F16, false, DeviceLimits.Sm80);
        Assert.Equal(3, ConvKernels.EnqueueWeightGradient(gradient, new(256, 512, 1024, 2048, 4096)).Count);
        Assert.Throws<ArgumentException>(() => ConvKernels.EnqueueWeightGradient(gradient, new(256, 512, 1024, 0, 4096)));
        Assert.Throws<ArgumentException>(() => ConvKernels.EnqueueWeightGradient(gradient, new(256, 512, 1028, 2048, 4096)));
        Assert.Throws<ArgumentException>(() => ConvKernels.EnqueueWeightGradient(gradient, new(256, 512, 1024, 2048, 0)));
        ConvFlipPlan flip = ConvKernels.PlanFlip(new(1, 8, 8, 512, 64), KernelDType.F16, DeviceLimits.Sm80);
        Assert.Throws<ArgumentException>(() => ConvKernels.EnqueueFlip(flip, 256, 256));
    }

    /// <summary>Sums of a sample lie side by side, a slice per tile and phase; a group norm takes them instead of its own first pass.</summary>
    [Fact]
    public void Statistics_feed_a_group_norm()
    {
        foreach ((ConvShape shape, int slices) in new[] { (new ConvShape(8, 64, 64, 192, 192), 32), (new(2, 13, 11, 24, 64), 3), (new(2, 5, 7, 24, 72) { Upsample = true }, 4) })
        {
            ConvPlan plan = ConvKernels.Plan(shape, KernelDType.F16, DeviceLimits.Sm80, statistics: true);
            Assert.Equal((slices, 8L * shape.N * slices * shape.K, 1), (plan.StatisticsSlices, plan.StatisticsBytes, plan.Slices));
            GroupNormPlan norm = GroupNormKernels.PlanFromSums(new(shape.N, shape.ResultH, shape.ResultW, shape.K, 8), KernelDType.F16, slices, DeviceLimits.Sm80);
            Assert.Equal(["gn_finalize_f32", "gn_apply_none_keep_f16"], norm.Launches.Select(l => l.Entry));
            Assert.Equal(0, norm.WorkspaceBytes);
            var good = new GroupNormArguments { X = 256, Y = 512, Gamma = 4, Beta = 4, Mean = 4, Rstd = 4, Ab = 16, Eps = 1e-5f };
            Assert.Equal(2, GroupNormKernels.EnqueueFromSums(norm, good, 4096, 64).Count);
            Assert.Throws<ArgumentException>(() => GroupNormKernels.EnqueueFromSums(norm, good, 0, 64));
            Assert.Throws<ArgumentException>(() => GroupNormKernels.EnqueueFromSums(norm, good with { Y = 256 }, 4096, 64));
        }

        Assert.Throws<ArgumentException>(() => GroupNormKernels.PlanFromSums(new(1, 4, 4, 64, 32), KernelDType.F16, 0, DeviceLimits.Sm80));
    }

    [Fact]
    public void Earlier_versions_say_what_they_do_not_do()
    {
        var shape = new ConvShape(2, 8, 8, 96, 72);
        foreach (ConvVersion version in Enum.GetValues<ConvVersion>())
        {
            Valid(ConvKernels.PlanComparison(shape, KernelDType.F16, version, DeviceLimits.Sm80), DeviceLimits.Sm80);
            Assert.Throws<ArgumentException>(() => ConvKernels.PlanComparison(shape with { Stride = 2 }, KernelDType.F16, version, DeviceLimits.Sm80));
            Assert.Throws<ArgumentException>(() => ConvKernels.PlanComparison(shape with { C = 12 }, KernelDType.F16, version, DeviceLimits.Sm80));
        }

        Assert.Throws<ArgumentException>(() => ConvKernels.PlanComparison(shape, KernelDType.F32, ConvVersion.SingleStage, DeviceLimits.Sm80));
        ConvComparisonPlan plan = ConvKernels.PlanComparison(shape, KernelDType.BF16, ConvVersion.SingleStage, DeviceLimits.Sm80);
        Assert.Single(ConvKernels.EnqueueComparison(plan, new ConvArguments(256, 512, 1024) { Bias = 4 }));
        Assert.Throws<ArgumentException>(() => ConvKernels.EnqueueComparison(plan, new ConvArguments(256, 512, 1024)));
        Assert.Throws<ArgumentException>(() => ConvKernels.EnqueueComparison(plan, new ConvArguments(264, 512, 1024) { Bias = 4 }));
    }

    private static IEnumerable<ConvShape> Kinds(ConvShape s) => [s, s with { Side = 1, Bias = false }, s with { Stride = 2 }, s with { Upsample = true, Residual = true }];

    private static void Check(ConvPlan plan, in DeviceLimits limits)
    {
        Valid(plan, limits);
        ConvGeometry g = plan.Geometry;
        int depth = plan.DType != KernelDType.F32 && plan.Tile == 64 ? 64 : 32;
        int most = Enumerable.Range(0, g.Phases).Max(g.TapsOf) * ((g.C + depth - 1) / depth), each = (most + plan.Slices - 1) / plan.Slices;
        Assert.True(plan.Slices * each >= most && (plan.Slices - 1) * each < most, "slices cover the depth, none is empty");
        Assert.Single(plan.Launches);
        Assert.Equal(plan.Slices > 1 ? 4 * plan.Launches[0].Shape.GridX / plan.Slices : 0, plan.TicketBytes);
        Assert.Equal(plan.Slices * g.TilesM(plan.Tile, false) * ((g.K + plan.Tile - 1) / plan.Tile), plan.Launches[0].Shape.GridX);
        Assert.True(g.TilesM(plan.Tile, false) * plan.Tile >= g.Pixels);
    }

    private static void Check(ConvGradientPlan plan, in DeviceLimits limits)
    {
        Valid(plan, limits);
        long pixels = plan.Shape.ResultPixels;
        foreach ((int slices, int rows) in new[] { plan.Weights, plan.BiasSlices }.Where(s => s.Slices > 0))
        {
            Assert.True((long)slices * rows >= pixels && (slices - 1L) * rows < pixels, "slices cover the pixels, none is empty");
        }

        Assert.Equal(0, plan.Weights.Rows % 64);
        Assert.Equal(1 + (plan.Slices > 1 ? 1 : 0) + (plan.Shape.Bias ? 2 : 0), plan.Launches.Count);
    }

    private static void Valid(KernelPlan plan, in DeviceLimits limits)
    {
        Assert.True(plan.WorkspaceBytes >= 0 && plan.WorkspaceBytes % 256 == 0);
        foreach (PlannedLaunch launch in plan.Launches)
        {
            Assert.True(KernelBundle.Default.TryFind(launch.Entry, out KernelEntry? entry), launch.Entry);
            Assert.Equal(((uint)entry.MaxThreads[0], 1u, 1u), (launch.Shape.BlockX, launch.Shape.GridY, launch.Shape.GridZ));
            Assert.InRange(launch.Shape.GridX, 1u, (uint)int.MaxValue);
            Assert.InRange(launch.Shape.SharedBytes, 0u, (uint)limits.SharedPerBlockOptIn);
            Assert.Equal(entry.DynamicShared, launch.Shape.SharedBytes > 0);
            Assert.True(launch.TrafficBytes > 0 && launch.MmaInstructions >= 0);
        }
    }

    /// <summary>Of one sample: pixel of y, pixel of x, place of the filter.</summary>
    private static IEnumerable<(int Result, int Source, int Tap)> Pairs(ConvShape s)
    {
        int up = s.Upsample ? 2 : 1;
        for (int m = 0; m < s.ResultH * s.ResultW; m++)
        {
            for (int tap = 0; tap < s.Side * s.Side; tap++)
            {
                int h = (m / s.ResultW * s.Stride) + (tap / s.Side) - (s.Side / 2), w = (m % s.ResultW * s.Stride) + (tap % s.Side) - (s.Side / 2);
                if (h >= 0 && w >= 0 && h < up * s.H && w < up * s.W)
                {
                    yield return (m, (h / up * s.W) + (w / up), tap);
                }
            }
        }
    }

    /// <summary>What a kernel with this geometry multiplies, by the packed taps it is given; rows that are no pixel of the result included.</summary>
    private static IEnumerable<(int Result, int Source, int Tap)> Made(ConvGeometry g)
    {
        for (int phase = 0; phase < g.Phases; phase++)
        {
            uint vertical = g.Packed(phase >> 1), horizontal = g.Packed(phase & 1);
            for (int row = 0; row < g.RowsH * g.RowsW; row++)
            {
                (int i, int j) = (row / g.RowsW, row % g.RowsW);
                (int y, int x) = ((i * g.Spread) + (phase >> 1), (j * g.Spread) + (phase & 1));
                for (int a = 0; a < (vertical & 7); a++)
                {
                    for (int b = 0; b < (horizontal & 7); b++)
                    {
                        uint v = (vertical >> (3 + (4 * a))) & 15, u = (horizontal >> (3 + (4 * b))) & 15;
                        int h = (i * g.Stride) + (int)(v & 3) - 1, w = (j * g.Stride) + (int)(u & 3) - 1;
                        if (h >= 0 && w >= 0 && h < g.H && w < g.W && y < g.Ho && x < g.Wo)
                        {
                            yield return ((y * g.Wo) + x, (h * g.W) + w, (int)(((v >> 2) * g.Side) + (u >> 2)));
                        }
                    }
                }
            }
        }
    }
}
