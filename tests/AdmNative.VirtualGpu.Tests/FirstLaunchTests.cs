using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Tests;

public sealed class FirstLaunchTests
{
    private const string VectorAdd = """
        .reg .pred %p<2>; .reg .b32 %r<6>; .reg .f32 %f<4>; .reg .b64 %rd<11>;
        ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [a]; ld.param.u64 %rd3, [b]; ld.param.u32 %r2, [n];
        mov.u32 %r3, %ctaid.x; mov.u32 %r4, %ntid.x; mov.u32 %r5, %tid.x;
        mad.lo.s32 %r1, %r3, %r4, %r5;
        setp.ge.s32 %p1, %r1, %r2;
        @%p1 bra $done;
        cvta.to.global.u64 %rd4, %rd2; mul.wide.s32 %rd5, %r1, 4; add.s64 %rd6, %rd4, %rd5;
        cvta.to.global.u64 %rd7, %rd3; add.s64 %rd8, %rd7, %rd5;
        ld.global.f32 %f1, [%rd8]; ld.global.f32 %f2, [%rd6]; add.f32 %f3, %f2, %f1;
        cvta.to.global.u64 %rd9, %rd1; add.s64 %rd10, %rd9, %rd5;
        st.global.f32 [%rd10], %f3;
        $done: ret;
        """;

    [Theory]
    [InlineData(1)]
    [InlineData(100)]
    [InlineData(1000)]
    public void Vector_add_gives_sums_and_no_findings(int n)
    {
        using var run = new PtxRun(PtxRun.Entry(VectorAdd));
        float[] a = [.. Enumerable.Range(0, n).Select(i => i * 0.5f)], b = [.. Enumerable.Range(0, n).Select(i => 1000f - i)];
        long to = run.Room<float>(n);
        LaunchReport report = run.Launch("k", (n + 127) / 128, 128, to, run.Put<float>(a), run.Put<float>(b), 0L, n);
        Assert.Empty(report.Findings);
        Assert.True(report.Completed);
        Assert.Equal(a.Zip(b, (x, y) => x + y), run.Get<float>(to, n));
    }

    [Fact]
    public void Vector_add_without_its_guard_is_out_of_bounds_at_the_load()
    {
        using var run = new PtxRun(PtxRun.Entry(VectorAdd.Replace("@%p1 bra $done;", "", StringComparison.Ordinal)));
        const int N = 100;
        long to = run.Room<float>(N);
        LaunchReport report = run.Launch("k", 1, 128, to, run.Put<float>(new float[N]), run.Put<float>(new float[N]), 0L, N);
        Finding first = report.Findings[0];
        Assert.Equal(Checks.Bounds, first.Check);
        Assert.Equal((3, 4), (first.Warp, first.Lane));
        Assert.Contains("byte 400 of the allocation", first.Message, StringComparison.Ordinal);
    }
}
