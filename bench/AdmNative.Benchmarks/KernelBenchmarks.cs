using AdmNative.Core;
using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;

namespace AdmNative.Benchmarks;

/// <summary>Short runs with the rate columns beside the times.</summary>
public sealed class KernelConfig : ManualConfig
{
    /// <summary>The configuration of every benchmark here.</summary>
    public KernelConfig()
    {
        AddJob(Job.Default.WithWarmupCount(2).WithIterationCount(7).WithMinIterationTime(Perfolizer.Horology.TimeInterval.FromMilliseconds(100)));
        AddColumn(RateColumn.All);
        AddColumnProvider(DefaultColumnProviders.Instance);
        AddLogger(ConsoleLogger.Default);
    }
}

/// <summary>Times one op per case on one core.</summary>
[Config(typeof(KernelConfig))]
public abstract class KernelBenchmark
{
    private Layer? _layer;

    /// <summary>What is timed.</summary>
    [ParamsSource(nameof(Cases))]
    public LayerCase? Case { get; set; }

    /// <summary>The rows of the table.</summary>
    public abstract IEnumerable<LayerCase> Cases { get; }

    /// <summary>Builds the op.</summary>
    [GlobalSetup]
    public void Setup() => _layer = Case!.Create(threads: 1);

    /// <summary>Frees it.</summary>
    [GlobalCleanup]
    public void Cleanup() => _layer?.Dispose();

    /// <summary>One evaluation.</summary>
    [Benchmark]
    public void Run() => _layer!.Run();
}

/// <summary>Layers of digits32 (batch 8), mid64 (batch 2) and ADM-64 (batch 1).</summary>
internal static class Layers
{
    public static readonly (int N, int Size, int C, int K)[] Conv3x3 =
    [
        (8, 32, 32, 32), (8, 16, 64, 64), (8, 8, 64, 64),
        (2, 64, 64, 64), (2, 32, 128, 128), (2, 16, 192, 192), (2, 8, 256, 256),
        (1, 64, 192, 192), (1, 32, 384, 384), (1, 16, 576, 576), (1, 8, 768, 768), (1, 8, 1536, 768),
    ];

    public static string Name((int N, int Size, int C, int K) l) => $"{l.N}x{l.Size}x{l.Size} {l.C}->{l.K}";

    public static Node X(Graph g, int n, int size, int c, string name = "x") => g.Input(name, [n, size, size, c]);
}

/// <summary>3x3 convolution with bias.</summary>
public class ConvForward : KernelBenchmark
{
    /// <inheritdoc/>
    public override IEnumerable<LayerCase> Cases => Layers.Conv3x3.Select(l => new LayerCase(Layers.Name(l), g =>
        g.Add(new Conv2d(1, 1, 1), Layers.X(g, l.N, l.Size, l.C), g.Parameter("w", [l.K, l.C, 3, 3]), g.Parameter("b", [l.K]))));
}

/// <summary>Gradient of a 3x3 convolution with respect to its input.</summary>
public class ConvInputGrad : KernelBenchmark
{
    /// <inheritdoc/>
    public override IEnumerable<LayerCase> Cases => Layers.Conv3x3.Select(l => new LayerCase(Layers.Name(l), g =>
        g.Add(new Conv2dInputGrad(1, 1, 1, [l.N, l.Size, l.Size, l.C]), Layers.X(g, l.N, l.Size, l.K, "dy"), g.Parameter("w", [l.K, l.C, 3, 3]))));
}

/// <summary>Gradient of a 3x3 convolution with respect to its weight.</summary>
public class ConvWeightGrad : KernelBenchmark
{
    /// <inheritdoc/>
    public override IEnumerable<LayerCase> Cases => Layers.Conv3x3.Select(l => new LayerCase(Layers.Name(l), g =>
        g.Add(new Conv2dWeightGrad(1, 1, 1, [l.K, l.C, 3, 3]), Layers.X(g, l.N, l.Size, l.C), Layers.X(g, l.N, l.Size, l.K, "dy"))));
}

/// <summary>Linear layers: 1x1 convolutions over pixels, and the time embedding over a few rows.</summary>
public class Gemm : KernelBenchmark
{
    private static readonly (int Rows, int K, int M)[] s_shapes = [(8192, 96, 32), (4096, 384, 192), (1024, 384, 1152), (64, 768, 2304), (8, 128, 256), (1, 768, 1536)];

    /// <inheritdoc/>
    public override IEnumerable<LayerCase> Cases => s_shapes.Select(s => new LayerCase($"[{s.Rows},{s.K}] x [{s.K},{s.M}]", g =>
        g.Add(new Linear(), g.Input("x", [s.Rows, s.K]), g.Parameter("w", [s.M, s.K]), g.Parameter("b", [s.M]))));
}

/// <summary>GroupNorm with AdaGN modulation and SiLU.</summary>
public class GroupNormForward : KernelBenchmark
{
    /// <inheritdoc/>
    public override IEnumerable<LayerCase> Cases => Layers.Conv3x3.Select(l => new LayerCase(Layers.Name(l), g =>
        g.Add(new GroupNorm(32, 1e-5, Silu: true), Layers.X(g, l.N, l.Size, l.C), g.Parameter("gamma", [l.C]), g.Parameter("beta", [l.C]), g.Input("m", [l.N, 2 * l.C]))));
}

/// <summary>Attention, forward.</summary>
public class AttentionForward : KernelBenchmark
{
    private static readonly (int N, int T, int Heads, int D)[] s_shapes = [(8, 256, 2, 32), (2, 1024, 2, 64), (1, 1024, 6, 64), (1, 256, 9, 64), (1, 64, 12, 64)];

    /// <inheritdoc/>
    public override IEnumerable<LayerCase> Cases => s_shapes.Select(s => new LayerCase($"{s.N} x T {s.T}, {s.Heads} heads of {s.D}", g =>
        g.Add(new Attention(s.Heads, false), g.Input("qkv", [s.N, s.T, 3 * s.Heads * s.D]))));
}

/// <summary>Attention, backward.</summary>
public class AttentionBackward : KernelBenchmark
{
    private static readonly (int N, int T, int Heads, int D)[] s_shapes = [(8, 256, 2, 32), (2, 1024, 2, 64), (1, 1024, 6, 64)];

    /// <inheritdoc/>
    public override IEnumerable<LayerCase> Cases => s_shapes.Select(s => new LayerCase($"{s.N} x T {s.T}, {s.Heads} heads of {s.D}", g =>
        g.Add(new AttentionGrad(s.Heads, false), g.Input("qkv", [s.N, s.T, 3 * s.Heads * s.D]), g.Input("o", [s.N, s.T, s.Heads * s.D]), g.Input("do", [s.N, s.T, s.Heads * s.D]))));
}
