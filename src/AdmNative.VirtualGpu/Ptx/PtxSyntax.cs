namespace AdmNative.VirtualGpu.Ptx;

/// <summary>State spaces of PTX.</summary>
public enum PtxSpace : byte
{
    /// <summary>Registers.</summary>
    Reg,

    /// <summary>Device memory.</summary>
    Global,

    /// <summary>Constant memory.</summary>
    Const,

    /// <summary>Shared memory of a block.</summary>
    Shared,

    /// <summary>Memory of one thread.</summary>
    Local,

    /// <summary>Kernel or function parameters.</summary>
    Param,

    /// <summary>No space named: a generic address.</summary>
    Generic,
}

/// <summary>Fundamental types of PTX.</summary>
public enum PtxType : byte
{
    /// <summary>No type.</summary>
    None,

    /// <summary>Predicate.</summary>
    Pred,

    /// <summary>8 untyped bits.</summary>
    B8,

    /// <summary>16 untyped bits.</summary>
    B16,

    /// <summary>32 untyped bits.</summary>
    B32,

    /// <summary>64 untyped bits.</summary>
    B64,

    /// <summary>Unsigned 8 bits.</summary>
    U8,

    /// <summary>Unsigned 16 bits.</summary>
    U16,

    /// <summary>Unsigned 32 bits.</summary>
    U32,

    /// <summary>Unsigned 64 bits.</summary>
    U64,

    /// <summary>Signed 8 bits.</summary>
    S8,

    /// <summary>Signed 16 bits.</summary>
    S16,

    /// <summary>Signed 32 bits.</summary>
    S32,

    /// <summary>Signed 64 bits.</summary>
    S64,

    /// <summary>IEEE half.</summary>
    F16,

    /// <summary>Two halves in 32 bits.</summary>
    F16x2,

    /// <summary>bfloat16.</summary>
    BF16,

    /// <summary>Two bfloat16 in 32 bits.</summary>
    BF16x2,

    /// <summary>TensorFloat-32 in 32 bits.</summary>
    TF32,

    /// <summary>IEEE single.</summary>
    F32,

    /// <summary>IEEE double.</summary>
    F64,
}

/// <summary>Facts about PTX types.</summary>
public static class PtxTypes
{
    private static readonly Dictionary<string, PtxType> s_names =
        Enum.GetValues<PtxType>().Where(t => t != PtxType.None).ToDictionary(t => t.ToString().ToLowerInvariant());

    /// <summary>The type of a name without its dot ("f16x2"), or None.</summary>
    public static PtxType Parse(string name) => s_names.GetValueOrDefault(name, PtxType.None);

    /// <summary>Bits of a value; 1 for predicates.</summary>
    public static int Bits(this PtxType type) => type switch
    {
        PtxType.Pred => 1,
        PtxType.B8 or PtxType.U8 or PtxType.S8 => 8,
        PtxType.B16 or PtxType.U16 or PtxType.S16 or PtxType.F16 or PtxType.BF16 => 16,
        PtxType.B64 or PtxType.U64 or PtxType.S64 or PtxType.F64 => 64,
        PtxType.None => 0,
        _ => 32,
    };

    /// <summary>Bytes of a value in memory.</summary>
    public static int Bytes(this PtxType type) => Math.Max(1, type.Bits() / 8);

    /// <summary>True for s8, s16, s32, s64.</summary>
    public static bool IsSigned(this PtxType type) => type is PtxType.S8 or PtxType.S16 or PtxType.S32 or PtxType.S64;

    /// <summary>True for the floating types, packed ones included.</summary>
    public static bool IsFloat(this PtxType type) => type >= PtxType.F16;
}

/// <summary>A declared variable: parameter, shared, local, constant or global memory.</summary>
/// <param name="Space">State space.</param>
/// <param name="Type">Element type.</param>
/// <param name="Align">Alignment in bytes; the type's own size unless .align says otherwise.</param>
/// <param name="Name">Name as written.</param>
/// <param name="Elements">Number of elements; 1 for a scalar, 0 for an unsized extern array.</param>
/// <param name="IsArray">Declared with brackets.</param>
/// <param name="IsExtern">Declared .extern.</param>
/// <param name="Init">Initial bytes of the variable's beginning, the rest being zero; null if there are none.</param>
/// <param name="Relocations">Symbols whose addresses are stored in the initialiser.</param>
/// <param name="Line">PTX line of the declaration.</param>
public sealed record PtxVariable(
    PtxSpace Space, PtxType Type, int Align, string Name, long Elements, bool IsArray, bool IsExtern, byte[]? Init,
    IReadOnlyList<PtxRelocation> Relocations, int Line)
{
    /// <summary>Size in bytes.</summary>
    public long Bytes => Elements * Type.Bytes();
}

/// <summary>The address of a symbol, stored at a byte offset of an initialiser.</summary>
/// <param name="Offset">Byte offset inside the variable.</param>
/// <param name="Symbol">Name of the other variable.</param>
/// <param name="Addend">Added to its address.</param>
/// <param name="IsGeneric">True for generic(symbol).</param>
public sealed record PtxRelocation(int Offset, string Symbol, long Addend, bool IsGeneric);

/// <summary>A register of a function.</summary>
/// <param name="Index">Unique within the function.</param>
/// <param name="Name">Name as written; scopes may repeat it.</param>
/// <param name="Type">Declared type.</param>
public sealed record PtxRegister(int Index, string Name, PtxType Type);

/// <summary>What an operand is.</summary>
public enum PtxOperandKind : byte
{
    /// <summary>A register.</summary>
    Register,

    /// <summary>!p: a predicate, negated.</summary>
    NegatedRegister,

    /// <summary>d|p: a register and a predicate.</summary>
    Pair,

