using System.Runtime.CompilerServices;
using System.Text;
using AdmNative.Cuda;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>Ends a launch: trap, deadlock or step budget. The finding that explains it is already in the log.</summary>
internal sealed class LaunchStoppedException : Exception;

/// <summary>What all CTAs of one launch share.</summary>
internal sealed unsafe class Launch(KernelProgram program, LaunchShape shape, LaunchOptions options, DeviceMemory memory, byte* parameters, uint* template)
{
    /// <summary>Characters of printf output that are kept.</summary>
    private const int MaxOutput = 1 << 24;

    private static long s_number;

    private readonly Lock _lock = new();
    private readonly Dictionary<(Checks, int), (Finding Finding, long Cta, long Number)> _bySite = [];
    private readonly StringBuilder _output = new();
    private long _found;
    private long _steps;
    private long _rotations;

    public KernelProgram Program { get; } = program;

    public Kernel Kernel => Program.Kernel;

    public LaunchShape Shape { get; } = shape;

    public LaunchOptions Options { get; } = options;

    public DeviceMemory Memory { get; } = memory;

    public byte* Parameters { get; } = parameters;

    /// <summary>Row file with constants and launch-wide special registers filled in.</summary>
    public uint* Template { get; } = template;

    /// <summary>Distinguishes launches in shadows that outlive one.</summary>
    public long Number { get; } = Interlocked.Increment(ref s_number);

    public int Threads => (int)(Shape.BlockX * Shape.BlockY * Shape.BlockZ);

    public int Warps => (Threads + 31) / 32;

    public int SharedBytes => Kernel.UsesDynamicShared ? Kernel.DynamicSharedOffset + (int)Shape.SharedBytes : Kernel.StaticSharedBytes;

    /// <summary>True when compiled code runs.</summary>
    public bool Compiled { get; } = Compiles(options);

    /// <summary>True when several host threads run CTAs: atomics take the lock.</summary>
    public bool Parallel { get; set; }

    /// <summary>Guards global atomics of parallel CTAs.</summary>
    public Lock AtomicLock { get; } = new();

    private readonly Dictionary<ulong, HandOver> _handOvers = [];

    /// <summary>The word of that address; asked for by the check between blocks only, which runs on one thread.</summary>
    public HandOver HandOverOf(ulong address) =>
        _handOvers.TryGetValue(address, out HandOver? word) ? word : _handOvers[address] = new HandOver();

    public volatile bool Stopped;

    /// <summary>By block, then in the order they were met: the same list however many host threads ran the blocks.</summary>
    public IReadOnlyList<Finding> Findings => [.. _bySite.Values.OrderBy(f => f.Cta).ThenBy(f => f.Number).Take(Options.MaxFindings).Select(f => f.Finding)];

    public long Dropped => Math.Max(0, _bySite.Count - Options.MaxFindings);

    /// <summary>Every check that fired, those whose findings were dropped included.</summary>
    public Checks Fired { get; private set; }

    /// <summary>What the launch was stopped with, or Success.</summary>
    public CudaStatus StopStatus { get; set; }

    /// <summary>What hardware would report.</summary>
    public CudaStatus Status =>
        (Fired & Checks.Bounds) != 0 ? CudaStatus.IllegalAddress
        : (Fired & Checks.Alignment) != 0 ? CudaStatus.MisalignedAddress
        : StopStatus;

    public long Rotations => Interlocked.Read(ref _rotations);

    public string Output => _output.ToString();

    /// <summary>True when what is printed is not kept any more.</summary>
    public bool IsOutputFull => _output.Length > MaxOutput;

    /// <summary>
    /// Whether the options ask for compiled code. It neither checks nor counts, so by itself it is chosen for launches without either only.
    /// </summary>
    /// <exception cref="ArgumentException">The compiler is demanded together with what it does not do.</exception>
    internal static bool Compiles(LaunchOptions options)
    {
        bool possible = RuntimeFeature.IsDynamicCodeCompiled;
        switch (options.Engine)
        {
            case EngineKind.Auto: return possible && options.Checks == Checks.None && !options.Counters;
            case EngineKind.Interpreter: return false;
            case EngineKind.Jit when options.Checks != Checks.None:
                throw new ArgumentException($"compiled code does no checks, and the options ask for {options.Checks}: take Checks.None, or the interpreter");
            case EngineKind.Jit when options.Counters:
                throw new ArgumentException("compiled code does not count: take Counters = false, or the interpreter");
            case EngineKind.Jit when !possible:
                throw new PlatformNotSupportedException("this runtime cannot compile at run time: take the interpreter");
            default: return true;
        }
    }

    public void CountRotation() => Interlocked.Increment(ref _rotations);

    /// <summary>Adds steps; true when the budget is spent.</summary>
    /// <exception cref="OperationCanceledException">The caller asked the launch to end.</exception>
    public bool Spend(long steps)
    {
        Options.Stop.ThrowIfCancellationRequested();
        return Interlocked.Add(ref _steps, steps) > Options.StepBudget;
    }

    public void Print(string text)
    {
        lock (_lock)
        {
            if (_output.Length <= MaxOutput)
            {
                _output.Append(text);
                _output.Append(_output.Length > MaxOutput ? $"\n[more than {MaxOutput} characters printed: the rest is not kept]\n" : "");
            }
        }
    }

    /// <summary>Logs a finding. The same check at the same instruction counts again, and is told of the first block that it happened in.</summary>
    public void Add(Checks check, int site, Func<string> message, (int X, int Y, int Z) cta, int warp, int lane)
    {
        lock (_lock)
        {
            Fired |= check;
            long index = cta.X + (Shape.GridX * (cta.Y + ((long)Shape.GridY * cta.Z)));
            long count = 1;
            if (_bySite.TryGetValue((check, site), out (Finding Finding, long Cta, long Number) earlier))
            {
                count = ++earlier.Finding.Count;
                if (index >= earlier.Cta)
                {
                    return;
                }
            }

            ref readonly MicroOp op = ref Kernel.Code[site];
            var finding = new Finding(check, message(), Kernel.Name, op.Line, FileOf(op), op.SourceLine, cta, warp, lane) { Count = count };
            _bySite[(check, site)] = (finding, index, _found++);
        }
    }

    /// <summary>Source position of a micro-op for messages: "file:line" or "ptx line n".</summary>
    public string Place(int site)
    {
        ref readonly MicroOp op = ref Kernel.Code[site];
        return op.SourceLine > 0 ? $"{FileOf(op)}:{op.SourceLine}" : $"ptx line {op.Line}";
    }

    private string FileOf(in MicroOp op) => Kernel.Module.Files.GetValueOrDefault(op.SourceFile, "");
}
