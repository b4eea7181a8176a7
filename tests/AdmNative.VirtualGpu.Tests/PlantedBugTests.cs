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

    private const string Declarations = """
        .extern .func (.param .b32 r) vprintf(.param .b64 f, .param .b64 v);
        .global .align 1 .b8 number[5] = {37, 100, 10, 0, 0};
        .global .align 1 .b8 word[5] = {37, 115, 10, 0, 0};
        .file 1 "bug.cu"
        """;

    /// <summary>The module of one version. Every line of the body has a source line of its own; both numbers of the marked one come back.</summary>
    internal static string Module(string body, bool buggy, out (int Ptx, int Source) here)
    {
        IEnumerable<string> lines = body.Split('\n').Select(l => l.Trim()).Where(l => !l.StartsWith(buggy ? "((" : "[[", StringComparison.Ordinal))
            .Select(l => l.StartsWith("[[", StringComparison.Ordinal) || l.StartsWith("((", StringComparison.Ordinal) ? l[2..].Replace("]]", "", StringComparison.Ordinal)
                .Replace("))", "", StringComparison.Ordinal) : l);
        string ptx = PtxRun.Entry(Prologue + string.Join('\n', lines.Select((l, i) => $".loc 1 {i + 100} 1\n{l}")) + "\nret;", Declarations);
        List<string> all = [.. ptx.Split('\n')];
        int at = all.FindIndex(l => l.Contains("// HERE", StringComparison.Ordinal));
        here = at < 0 ? (0, 0) : (at + 1, int.Parse(all[at - 1].Split(' ')[2]));
        return ptx;
    }

    private static LaunchReport Run(string body, bool buggy, int threads, int grid, LaunchOptions options, out int here)
    {
        LaunchReport report = Run(new PlantedBug("", Checks.None, threads, grid, body), buggy, options, out (int Ptx, int Source) both);
        here = both.Ptx;
        return report;
    }

    private static LaunchReport Run(PlantedBug bug, bool buggy, LaunchOptions options, out (int Ptx, int Source) here)
    {
        using var run = new PtxRun(Module(bug.Body, buggy, out here)) { Options = options };
        long to = run.Room<uint>(bug.Threads * bug.Grid), a = run.Put<uint>(new uint[256]);
        if (bug.IsFree && buggy)
        {
            Assert.True(run.Memory.Free(a));
        }

        return run.Launch("k", new LaunchShape((uint)bug.Grid, 1, 1, (uint)bug.Threads, 1, 1), to, a, 0L, 0L, 0);
    }

    public static TheoryData<string> Bugs() => [.. PlantedBugs.All.Keys];

    [Theory]
    [MemberData(nameof(Bugs))]
    public void The_check_fires_at_the_line_and_the_clean_twin_is_silent(string name)
    {
        PlantedBug bug = PlantedBugs.All[name];
        LaunchReport clean = Run(bug, false, new LaunchOptions(), out _);
        Assert.True(clean.Findings.Count == 0, $"{name}, without the bug: {string.Join("\n", clean.Findings)}");
        Assert.True(clean.Completed);
        LaunchReport report = Run(bug, true, new LaunchOptions(), out (int Ptx, int Source) here);
        Finding? finding = report.Findings.FirstOrDefault(f => f.Check == bug.Check && f.PtxLine == here.Ptx);
        Assert.True(finding is not null, $"{name}: no {bug.Check} at line {here.Ptx}, but\n{string.Join("\n", report.Findings)}");
        Assert.Equal(("k", "bug.cu", here.Source), (finding.Kernel, finding.SourceFile, finding.SourceLine));
        Assert.InRange(finding.Warp, 0, (bug.Threads / 32) - 1);
        Assert.InRange(finding.Lane, bug.Check == Checks.Barriers ? -1 : 0, 31); // a deadlock is of no single lane

        LaunchReport off = Run(bug, true, new LaunchOptions { Checks = Checks.All & ~bug.Check }, out _);
        Assert.Equal(bug.IsAlways, off.Findings.Any(f => f.Check == bug.Check));
        if (bug.Check != Checks.None)
        {
            LaunchReport alone = Run(bug, true, new LaunchOptions { Checks = bug.Check }, out _);
            Assert.Contains(alone.Findings, f => f.Check == bug.Check && f.PtxLine == here.Ptx);
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
        const string Body = "$again: add.u32 %r2, %r2, 1;\n[[bra $again; // HERE]]";
        Assert.True(Run(Body, false, 32, 1, new LaunchOptions { StepBudget = 1 << 20 }, out _) is { Completed: true, Findings.Count: 0 });
        LaunchReport report = Run(Body, true, 32, 1, new LaunchOptions { StepBudget = 1 << 20 }, out int here);
        Assert.False(report.Completed);
        Finding finding = Assert.Single(report.Findings);
        Assert.Contains("endless", finding.Message, StringComparison.Ordinal);
        Assert.Equal((here, 0), (finding.PtxLine, finding.Warp));
    }

    [Fact]
    public void Deadlock_names_both_barriers_and_their_lines()
    {
        const string Body = """
            setp.lt.u32 %p1, %r1, 32; @%p1 bra $one;
            [[bar.sync 2; // OTHER]]
            ((bar.sync 1;))
            bra $end;
            $one: bar.sync 1; // HERE
            $end:
            """;
        Assert.True(Run(Body, false, 64, 1, new LaunchOptions(), out _) is { Completed: true, Findings.Count: 0 });
        LaunchReport report = Run(Body, true, 64, 1, new LaunchOptions(), out int here);
        Assert.False(report.Completed);
        Finding finding = Assert.Single(report.Findings);
        Assert.Equal((Checks.Barriers, here, "bug.cu"), (finding.Check, finding.PtxLine, finding.SourceFile));
        Assert.Contains("barrier 1 (all threads) at bug.cu:103: 32 threads; barrier 2 (all threads) at bug.cu:101: 32 threads", finding.Message, StringComparison.Ordinal);
    }

    private const string Phases = """
        xor.b32 %r6, %r4, 256; add.u32 %r6, %r3, %r6; mov.u32 %r9, 0;
        st.shared.u32 [%r5], %r1; // a
        bar.sync 0;
        ld.shared.u32 %r7, [%r6]; // b
        bar.sync 0;
        st.shared.u32 [%r5], %r7; // c
        bar.sync 0;
        $loop:
        ld.shared.u32 %r8, [%r6]; // d
        bar.sync 0;
        st.shared.u32 [%r5], %r8; // e
        bar.sync 0;
        add.u32 %r9, %r9, 1; setp.lt.u32 %p1, %r9, 3; @%p1 bra $loop;
        ld.shared.u32 %r8, [%r6]; // f
        st.global.u32 [%rd3], %r8;
        """;

    /// <summary>Without the barrier the accesses on both sides of it race; the finding is at one of them.</summary>
    [Theory]
    [InlineData(0, "ab")]
    [InlineData(1, "bc")]
    [InlineData(2, "cd")]
    [InlineData(3, "de")]
    [InlineData(4, "edf")]
    public void Each_barrier_of_a_kernel_removed_in_turn_is_found(int nth, string sides)
    {
        string[] lines = Phases.Split('\n');
        int at = lines.Index().Where(l => l.Item.StartsWith("bar.sync", StringComparison.Ordinal)).ElementAt(nth).Index;
        foreach (SchedulePolicy policy in Enum.GetValues<SchedulePolicy>())
        {
            var options = new LaunchOptions { Schedule = policy, Seed = 5 };
            Assert.Empty(Run(Phases, true, 128, 1, options, out _).Findings);
            LaunchReport report = Run(string.Join('\n', lines.Where((_, i) => i != at)), true, 128, 1, options, out _);
            string ptx = Module(string.Join('\n', lines.Where((_, i) => i != at)), true, out _);
            Assert.Contains(report.Findings, f => f.Check == Checks.SharedRaces && sides.Contains(ptx.Split('\n')[f.PtxLine - 1][^1], StringComparison.Ordinal));
        }
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
