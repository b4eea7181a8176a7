namespace AdmNative.VirtualGpu.Ir;

/// <summary>Type-resolved operations: one case of the engines' switch each.</summary>
internal enum OpCode : ushort
{
    Nop,

    // control
    Branch, BranchIndexed, Exit, Trap, BarSync, BarArrive, BarReduce, WarpSync, Fence, Printf,

    // moves and packing
    Mov32, Mov64, MovPred, Pack32, Unpack32, Pack64, Unpack64, Pack64x4, Unpack64x4, Clock32, Clock64, ActiveMask,

    // integers: suffix = width; S and U where the sign matters
    Add16, Add32, Add64, AddCarry32, Sub16, Sub32, Sub64, SubBorrow32, Neg16, Neg32, Neg64, Abs16, Abs32, Abs64,
    MinS16, MinU16, MinS32, MinU32, MinS64, MinU64, MaxS16, MaxU16, MaxS32, MaxU32, MaxS64, MaxU64,
    MulLo16, MulLo32, MulLo64, MulHiS16, MulHiU16, MulHiS32, MulHiU32, MulHiS64, MulHiU64, MulWideS16, MulWideU16, MulWideS32, MulWideU32,
    MadLo16, MadLo32, MadLo64, MadHiS32, MadHiU32, MadHiS64, MadHiU64, MadWideS16, MadWideU16, MadWideS32, MadWideU32, MadCarry32,
    DivS16, DivU16, DivS32, DivU32, DivS64, DivU64, RemS16, RemU16, RemS32, RemU32, RemS64, RemU64,
    Sad32, AddSat32, SubSat32, Dp4a,

    // logic, shifts, bit fields
    And32, And64, Or32, Or64, Xor32, Xor64, Not16, Not32, Not64, Lop3, AndPred, OrPred, XorPred, NotPred,
    Shl16, Shl32, Shl64, ShrS16, ShrU16, ShrS32, ShrU32, ShrS64, ShrU64, ShfLeft, ShfRight,
    BfeS32, BfeU32, BfeS64, BfeU64, Bfi32, Bfi64, Prmt, Popc32, Popc64, Clz32, Clz64, Brev32, Brev64, BfindS32, BfindU32, BfindS64, BfindU64,

    // comparison and selection
    SetpS16, SetpU16, SetpS32, SetpU32, SetpS64, SetpU64, SetpF16, SetpBF16, SetpF32, SetpF64, SetpF16x2, SetpBF16x2,
    Set32, SetF16x2, SetBF16x2, Selp32, Selp64, SlctS32, SlctF32,

    // f32 and f64
    AddF32, SubF32, MulF32, FmaF32, NegF32, AbsF32, MinF32, MaxF32, DivF32, RcpF32, SqrtF32,
    DivApproxF32, RcpApproxF32, SqrtApproxF32, RsqrtApproxF32, Ex2F32, Lg2F32, SinF32, CosF32, TanhF32, CopysignF32, TestpF32,
    AddF64, SubF64, MulF64, FmaF64, NegF64, AbsF64, MinF64, MaxF64, DivF64, RcpF64, SqrtF64,

    // packed and scalar halves; Imm says which (see HalfKind)
    AddHalf, SubHalf, MulHalf, FmaHalf, NegHalf, AbsHalf, MinHalf, MaxHalf, Ex2Half, TanhHalf,

    // conversions: Imm holds a packed CvtSpec
    CvtInt, CvtIntToFloat, CvtFloatToInt, CvtFloat, CvtPack2,

    // memory
    Load, Store, Atomic, Reduce, CopyAsync, CopyAsyncCommit, CopyAsyncWait, CopyAsyncWaitAll, LoadMatrix, StoreMatrix, MoveMatrix, IsSpace, Prefetch,

    // warp
    Shuffle, Vote, Ballot, MatchAny, MatchAll, ReduceSync, Elect,

    // tensor cores
    Mma,
}

/// <summary>Comparison operators; the U forms are true when unordered.</summary>
internal enum Compare : byte
{
    Eq, Ne, Lt, Le, Gt, Ge, Equ, Neu, Ltu, Leu, Gtu, Geu, Num, Nan,
}

