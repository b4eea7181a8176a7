using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests.Driver;

/// <summary>Lower bounds from counts whose times are computed here by hand.</summary>
public sealed class BoundsTests
{
    private static readonly Counters s_some = new() { WarpInstructions = 1 };

    public static TheoryData<string, Counters, double> Terms() => new()
    {
        { "dram", s_some with { GlobalFootprintSectors = 1_000_000, GlobalReadSectors = 99_000_000 }, 32e6 / 2.039e12 },
        { "tensor", s_some with { MmaInstructions = 1000, MmaByShape = new Dictionary<string, long> { ["m16n8k16f16f32"] = 1000 } }, 4096e3 / 312e12 },
        { "tensor", s_some with { MmaInstructions = 1000, MmaByShape = new Dictionary<string, long> { ["m16n8k8tf32f32"] = 1000 } }, 2048e3 / 156e12 },
        { "tensor", s_some with { MmaInstructions = 1000, MmaByShape = new Dictionary<string, long> { ["m16n8k32s8s32"] = 1000 } }, 8192e3 / 624e12 },
        {
            "tensor", s_some with { MmaInstructions = 3, MmaByShape = new Dictionary<string, long> { ["m16n8k8bf16f32"] = 1, ["m16n8k4tf32f32"] = 2 } },
            (2048 / 312e12) + (2048 / 156e12)
        },
        { "fma", s_some with { Flops = 1_100_000, F64Flops = 60_000, HalfFlops = 40_000 }, 1e6 / (2 * 64 * 108 * 1.41e9) },
        { "f64", s_some with { Flops = 1_000_000, F64Flops = 1_000_000 }, 1e6 / (2 * 32 * 108 * 1.41e9) },
        { "special", s_some with { SpecialFunctionLanes = 1_000_000 }, 1e6 / (16 * 108 * 1.41e9) },
        { "shared", s_some with { SharedPasses = 1_000_000 }, 1e6 / (108 * 1.41e9) },
        { "issue", s_some with { F32Instructions = 1_000_000, GlobalInstructions = 100_000, MoveInstructions = 50_000_000 }, 6e5 / (4 * 108 * 1.41e9) },
    };

