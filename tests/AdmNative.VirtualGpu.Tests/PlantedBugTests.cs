using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests;

/// <summary>For each check a kernel with a bug and its clean twin: the check fires at the marked line, and the twin is silent.</summary>
public sealed class PlantedBugTests
{
    private const string Prologue = """
        .shared .align 16 .b8 s[1024];
        .reg .b32 %r<20>; .reg .b64 %rd<20>; .reg .pred %p<8>; .reg .f32 %f<8>;
        ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd3, %rd1, %rd2;
        ld.param.u64 %rd4, [a]; mov.u32 %r3, s; shl.b32 %r4, %r1, 2; add.u32 %r5, %r3, %r4; mov.u32 %r2, 0; mov.u32 %r19, %ctaid.x;

        """;

    /// <summary>Lines in [[ ]] are in the buggy version only, lines in (( )) in the clean one only; "// HERE" marks where the finding must be.</summary>
    private static LaunchReport Run(string body, bool buggy, int threads, int grid, LaunchOptions options, out int here)
    {
        var lines = (Prologue + body + "\nret;").Split('\n').Select(l => l.Trim()).Where(l => !l.StartsWith(buggy ? "((" : "[[", StringComparison.Ordinal))
            .Select(l => l.StartsWith("[[", StringComparison.Ordinal) || l.StartsWith("((", StringComparison.Ordinal) ? l.Replace("[[", "", StringComparison.Ordinal)
                .Replace("]]", "", StringComparison.Ordinal).Replace("((", "", StringComparison.Ordinal).Replace("))", "", StringComparison.Ordinal) : l);
        string ptx = PtxRun.Entry(string.Join('\n', lines));
        here = ptx.Split('\n').ToList().FindIndex(l => l.Contains("// HERE", StringComparison.Ordinal)) + 1;
        using var run = new PtxRun(ptx) { Options = options };
        long to = run.Room<uint>(threads * grid), a = run.Put<uint>(new uint[256]);
        return run.Launch("k", new LaunchShape((uint)grid, 1, 1, (uint)threads, 1, 1), to, a, 0L, 0L, 0);
    }

