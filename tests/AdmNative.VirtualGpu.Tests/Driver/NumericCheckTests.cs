using System.Runtime.InteropServices;
using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests.Driver;

/// <summary>The numeric check: the instruction that makes the first NaN or infinity, and nothing downstream of it.</summary>
public sealed class NumericCheckTests
{
    private static readonly LaunchOptions s_watch = new() { Checks = Checks.All | Checks.Numeric, Threads = 1 };

    /// <summary>Runs a body over one warp: rows a, b, c hold the three operands of lane 5, harmless ones elsewhere. "// HERE" marks the instruction.</summary>
    private static IReadOnlyList<Finding> Run(string body, uint a, uint b, uint c, out int here, LaunchOptions? options = null, uint harmless = 0x3F80_0000)
    {
        string ptx = PtxRun.Entry("""
            .reg .b16 %h<10>; .reg .b32 %r<30>; .reg .f32 %f<10>; .reg .b64 %rd<10>; .reg .f64 %d<10>; .reg .pred %p<4>;
            ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [a]; ld.param.u64 %rd3, [b]; ld.param.u64 %rd4, [c]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd5, %r1, 4;
            add.s64 %rd1, %rd1, %rd5; add.s64 %rd2, %rd2, %rd5; add.s64 %rd3, %rd3, %rd5; add.s64 %rd4, %rd4, %rd5;
            ld.global.u32 %r2, [%rd2]; ld.global.u32 %r3, [%rd3]; ld.global.u32 %r4, [%rd4];
            mov.b32 %f1, %r2; mov.b32 %f2, %r3; mov.b32 %f3, %r4;

            """ + body + "\nst.global.u32 [%rd1], %r10;\nret;", target: "sm_90");
        here = ptx.Split('\n').ToList().FindIndex(l => l.Contains("// HERE", StringComparison.Ordinal)) + 1;
        using var run = new PtxRun(ptx) { Options = options ?? s_watch };
        uint[] Row(uint value) => [.. Enumerable.Range(0, 32).Select(i => i == 5 ? value : harmless)];
        LaunchReport report = run.Launch("k", new LaunchShape(1, 1, 1, 32, 1, 1), run.Room<uint>(32), run.Put<uint>(Row(a)), run.Put<uint>(Row(b)), run.Put<uint>(Row(c)), 0);
        Assert.DoesNotContain(report.Findings, f => f.Check != Checks.Numeric);
        Assert.Equal(CudaStatus.Success, report.Status);
        return report.Findings;
    }

    private static uint Bits(float value) => BitConverter.SingleToUInt32Bits(value);

    private static uint Halves(double low, double high) =>
        BitConverter.HalfToUInt16Bits((Half)low) | ((uint)BitConverter.HalfToUInt16Bits((Half)high) << 16);

    private static uint BrainHalves(float low, float high) => (Bits(low) >> 16) | (Bits(high) & 0xFFFF_0000);

