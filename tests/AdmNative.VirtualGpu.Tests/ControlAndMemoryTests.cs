using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests;

/// <summary>Divergence, loops, barriers, warp operations, memory spaces, atomics, printf.</summary>
public sealed class ControlAndMemoryTests
{
    private const string Prologue = """
        .reg .b32 %r<20>; .reg .b64 %rd<20>; .reg .pred %p<8>; .reg .f32 %f<8>;
        ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd3, %rd1, %rd2;

        """;

    private const string Epilogue = "\nst.global.u32 [%rd3], %r2; ret;";

    private static uint[] Run(string body, int threads = 32, string declarations = "", LaunchOptions? options = null, uint shared = 0, uint grid = 1)
    {
        using var run = new PtxRun(PtxRun.Entry(Prologue + body + Epilogue, declarations)) { Options = options ?? new LaunchOptions() };
        long to = run.Room<uint>(threads);
        LaunchReport report = run.Launch("k", new LaunchShape(grid, 1, 1, (uint)threads, 1, 1, shared), to, 0L, 0L, 0L, 0);
        Assert.Empty(report.Findings);
        Assert.True(report.Completed);
        return run.Get<uint>(to, threads);
    }

    public static TheoryData<SchedulePolicy> Policies() => new(Enum.GetValues<SchedulePolicy>());

    [Theory]
    [MemberData(nameof(Policies))]
    public void Loops_of_different_length_meet_again(SchedulePolicy policy)
    {
        uint[] r = Run(
            """
            mov.u32 %r2, 0; mov.u32 %r3, 0;
            $loop: setp.ge.u32 %p1, %r3, %r1; @%p1 bra $done;
            and.b32 %r4, %r3, 1; setp.eq.u32 %p2, %r4, 0; @%p2 bra $even;
            add.u32 %r2, %r2, 100; bra $next;
            $even: add.u32 %r2, %r2, 1;
            $next: add.u32 %r3, %r3, 1; bra $loop;
            $done: activemask.b32 %r5; setp.ne.u32 %p3, %r5, -1; @%p3 trap;
            """,
            options: new LaunchOptions { Schedule = policy });
        Assert.Equal(Enumerable.Range(0, 32).Select(i => (uint)(((i + 1) / 2) + (i / 2 * 100))), r);
    }

    [Fact]
    public void Indexed_branch()
    {
        uint[] r = Run("""
            and.b32 %r3, %r1, 3;
            $table: .branchtargets $a, $b, $c, $b;
            brx.idx %r3, $table;
            $a: mov.u32 %r2, 10; bra $end;
            $b: mov.u32 %r2, 20; bra $end;
            $c: mov.u32 %r2, 30;
            $end:
            """);
        Assert.Equal(Enumerable.Range(0, 32).Select(i => new uint[] { 10, 20, 30, 20 }[i % 4]), r);
    }

    [Theory]
    [MemberData(nameof(Policies))]
    public void Values_cross_warps_at_a_barrier(SchedulePolicy policy)
    {
        uint[] r = Run(
            """
            mov.u32 %r3, buffer; shl.b32 %r4, %r1, 2; add.u32 %r5, %r3, %r4; mul.lo.u32 %r6, %r1, 3; st.shared.u32 [%r5], %r6;
            bar.sync 0;
            sub.u32 %r7, 127, %r1; shl.b32 %r7, %r7, 2; add.u32 %r7, %r3, %r7; ld.shared.u32 %r2, [%r7];
            """,
            128, ".shared .align 4 .b8 buffer[512];", new LaunchOptions { Schedule = policy });
        Assert.Equal(Enumerable.Range(0, 128).Select(i => (uint)((127 - i) * 3)), r);
    }

    [Fact]
    public void Barrier_reductions()
    {
        uint[] r = Run("setp.lt.u32 %p1, %r1, 40; bar.red.popc.u32 %r2, 1, %p1; bar.red.and.pred %p2, 0, %p1; bar.red.or.pred %p3, 0, %p1; @%p2 add.u32 %r2, %r2, 1000; @%p3 add.u32 %r2, %r2, 100;", 64);
        Assert.All(r, v => Assert.Equal(140u, v));
    }