    public static TheoryData<string, Checks, int, int, string> Bugs() => new()
    {
        { "read past the end", Checks.Bounds, 32, 1, """
            [[add.s64 %rd4, %rd4, 1024;]]
            ld.global.u32 %r2, [%rd4]; // HERE
            """ },
        { "null pointer", Checks.Bounds, 32, 1, """
            [[mov.u64 %rd4, 16;]]
            ld.global.u32 %r2, [%rd4]; // HERE
            """ },
        { "shared memory past the end", Checks.Bounds, 32, 1, """
            [[add.u32 %r5, %r5, 1000;]]
            st.shared.u32 [%r5], %r1; // HERE
            """ },
        { "misaligned vector", Checks.Alignment, 32, 1, """
            [[add.s64 %rd4, %rd4, 4;]]
            ld.global.v2.u32 {%r6,%r7}, [%rd4]; // HERE
            """ },
        { "shared word nobody wrote", Checks.UninitialisedMemory, 32, 1, """
            ((st.shared.u32 [%r5], %r1;))
            ld.shared.u32 %r2, [%r5]; // HERE
            """ },
        { "global word nobody wrote", Checks.UninitialisedMemory, 32, 1, """
            ((st.global.u32 [%rd3], %r1;))
            ld.global.u32 %r2, [%rd3]; // HERE
            """ },
        { "register set on one path only", Checks.UninitialisedRegisters, 32, 1, """
            ((mov.u32 %r6, 0;))
            setp.lt.u32 %p1, %r1, 20;
            @%p1 mov.u32 %r6, 5;
            add.u32 %r7, %r6, 1;
            st.global.u32 [%rd3], %r7; // HERE
            """ },
        { "predicate never set", Checks.UninitialisedRegisters, 32, 1, """
            ((setp.lt.u32 %p2, %r1, 20;))
            @%p2 bra $over; // HERE
            $over:
            """ },
        { "barrier missing between write and read", Checks.SharedRaces, 64, 1, """
            st.shared.u32 [%r5], %r1;
            ((bar.sync 0;))
            xor.b32 %r6, %r4, 128;
            add.u32 %r6, %r3, %r6;
            [[setp.lt.u32 %p1, %r1, 32; @%p1 bra $skip;]]
            ld.shared.u32 %r2, [%r6]; // HERE
            $skip:
            """ },
        { "barrier missing between read and write", Checks.SharedRaces, 64, 1, """
            st.shared.u32 [%r5], %r1;
            bar.sync 0;
            xor.b32 %r6, %r4, 128;
            add.u32 %r6, %r3, %r6;
            ld.shared.u32 %r2, [%r6];
            ((bar.sync 0;))
            st.shared.u32 [%r5], %r2; // HERE
            """ },
        { "lanes exchange without bar.warp.sync", Checks.LaneHazards, 32, 1, """
            st.shared.u32 [%r5], %r1;
            ((bar.warp.sync -1;))
            xor.b32 %r6, %r4, 4; add.u32 %r6, %r3, %r6;
            ld.shared.u32 %r2, [%r6]; // HERE
            """ },
        { "two lanes store to one word", Checks.LaneHazards, 32, 1, """
            [[and.b32 %r4, %r4, 64; add.u32 %r5, %r3, %r4;]]
            st.shared.u32 [%r5], %r1; // HERE
            """ },
        { "copy read before its wait", Checks.AsyncCopies, 32, 1, """
            shl.b32 %r6, %r1, 2; cvt.u64.u32 %rd6, %r6; add.s64 %rd7, %rd4, %rd6;
            cp.async.ca.shared.global [%r5], [%rd7], 4; cp.async.commit_group;
            ((cp.async.wait_group 0;))
            ld.shared.u32 %r2, [%r5]; // HERE
            """ },
        { "wait_group 1 for 0", Checks.AsyncCopies, 32, 1, """
            add.s64 %rd7, %rd4, %rd2;
            cp.async.ca.shared.global [%r5], [%rd7], 4; cp.async.commit_group;
            [[cp.async.wait_group 1;]]
            ((cp.async.wait_all;))
            ld.shared.u32 %r2, [%r5]; // HERE
            """ },
        { "copy over words another warp still reads", Checks.AsyncCopies, 64, 1, """
            st.shared.u32 [%r5], %r1; bar.sync 0;
            xor.b32 %r6, %r4, 128; add.u32 %r6, %r3, %r6; ld.shared.u32 %r2, [%r6];
            ((bar.sync 0;))
            add.s64 %rd7, %rd4, %rd2;
            cp.async.ca.shared.global [%r5], [%rd7], 4; // HERE
            cp.async.wait_all;
            """ },
        { "barrier in a branch", Checks.Barriers, 32, 1, """
            [[setp.lt.u32 %p1, %r1, 7; @!%p1 bra $skip;]]
            bar.sync 0; // HERE
            $skip:
            """ },
        { "early return before a counted barrier", Checks.Barriers, 64, 1, """
            [[setp.ge.u32 %p1, %r1, 32; @%p1 ret;]]
            bar.sync 1, 64; // HERE
            """ },
        { "shuffle after half the warp exited", Checks.WarpMasks, 32, 1, """
            [[setp.ge.u32 %p1, %r1, 16; @%p1 ret;]]
            shfl.sync.bfly.b32 %r2, %r1, 16, 31, -1; // HERE
            """ },
        { "member mask that leaves lanes out", Checks.WarpMasks, 32, 1, """
            [[mov.u32 %r6, 0xffff;]]
            ((mov.u32 %r6, -1;))
            redux.sync.add.u32 %r2, %r1, %r6; // HERE
            """ },
        { "matrix load by part of a warp", Checks.Barriers, 32, 1, """
            mov.u32 %r6, 0; st.shared.v4.u32 [%r3], {%r6,%r6,%r6,%r6}; mov.u32 %r7, %r3;
            bar.warp.sync -1;
            [[setp.ge.u32 %p1, %r1, 16; @%p1 bra $skip;]]
            ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r2}, [%r7]; // HERE
            $skip:
            """ },
        { "blocks write the same words", Checks.InterCta, 32, 2, """
            ((mul.wide.u32 %rd6, %r19, 128; add.s64 %rd3, %rd3, %rd6;))
            st.global.u32 [%rd3], %r1; // HERE
            """ },
        { "division by zero", Checks.Arithmetic, 32, 1, """
            ((add.u32 %r6, %r1, 1;))
            [[mov.u32 %r6, %r1;]]
            div.u32 %r2, %r1, %r6; // HERE
            """ },
    };

