using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu;

/// <summary>An entry of a module: what a launch has to provide, and what it costs.</summary>
public sealed class PtxEntry
{
    private readonly Lazy<int> _registers;

    internal PtxEntry(PtxProgram program, Kernel kernel)
    {
        Program = program;
        Kernel = kernel;
        _registers = new Lazy<int>(() => RegisterPressure.Of(kernel));
    }

    /// <summary>The module it belongs to.</summary>
    public PtxProgram Program { get; }

    internal Kernel Kernel { get; }

    /// <summary>Entry name.</summary>
    public string Name => Kernel.Name;

    /// <summary>PTX line of its declaration.</summary>
    public int Line => Kernel.Function.Line;

    /// <summary>Parameters in order, with their places in the parameter block.</summary>
    public IReadOnlyList<KernelParameter> Parameters => Kernel.Parameters;

    /// <summary>Bytes of the parameter block.</summary>
    public int ParameterBytes => Kernel.ParameterBytes;

    /// <summary>Shared bytes declared with a size.</summary>
    public int StaticSharedBytes => Kernel.StaticSharedBytes;

    /// <summary>True when the entry names an unsized .extern .shared array: the launch chooses its bytes.</summary>
    public bool UsesDynamicShared => Kernel.UsesDynamicShared;

    /// <summary>Bytes of .local variables per thread.</summary>
    public int LocalBytes => Kernel.LocalBytes;

    /// <summary>Bytes of the module's .const variables the entry names.</summary>
    public long ConstBytes => Kernel.Constants.Where(c => c.Kind == ConstantKind.GlobalSymbol).Select(c => c.Name).Distinct()
        .Sum(name => Program.Module.Globals.First(g => g.Name == name) is { Space: PtxSpace.Const } v ? v.Bytes : 0);

    /// <summary>.maxntid: the block may have at most this many threads in total, or null.</summary>
    public (int X, int Y, int Z)? MaxNtid => Kernel.Function.MaxNtid;

    /// <summary>.reqntid: the block must have exactly this shape, or null.</summary>
    public (int X, int Y, int Z)? ReqNtid => Kernel.Function.ReqNtid;

    /// <summary>.minnctapersm, or 0.</summary>
    public int MinBlocksPerMultiprocessor => Kernel.Function.MinCtaPerSm;

    /// <summary>.maxnreg, or 0.</summary>
    public int MaxRegisters => Kernel.Function.MaxNreg;

    /// <summary>
    /// Registers per thread, estimated: the largest number of 32-bit PTX registers that hold a value still needed at one place. The
    /// assembler that makes machine code reorders instructions and needs registers of its own, so its number differs, in either direction (for
    /// the first kernels shipped here the estimate was 0.46 to 1.22 of it); where the assembler's number is known, use it instead.
    /// </summary>
    public int EstimatedRegisters => _registers.Value;

    /// <summary>Largest block the entry can be launched with on a device: .maxntid or .reqntid, else the device's limit.</summary>
    public int MaxThreadsPerBlock(DeviceProfile profile)
    {
        ArgumentNullException.ThrowIfNull(profile);
        long own = (ReqNtid ?? MaxNtid) is { } n ? (long)n.X * n.Y * n.Z : profile.MaxThreadsPerBlock;
        return (int)Math.Min(own, profile.MaxThreadsPerBlock);
    }
}

/// <summary>A PTX module, fully checked: every instruction of every entry is known to the virtual device.</summary>
public sealed class PtxProgram
{
    private readonly Dictionary<string, PtxEntry> _entries;

    private PtxProgram(PtxModule module)
    {
        Module = module;
        Entries = [.. module.Entries.Where(e => !e.IsDeclaration).Select(e => new PtxEntry(this, Lowering.Lower(module, e)))];
        _entries = Entries.ToDictionary(e => e.Name);
    }

    /// <summary>The module as parsed.</summary>
    public PtxModule Module { get; }

    /// <summary>.version major and minor.</summary>
    public (int Major, int Minor) Version => Module.Version;

    /// <summary>.target, e.g. "sm_80".</summary>
    public string Target => Module.Target;

    /// <summary>Entries in the order of the text.</summary>
    public IReadOnlyList<PtxEntry> Entries { get; }

    /// <summary>Parses and checks PTX text.</summary>
    /// <exception cref="PtxException">Malformed text, or an instruction the virtual device does not know; names it and its line.</exception>
    public static PtxProgram Parse(string ptx)
    {
        ArgumentNullException.ThrowIfNull(ptx);
        return new PtxProgram(PtxParser.Parse(ptx));
    }

    /// <summary>The entry of that name.</summary>
    /// <exception cref="KeyNotFoundException">No such entry; names those there are.</exception>
    public PtxEntry Entry(string name) => _entries.TryGetValue(name, out PtxEntry? entry)
        ? entry
        : throw new KeyNotFoundException($"no entry '{name}'; the module has {(Entries.Count == 0 ? "none" : string.Join(", ", _entries.Keys))}");

    internal PtxEntry? Find(string name) => _entries.GetValueOrDefault(name);
}
