using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests;

/// <summary>Counters of small kernels whose values follow from the definitions by hand.</summary>
public sealed class CounterTests
{
    private const string Declarations = """
        .const .align 4 .u32 table[64] = {7, 8};
        .shared .align 128 .b8 s[16384];
        """;

    private const string Prologue = """
        .local .align 8 .b8 depot[16];
        .reg .b32 %r<20>; .reg .b64 %rd<20>; .reg .pred %p<8>; .reg .b16 %h<4>;
        ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [a]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd3, %r1, 4; add.s64 %rd4, %rd1, %rd3; add.s64 %rd5, %rd2, %rd3;
        mov.u32 %r3, s; shl.b32 %r4, %r1, 2; add.u32 %r5, %r3, %r4; mov.u64 %rd6, depot; setp.ge.u32 %p1, %r1, 32; setp.ne.u32 %p2, %r1, %r1; setp.lt.u32 %p3, %r1, 16;
        cvt.u64.u32 %rd7, %r5; cvta.shared.u64 %rd8, %rd7; cvta.local.u64 %rd9, %rd6; mov.u32 %r2, 0;

        """;

    private static Counters Count(string body, int threads = 64, int grid = 1) => Report(body, threads, grid).Counters;

    private static LaunchReport Report(string body, int threads = 64, int grid = 1)
    {
        using var run = new PtxRun(PtxRun.Entry($"{Prologue}{body}\nret;", Declarations)) { Options = new LaunchOptions { Checks = Checks.Bounds | Checks.Alignment }, CompareEngines = false };
        LaunchReport report = run.Launch("k", new LaunchShape((uint)grid, 1, 1, (uint)threads, 1, 1), run.Room<uint>(64), run.Put<uint>(new uint[256]), 0L, 0L, 0);
        Assert.True(report.Findings.Count == 0, string.Join('\n', report.Findings));
        return report;
    }

    private static long[] Spaces(Counters c) =>
        [c.GlobalLoads, c.GlobalStores, c.GlobalAtomics, c.ConstantLoads, c.SharedLoads, c.SharedStores, c.SharedAtomics, c.LocalLoads, c.LocalStores];

    /// <summary>
    /// Two warps; %p1 holds in the second only, %p2 nowhere, %p3 in the first half of the first. An instruction that no lane executes counts nothing.
    /// The last rows choose between two spaces per lane: each warp (or the first, which alone is split) counts in both.
    /// </summary>
    public static TheoryData<string, long[]> Accesses() => new()
    {
        { "ld.global.u32 %r6, [%rd5];", [2, 0, 0, 0, 0, 0, 0, 0, 0] },
        { "@%p1 ld.global.nc.v4.u32 {%r6,%r7,%r8,%r9}, [%rd2];", [1, 0, 0, 0, 0, 0, 0, 0, 0] },
        { "@%p2 ld.global.u32 %r6, [%rd5]; @%p2 st.global.u32 [%rd4], %r2; @%p2 st.shared.u32 [%r5], %r2; @%p2 st.local.u32 [%rd6], %r2;", [0, 0, 0, 0, 0, 0, 0, 0, 0] },
        { "st.global.u32 [%rd4], %r2; @%p3 st.global.u32 [%rd4], %r2;", [0, 3, 0, 0, 0, 0, 0, 0, 0] },
        { "atom.global.add.u32 %r6, [%rd5], 1; red.global.max.u32 [%rd5], 1;", [0, 0, 4, 0, 0, 0, 0, 0, 0] },
        { "ld.const.u32 %r6, [table+4];", [0, 0, 0, 2, 0, 0, 0, 0, 0] },
        { "st.shared.u32 [%r5], %r2; ld.shared.u32 %r6, [%r5]; ld.volatile.shared.u32 %r6, [%r5];", [0, 0, 0, 0, 4, 2, 0, 0, 0] },
        { "atom.shared.add.u32 %r6, [%r5], 1; @%p1 red.shared.add.u32 [%r5], 1;", [0, 0, 0, 0, 0, 0, 3, 0, 0] },
        { "st.local.u32 [%rd6], %r2; st.local.u32 [%rd6+4], %r2; ld.local.v2.u32 {%r6,%r7}, [%rd6];", [0, 0, 0, 0, 0, 0, 0, 2, 4] },
        { "cp.async.ca.shared.global [%r5], [%rd5], 4; cp.async.wait_all;", [2, 0, 0, 0, 0, 2, 0, 0, 0] },
        { "and.b32 %r6, %r1, 7; shl.b32 %r6, %r6, 4; add.u32 %r6, %r3, %r6; ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r7}, [%r6];", [0, 0, 0, 0, 2, 0, 0, 0, 0] },
        { "st.u32 [%rd8], %r2; ld.u32 %r6, [%rd8]; atom.add.u32 %r6, [%rd8], 1;", [0, 0, 0, 0, 2, 2, 2, 0, 0] },
        { "st.u32 [%rd9], %r2; ld.u32 %r6, [%rd9]; ld.u32 %r7, [%rd5];", [2, 0, 0, 0, 0, 0, 0, 2, 2] },
        { "selp.b64 %rd10, %rd8, %rd5, %p3; ld.u32 %r6, [%rd10];", [2, 0, 0, 0, 1, 0, 0, 0, 0] },
        { "selp.b64 %rd10, %rd9, %rd4, %p1; st.u32 [%rd10], %r2;", [0, 1, 0, 0, 0, 0, 0, 0, 1] },
        { "prefetch.global.L2 [%rd5];", [0, 0, 0, 0, 0, 0, 0, 0, 0] },
    };