    [Fact]
    public void Producers_arrive_and_consumers_wait()
    {
        // warps 0 and 1 produce and go on; warps 2 and 3 wait for the named barrier
        uint[] r = Run(
            """
            mov.u32 %r3, buffer; shl.b32 %r4, %r1, 2; add.u32 %r5, %r3, %r4; mov.u32 %r2, 7;
            setp.ge.u32 %p1, %r1, 64; @%p1 bra $consume;
            st.shared.u32 [%r5], %r1; bar.arrive 3, 128; bra $end;
            $consume: bar.sync 3, 128; ld.shared.u32 %r2, [%r5+-256];
            $end:
            """,
            128, ".shared .align 4 .b8 buffer[512];", new LaunchOptions { Schedule = SchedulePolicy.Reverse });
        Assert.Equal(Enumerable.Range(0, 128).Select(i => i < 64 ? 7u : (uint)i - 64), r);
    }

    [Theory]
    [InlineData("shfl.sync.bfly.b32 %r2|%p1, %r1, 5, 31, -1;", 0)]
    [InlineData("shfl.sync.down.b32 %r2|%p1, %r1, 3, 31, -1; @!%p1 mov.u32 %r2, 99;", 1)]
    [InlineData("shfl.sync.up.b32 %r2|%p1, %r1, 3, 0, -1; @!%p1 mov.u32 %r2, 99;", 2)]
    [InlineData("shfl.sync.idx.b32 %r2, %r1, 2, 0x181f, -1;", 3)]
    [InlineData("setp.lt.u32 %p1, %r1, 5; vote.sync.ballot.b32 %r2, %p1, -1;", 4)]
    [InlineData("setp.lt.u32 %p1, %r1, 5; vote.sync.any.pred %p2, %p1, -1; vote.sync.all.pred %p3, !%p1, -1; selp.u32 %r2, 1, 0, %p2; @%p3 add.u32 %r2, %r2, 2;", 5)]
    [InlineData("shr.u32 %r3, %r1, 3; match.any.sync.b32 %r2, %r3, -1;", 6)]
    [InlineData("redux.sync.add.u32 %r2, %r1, -1;", 7)]
    [InlineData("sub.s32 %r3, %r1, 9; redux.sync.min.s32 %r2, %r3, -1;", 8)]
    [InlineData("setp.lt.u32 %p1, %r1, 16; mov.u32 %r2, 0; @%p1 bra $low; bra $end; $low: redux.sync.max.u32 %r2, %r1, 0xffff; $end:", 9)]
    [InlineData("mov.u32 %r2, %lanemask_lt;", 10)]
    public void Warp_operations(string statement, int which)
    {
        Func<uint, uint>[] expected =
        [
            i => i ^ 5, i => i + 3 < 32 ? i + 3 : 99, i => i >= 3 ? i - 3 : 99, i => (i & 24) | 2, _ => 31, _ => 1,
            i => 0xFFu << (int)(i & 24), _ => 496, _ => unchecked((uint)-9), i => i < 16 ? 15u : 0, i => (1u << (int)i) - 1,
        ];
        Assert.Equal(Enumerable.Range(0, 32).Select(i => expected[which]((uint)i)), Run(statement));
    }

