using System.Reflection;
using AdmNative.Core;
using AdmNative.Cpu;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;
using Xunit.Sdk;

namespace AdmNative.Tests;

/// <summary>The devices that recorded cases run on, by name.</summary>
internal static class Backends
{
    public const string Twin = "twin-f32";
    public const string Avx512 = "cpu-avx512";
    public const string Avx2 = "cpu-avx2";
    public const string Portable = "cpu-portable";
    public const string Virtual = "virtual-f32";
    public const string VirtualF16 = "virtual-f16";
    public const string VirtualBF16 = "virtual-bf16";

    /// <summary>One virtual GPU for all cases, so that each kernel is compiled once; it lives as long as the process.</summary>
    private static readonly Lazy<VirtualDriver> s_driver = new(() => new VirtualDriver(
        new VirtualDriverOptions { KeepReports = 0, Launch = new LaunchOptions { Checks = Checks.None, Counters = false } }));

    /// <summary>Opens a device.</summary>
    public static IBackend Create(string name) => name switch
    {
        Twin => new TwinBackend(DType.F32),
        // Two threads on the widest path, so that the division of work is covered too.
        Avx512 => new CpuBackend(new CpuOptions { Isa = Isa.Avx512, Threads = 2 }),
        Avx2 => new CpuBackend(new CpuOptions { Isa = Isa.Avx2, Threads = 1 }),
        Portable => new CpuBackend(new CpuOptions { Isa = Isa.Portable, Threads = 1 }),
        Virtual or VirtualF16 or VirtualBF16 => CudaBackend.Create(s_driver.Value, new CudaOptions { Precision = Precision(name) }),
        _ => throw new ArgumentException($"unknown backend {name}"),
    };

    /// <summary>Do our CUDA kernels compute?</summary>
    public static bool IsVirtual(string name) => name is Virtual or VirtualF16 or VirtualBF16;

    /// <summary>What a device stores activations in.</summary>
    public static KernelDType Precision(string name) => name switch { VirtualF16 => KernelDType.F16, VirtualBF16 => KernelDType.BF16, _ => KernelDType.F32 };

    /// <summary>Why a device cannot be opened here; null when it can.</summary>
    public static string? Missing(string name)
    {
        Isa isa = name switch { Avx512 => Isa.Avx512, Avx2 => Isa.Avx2, _ => Isa.Portable };
        return IsaSupport.IsSupported(isa) ? null : $"this processor has no {isa}";
    }
}

/// <summary>
/// The cases in a folder of tests/golden, each on a device: rows (case, device). All of them are skipped with the
/// reason where the device is missing.
/// </summary>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
internal sealed class GoldenCasesAttribute : DataAttribute
{
    private readonly string _folder;
    private readonly string _device;
    private readonly string _pattern;

    public GoldenCasesAttribute(string folder, string device, string pattern = "*")
    {
        _folder = folder;
        _device = device;
        _pattern = pattern;
        Skip = Backends.Missing(device);
    }

    public override IEnumerable<object[]> GetData(MethodInfo testMethod)
    {
        string root = Repo.Path("tests", "golden", _folder);
        string[] cases = File.Exists(System.IO.Path.Combine(root, "config.json"))
            ? [_folder]
            : [.. Directory.GetDirectories(root, _pattern).Order(StringComparer.Ordinal).Select(d => $"{_folder}/{System.IO.Path.GetFileName(d)}")];
        return cases.Length > 0
            ? cases.Select(c => new object[] { c, _device })
            : throw new InvalidOperationException($"no case {_pattern} in {root}");
    }
}