/// <summary>Floating-point rounding of a result.</summary>
internal enum Rounding : byte
{
    Nearest, Zero, Down, Up, NearestAway, Integer,
}

/// <summary>Which half format a packed op works on.</summary>
internal enum HalfKind : byte
{
    F16, F16x2, BF16, BF16x2,
}

/// <summary>Atomic operations.</summary>
internal enum AtomicOp : byte
{
    Add, Min, Max, And, Or, Xor, Exch, Cas, Inc, Dec,
}

/// <summary>Modifier bits of a micro-op.</summary>
[Flags]
internal enum OpFlags : uint
{
    None = 0,

    /// <summary>Flush subnormal inputs and results to zero of the same sign.</summary>
    Ftz = 1,

    /// <summary>Saturate: floats to [0,1], integers to the range of the type.</summary>
    Sat = 2,

    /// <summary>min/max: NaN if either input is NaN. cvt and halves: .relu has its own bit.</summary>
    Nan = 4,

    /// <summary>Clamp negative results to zero (halves).</summary>
    Relu = 8,

    /// <summary>Writes the carry flag.</summary>
    SetCarry = 16,

    /// <summary>Reads the carry flag.</summary>
    UseCarry = 32,

    /// <summary>The predicate operand C is negated.</summary>
    NegC = 64,

    /// <summary>The predicate operand A is negated.</summary>
    NegA = 128,

    /// <summary>The predicate operand B is negated.</summary>
    NegB = 256,

    /// <summary>The address row is 64 bits wide.</summary>
    Address64 = 512,

    /// <summary>Sign-extend what is loaded.</summary>
    Signed = 1024,

    /// <summary>shf: clamp the amount instead of wrapping it. bfind: shiftamt form.</summary>
    Clamp = 2048,

    /// <summary>ldmatrix and stmatrix: transposed.</summary>
    Transposed = 4096,

    /// <summary>Every lane of the warp must execute (.aligned).</summary>
    Aligned = 8192,

    /// <summary>Loads and stores: .volatile, .relaxed, .acquire or .release; other blocks may watch the word.</summary>
    Volatile = 16384,

    /// <summary>min/max.xorsign.abs: of the magnitudes, under the product of the signs.</summary>
    XorSign = 32768,

    /// <summary>cvt: what overflows becomes the largest finite number.</summary>
    SatFinite = 65536,

    /// <summary>Loads: what is sign-extended keeps to the 16 bits of its register.</summary>
    Narrow = 131072,

    /// <summary>Atomics and stores: .release or .acq_rel, a fence of their own.</summary>
    Release = 262144,
}

/// <summary>
/// One instruction of a kernel. Operands are rows of the warp's row file (128 bytes, one 32-bit word per lane; 64-bit values take two rows read
/// as 32 ulongs), or indices of predicate masks where the op says so; -1 means absent. Immediates, special registers and symbol addresses are rows too.
/// </summary>
internal struct MicroOp
{
    public OpCode Code;

    /// <summary>Predicate of the guard, or -1.</summary>
    public int Guard;

    public bool GuardNegated;

    /// <summary>State space of a memory op.</summary>
    public Ptx.PtxSpace Space;

    /// <summary>Element bytes of a memory op (1, 2, 4, 8) or of cp.async (4, 8, 16).</summary>
    public byte Bytes;

    /// <summary>Elements of a memory op (1, 2, 4), matrices of ldmatrix.</summary>
    public byte Count;

    /// <summary>Type of the operation, where the code does not say it all.</summary>
    public Ptx.PtxType Type;

    /// <summary>Source type of a conversion or comparison.</summary>
    public Ptx.PtxType SourceType;

    public OpFlags Flags;

    /// <summary>Result row or predicate; second result (the predicate of setp p|q and shfl d|p).</summary>
    public int D, D2;

    /// <summary>Operand rows (or predicates).</summary>
    public int A, B, C, E;

    /// <summary>Sub-operation: Compare, Rounding, AtomicOp, shuffle kind, vote kind, lop3 table, mma shape, barrier kind, block of a branch.</summary>
    public int Imm;