    public static TheoryData<string, uint, uint, uint, uint, string> Makers()
    {
        float big = float.MaxValue;
        uint one = Bits(1), pair = Halves(1, 1), brain = BrainHalves(1, 1);
        return new()
        {
            { "add.f32 %f4, %f1, %f2;", Bits(big), Bits(big), one, one, "add.f32 of 3.4028" },
            { "sub.f32 %f4, %f1, %f2;", Bits(-big), Bits(big), one, one, "gives -Infinity" },
            { "mul.f32 %f4, %f1, %f2;", Bits(1e30f), Bits(-1e30f), one, one, "gives -Infinity" },
            { "fma.rn.f32 %f4, %f1, %f2, %f3;", Bits(1e30f), Bits(1e30f), Bits(3), one, "fma.f32 of 1E+30" },
            { "fma.rz.f32 %f4, %f1, %f2, %f3; rcp.rn.f32 %f4, %f3;", one, one, Bits(0), one, "rcp.f32 of 0 gives Infinity" },
            { "div.rn.f32 %f4, %f1, %f2;", Bits(0), Bits(0), one, one, "div.f32 of 0, 0 gives NaN" },
            { "div.approx.f32 %f4, %f1, %f2;", Bits(2), Bits(-0f), one, one, "gives -Infinity" },
            { "sqrt.rn.f32 %f4, %f1;", Bits(-1), one, one, one, "sqrt.f32 of -1 gives NaN" },
            { "sqrt.approx.f32 %f4, %f1;", Bits(-2), one, one, one, "sqrt.approx.f32 of -2 gives NaN" },
            { "rsqrt.approx.f32 %f4, %f1;", Bits(-0.25f), one, one, one, "rsqrt.approx.f32 of -0.25 gives NaN" },
            { "rsqrt.approx.ftz.f32 %f4, %f1;", Bits(1e-40f), one, one, one, "gives Infinity" },
            { "lg2.approx.f32 %f4, %f1;", Bits(0), one, one, one, "lg2.f32 of 0 gives -Infinity" },
            { "ex2.approx.f32 %f4, %f1;", Bits(200), one, one, one, "ex2.f32 of 200 gives Infinity" },
            { "cvt.f64.f32 %d1, %f1; mul.f64 %d2, %d1, %d1; mul.f64 %d3, %d2, %d2; mul.f64 %d4, %d3, %d3; mul.f64 %d4, %d4, %d1;", Bits(big), one, one, one, "mul.f64 of 1.797692277655609E+308, 3.4028" },
            { "cvt.f64.f32 %d1, %f1; sqrt.rn.f64 %d2, %d1;", Bits(-9), one, one, one, "sqrt.f64 of -9 gives NaN" },
            { "cvt.f64.f32 %d1, %f1; mul.f64 %d1, %d1, %d1; cvt.rn.f32.f64 %f4, %d1;", Bits(1e30f), one, one, one, "cvt.f32.f64 of 1.0000000300949327E+60 gives Infinity" },
            { "cvt.u16.u32 %h1, %r2; add.f16 %h2, %h1, %h1;", Halves(60000, 0), one, one, pair, "add.f16 of 60000, 60000 gives Infinity" },
            { "add.f16x2 %r5, %r2, %r3;", Halves(1, 60000), Halves(1, 60000), one, pair, "add.f16x2 of 60000, 60000 gives Infinity in the high half" },
            { "mul.f16x2 %r5, %r2, %r3;", Halves(300, 1), Halves(300, 1), one, pair, "mul.f16x2 of 300, 300 gives Infinity:" },
            { "fma.rn.bf16x2 %r5, %r2, %r3, %r4;", BrainHalves(1, 3e38f), BrainHalves(1, 4), BrainHalves(1, 1), brain, "fma.bf16x2" },
            { "cvt.rn.f16.f32 %h1, %f1;", Bits(65520), one, one, one, "cvt.f16.f32 of 65520 gives Infinity" },
            { "cvt.rn.f16x2.f32 %r5, %f1, %f2;", Bits(1e6f), Bits(1), one, one, "cvt.f16x2.f32 of 1000000 gives Infinity in the high half" },
            { "cvt.rn.f16x2.f32 %r5, %f1, %f2;", Bits(1), Bits(-1e6f), one, one, "cvt.f16x2.f32 of -1000000 gives -Infinity:" },
            { "cvt.rn.bf16.f32 %h1, %f1;", Bits(big), one, one, one, "cvt.bf16.f32" },
            { "cvt.rn.f16.u32 %h1, %r2;", 4_000_000_000, 1, 1, 7, "cvt.f16.u32 of 4000000000 gives Infinity" },
            { "cvt.s64.s32 %rd6, %r2; cvt.rn.f16.s64 %h1, %rd6;", unchecked((uint)-70000), 1, 1, 7, "cvt.f16.s64 of -70000 gives -Infinity" },
            { "cvt.rn.f16.s32 %h1, %r2;", 100000, 1, 1, 7, "cvt.f16.s32 of 100000 gives Infinity" },
        };
    }

    [Theory]
    [MemberData(nameof(Makers))]
    public void The_instruction_that_makes_it_is_named_with_line_and_lane(string code, uint a, uint b, uint c, uint harmless, string text)
    {
        // Each statement on a line of its own; the last is the one to blame. What uses its result afterwards is not.
        string body = code.Replace("; ", ";\n", StringComparison.Ordinal) + " // HERE\n" + Follow(code);
        Finding finding = Assert.Single(Run(body, a, b, c, out int here, harmless: harmless));
        Assert.Equal((Checks.Numeric, here, 5), (finding.Check, finding.PtxLine, finding.Lane));
        Assert.Contains(text, finding.Message, StringComparison.Ordinal);
        Assert.Equal(1, finding.Count);
        Assert.Empty(Run(body, harmless, harmless, harmless, out _, harmless: harmless)); // the same code with harmless values
        Assert.Empty(Run(body, a, b, c, out _, new LaunchOptions(), harmless)); // not asked for
    }

