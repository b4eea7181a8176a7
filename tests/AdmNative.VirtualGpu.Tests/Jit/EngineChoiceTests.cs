using AdmNative.Cuda;
using AdmNative.Tests;
using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Jit;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Tests;

/// <summary>Which engine runs, and what ends a launch under the compiled one.</summary>
public sealed class EngineChoiceTests
{
    private static readonly LaunchOptions s_compiled = new() { Checks = Checks.None, Counters = false, Engine = EngineKind.Jit };

    private const string Sum = """
        .reg .b32 %r<8>; .reg .b64 %rd<4>; .reg .pred %p;
        ld.param.u64 %rd1, [out]; ld.param.u32 %r1, [n]; mov.u32 %r2, %tid.x; mov.u32 %r3, 0;
        $loop: add.u32 %r3, %r3, %r2; add.s32 %r1, %r1, -1; setp.ne.s32 %p, %r1, 0; @%p bra $loop;
        mul.wide.u32 %rd2, %r2, 4; add.s64 %rd3, %rd1, %rd2; st.global.u32 [%rd3], %r3; ret;
        """;

    /// <summary>Runs a kernel of the form of <see cref="PtxRun.Entry"/>; returns the methods that were compiled for it.</summary>
    private static int Methods(string body, LaunchOptions options, int n, out uint[] result)
    {
        using var memory = new DeviceMemory();
        PtxModule module = PtxParser.Parse(PtxRun.Entry(body));
        Kernel kernel = Lowering.Lower(module, module.Entry("k"));
        Allocation to = memory.Allocate(4 * 64);
        var parameters = new byte[kernel.ParameterBytes];
        BitConverter.TryWriteBytes(parameters, to.Address);
        BitConverter.TryWriteBytes(parameters.AsSpan(32), n);
        LaunchReport report = new GridRunner(memory, new ModuleImage(memory, module)).Run(kernel, new LaunchShape(1, 1, 1, 64, 1, 1), parameters, options);
        Assert.True(report.Completed);
        unsafe
        {
            result = new ReadOnlySpan<uint>(to.Host, 64).ToArray();
        }

        return KernelProgram.Of(kernel).Compiled.Methods;
    }

    [Theory]
    [InlineData(EngineKind.Auto, Checks.None, false, 3, false)] // cold
    [InlineData(EngineKind.Auto, Checks.None, false, 100_000, true)]
    [InlineData(EngineKind.Auto, Checks.Bounds, false, 100_000, false)]
    [InlineData(EngineKind.Auto, Checks.None, true, 100_000, false)]
    [InlineData(EngineKind.Interpreter, Checks.None, false, 100_000, false)]
    [InlineData(EngineKind.Jit, Checks.None, false, 3, true)]
    public void The_compiler_runs_where_nothing_is_checked_or_counted(EngineKind engine, Checks checks, bool counters, int n, bool compiled)
    {
        int methods = Methods(Sum, new LaunchOptions { Engine = engine, Checks = checks, Counters = counters }, n, out uint[] result);
        Assert.Equal(compiled, methods > 0);
        Assert.Equal(Enumerable.Range(0, 64).Select(i => (uint)(i * n)), result);
    }

    [Theory]
    [InlineData(Checks.Bounds, false, "compiled code does no checks, and the options ask for Bounds: take Checks.None, or the interpreter")]
    [InlineData(Checks.None, true, "compiled code does not count: take Counters = false, or the interpreter")]
    public void The_compiler_is_refused_what_it_does_not_do(Checks checks, bool counters, string message)
    {
        var e = Assert.Throws<ArgumentException>(() => Methods(Sum, new LaunchOptions { Engine = EngineKind.Jit, Checks = checks, Counters = counters }, 1, out _));
        Assert.Equal(message, e.Message);
    }