    [Theory]
    [MemberData(nameof(Terms))]
    public void Each_term_is_count_over_rate(string name, Counters counters, double seconds)
    {
        var bounds = Bounds.Of(counters, DeviceProfile.A100);
        Assert.Equal(name, bounds.Binding);
        Assert.Equal(seconds, bounds.Seconds, seconds * 1e-12);
        Assert.Equal(7, bounds.Terms.Count);
        Assert.Equal(bounds.Terms.OrderByDescending(t => t.Seconds), bounds.Terms);
        Assert.StartsWith("lower bound on Virtual A100-SXM4-80GB (sm_80): ", bounds.ToString(), StringComparison.Ordinal);
        Assert.Contains($", bound by {name}\n", bounds.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void The_text_shows_every_term_with_its_basis()
    {
        var bounds = Bounds.Of(s_some with { GlobalFootprintSectors = 1_000_000, SharedPasses = 1_000_000 }, DeviceProfile.A100);
        string[] lines = bounds.ToString().Split('\n');
        Assert.Equal("lower bound on Virtual A100-SXM4-80GB (sm_80): 15.694 us, bound by dram", lines[0]);
        Assert.Equal("  dram       15.694 us  1000000 distinct sectors of 32 bytes at 2.039 TB/s", lines[1]);
        Assert.Equal("  shared      6.567 us  1000000 shared passes on 108 SMs", lines[2]);
        Assert.Equal(8, lines.Length);
    }

    [Fact]
    public void Without_counts_there_is_no_bound() => Assert.Throws<ArgumentException>(() => Bounds.Of(new Counters(), DeviceProfile.A100));

    [Fact]
    public void A_faster_device_has_a_lower_bound()
    {
        Counters c = s_some with { GlobalFootprintSectors = 1000 };
        double[] seconds = [.. DeviceProfile.All.Select(p => Bounds.Of(c, p).Seconds)];
        Assert.Equal(seconds.Length, seconds.Distinct().Count());
        Assert.True(seconds[3] < seconds[0] && seconds[0] < seconds[2] && seconds[2] < seconds[1]);
    }

    [Theory]
    [InlineData(1, 12)] // 32 lanes of 4 bytes are 4 sectors; read a, read b, write out
    [InlineData(8, 96)]
    public void Sectors_touched_again_count_once(int blocks, long sectors)
    {
        using var run = new PtxRun(PtxRun.Entry("""
            .reg .b32 %r<10>; .reg .b64 %rd<10>; .reg .pred %p<2>;
            ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [a]; ld.param.u64 %rd3, [b]; mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mad.lo.u32 %r1, %r2, 32, %r1;
            mul.wide.u32 %rd4, %r1, 4; add.s64 %rd1, %rd1, %rd4; add.s64 %rd2, %rd2, %rd4; add.s64 %rd3, %rd3, %rd4; mov.u32 %r5, 0;
            $loop:
            ld.global.u32 %r3, [%rd2]; ld.global.u32 %r4, [%rd3]; add.u32 %r3, %r3, %r4; st.global.u32 [%rd1], %r3;
            add.u32 %r5, %r5, 1; setp.lt.u32 %p1, %r5, 10; @%p1 bra $loop;
            ret;
            """));
        int n = blocks * 32;
        LaunchReport report = run.Launch("k", blocks, 32, run.Room<uint>(n), run.Put<uint>(new uint[n]), run.Put<uint>(new uint[n]));
        Assert.Empty(report.Findings);
        Assert.Equal(sectors, report.Counters.GlobalFootprintSectors);
        Assert.Equal(10 * sectors * 2 / 3, report.Counters.GlobalReadSectors);
        Assert.Equal(0, report.Lines.Sum(l => l.Counters.GlobalFootprintSectors));
        Assert.Equal(32.0 * sectors / DeviceProfile.A100.DramBytesPerSecond, Bounds.Of(report, DeviceProfile.A100).Terms.Single(t => t.Name == "dram").Seconds);
        LaunchReport again = run.Launch("k", blocks, 32, run.Room<uint>(n), run.Put<uint>(new uint[n]), run.Put<uint>(new uint[n]));
        Assert.Equal(sectors, again.Counters.GlobalFootprintSectors); // counted anew in each launch
    }

    [Fact]
    public void Host_threads_share_the_count()
    {
        // Every block reads the same 4096 words and writes its own 32.
        using var run = new PtxRun(PtxRun.Entry("""
            .reg .b32 %r<10>; .reg .b64 %rd<10>; .reg .pred %p<2>;
            ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [a]; mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mad.lo.u32 %r2, %r2, 32, %r1;
            mul.wide.u32 %rd4, %r1, 4; add.s64 %rd2, %rd2, %rd4; mul.wide.u32 %rd5, %r2, 4; add.s64 %rd1, %rd1, %rd5; mov.u32 %r5, 0; mov.u32 %r6, 0;
            $loop:
            ld.global.u32 %r3, [%rd2]; add.u32 %r6, %r6, %r3; add.s64 %rd2, %rd2, 128;
            add.u32 %r5, %r5, 1; setp.lt.u32 %p1, %r5, 128; @%p1 bra $loop;
            st.global.u32 [%rd1], %r6;
            ret;
            """))
        { Options = new LaunchOptions { Checks = Checks.None, Threads = 4 } };
        LaunchReport report = run.Launch("k", 64, 32, run.Room<uint>(64 * 32), run.Put<uint>(new uint[4096]));
        Assert.Equal(512 + 256, report.Counters.GlobalFootprintSectors);
        Assert.Equal(64 * 512, report.Counters.GlobalReadSectors);
    }

    [Fact]
    public void Lanes_in_several_allocations_are_counted_in_each()
    {
        // Lane i reads allocation i % 2 at 4 * i: four sectors of each.
        using var run = new PtxRun(PtxRun.Entry("""
            .reg .b32 %r<10>; .reg .b64 %rd<10>; .reg .pred %p<2>;
            ld.param.u64 %rd2, [a]; ld.param.u64 %rd3, [b]; mov.u32 %r1, %tid.x; and.b32 %r2, %r1, 1; setp.eq.u32 %p1, %r2, 0;
            selp.b64 %rd4, %rd2, %rd3, %p1; mul.wide.u32 %rd5, %r1, 4; add.s64 %rd4, %rd4, %rd5;
            ld.global.u32 %r3, [%rd4];
            ret;
            """));
        LaunchReport report = run.Launch("k", 1, 32, 0L, run.Put<uint>(new uint[32]), run.Put<uint>(new uint[32]));
        Assert.Empty(report.Findings);
        Assert.Equal(8, report.Counters.GlobalFootprintSectors);
    }
}