    private static string Follow(string code)
    {
        string result = code.TrimEnd(';').Split(';')[^1].Trim().Split(' ')[1].TrimEnd(',');
        return result[1] switch
        {
            'f' => $"mov.b32 %r10, {result}; add.f32 {result}, {result}, {result}; mul.f32 {result}, {result}, {result};",
            'd' => $"cvt.rn.f32.f64 %f9, {result}; mov.b32 %r10, %f9;",
            'h' => $"cvt.u32.u16 %r10, {result};",
            _ => $"mov.u32 %r10, {result};",
        };
    }

    [Theory]
    [InlineData("add.f32 %f4, %f1, %f2;")] // infinity - infinity
    [InlineData("mul.f32 %f4, %f1, 0f00000000;")]
    [InlineData("sqrt.rn.f32 %f4, %f2;")]
    [InlineData("min.f32 %f4, %f1, %f2;")]
    [InlineData("cvt.rn.f16.f32 %h1, %f1; mov.b32 %f4, %r2;")]
    [InlineData("ex2.approx.f32 %f4, %f2;")] // of -infinity: 0, the softmax mask
    public void What_was_not_finite_before_is_nobodys_fault(string code) =>
        Assert.Empty(Run(code + " mov.b32 %r10, %f4;", Bits(float.PositiveInfinity), Bits(float.NegativeInfinity), 0, out _));

    [Fact]
    public void Lanes_that_do_not_execute_are_not_watched()
    {
        const string Body = "setp.ne.u32 %p1, %r1, 5;\n@%p1 rsqrt.approx.f32 %f1, %f1; // HERE\nmov.b32 %r10, %f1;";
        Assert.Empty(Run(Body, Bits(-1), 0, 0, out _));
        Assert.Single(Run(Body.Replace("%r1, 5", "%r1, 6", StringComparison.Ordinal), Bits(-1), 0, 0, out _));
    }

    [Fact]
    public void The_watched_result_may_overwrite_its_source()
    {
        Finding finding = Assert.Single(Run("sqrt.rn.f32 %f1, %f1; // HERE\nmov.b32 %r10, %f1;", Bits(-4), 0, 0, out int here));
        Assert.Contains("of -4 gives NaN", finding.Message, StringComparison.Ordinal);
        Assert.Equal(here, finding.PtxLine);
    }

    /// <summary>Variance as mean of squares minus square of mean, which cancellation makes negative; the clean twin sums squared differences.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_rsqrt_of_a_negative_variance_is_found_at_its_source_line(bool buggy)
    {
        string ptx = $$"""
            .version 7.0
            .target sm_80
            .address_size 64
            .file 1 "norm.cu"
            .visible .entry norm(.param .u64 y, .param .u64 x)
            {
            .reg .b32 %r<4>; .reg .f32 %f<20>; .reg .b64 %rd<8>;
            .loc 1 10 0
            ld.param.u64 %rd1, [y]; ld.param.u64 %rd2, [x]; ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd2];
            .loc 1 12 0
            add.rn.f32 %f5, %f1, %f2; add.rn.f32 %f5, %f5, %f3; add.rn.f32 %f5, %f5, %f4; mul.rn.f32 %f5, %f5, 0f3E800000;
            .loc 1 13 0
            {{(buggy
                ? "mul.rn.f32 %f6, %f1, %f1; mul.rn.f32 %f7, %f2, %f2; add.rn.f32 %f6, %f6, %f7; mul.rn.f32 %f7, %f3, %f3; add.rn.f32 %f6, %f6, %f7;"
                    + "mul.rn.f32 %f7, %f4, %f4; add.rn.f32 %f6, %f6, %f7; mul.rn.f32 %f6, %f6, 0f3E800000; mul.rn.f32 %f7, %f5, %f5; sub.rn.f32 %f6, %f6, %f7;"
                : "sub.rn.f32 %f7, %f1, %f5; mul.rn.f32 %f6, %f7, %f7; sub.rn.f32 %f7, %f2, %f5; fma.rn.f32 %f6, %f7, %f7, %f6; sub.rn.f32 %f7, %f3, %f5;"
                    + "fma.rn.f32 %f6, %f7, %f7, %f6; sub.rn.f32 %f7, %f4, %f5; fma.rn.f32 %f6, %f7, %f7, %f6; mul.rn.f32 %f6, %f6, 0f3E800000;")}}
            .loc 1 14 0
            add.rn.f32 %f6, %f6, 0f3727C5AC;
            .loc 1 15 0
            rsqrt.approx.f32 %f8, %f6;
            .loc 1 16 0
            sub.rn.f32 %f9, %f1, %f5; mul.rn.f32 %f9, %f9, %f8; st.global.f32 [%rd1], %f9;
            ret;
            }
            """;
        using var device = new VirtualDevice();
        PtxEntry entry = device.Load(ptx).Entry("norm");
        ulong y = device.Allocate(4), x = device.Allocate(16);
        device.Write(x, MemoryMarshal.AsBytes<float>([1000.1f, 1000.2f, 1000.15f, 1000.12f]));
        LaunchReport report = device.Launch(entry, new LaunchShape(1, 1, 1, 1, 1, 1), VirtualDeviceTests.Block(entry, y, x), s_watch);
        var result = new float[1];
        device.Read(y, MemoryMarshal.AsBytes(result.AsSpan()));
        if (!buggy)
        {
            Assert.Empty(report.Findings);
            Assert.InRange(result[0], -2, 0);
            return;
        }

        Finding finding = Assert.Single(report.Findings);
        Assert.Equal((Checks.Numeric, "norm.cu", 15, 0), (finding.Check, finding.SourceFile, finding.SourceLine, finding.Lane));
        Assert.Contains("rsqrt.approx.f32 of -0.", finding.Message, StringComparison.Ordinal);
        Assert.True(float.IsNaN(result[0]));
    }