    [Fact]
    public void Local_constant_and_global_variables_and_generic_addresses()
    {
        uint[] r = Run(
            """
            .local .align 8 .b8 depot[16];
            mov.u64 %rd4, depot; cvta.local.u64 %rd5, %rd4; st.u32 [%rd5+4], %r1; ld.local.u32 %r3, [%rd4+4];
            ld.const.u32 %r4, [table+4]; ld.global.u32 %r5, [answer];
            mov.u32 %r6, buffer; cvt.u64.u32 %rd6, %r6; cvta.shared.u64 %rd7, %rd6; add.s64 %rd7, %rd7, %rd2; st.u32 [%rd7], %r3;
            shl.b32 %r7, %r1, 2; add.u32 %r7, %r6, %r7; ld.shared.u32 %r8, [%r7];
            add.u32 %r2, %r3, %r4; add.u32 %r2, %r2, %r5; add.u32 %r2, %r2, %r8;
            """,
            declarations: ".const .align 4 .u32 table[2] = {5, 1000}; .global .align 4 .u32 answer = 42; .shared .align 4 .b8 buffer[128];");
        Assert.Equal(Enumerable.Range(0, 32).Select(i => (uint)((2 * i) + 1042)), r);
    }

    [Fact]
    public void Narrow_loads_extend_and_vectors_keep_their_order()
    {
        uint[] r = Run(
            """
            ld.global.s8 %r3, [data]; ld.global.u8 %r4, [data]; ld.global.v4.u32 {%r5,%r6,%r7,%r8}, [data+16];
            add.u32 %r2, %r3, %r4; shl.b32 %r6, %r6, 8; shl.b32 %r7, %r7, 16; add.u32 %r2, %r2, %r5; add.u32 %r2, %r2, %r6; add.u32 %r2, %r2, %r7;
            ld.global.s16 %rd8, [data+2]; cvt.u32.u64 %r9, %rd8; add.u32 %r2, %r2, %r9;
            """,
            declarations: ".global .align 16 .b8 data[32] = {0xFE, 0, 0xFF, 0xFF, 0,0,0,0, 0,0,0,0, 0,0,0,0, 1,0,0,0, 2,0,0,0, 3,0,0,0, 4,0,0,0};");
        // -2 + 254 + 1 + 2*256 + 3*65536 - 1
        Assert.All(r, v => Assert.Equal(252u + 1 + 512 + 196608 - 1, v));
    }

    [Fact]
    public void Parameters_can_be_read_through_registers()
    {
        using var run = new PtxRun("""
            .version 8.4
            .target sm_80
            .address_size 64
            .entry k(.param .u64 out, .param .align 4 .b8 s[64]) {
            .reg .b32 %r<4>; .reg .b64 %rd<6>;
            ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; mov.b64 %rd3, s; add.s64 %rd4, %rd3, %rd2;
            ld.param.u32 %r2, [%rd4]; add.s64 %rd5, %rd1, %rd2; st.global.u32 [%rd5], %r2; ret; }
            """);
        long to = run.Room<int>(16);
        var bytes = new byte[64];
        for (int i = 0; i < 16; i++)
        {
            BitConverter.TryWriteBytes(bytes.AsSpan(4 * i), i * i);
        }

        Assert.Empty(run.Launch("k", 1, 16, to, bytes).Findings);
        Assert.Equal(Enumerable.Range(0, 16).Select(i => i * i), run.Get<int>(to, 16));
    }