    [Theory]
    [MemberData(nameof(Accesses))]
    public void Loads_and_stores_are_split_by_space(string body, long[] expected)
    {
        LaunchReport report = Report(body);
        Counters c = report.Counters;
        Assert.Equal(expected, Spaces(c));
        Assert.Equal(expected, Spaces(report.Lines.Aggregate(new Counters(), (sum, l) => sum + l.Counters)));
        Assert.Equal((c.GlobalReadRequests, c.GlobalWriteRequests), (c.GlobalLoads + c.ConstantLoads, c.GlobalStores + c.GlobalAtomics));
        Assert.Equal(c.SharedRequests, c.SharedLoads + c.SharedStores + c.SharedAtomics);
    }

    [Theory]
    [InlineData("membar.gl;", 2)]
    [InlineData("membar.cta; fence.acq_rel.gpu; fence.sc.sys;", 6)]
    [InlineData("@%p1 bra $skip; membar.sys; $skip:", 1)]
    [InlineData("bar.sync 0; bar.warp.sync -1;", 0)]
    public void Fences_are_counted(string body, long fences) => Assert.Equal(fences, Count(body).Fences);

    /// <summary>
    /// One full warp. 8-byte lanes go in halves and 16-byte lanes in quarters; a phase takes as many passes as the fullest bank has distinct words.
    /// Stride 16 of 8 bytes: lanes 8 apart share banks, 2 passes for each half. Stride 64: all words in four banks, 8 lanes each. Stride 136: 34 words,
    /// two banks on for each lane, none shared. Of 16 bytes at 32: lanes 4 apart share banks. At 144: 36 words, four banks on.
    /// </summary>
    [Theory]
    [InlineData("st.shared.v2.u32 [%r9], {%r2,%r2};", 8, 2, 2)]
    [InlineData("st.shared.v2.u32 [%r9], {%r2,%r2};", 16, 4, 2)]
    [InlineData("st.shared.u64 [%r9], %rd1;", 64, 16, 2)]
    [InlineData("st.shared.u64 [%r9], %rd1;", 128, 32, 2)]
    [InlineData("ld.shared.u64 %rd10, [%r9];", 136, 2, 2)]
    [InlineData("ld.shared.f64 %rd10, [%r9];", 0, 2, 2)]
    [InlineData("@%p3 ld.shared.u64 %rd10, [%r9];", 128, 16, 1)]
    [InlineData("st.shared.v4.u32 [%r9], {%r2,%r2,%r2,%r2};", 16, 4, 4)]
    [InlineData("st.shared.v4.u32 [%r9], {%r2,%r2,%r2,%r2};", 32, 8, 4)]
    [InlineData("ld.shared.v4.u32 {%r10,%r11,%r12,%r13}, [%r9];", 128, 32, 4)]
    [InlineData("ld.shared.v2.u64 {%rd10,%rd11}, [%r9];", 144, 4, 4)]
    [InlineData("ld.shared.v4.u32 {%r10,%r11,%r12,%r13}, [%r9];", 0, 4, 4)]
    [InlineData("@%p3 ld.shared.v4.u32 {%r10,%r11,%r12,%r13}, [%r9];", 64, 8, 2)]
    [InlineData("cp.async.cg.shared.global [%r9], [%rd2], 16; cp.async.wait_all;", 128, 32, 4)]
    [InlineData("cp.async.ca.shared.global [%r9], [%rd2], 8; cp.async.wait_all;", 16, 4, 2)]
    [InlineData("ld.shared.u8 %h1, [%r9];", 1, 1, 1)]
    [InlineData("ld.shared.u16 %h1, [%r9];", 2, 1, 1)]
    [InlineData("ld.shared.u16 %h1, [%r9];", 128, 32, 1)]
    [InlineData("red.shared.add.u32 [%r9], 1;", 64, 16, 1)]
    public void Bank_conflicts_of_every_width(string access, int stride, long passes, long ideal)
    {
        Counters c = Count($"mul.lo.u32 %r9, %r1, {stride}; add.u32 %r9, %r9, %r3; {access}", 32);
        Assert.Equal((1, passes, ideal, passes - ideal), (c.SharedRequests, c.SharedPasses, c.SharedIdealPasses, c.SharedConflicts));
    }