    /// <summary>a fragments: row-major 16x16 f16 with one value at (row, k); B all ones; the accumulator zero.</summary>
    [Theory]
    [InlineData("f16", 0x7BFF, 0x7BFF, "mma.m16n8k16f16f16 gives Infinity at row 3, column 0")] // 65504 * 65504 in an f16 sum
    [InlineData("f16", 0x3C00, 0x3C00, "")]
    [InlineData("f16", 0x7C00, 0x3C00, "")] // A itself is infinite
    [InlineData("f32", 0x7BFF, 0x7BFF, "")] // fits an f32 sum
    [InlineData("bf16", 0x7F7F, 0x7F7F, "mma.m16n8k16bf16f32 gives Infinity at row 3, column 0")]
    [InlineData("bf16", 0x7F80, 0x3F80, "")]
    public void A_tensor_core_sum_that_overflows_is_found(string kind, uint a, uint b, string text)
    {
        // Row 3 (g = 3, lanes 12 to 15) of A holds a; every element of B holds b; the other rows of A are zero.
        string accumulators = kind == "f16" ? "%r20, %r21" : "%r20, %r21, %r22, %r23", type = kind == "f16" ? "f16.f16.f16.f16" : kind == "f32" ? "f32.f16.f16.f32" : "f32.bf16.bf16.f32";
        string body = $$"""
            mov.u32 %r20, 0; mov.u32 %r21, 0; mov.u32 %r22, 0; mov.u32 %r23, 0; mov.u32 %r12, 0;
            shr.u32 %r11, %r1, 2; setp.eq.u32 %p1, %r11, 3; selp.b32 %r13, {{a}}, 0, %p1; mov.u32 %r14, {{b * 0x10001}};
            mma.sync.aligned.m16n8k16.row.col.{{type}} { {{accumulators}} }, { %r13, %r12, %r12, %r12 }, { %r14, %r14 }, { {{accumulators}} }; // HERE
            mma.sync.aligned.m16n8k16.row.col.{{type}} { {{accumulators}} }, { %r12, %r12, %r12, %r12 }, { %r14, %r14 }, { {{accumulators}} };
            mov.u32 %r10, %r20;
            """;
        IReadOnlyList<Finding> findings = Run(body, 0, 0, 0, out int here);
        if (text.Length == 0)
        {
            Assert.Empty(findings);
            return;
        }

        Finding finding = Assert.Single(findings);
        Assert.Equal((here, 12), (finding.PtxLine, finding.Lane));
        Assert.Contains(text, finding.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_tensor_core_with_a_bad_row_still_watches_the_others()
    {
        // Row 3 of A is infinite from the start, row 5 overflows: only row 5 is this instruction's fault.
        const string Body = """
            mov.u32 %r20, 0; mov.u32 %r21, 0; mov.u32 %r12, 0; shr.u32 %r11, %r1, 2;
            setp.eq.u32 %p1, %r11, 3; selp.b32 %r13, 0x7C00, 0, %p1; setp.eq.u32 %p2, %r11, 5; selp.b32 %r13, 0x7BFF, %r13, %p2; mov.u32 %r14, 0x7BFF7BFF;
            mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 { %r20, %r21 }, { %r13, %r12, %r12, %r12 }, { %r14, %r14 }, { %r20, %r21 }; // HERE
            mov.u32 %r10, %r20;
            """;
        Finding finding = Assert.Single(Run(Body, 0, 0, 0, out int here));
        Assert.Equal((here, 20), (finding.PtxLine, finding.Lane));
        Assert.Contains("at row 5, column 0", finding.Message, StringComparison.Ordinal);
    }
}
