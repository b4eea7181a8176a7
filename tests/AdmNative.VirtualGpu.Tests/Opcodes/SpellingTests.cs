using AdmNative.Cuda;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Tests.Opcodes;

/// <summary>What the table cannot hold: spellings that must be refused, launches of more than one dimension, traps, endless loops.</summary>
public sealed class SpellingTests
{
    private static string Body(string statement) =>
        PtxRun.Entry($".reg .b16 %h<4>; .reg .b32 %r<9>; .reg .f32 %f<4>; .reg .b64 %rd<4>; .reg .f64 %fd<4>; .reg .pred %p<4>; .shared .align 16 .b8 s[64];\n{statement}\nret;");

    [Theory]
    [InlineData("add.f8 %r1, %r1, %r1;")]
    [InlineData("add.rn.s32 %r1, %r1, %r1;")]
    [InlineData("add.cc.u64 %rd1, %rd1, %rd1;")]
    [InlineData("add.sat.u32 %r1, %r1, %r1;")]
    [InlineData("add.rna.f32 %f1, %f1, %f1;")]
    [InlineData("mul.s32 %r1, %r1, %r1;")]
    [InlineData("mul.wide.u64 %rd1, %rd1, %rd1;")]
    [InlineData("mul.lo.f32 %f1, %f1, %f1;")]
    [InlineData("mul24.lo.u32 %r1, %r1, %r1;")]
    [InlineData("fma.rn.s32 %r1, %r1, %r1, %r1;")]
    [InlineData("fma.f32 %f1, %f1, %f1, %f1;")]
    [InlineData("fma.rn.ftz.f64 %fd1, %fd1, %fd1, %fd1;")]
    [InlineData("div.f32 %f1, %f1, %f1;")]
    [InlineData("div.approx.f64 %fd1, %fd1, %fd1;")]
    [InlineData("sqrt.f32 %f1, %f1;")]
    [InlineData("sin.f32 %f1, %f1;")]
    [InlineData("ex2.approx.f64 %fd1, %fd1;")]
    [InlineData("min.abs.f32 %f1, %f1, %f1;")]
    [InlineData("min.NaN.f64 %fd1, %fd1, %fd1;")]
    [InlineData("neg.u32 %r1, %r1;")]
    [InlineData("abs.b32 %r1, %r1;")]
    [InlineData("and.u32 %r1, %r1, %r1;")]
    [InlineData("shl.f32 %f1, %f1, %r1;")]
    [InlineData("shl.u32 %r1, %r1, %r1;")]
    [InlineData("shf.l.b32 %r1, %r1, %r1, %r1;")]
    [InlineData("bfe.u16 %h1, %h1, %r1, %r1;")]
    [InlineData("bfi.u32 %r1, %r1, %r1, %r1, %r1;")]
    [InlineData("popc.u32 %r1, %r1;")]
    [InlineData("brev.s32 %r1, %r1;")]
    [InlineData("bfind.b32 %r1, %r1;")]
    [InlineData("prmt.b32.f4e %r1, %r1, %r1, %r1;")]
    [InlineData("prmt.u32 %r1, %r1, %r1, %r1;")]
    [InlineData("setp.lt.b32 %p1, %r1, %r1;")]
    [InlineData("setp.equ.s32 %p1, %r1, %r1;")]
    [InlineData("setp.lo.s32 %p1, %r1, %r1;")]
    [InlineData("setp.u32 %p1, %r1, %r1;")]
    [InlineData("setp.ftz.eq.f64 %p1, %fd1, %fd1;")]
    [InlineData("selp.pred %p1, %p1, %p1, %p2;")]
    [InlineData("cvt.f32.s32 %f1, %r1;")]
    [InlineData("cvt.s32.f32 %r1, %f1;")]
    [InlineData("cvt.rn.f64.f32 %fd1, %f1;")]
    [InlineData("cvt.f32.f64 %f1, %fd1;")]
    [InlineData("cvt.rn.relu.f32.f64 %f1, %fd1;")]
    [InlineData("cvt.rn.satfinite.e4m3x2.f32 %h1, %f1, %f2;")]
    [InlineData("cvt.rm.f16x2.f32 %r1, %f1, %f2;")]
    [InlineData("ld.global.b128 %rd1, [%rd1];")]
    [InlineData("ld.global.v8.b32 %r1, [%rd1];")]
    [InlineData("ld.global.v4.b64 {%rd1,%rd1,%rd1,%rd1}, [%rd1];")]
    [InlineData("ld.shared::cluster.b32 %r1, [%r1];")]
    [InlineData("ld.tex.b32 %r1, [%rd1];")]
    [InlineData("st.const.b32 [%rd1], %r1;")]
    [InlineData("atom.global.sub.u32 %r1, [%rd1], %r1;")]
    [InlineData("atom.global.add.f16x2 %r1, [%rd1], %r1;")]
    [InlineData("atom.global.min.f32 %f1, [%rd1], %f1;")]
    [InlineData("red.global.cas.b32 [%rd1], %r1, %r1;")]
    [InlineData("red.async.relaxed.cluster.global.add.u32 [%rd1], %r1;")]
    [InlineData("cp.async.ca.shared.global [%r1], [%rd1], 5;")]
    [InlineData("cp.async.cg.shared.global [%r1], [%rd1], 8;")]
    [InlineData("cp.async.bulk.commit_group;")]
    [InlineData("cp.async.mbarrier.arrive.b64 [%rd1];")]
    [InlineData("ldmatrix.sync.aligned.m8n8.x3.shared.b16 {%r1,%r2,%r3}, [%r1];")]
    [InlineData("ldmatrix.sync.aligned.m8n16.x1.shared.b8 {%r1}, [%r1];")]
    [InlineData("mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32 {%r1}, {%r1}, {%r1}, {%r1};")]
    [InlineData("wmma.load.a.sync.aligned.row.m16n16k16.f16 {%r1}, [%rd1];")]
    [InlineData("wgmma.fence.sync.aligned;")]
    [InlineData("shfl.bfly.b32 %r1, %r1, 1, 31;")]
    [InlineData("vote.ballot.b32 %r1, %p1;")]
    [InlineData("redux.sync.add.f32 %f1, %f1, -1;")]
    [InlineData("match.some.sync.b32 %r1, %r1, -1;")]
    [InlineData("bar.warp.arrive %r1;")]
    [InlineData("barrier.cluster.arrive;")]
    [InlineData("fence.proxy.async;")]
    [InlineData("mbarrier.init.shared.b64 [%r1], 1;")]
    [InlineData("griddepcontrol.wait;")]
    [InlineData("tex.2d.v4.f32.s32 {%f1,%f1,%f1,%f1}, [s, {%r1, %r1}];")]
    [InlineData("suld.b.1d.b32.trap %r1, [s, {%r1}];")]
    [InlineData("call (%r1), %rd1, (%r1);")]
    [InlineData("bra %r1;")]
    [InlineData("brx.idx %r1, $nowhere;")]
    [InlineData("pmevent 1;")]
    [InlineData("setmaxnreg.inc.sync.aligned.u32 32;")]
    [InlineData("vadd.s32.s32.s32 %r1, %r1, %r1;")]
    [InlineData("add.u32 %r1, %tid.x, %r1;")]
    [InlineData("mov.u32 %r1, %clusterid.x;")]
    [InlineData("mov.b128 %rd1, {%rd1, %rd1};")]
    public void Is_refused_at_load_with_its_name_and_line(string statement)
    {
        string ptx = Body(statement);
        int line = ptx.Split('\n').ToList().FindIndex(l => l.Contains(statement, StringComparison.Ordinal)) + 1;
        PtxException e = Assert.Throws<PtxException>(() =>
        {
            PtxModule module = PtxParser.Parse(ptx);
            Lowering.Lower(module, module.Entry("k"));
        });
        Assert.Equal(line, e.Line);
        string[] named = [statement.Split(' ', ';')[0], .. statement.Split(' ', ',', ';').Where(w => w.StartsWith('%') || w.StartsWith('$'))];
        Assert.True(named.Any(n => e.Message.Contains(n, StringComparison.Ordinal)), e.Message);
    }