    /// <summary>Second sub-operation: boolean operator of setp (0 none, 1 and, 2 or, 3 xor).</summary>
    public int Imm2;

    /// <summary>Byte offset of the address; for cp.async of the shared one, with Offset2 of the global one.</summary>
    public long Offset, Offset2;

    /// <summary>Index into <see cref="Kernel.RowLists"/> (vector and matrix operands, branch tables, printf arguments), or -1.</summary>
    public int Extra;

    /// <summary>PTX line; .loc file and line.</summary>
    public int Line, SourceFile, SourceLine;
}

/// <summary>A straight run of micro-ops. The index of a block is its scheduling priority: reverse post-order with loops contiguous.</summary>
/// <param name="Start">First micro-op.</param>
/// <param name="Count">How many.</param>
/// <param name="FallThrough">Block entered when the last op does not branch away, or -1.</param>
internal sealed record Block(int Start, int Count, int FallThrough);

/// <summary>What fills a row that never changes during a launch.</summary>
internal enum ConstantKind : byte
{
    /// <summary>The literal bits.</summary>
    Literal,

    /// <summary>Generic (= global) address of a module variable, plus Bits.</summary>
    GlobalSymbol,

    /// <summary>Shared-window offset, plus Bits; 32-bit.</summary>
    SharedSymbol,

    /// <summary>Start of dynamic shared memory, plus Bits; 32-bit.</summary>
    DynamicShared,

    /// <summary>Local-window offset, plus Bits.</summary>
    LocalSymbol,

    /// <summary>Parameter-window offset, plus Bits.</summary>
    ParamSymbol,

    /// <summary>A special register; Name says which. Filled per CTA or warp.</summary>
    Special,
}

/// <summary>A row with a fixed value.</summary>
/// <param name="Row">First row.</param>
/// <param name="Wide">64-bit: two rows.</param>
/// <param name="Kind">Where the value comes from.</param>
/// <param name="Bits">Literal or addend.</param>
/// <param name="Name">Symbol or special register.</param>
internal sealed record ConstantRow(int Row, bool Wide, ConstantKind Kind, ulong Bits, string Name);

/// <summary>A parameter of an entry, with its place in the parameter block.</summary>
public sealed record KernelParameter(string Name, int Offset, int Bytes, int Align);

/// <summary>A kernel ready to run: lowered code and everything a launch must provide.</summary>
internal sealed class Kernel
{
    public required string Name { get; init; }

    public required Ptx.PtxModule Module { get; init; }

    public required Ptx.PtxFunction Function { get; init; }

    public required MicroOp[] Code { get; init; }

    /// <summary>In priority order; block 0 is the entry.</summary>
    public required Block[] Blocks { get; init; }

    /// <summary>Rows of the row file: registers first, then constants.</summary>
    public required int Rows { get; init; }

    /// <summary>Rows below this index are registers; the rest are constants.</summary>
    public required int RegisterRows { get; init; }

    public required int Predicates { get; init; }

    public required ConstantRow[] Constants { get; init; }

    public required int[][] RowLists { get; init; }

    public required KernelParameter[] Parameters { get; init; }

    public required int ParameterBytes { get; init; }

    /// <summary>Static shared bytes; dynamic shared memory starts after them, aligned.</summary>
    public required int StaticSharedBytes { get; init; }

    public required int DynamicSharedAlign { get; init; }

    public required bool UsesDynamicShared { get; init; }

    public required int LocalBytes { get; init; }

    /// <summary>Offset of each shared, local and parameter symbol in its window.</summary>
    public required IReadOnlyDictionary<string, long> SymbolOffsets { get; init; }

    /// <summary>Registers after inlining, in the order of their rows.</summary>
    public required IReadOnlyList<Ptx.PtxRegister> Registers { get; init; }

    /// <summary>Name and width of the register that owns each row, for findings.</summary>
    public required string[] RowNames { get; init; }

    /// <summary>Dynamic shared memory offset: static bytes rounded up.</summary>
    public int DynamicSharedOffset => (StaticSharedBytes + DynamicSharedAlign - 1) / DynamicSharedAlign * DynamicSharedAlign;
}
