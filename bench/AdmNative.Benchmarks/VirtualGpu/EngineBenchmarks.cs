using AdmNative.VirtualGpu;
using BenchmarkDotNet.Attributes;

namespace AdmNative.Benchmarks.VirtualGpu;

/// <summary>The virtual device's engines on arithmetic and on a tensor-core product, one host thread.</summary>
public class EngineBenchmarks
{
    private EngineCase _arithmetic = null!;
    private EngineCase _gemm = null!;
    private LaunchOptions _options = null!;

    /// <summary>How the launches are executed and watched.</summary>
    public enum Mode
    {
        /// <summary>Interpreter, all checks and counters.</summary>
        Checks,

        /// <summary>Interpreter, counters only.</summary>
        Counters,

        /// <summary>Interpreter alone.</summary>
        Interpreter,

        /// <summary>Compiled.</summary>
        Jit,
    }

    /// <summary>Mode of this run.</summary>
    [Params(Mode.Checks, Mode.Counters, Mode.Interpreter, Mode.Jit)]
    public Mode Engine { get; set; }

    internal static LaunchOptions Options(Mode mode, int threads = 1) => new()
    {
        Checks = mode == Mode.Checks ? Checks.All : Checks.None,
        Counters = mode is Mode.Checks or Mode.Counters,
        Engine = mode == Mode.Jit ? EngineKind.Jit : EngineKind.Interpreter,
        Threads = threads,
    };

    /// <summary>Parses the kernels and fills their memory.</summary>
    [GlobalSetup]
    public void Setup()
    {
        (_arithmetic, _gemm, _options) = (EngineCase.Arithmetic(1000), EngineCase.Gemm(128, 128, 960), Options(Engine));
    }

    /// <summary>Frees it.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _arithmetic.Dispose();
        _gemm.Dispose();
    }

    /// <summary>2.1 million warp instructions.</summary>
    [Benchmark]
    public object Arithmetic() => _arithmetic.Run(_options);

    /// <summary>31 MFLOP of m16n8k16.</summary>
    [Benchmark]
    public object Gemm() => _gemm.Run(_options);
}