    private static LaunchReport Compiled(string body, int grid, int block, LaunchOptions options, int n = 0, string declarations = "")
    {
        using var run = new PtxRun(PtxRun.Entry(body, declarations)) { Options = options };
        long to = run.Room<uint>(4 * grid * block);
        return run.Launch("k", grid, block, to, run.Put<uint>([.. Enumerable.Range(0, 32).Select(i => (uint)i)]), 0L, 0L, n);
    }

    [Theory]
    [InlineData(100, 64)]
    [InlineData(1_000_000, 64)]
    [InlineData(1_000_000, 20)]
    public void An_endless_loop_spends_the_budget(long budget, int block)
    {
        // PtxRun compares the finding, its position and memory with the interpreter's.
        LaunchReport report = Compiled(
            """
            .reg .b32 %r<4>; .reg .b64 %rd<2>; .reg .pred %p; ld.param.u64 %rd1, [out]; mov.u32 %r1, 0;
            $again: add.s32 %r1, %r1, 1; st.global.u32 [%rd1], %r1; and.b32 %r2, %r1, 7; setp.eq.s32 %p, %r2, 0;
            @%p bra $again;
            bra $again;
            """,
            1, block, s_compiled with { StepBudget = budget });
        Assert.False(report.Completed);
        Assert.Contains("endless", Assert.Single(report.Findings).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_trap_and_a_deadlock_are_reported_where_they_happen()
    {
        LaunchReport trap = Compiled(
            """
            .reg .b32 %r<4>; .reg .pred %p; mov.u32 %r1, %tid.x; setp.eq.u32 %p, %r1, 37;
            @%p trap;
            ret;
            """, 1, 64, s_compiled);
        Assert.Equal(("trap", 8, 1), (Assert.Single(trap.Findings).Message, trap.Findings[0].PtxLine, trap.Findings[0].Warp));
        LaunchReport deadlock = Compiled(
            """
            .reg .b32 %r<4>; .reg .pred %p; mov.u32 %r1, %tid.x; setp.lt.u32 %p, %r1, 32;
            @%p bar.sync 1, 64;
            @!%p bar.sync 2, 64;
            ret;
            """, 1, 64, s_compiled);
        Assert.StartsWith("deadlock", Assert.Single(deadlock.Findings).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Memory_that_does_not_exist_is_reported_and_read_as_zero()
    {
        LaunchReport report = Compiled(
            """
            .reg .b32 %r<6>; .reg .b64 %rd<6>; .shared .align 4 .b8 s[64];
            ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [a]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd3, %r1, 8; add.s64 %rd4, %rd2, %rd3;
            ld.global.u32 %r2, [%rd4];
            mul.lo.u32 %r3, %r1, 4; st.shared.u32 [%r3], %r2;
            mul.wide.u32 %rd5, %r1, 4; add.s64 %rd5, %rd1, %rd5; st.global.u32 [%rd5], %r2; st.global.u32 [%rd5+-4], %r2; ret;
            """, 1, 32, s_compiled);
        Assert.Equal([(9, 16L, 16), (10, 16L, 16), (11, 1L, 0)], report.Findings.Select(f => (f.PtxLine, f.Count, f.Lane)));
    }

    [Theory]
    [InlineData(255)]
    [InlineData(256)]
    [InlineData(257)]
    [InlineData(1000)]
    public void Blocks_longer_than_a_method_are_cut(int length)
    {
        string add = string.Join('\n', Enumerable.Range(0, length).Select(i => $"mad.lo.u32 %r{2 + (i % 5)}, %r{2 + ((i + 1) % 5)}, {i + 3}, %r{2 + ((i + 3) % 5)};"));
        LaunchReport report = Compiled(
            $$"""
            .reg .b32 %r<10>; .reg .b64 %rd<4>; .reg .pred %p; ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; mov.u32 %r7, 3;
            mov.u32 %r2, %r1; mov.u32 %r3, 5; mov.u32 %r4, 7; mov.u32 %r5, %r1; mov.u32 %r6, %r1;
            $again: {{add}}
            add.s32 %r7, %r7, -1; setp.ne.s32 %p, %r7, 0; @%p bra $again;
            xor.b32 %r2, %r2, %r3; xor.b32 %r2, %r2, %r4; xor.b32 %r2, %r2, %r5; xor.b32 %r2, %r2, %r6;
            mul.wide.u32 %rd2, %r1, 4; add.s64 %rd3, %rd1, %rd2; st.global.u32 [%rd3], %r2; ret;
            """, 1, 50, s_compiled);
        Assert.True(report.Completed && report.Findings.Count == 0);
    }

    [Theory]
    [InlineData("x1", "{%r2}")]
    [InlineData("x2", "{%r2,%r3}")]
    [InlineData("x4", "{%r2,%r3,%r4,%r5}")]
    [InlineData("x1.trans", "{%r2}")]
    [InlineData("x2.trans", "{%r2,%r3}")]
    [InlineData("x4.trans", "{%r2,%r3,%r4,%r5}")]
    public void Matrices_load_alike(string form, string registers)
    {
        foreach (int block in form.StartsWith("x4", StringComparison.Ordinal) ? [32] : new[] { 32, 24 })
        {
            LaunchReport report = Compiled(
                $$"""
                .reg .b32 %r<10>; .reg .b64 %rd<4>; .shared .align 16 .b8 s[1024];
                ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; mov.u32 %r2, -1; mov.u32 %r3, -2; mov.u32 %r4, -3; mov.u32 %r5, -4; mul.lo.u32 %r6, %r1, 32;
                mad.lo.u32 %r7, %r1, 0x10003, 0x70011; mul.lo.u32 %r8, %r7, 0x9E3779B1;
                st.shared.v4.u32 [%r6], {%r7, %r8, %r6, %r1}; st.shared.v4.u32 [%r6+16], {%r8, %r1, %r7, %r6};
                xor.b32 %r9, %r1, 5; mul.lo.u32 %r9, %r9, 16; ldmatrix.sync.aligned.m8n8.{{form}}.shared.b16 {{registers}}, [%r9];
                mul.wide.u32 %rd2, %r1, 16; add.s64 %rd3, %rd1, %rd2; st.global.v4.u32 [%rd3], {%r2, %r3, %r4, %r5}; ret;
                """, 1, block, s_compiled);
            Assert.True(report.Completed && report.Findings.Count == 0);
        }
    }

    [Theory]
    [InlineData(EngineKind.Interpreter)]
    [InlineData(EngineKind.Jit)]
    public void Several_threads_give_what_one_gives(EngineKind engine)
    {
        string ptx = File.ReadAllText(Repo.Path("bench", "AdmNative.Benchmarks", "VirtualGpu", "gemm.ptx"));
        Assert.Equal(Product(1), Product(3));

        float[] Product(int threads)
        {
            using var run = new PtxRun(ptx) { Options = s_compiled with { Engine = engine, Threads = threads }, CompareEngines = false };
            const int M = 190, N = 130, K = 96;
            var random = new Random(5);
            long to = run.Room<float>(M * N), a = run.Put<Half>(Values(M * K)), b = run.Put<Half>(Values(N * K));
            byte[] parameters = [.. Bytes(to), .. Bytes(a), .. Bytes(b), .. BitConverter.GetBytes(M), .. BitConverter.GetBytes(N), .. BitConverter.GetBytes(K), 0, 0, 0, 0];
            LaunchReport report = run.Launch("probe_gemm_f16", new LaunchShape(3, 3, 1, 128, 1, 1), (object)parameters);
            Assert.Empty(report.Findings);
            float[] result = run.Get<float>(to, M * N);
            Assert.All(result, v => Assert.True(float.IsFinite(v)));
            return result;

            Half[] Values(int count) => [.. Enumerable.Range(0, count).Select(_ => (Half)(random.NextDouble() - 0.5))];
            static byte[] Bytes(long v) => BitConverter.GetBytes(v);
        }
    }
}