    [Fact]
    public void Special_registers_of_three_dimensions()
    {
        string[] names = ["%tid.x", "%tid.y", "%tid.z", "%ntid.x", "%ntid.y", "%ntid.z", "%ctaid.x", "%ctaid.y", "%ctaid.z", "%nctaid.x", "%nctaid.y", "%nctaid.z", "%warpid", "%laneid", "%dynamic_smem_size"];
        string reads = string.Join('\n', names.Select((n, i) => $"mov.u32 %r10, {n}; st.global.u32 [%rd2+{4 * i}], %r10;"));
        using var run = new PtxRun(PtxRun.Entry($$"""
            .reg .b32 %r<12>; .reg .b64 %rd<4>;
            mov.u32 %r1, %ctaid.z; mov.u32 %r2, %nctaid.y; mov.u32 %r3, %ctaid.y; mad.lo.u32 %r1, %r1, %r2, %r3; mov.u32 %r2, %nctaid.x; mov.u32 %r3, %ctaid.x; mad.lo.u32 %r1, %r1, %r2, %r3;
            mov.u32 %r2, %ntid.z; mov.u32 %r3, %tid.z; mad.lo.u32 %r1, %r1, %r2, %r3; mov.u32 %r2, %ntid.y; mov.u32 %r3, %tid.y; mad.lo.u32 %r1, %r1, %r2, %r3;
            mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x; mad.lo.u32 %r1, %r1, %r2, %r3;
            ld.param.u64 %rd1, [out]; mad.wide.u32 %rd2, %r1, {{4 * names.Length}}, %rd1;
            {{reads}}
            ret;
            """, ".extern .shared .align 16 .b8 dynamic[];"));
        const int GX = 3, GY = 2, GZ = 2, BX = 5, BY = 3, BZ = 4;
        int threads = GX * GY * GZ * BX * BY * BZ;
        long to = run.Room<uint>(threads * names.Length);
        Assert.Empty(run.Launch("k", new LaunchShape(GX, GY, GZ, BX, BY, BZ, 96), to, 0L, 0L, 0L, 0).Findings);
        uint[] got = run.Get<uint>(to, threads * names.Length);
        for (int i = 0; i < threads; i++)
        {
            int cta = i / (BX * BY * BZ), linear = i % (BX * BY * BZ);
            int[] want =
            [
                linear % BX, linear / BX % BY, linear / BX / BY, BX, BY, BZ, cta % GX, cta / GX % GY, cta / GX / GY, GX, GY, GZ, linear / 32, linear % 32, 96,
            ];
            Assert.Equal(want, got.Skip(i * names.Length).Take(names.Length).Select(v => (int)v));
        }
    }