    [Fact]
    public void Device_functions_are_inlined_and_printf_prints()
    {
        using var run = new PtxRun("""
            .version 8.4
            .target sm_80
            .address_size 64
            .extern .func (.param .b32 r) vprintf(.param .b64 f, .param .b64 a);
            .global .align 1 .b8 text[13] = {37, 100, 32, 37, 46, 50, 102, 32, 37, 120, 33, 10, 0};
            .func (.param .b32 result) twice(.param .b32 x) {
            .reg .b32 %r<3>; .reg .pred %p;
            ld.param.u32 %r1, [x]; setp.gt.u32 %p, %r1, 5; @%p bra $big; add.u32 %r2, %r1, %r1; st.param.b32 [result], %r2; ret;
            $big: mul.lo.u32 %r2, %r1, 100; st.param.b32 [result], %r2; ret; }
            .entry k(.param .u64 out) {
            .local .align 8 .b8 depot[24];
            .reg .b32 %r<6>; .reg .b64 %rd<8>; .reg .f64 %fd<2>; .reg .pred %p;
            ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x;
            { .param .b32 p0; .param .b32 q0; st.param.b32 [p0], %r1; call.uni (q0), twice, (p0); ld.param.b32 %r2, [q0]; }
            mul.wide.u32 %rd2, %r1, 4; add.s64 %rd3, %rd1, %rd2; st.global.u32 [%rd3], %r2;
            setp.ne.u32 %p, %r1, 7; @%p bra $end;
            mov.u64 %rd4, depot; cvta.local.u64 %rd5, %rd4; st.local.u32 [%rd4], %r1; mov.f64 %fd1, 0d3FF8000000000000; st.local.f64 [%rd4+8], %fd1;
            mov.u32 %r3, 255; st.local.u32 [%rd4+16], %r3; mov.u64 %rd6, text; cvta.global.u64 %rd7, %rd6;
            { .param .b64 p0; st.param.b64 [p0], %rd7; .param .b64 p1; st.param.b64 [p1], %rd5; .param .b32 q0;
              call.uni (q0), vprintf, (p0, p1); ld.param.b32 %r4, [q0]; }
            $end: ret; }
            """);
        long to = run.Room<uint>(10);
        LaunchReport report = run.Launch("k", 1, 10, to);
        Assert.Empty(report.Findings);
        Assert.Equal(Enumerable.Range(0, 10).Select(i => (uint)(i > 5 ? i * 100 : 2 * i)), run.Get<uint>(to, 10));
        Assert.Equal("7 1.50 ff!\n", report.Output);
    }

    /// <summary>Widths and precisions of any size end in a text of bounded length.</summary>
    [Theory]
    [InlineData("%.2000000000f", 0x4009_0000_0000_0000, 130, "3.125")]
    [InlineData("%900000000d", 7, 4096, " ")]
    [InlineData("%.99999999999999e", 0x4009_0000_0000_0000, 134, "3.125")]
    [InlineData("%05d", unchecked((int)0xFFFF_FFD6), 5, "-0042")]
    [InlineData("%+05d", 42, 5, "+0042")]
    [InlineData("%06.1f", unchecked((long)0xC004_0000_0000_0000), 6, "-002.5")]
    public void Printf_pads_with_bounds(string format, long argument, int length, string start)
    {
        byte[] text = [.. System.Text.Encoding.ASCII.GetBytes(format), 0];
        using var run = new PtxRun(PtxRun.Entry(
            """
            .local .align 8 .b8 depot[8];
            .reg .b32 %r<6>; .reg .b64 %rd<8>;
            ld.param.u64 %rd1, [a]; mov.u64 %rd4, depot; cvta.local.u64 %rd5, %rd4; ld.global.u64 %rd2, [%rd1]; st.local.u64 [%rd4], %rd2;
            mov.u64 %rd6, text; cvta.global.u64 %rd7, %rd6;
            { .param .b64 p0; st.param.b64 [p0], %rd7; .param .b64 p1; st.param.b64 [p1], %rd5; .param .b32 q0;
              call.uni (q0), vprintf, (p0, p1); ld.param.b32 %r4, [q0]; }
            ret;
            """,
            $$"""
            .extern .func (.param .b32 r) vprintf(.param .b64 f, .param .b64 a);
            .global .align 1 .b8 text[{{text.Length}}] = { {{string.Join(", ", text)}} };
            """));
        LaunchReport report = run.Launch("k", 1, 1, 0L, run.Put<long>(argument), 0L, 0L, 0);
        Assert.Empty(report.Findings);
        Assert.Equal(length, report.Output.Length);
        Assert.StartsWith(start, report.Output, StringComparison.Ordinal);
    }