    [Theory]
    [MemberData(nameof(Bugs))]
    public void The_check_fires_at_the_line_and_the_clean_twin_is_silent(string name, Checks check, int threads, int grid, string body)
    {
        LaunchReport clean = Run(body, false, threads, grid, new LaunchOptions(), out _);
        Assert.True(clean.Findings.Count == 0, $"{name}, without the bug: {string.Join("\n", clean.Findings)}");
        LaunchReport report = Run(body, true, threads, grid, new LaunchOptions(), out int here);
        Assert.True(report.Findings.Any(f => f.Check == check && f.PtxLine == here), $"{name}: no {check} at line {here}, but\n{string.Join("\n", report.Findings)}");
        Finding finding = report.Findings.First(f => f.Check == check && f.PtxLine == here);
        Assert.Equal("k", finding.Kernel);
        Assert.InRange(finding.Warp, 0, threads / 32);
        if (check != Checks.Bounds)
        {
            LaunchReport off = Run(body, true, threads, grid, new LaunchOptions { Checks = Checks.All & ~check }, out _);
            Assert.DoesNotContain(off.Findings, f => f.Check == check && check is not (Checks.Barriers or Checks.AsyncCopies));
        }
    }

    [Fact]
    public void Reading_freed_memory_names_the_allocation()
    {
        using var run = new PtxRun(PtxRun.Entry(".reg .b32 %r<2>; .reg .b64 %rd<2>; ld.param.u64 %rd1, [a]; ld.global.u32 %r1, [%rd1+8]; ret;"));
        long a = run.Put<uint>(1, 2, 3, 4);
        Assert.True(run.Memory.Free(a));
        LaunchReport report = run.Launch("k", 1, 1, 0L, a, 0L, 0L, 0);
        Assert.Contains("was freed", Assert.Single(report.Findings).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Trap_ends_the_launch()
    {
        LaunchReport report = Run("trap; // HERE", true, 32, 1, new LaunchOptions(), out int here);
        Assert.False(report.Completed);
        Assert.Equal(here, Assert.Single(report.Findings).PtxLine);
    }

    [Fact]
    public void An_endless_loop_spends_the_budget()
    {
        LaunchReport report = Run("$again: add.u32 %r2, %r2, 1;\nbra $again;", true, 32, 1, new LaunchOptions { StepBudget = 1 << 20 }, out _);
        Assert.False(report.Completed);
        Assert.Contains("endless", Assert.Single(report.Findings).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Deadlock_names_both_barriers()
    {
        LaunchReport report = Run("setp.lt.u32 %p1, %r1, 32;\n@%p1 bra $one;\nbar.sync 2;\nbra $end;\n$one: bar.sync 1;\n$end:", true, 64, 1, new LaunchOptions(), out _);
        Assert.False(report.Completed);
        Finding finding = Assert.Single(report.Findings);
        Assert.Equal(Checks.Barriers, finding.Check);
        Assert.Contains("barrier 1", finding.Message, StringComparison.Ordinal);
        Assert.Contains("barrier 2", finding.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_lock_inside_a_warp_is_let_through_and_noted()
    {
        // lane 0 holds the lock and must run while the others spin
        LaunchReport report = Run(
            """
            mov.u32 %r6, 0; st.shared.u32 [%r3], %r6; bar.warp.sync -1;
            $try: atom.shared.cas.b32 %r7, [%r3], 0, 1;
            setp.ne.u32 %p1, %r7, 0;
            @%p1 bra $try;
            atom.shared.exch.b32 %r8, [%r3], 0;
            """, true, 4, 1, new LaunchOptions { Checks = Checks.All & ~Checks.LaneHazards }, out _);
        Assert.True(report.Completed);
        Assert.Empty(report.Findings);
        Assert.True(report.SpinRotations > 0);
    }

    [Theory]
    [InlineData(SchedulePolicy.InOrder)]
    [InlineData(SchedulePolicy.Reverse)]
    [InlineData(SchedulePolicy.Adversarial)]
    [InlineData(SchedulePolicy.Random)]
    public void A_warp_that_spins_on_another_lets_it_run(SchedulePolicy policy)
    {
        LaunchReport report = Run(
            """
            setp.ne.u32 %p1, %r1, 0; @%p1 bra $ready;
            mov.u32 %r6, 0; st.shared.u32 [%r3], %r6;
            $ready: bar.sync 0;
            setp.eq.u32 %p2, %r1, 32; @%p2 bra $set;
            setp.ne.u32 %p3, %r1, 0; @%p3 bra $end;
            $spin: atom.shared.add.u32 %r7, [%r3], 0; setp.eq.u32 %p4, %r7, 0; @%p4 bra $spin;
            bra $end;
            $set: atom.shared.exch.b32 %r8, [%r3], 1;
            $end:
            """, true, 64, 1, new LaunchOptions { Schedule = policy }, out _);
        Assert.True(report.Completed);
        Assert.Empty(report.Findings);
    }
}
