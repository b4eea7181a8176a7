namespace AdmNative.VirtualGpu.Tests;

/// <summary>
/// The last block sums what the others left, by plain loads: silent when the protocol of ticket and fence is right, a finding of the check between blocks
/// when the fence is gone, too narrow, or the ticket is no atomic.
/// </summary>
public sealed class HandOverTests
{
    private const string Kernel = """
        .shared .align 4 .b32 flag;
        .reg .b32 %r<12>; .reg .b64 %rd<8>; .reg .pred %p<4>;
        ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [a]; ld.param.u64 %rd3, [b];
        mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %nctaid.x; mov.u32 %r4, %ntid.x; mad.lo.u32 %r5, %r2, %r4, %r1;
        mul.wide.u32 %rd4, %r5, 4; add.s64 %rd5, %rd2, %rd4; add.u32 %r6, %r5, 1;
        st.global.u32 [%rd5], %r6;
        FENCE
        bar.sync 0;
        setp.ne.u32 %p1, %r1, 0; @%p1 bra $wait;
        LATEFENCE
        TICKET
        st.shared.u32 [flag], %r7;
        $wait:
        bar.sync 0;
        ld.shared.u32 %r7, [flag]; sub.u32 %r8, %r3, 1; setp.ne.u32 %p2, %r7, %r8; @%p2 bra $end; @%p1 bra $end;
        mov.u32 %r9, 0; mul.lo.u32 %r10, %r3, %r4; mov.u64 %rd6, %rd2;
        $sum: ld.global.u32 %r11, [%rd6]; add.u32 %r9, %r9, %r11; add.s64 %rd6, %rd6, 4; sub.u32 %r10, %r10, 1; setp.ne.u32 %p3, %r10, 0; @%p3 bra $sum;
        st.global.u32 [%rd1], %r9;
        mov.u32 %r11, 0; st.global.u32 [%rd3], %r11;
        $end: ret;
        """;

    private const string Atomic = "atom.global.add.u32 %r7, [%rd3], 1;";

    private static LaunchReport Run(string fence, string late, string ticket, out uint sum, SchedulePolicy policy = SchedulePolicy.InOrder)
    {
        string body = Kernel.Replace("LATEFENCE", late, StringComparison.Ordinal).Replace("FENCE", fence, StringComparison.Ordinal).Replace("TICKET", ticket, StringComparison.Ordinal);
        using var run = new PtxRun(PtxRun.Entry(body)) { Options = new LaunchOptions { Schedule = policy } };
        long to = run.Room<uint>(1);
        LaunchReport report = run.Launch("k", 7, 64, to, run.Room<uint>(7 * 64), run.Put<uint>(0), 0L, 0);
        sum = run.Get<uint>(to, 1)[0];
        return report;
    }

    [Theory]
    [InlineData("membar.gl;", "", Atomic)]
    [InlineData("fence.acq_rel.gpu;", "", Atomic)]
    [InlineData("fence.sc.sys;", "", "atom.relaxed.gpu.global.add.u32 %r7, [%rd3], 1;")]
    [InlineData("", "membar.gl;", Atomic)]
    [InlineData("", "", "atom.acq_rel.gpu.global.add.u32 %r7, [%rd3], 1;")]
    [InlineData("membar.gl;", "", "atom.global.inc.u32 %r7, [%rd3], 100;")]
    public void A_right_ticket_is_silent(string fence, string late, string ticket)
    {
        foreach (SchedulePolicy policy in Enum.GetValues<SchedulePolicy>())
        {
            LaunchReport report = Run(fence, late, ticket, out uint sum, policy);
            Assert.True(report.Findings.Count == 0, string.Join('\n', report.Findings));
            Assert.Equal(448u * 449 / 2, sum);
        }
    }

    [Theory]
    [InlineData("", "", Atomic)]
    [InlineData("membar.cta;", "", Atomic)]
    [InlineData("fence.acq_rel.cta;", "fence.acq_rel.cta;", Atomic)]
    [InlineData("membar.gl;", "", "ld.global.u32 %r7, [%rd3]; add.u32 %r6, %r7, 1; st.global.u32 [%rd3], %r6;")]
    public void A_wrong_ticket_is_found(string fence, string late, string ticket) =>
        Assert.Contains(Run(fence, late, ticket, out _).Findings, f => f.Check == Checks.InterCta);
}