    [Theory]
    [InlineData("trap;")]
    [InlineData("brkpt;")]
    public void A_trap_ends_the_launch_and_says_where(string statement)
    {
        using var run = new PtxRun(PtxRun.Entry($".reg .b32 %r<3>; .reg .pred %p; mov.u32 %r1, %tid.x; setp.eq.u32 %p, %r1, 37;\n@%p {statement}\nret;"));
        LaunchReport report = run.Launch("k", 1, 64, 0L, 0L, 0L, 0L, 0);
        Assert.False(report.Completed);
        Finding f = Assert.Single(report.Findings);
        Assert.Equal((8, 1), (f.PtxLine, f.Warp));
    }

    [Theory]
    [InlineData(EngineKind.Interpreter)]
    [InlineData(EngineKind.Jit)]
    public void An_endless_loop_ends_at_the_step_budget_with_the_warp(EngineKind engine)
    {
        // Warp 2 never leaves its loop.
        using var run = new PtxRun(PtxRun.Entry("""
            .reg .b32 %r<4>; .reg .pred %p; mov.u32 %r1, %tid.x; shr.u32 %r1, %r1, 5; mov.u32 %r2, 0;
            setp.ne.u32 %p, %r1, 2; @%p bra $end;
            $loop:
            add.u32 %r2, %r2, 1;
            bra $loop;
            $end: ret;
            """))
        {
            CompareEngines = false,
            Options = new LaunchOptions { Engine = engine, StepBudget = 5_000_000, Checks = engine == EngineKind.Jit ? Checks.None : Checks.All, Counters = engine != EngineKind.Jit },
        };
        var watch = System.Diagnostics.Stopwatch.StartNew();
        LaunchReport report = run.Launch("k", 1, 128, 0L, 0L, 0L, 0L, 0);
        Assert.False(report.Completed);
        Finding f = Assert.Single(report.Findings);
        Assert.Contains("5000000", f.Message, StringComparison.Ordinal);
        Assert.Equal(2, f.Warp);
        Assert.InRange(f.PtxLine, 9, 11);
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 20);
    }
}
