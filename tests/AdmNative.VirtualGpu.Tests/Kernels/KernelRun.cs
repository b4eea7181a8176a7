using System.Runtime.InteropServices;
using AdmNative.Cuda;
using AdmNative.Tests;

namespace AdmNative.VirtualGpu.Tests.Kernels;

/// <summary>What a case made: the bytes of its outputs, and a report per launch.</summary>
internal sealed record KernelResult(byte[] Output, IReadOnlyList<LaunchReport> Reports)
{
    public Counters Counters => Reports.Aggregate(new Counters(), (sum, r) => sum + r.Counters);

    public IEnumerable<Finding> Findings => Reports.SelectMany(r => r.Findings);
}

/// <summary>Runs shipped kernels: bytes in, launches, bytes out. The PTX may be edited first, to plant a bug.</summary>
internal sealed class KernelRun(string family, LaunchOptions options, Func<string, string>? edit = null) : IDisposable
{
    private static readonly KernelBundle s_bundle = KernelBundle.Default;

    private readonly PtxRun _run = new(edit is null ? Text(family) : edit(Text(family))) { Options = options, CompareEngines = edit is null };
    private readonly List<LaunchReport> _reports = [];

    public static string Text(string family) => s_bundle.Images.Single(i => i.File == family + ".sm80.ptx").Text;

    /// <summary>The engines are compared at every launch of unedited text, unless this is off.</summary>
    public bool CompareEngines { get => _run.CompareEngines; set => _run.CompareEngines = value; }

    /// <summary>An allocation of the bytes, which end where it ends; without bytes, one that nothing may read.</summary>
    public ulong Put(byte[] bytes) => bytes.Length == 0 ? Room(16) : (ulong)_run.Put<byte>(bytes);

    public ulong Room(int bytes) => (ulong)_run.Room<byte>(bytes);

    public byte[] Get(ulong address, int bytes) => _run.Get<byte>((long)address, bytes);

    public void Launch<T>(string entry, long grid, in T parameters, int sharedBytes = 0) where T : unmanaged
    {
        KernelEntry kernel = s_bundle[entry];
        byte[] block = MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in parameters)).ToArray();
        Assert.Equal(kernel.ParameterBytes, block.Length);
        var shape = new LaunchShape((uint)grid, 1, 1, (uint)kernel.MaxThreads[0], 1, 1, (uint)sharedBytes);
        _reports.Add(_run.Launch(entry, shape, block));
    }

    public KernelResult Result(ulong address, int bytes) => new(Get(address, bytes), _reports);

    /// <summary>The line of the source a finding points at.</summary>
    public static string Source(Finding f) => File.ReadAllLines(Repo.Path(f.SourceFile))[f.SourceLine - 1];

    public void Dispose() => _run.Dispose();
}

/// <summary>One launch (or chain of launches) on fixed inputs, to be run under any options.</summary>
internal sealed record KernelCase(string Name, string Family, Func<KernelRun, KernelResult> Body)
{
    public KernelResult Run(LaunchOptions options, Func<string, string>? edit = null, bool compareEngines = true)
    {
        using var run = new KernelRun(Family, options, edit);
        run.CompareEngines &= compareEngines;
        return Body(run);
    }

    public override string ToString() => Name;
}