    /// <summary>Sums of floats by atomics are added in the order of the blocks, however many host threads were asked for.</summary>
    [Fact]
    public void Float_atomics_do_not_depend_on_host_threads()
    {
        uint[] sums = [.. ((int[])[1, 2, 4, 2]).Select(threads =>
        {
            using var run = new PtxRun(PtxRun.Entry("""
                .reg .b32 %r<6>; .reg .f32 %f<4>; .reg .b64 %rd<4>;
                ld.param.u64 %rd1, [out]; mov.u32 %r1, %ctaid.x; mov.u32 %r2, %tid.x; mad.lo.s32 %r3, %r1, 977, %r2; add.u32 %r3, %r3, 1; cvt.rn.f32.u32 %f1, %r3;
                rcp.rn.f32 %f2, %f1; red.global.add.f32 [%rd1], %f2; ret;
                """)) { Options = new LaunchOptions { Threads = threads, Checks = Checks.None, Counters = false } };
            long to = run.Put<uint>(0x3F80_0000);
            run.Launch("k", 300, 31, to, 0L, 0L, 0L, 0);
            return run.Get<uint>(to, 1)[0];
        })];
        Assert.InRange(BitConverter.UInt32BitsToSingle(sums[0]), 1f, 100f);
        Assert.All(sums, s => Assert.Equal(sums[0], s));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Atomics_of_all_lanes_and_blocks_add_up(int threads)
    {
        using var run = new PtxRun(PtxRun.Entry("""
            .reg .b32 %r<6>; .reg .b64 %rd<4>;
            ld.param.u64 %rd1, [out]; atom.global.add.u32 %r1, [%rd1], 1; red.global.max.u32 [%rd1+4], %r1; red.global.add.f32 [%rd1+8], 0f3F000000; ret;
            """)) { Options = new LaunchOptions { Threads = threads, Checks = threads == 1 ? Checks.All : Checks.All & ~Checks.InterCta } };
        long to = run.Put<uint>(0, 0, 0);
        LaunchReport report = run.Launch("k", 8, 64, to, 0L, 0L, 0L, 0);
        Assert.Empty(report.Findings);
        Assert.Equal([512u, 511u, BitConverter.SingleToUInt32Bits(256f)], run.Get<uint>(to, 3));
        Assert.Equal((8 * 64 * 3, 8 * 2 * 31 * 3), (report.Counters.Atomics, report.Counters.AtomicClashes));
    }

    [Theory]
    [InlineData(4, 0, 4, 128)]
    [InlineData(8, 0, 8, 128)]
    [InlineData(4, 4, 5, 128)]
    [InlineData(132, 0, 32, 128)]
    [InlineData(0, 0, 1, 4)]
    public void Global_sectors_and_unique_bytes(int stride, int start, int sectors, int unique)
    {
        using var run = new PtxRun(PtxRun.Entry($$"""
            .reg .b32 %r<6>; .reg .b64 %rd<4>;
            ld.param.u64 %rd1, [a]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, {{stride}}; add.s64 %rd3, %rd1, %rd2; ld.global.u32 %r2, [%rd3+{{start}}]; ret;
            """));
        LaunchReport report = run.Launch("k", 1, 32, 0L, run.Put<uint>(new uint[2000]), 0L, 0L, 0);
        Assert.Equal((1, sectors, 128, unique), (report.Counters.GlobalReadRequests, report.Counters.GlobalReadSectors, report.Counters.GlobalReadBytes, report.Counters.GlobalReadUniqueBytes));
    }

    [Theory]
    [InlineData(4, 1)]
    [InlineData(8, 2)]
    [InlineData(128, 32)]
    [InlineData(132, 1)]
    [InlineData(0, 1)]
    public void Shared_passes(int stride, int passes)
    {
        using var run = new PtxRun(PtxRun.Entry($$"""
            .reg .b32 %r<6>; .shared .align 16 .b8 s[8192];
            mov.u32 %r1, %tid.x; mul.lo.u32 %r2, %r1, {{stride}}; mov.u32 %r3, s; add.u32 %r3, %r3, %r2; mov.u32 %r4, 1; st.shared.u32 [%r3], %r4; ret;
            """));
        LaunchReport report = run.Launch("k", 1, 32, 0L, 0L, 0L, 0L, 0);
        Assert.Empty(report.Findings);
        Assert.Equal((1, passes, passes - 1), (report.Counters.SharedRequests, report.Counters.SharedPasses, report.Counters.SharedConflicts));
    }
}