    /// <summary>An integer literal.</summary>
    IntegerLiteral,

    /// <summary>0f...: bits of a single.</summary>
    SingleLiteral,

    /// <summary>0d... or a decimal fraction: bits of a double.</summary>
    DoubleLiteral,

    /// <summary>A special register such as %tid.x.</summary>
    Special,

    /// <summary>The address of a variable, plus an offset.</summary>
    Symbol,

    /// <summary>[register + offset].</summary>
    RegisterAddress,

    /// <summary>[variable + offset].</summary>
    SymbolAddress,

    /// <summary>[immediate].</summary>
    AbsoluteAddress,

    /// <summary>{a, b, ...}.</summary>
    Vector,

    /// <summary>A branch target.</summary>
    Label,

    /// <summary>(a, b): argument or result list of a call.</summary>
    List,

    /// <summary>The name of a function.</summary>
    Function,

    /// <summary>_: the result is not wanted.</summary>
    Sink,
}

/// <summary>One operand. Which fields mean something depends on <see cref="Kind"/>.</summary>
public sealed record PtxOperand(PtxOperandKind Kind)
{
    /// <summary>Register, base register of an address, or first of a pair; -1 if none (a sink in a pair).</summary>
    public int Register { get; init; } = -1;

    /// <summary>The predicate of a pair.</summary>
    public int Second { get; init; } = -1;

    /// <summary>Literal bits; for integers the two's complement 64-bit value.</summary>
    public ulong Bits { get; init; }

    /// <summary>Symbol, special register, label or function name.</summary>
    public string Name { get; init; } = "";

    /// <summary>Byte offset of an address or symbol.</summary>
    public long Offset { get; init; }

    /// <summary>Elements of a vector or list.</summary>
    public IReadOnlyList<PtxOperand> Elements { get; init; } = [];
}

/// <summary>One instruction.</summary>
/// <param name="Opcode">First word: "mad".</param>
/// <param name="Modifiers">The rest: "lo", "s32"; "::" parts stay joined ("L2::128B").</param>
/// <param name="Operands">In written order.</param>
/// <param name="Guard">Register index of @p, or -1.</param>
/// <param name="GuardNegated">True for @!p.</param>
/// <param name="Line">PTX line.</param>
/// <param name="SourceFile">.loc file id, 0 if none.</param>
/// <param name="SourceLine">.loc line, 0 if none.</param>
public sealed record PtxInstruction(
    string Opcode, IReadOnlyList<string> Modifiers, IReadOnlyList<PtxOperand> Operands, int Guard, bool GuardNegated, int Line,
    int SourceFile, int SourceLine)
{
    /// <summary>The full spelling, e.g. "mad.lo.s32".</summary>
    public string Spelling => Modifiers.Count == 0 ? Opcode : $"{Opcode}.{string.Join('.', Modifiers)}";
}

/// <summary>An entry or a device function.</summary>
public sealed class PtxFunction
{
    /// <summary>Name.</summary>
    public required string Name { get; init; }

    /// <summary>True for .entry.</summary>
    public required bool IsEntry { get; init; }

    /// <summary>True when only declared (.extern or a prototype).</summary>
    public bool IsDeclaration { get; set; }

    /// <summary>PTX line of the declaration.</summary>
    public required int Line { get; init; }

    /// <summary>Parameters in order.</summary>
    public List<PtxVariable> Params { get; } = [];

    /// <summary>Result parameters of a .func.</summary>
    public List<PtxVariable> Results { get; } = [];

    /// <summary>Registers by index.</summary>
    public List<PtxRegister> Registers { get; } = [];

    /// <summary>.shared, .local and .param variables declared in the body. Names are made unique with a ":n" suffix when scopes repeat them.</summary>
    public List<PtxVariable> Variables { get; } = [];

    /// <summary>Instructions in order.</summary>
    public List<PtxInstruction> Body { get; } = [];

    /// <summary>Label to index into <see cref="Body"/> (possibly one past the end).</summary>
    public Dictionary<string, int> Labels { get; } = [];

    /// <summary>.branchtargets lists by label.</summary>
    public Dictionary<string, IReadOnlyList<string>> BranchTargets { get; } = [];

    /// <summary>.maxntid, or null.</summary>
    public (int X, int Y, int Z)? MaxNtid { get; set; }

    /// <summary>.reqntid, or null.</summary>
    public (int X, int Y, int Z)? ReqNtid { get; set; }

    /// <summary>.minnctapersm, or 0.</summary>
    public int MinCtaPerSm { get; set; }

    /// <summary>.maxnreg, or 0.</summary>
    public int MaxNreg { get; set; }
}

/// <summary>A parsed module.</summary>
public sealed class PtxModule
{
    /// <summary>.version major and minor.</summary>
    public (int Major, int Minor) Version { get; set; }

    /// <summary>.target, e.g. "sm_80".</summary>
    public string Target { get; set; } = "";

    /// <summary>.file table.</summary>
    public Dictionary<int, string> Files { get; } = [];

    /// <summary>Module-scope variables.</summary>
    public List<PtxVariable> Globals { get; } = [];

    /// <summary>Entries and functions in order.</summary>
    public List<PtxFunction> Functions { get; } = [];

    /// <summary>Entries only.</summary>
    public IEnumerable<PtxFunction> Entries => Functions.Where(f => f.IsEntry);

    /// <summary>The entry of that name.</summary>
    /// <exception cref="KeyNotFoundException">No such entry; names those there are.</exception>
    public PtxFunction Entry(string name) => Entries.FirstOrDefault(f => f.Name == name)
        ?? throw new KeyNotFoundException($"no entry '{name}'; the module has {string.Join(", ", Entries.Select(e => e.Name))}");
}