    /// <summary>Each matrix is a phase of 8 rows of 16 bytes: rows 16 or 144 bytes apart fill the 32 banks once, rows 128 apart take 8 passes, 64 apart 4, 32 apart 2.</summary>
    [Theory]
    [InlineData("x1", 16, 1, 1)]
    [InlineData("x1", 32, 2, 1)]
    [InlineData("x1", 64, 4, 1)]
    [InlineData("x1", 128, 8, 1)]
    [InlineData("x2", 128, 16, 2)]
    [InlineData("x4", 128, 32, 4)]
    [InlineData("x4", 144, 4, 4)]
    [InlineData("x4", 64, 16, 4)]
    [InlineData("x4", 0, 4, 4)]
    public void Bank_conflicts_of_matrix_loads(string count, int stride, long passes, long ideal)
    {
        string to = count switch { "x1" => "%r10", "x2" => "%r10,%r11", _ => "%r10,%r11,%r12,%r13" };
        foreach (string trans in new[] { "", ".trans" })
        {
            Counters c = Count($"mul.lo.u32 %r9, %r1, {stride}; add.u32 %r9, %r9, %r3; ldmatrix.sync.aligned.m8n8.{count}{trans}.shared.b16 {{{to}}}, [%r9];", 32);
            Assert.Equal((1, passes, ideal, passes - ideal), (c.SharedRequests, c.SharedPasses, c.SharedIdealPasses, c.SharedConflicts));
        }
    }

    /// <summary>Rows of 128 bytes, their 16-byte chunks swapped by row: no conflict, as the tiles of the kernels rely on.</summary>
    [Fact]
    public void Swizzled_rows_have_no_conflicts()
    {
        Counters c = Count(
            """
            shl.b32 %r9, %r1, 7; and.b32 %r10, %r1, 7; shl.b32 %r10, %r10, 4; xor.b32 %r9, %r9, %r10; add.u32 %r9, %r9, %r3;
            ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10,%r11,%r12,%r13}, [%r9];
            ld.shared.v4.u32 {%r10,%r11,%r12,%r13}, [%r9];
            """, 32);
        Assert.Equal((2, 8, 0), (c.SharedRequests, c.SharedPasses, c.SharedConflicts));
    }

    /// <summary>Three launches of two kernels: sums per kernel and per line, in the order of the first launches.</summary>
    [Fact]
    public void Launches_add_up_per_kernel()
    {
        const string Two = """
            .version 8.4
            .target sm_80
            .address_size 64
            .visible .entry store(.param .u64 out)
            {
            .reg .b32 %r<4>; .reg .b64 %rd<4>;
            ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd3, %rd1, %rd2;
            st.global.u32 [%rd3], %r1;
            ret;
            }
            .visible .entry nothing()
            {
            ret;
            }
            """;
        using var run = new PtxRun(Two) { CompareEngines = false };
        long to = run.Room<uint>(96);
        LaunchReport[] reports = [run.Launch("store", 1, 32, to), run.Launch("nothing", 5, 32), run.Launch("store", 1, 96, to)];
        IReadOnlyList<KernelTotals> totals = KernelTotals.Of(reports);
        Assert.Equal([("store", 2L), ("nothing", 1L)], totals.Select(t => (t.Kernel, t.Launches)));
        Assert.Equal((1 + 3, 4 + 12, 512), (totals[0].Counters.GlobalStores, totals[0].Counters.GlobalWriteSectors, totals[0].Counters.GlobalWriteBytes));
        Assert.Equal((6 * 4, 5), (totals[0].Counters.WarpInstructions, totals[1].Counters.WarpInstructions));
        Assert.Equal([(7, 16L), (8, 4L), (9, 4L)], totals[0].Lines.Select(l => (l.Line, l.Counters.WarpInstructions)));
        Assert.Equal(4 + 12, totals[0].Counters.GlobalFootprintSectors);
        Assert.Empty(KernelTotals.Of([]));
    }

    /// <summary>A counter that the sum forgot would be lost between lines and totals.</summary>
    [Fact]
    public void A_sum_adds_every_counter()
    {
        System.Reflection.PropertyInfo[] counts = [.. typeof(Counters).GetProperties().Where(p => p.PropertyType == typeof(long) && p.CanWrite)];
        Assert.InRange(counts.Length, 40, 100);
        Counters a = new() { MmaByShape = new Dictionary<string, long> { ["x"] = 1, ["y"] = 2 } }, b = new() { MmaByShape = new Dictionary<string, long> { ["y"] = 40 } };
        foreach ((int i, System.Reflection.PropertyInfo p) in counts.Index())
        {
            p.SetValue(a, 1000L + i);
            p.SetValue(b, 7L * i);
        }

        Counters sum = a + b;
        Assert.All(counts.Index(), p => Assert.Equal(1000 + (8 * p.Index), (long)p.Item.GetValue(sum)!));
        Assert.Equal([("x", 1L), ("y", 42L)], sum.MmaByShape.Select(m => (m.Key, m.Value)).Order());
    }
}
