using System.Runtime.InteropServices;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;
using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.Benchmarks.VirtualGpu;

/// <summary>A kernel with its memory, ready to be launched again and again.</summary>
internal sealed class EngineCase : IDisposable
{
    private readonly DeviceMemory _memory = new();
    private readonly ModuleImage _image;
    private readonly Kernel _kernel;
    private readonly LaunchShape _shape;
    private readonly byte[] _parameters;

    private unsafe EngineCase(string file, string entry, LaunchShape shape, params ReadOnlySpan<long> parameters)
    {
        PtxModule module = PtxParser.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "VirtualGpu", file)));
        _image = new ModuleImage(_memory, module);
        _kernel = Lowering.Lower(module, module.Entry(entry));
        _shape = shape;
        _parameters = new byte[_kernel.ParameterBytes];

        // Negative parameters stand for arrays of that many bytes, all 32-bit words 0x3C003C00: ones in f16.
        int offset = 0;
        foreach (long p in parameters)
        {
            if (p < 0)
            {
                Allocation a = _memory.Allocate(-p);
                new Span<uint>(a.Host, (int)(-p / 4)).Fill(0x3C00_3C00);
                MemoryMarshal.Write(_parameters.AsSpan(offset), a.Address);
                offset += 8;
            }
            else
            {
                MemoryMarshal.Write(_parameters.AsSpan(offset), (int)p);
                offset += 4;
            }
        }
    }

    /// <summary>Loops of 33 integer and f32 instructions in 64 warps.</summary>
    public static EngineCase Arithmetic(int rounds) => new("arithmetic.ptx", "arithmetic", new LaunchShape(16, 1, 1, 128, 1, 1), -4 * 16 * 128, rounds);

    /// <summary>A 512 x 512 x 1920 product on tensor cores: 1.0066 GFLOP.</summary>
    public static EngineCase Gemm() => Gemm(512, 512, 1920);

    public static EngineCase Gemm(int m, int n, int k) =>
        new("gemm.ptx", "probe_gemm_f16", new LaunchShape((uint)m / 64, (uint)n / 64, 1, 128, 1, 1), -4L * m * n, -2L * m * k, -2L * n * k, m, n, k);

    public LaunchReport Run(LaunchOptions options)
    {
        LaunchReport report = new GridRunner(_memory, _image).Run(_kernel, _shape, _parameters, options);
        return report.Completed && report.Findings.Count == 0
            ? report : throw new InvalidOperationException($"{_kernel.Name}: {string.Join("; ", report.Findings)}");
    }

    public void Dispose() => _memory.Dispose();
}
