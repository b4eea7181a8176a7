namespace AdmNative.VirtualGpu;

/// <summary>Counts of one source line.</summary>
/// <param name="File">File of the .loc, or "" when <paramref name="Line"/> is a PTX line.</param>
/// <param name="Line">Line number.</param>
/// <param name="Counters">Its share of the totals.</param>
public sealed record LineCounters(string File, int Line, Counters Counters);

/// <summary>Exact counts of a launch: instructions, memory traffic, bank passes, arithmetic, synchronisation.</summary>
public sealed record Counters
{
    /// <summary>Instructions issued by warps.</summary>
    public long WarpInstructions { get; init; }

    /// <summary>Instructions times the lanes that executed them.</summary>
    public long LaneInstructions { get; init; }

    /// <summary>Integer, logic, shift, compare, select.</summary>
    public long IntegerInstructions { get; init; }

    /// <summary>Moves and packing.</summary>
    public long MoveInstructions { get; init; }

    /// <summary>f32 arithmetic.</summary>
    public long F32Instructions { get; init; }

    /// <summary>f16 and bf16 arithmetic.</summary>
    public long F16Instructions { get; init; }

    /// <summary>f64 arithmetic.</summary>
    public long F64Instructions { get; init; }

    /// <summary>Special functions: ex2, lg2, sin, cos, rcp, rsqrt, sqrt, tanh, approximate division.</summary>
    public long SpecialFunctionInstructions { get; init; }

    /// <summary>Conversions.</summary>
    public long ConversionInstructions { get; init; }

    /// <summary>Loads, stores, copies and atomics of global and constant memory.</summary>
    public long GlobalInstructions { get; init; }

    /// <summary>Loads, stores, atomics and matrix moves of shared memory.</summary>
    public long SharedInstructions { get; init; }

    /// <summary>Loads and stores of local memory.</summary>
    public long LocalInstructions { get; init; }

    /// <summary>Loads of parameters.</summary>
    public long ParameterInstructions { get; init; }

    /// <summary>Branches, exits, barriers.</summary>
    public long ControlInstructions { get; init; }

    /// <summary>Shuffles, votes, matches, warp reductions.</summary>
    public long WarpOperations { get; init; }

    /// <summary>Tensor-core instructions.</summary>
    public long MmaInstructions { get; init; }

    /// <summary>Tensor-core instructions by shape and types.</summary>
    public IReadOnlyDictionary<string, long> MmaByShape { get; init; } = new Dictionary<string, long>();

    /// <summary>Branches after which both ways had lanes.</summary>
    public long DivergentBranches { get; init; }

    /// <summary>Barrier arrivals of warps.</summary>
    public long Barriers { get; init; }

    /// <summary>Fences and memory barriers: instructions of warps.</summary>
    public long Fences { get; init; }

    /// <summary>Loads and asynchronous copies that at least one lane made from global memory, generic addresses included.</summary>
    public long GlobalLoads { get; init; }

    /// <summary>Stores that at least one lane made to global memory, generic addresses included.</summary>
    public long GlobalStores { get; init; }

    /// <summary>Atomics and reductions that at least one lane made on global memory: instructions, where <see cref="Atomics"/> counts lanes.</summary>
    public long GlobalAtomics { get; init; }

    /// <summary>Loads that at least one lane made from constant memory.</summary>
    public long ConstantLoads { get; init; }

    /// <summary>Loads that at least one lane made from shared memory, matrix loads and generic addresses included.</summary>
    public long SharedLoads { get; init; }

    /// <summary>Stores that at least one lane made to shared memory: matrix stores, asynchronous copies and generic addresses included.</summary>
    public long SharedStores { get; init; }

    /// <summary>Atomics and reductions that at least one lane made on shared memory: instructions.</summary>
    public long SharedAtomics { get; init; }

    /// <summary>Loads that at least one lane made from local memory, generic addresses and arguments of calls included.</summary>
    public long LocalLoads { get; init; }

    /// <summary>Stores that at least one lane made to local memory, generic addresses and arguments of calls included.</summary>
    public long LocalStores { get; init; }

    /// <summary>Global reads: instructions with at least one lane.</summary>
    public long GlobalReadRequests { get; init; }

    /// <summary>Distinct 32-byte sectors of each read, summed.</summary>
    public long GlobalReadSectors { get; init; }

    /// <summary>Bytes the lanes asked for.</summary>
    public long GlobalReadBytes { get; init; }

    /// <summary>Distinct bytes of each read, summed.</summary>
    public long GlobalReadUniqueBytes { get; init; }

    /// <summary>Global writes and atomics: instructions with at least one lane.</summary>
    public long GlobalWriteRequests { get; init; }

    /// <summary>Distinct 32-byte sectors of each write, summed.</summary>
    public long GlobalWriteSectors { get; init; }

    /// <summary>Bytes the lanes wrote.</summary>
    public long GlobalWriteBytes { get; init; }

    /// <summary>Distinct bytes of each write, summed.</summary>
    public long GlobalWriteUniqueBytes { get; init; }

    /// <summary>Shared-memory instructions with at least one lane.</summary>
    public long SharedRequests { get; init; }

    /// <summary>Passes over the 32 banks they took.</summary>
    public long SharedPasses { get; init; }

    /// <summary>Passes they would take without conflicts.</summary>
    public long SharedIdealPasses { get; init; }

    /// <summary>Passes lost to bank conflicts.</summary>
    public long SharedConflicts => SharedPasses - SharedIdealPasses;

    /// <summary>Atomic instructions times lanes.</summary>
    public long Atomics { get; init; }

    /// <summary>Atomics whose address another lane of the same instruction used before them.</summary>
    public long AtomicClashes { get; init; }

    /// <summary>Floating-point operations outside tensor cores: add and multiply 1, fused 2, packed halves twice that.</summary>
    public long Flops { get; init; }

    /// <summary>The part of <see cref="Flops"/> done in f64.</summary>
    public long F64Flops { get; init; }

    /// <summary>The part of <see cref="Flops"/> done in f16 and bf16.</summary>
    public long HalfFlops { get; init; }

    /// <summary>Special-function results: instructions times lanes.</summary>
    public long SpecialFunctionLanes { get; init; }

    /// <summary>
    /// Distinct 32-byte sectors of global and constant memory the whole launch read or wrote: what has to move when every repeated access is served
    /// by a cache. Of the launch only; 0 in the shares of source lines.
    /// </summary>
    public long GlobalFootprintSectors { get; init; }

    /// <summary>Floating-point (or integer) operations of tensor cores: 2 M N K each.</summary>
    public long MmaFlops { get; init; }

    /// <summary>Sum of two counts.</summary>
    public static Counters operator +(Counters a, Counters b)
    {
        ArgumentNullException.ThrowIfNull(a);
        ArgumentNullException.ThrowIfNull(b);
        var shapes = new Dictionary<string, long>(a.MmaByShape);
        foreach ((string shape, long n) in b.MmaByShape)
        {
            shapes[shape] = shapes.GetValueOrDefault(shape) + n;
        }

        return new Counters
        {
            WarpInstructions = a.WarpInstructions + b.WarpInstructions,
            LaneInstructions = a.LaneInstructions + b.LaneInstructions,
            IntegerInstructions = a.IntegerInstructions + b.IntegerInstructions,
            MoveInstructions = a.MoveInstructions + b.MoveInstructions,
            F32Instructions = a.F32Instructions + b.F32Instructions,
            F16Instructions = a.F16Instructions + b.F16Instructions,
            F64Instructions = a.F64Instructions + b.F64Instructions,
            SpecialFunctionInstructions = a.SpecialFunctionInstructions + b.SpecialFunctionInstructions,
            ConversionInstructions = a.ConversionInstructions + b.ConversionInstructions,
            GlobalInstructions = a.GlobalInstructions + b.GlobalInstructions,
            SharedInstructions = a.SharedInstructions + b.SharedInstructions,
            LocalInstructions = a.LocalInstructions + b.LocalInstructions,
            ParameterInstructions = a.ParameterInstructions + b.ParameterInstructions,
            ControlInstructions = a.ControlInstructions + b.ControlInstructions,
            WarpOperations = a.WarpOperations + b.WarpOperations,
            MmaInstructions = a.MmaInstructions + b.MmaInstructions,
            MmaByShape = shapes,
            DivergentBranches = a.DivergentBranches + b.DivergentBranches,
            Barriers = a.Barriers + b.Barriers,
            Fences = a.Fences + b.Fences,
            GlobalLoads = a.GlobalLoads + b.GlobalLoads,
            GlobalStores = a.GlobalStores + b.GlobalStores,
            GlobalAtomics = a.GlobalAtomics + b.GlobalAtomics,
            ConstantLoads = a.ConstantLoads + b.ConstantLoads,
            SharedLoads = a.SharedLoads + b.SharedLoads,
            SharedStores = a.SharedStores + b.SharedStores,
            SharedAtomics = a.SharedAtomics + b.SharedAtomics,
            LocalLoads = a.LocalLoads + b.LocalLoads,
            LocalStores = a.LocalStores + b.LocalStores,
            GlobalReadRequests = a.GlobalReadRequests + b.GlobalReadRequests,
            GlobalReadSectors = a.GlobalReadSectors + b.GlobalReadSectors,
            GlobalReadBytes = a.GlobalReadBytes + b.GlobalReadBytes,
            GlobalReadUniqueBytes = a.GlobalReadUniqueBytes + b.GlobalReadUniqueBytes,
            GlobalWriteRequests = a.GlobalWriteRequests + b.GlobalWriteRequests,
            GlobalWriteSectors = a.GlobalWriteSectors + b.GlobalWriteSectors,
            GlobalWriteBytes = a.GlobalWriteBytes + b.GlobalWriteBytes,
            GlobalWriteUniqueBytes = a.GlobalWriteUniqueBytes + b.GlobalWriteUniqueBytes,
            SharedRequests = a.SharedRequests + b.SharedRequests,
            SharedPasses = a.SharedPasses + b.SharedPasses,
            SharedIdealPasses = a.SharedIdealPasses + b.SharedIdealPasses,
            Atomics = a.Atomics + b.Atomics,
            AtomicClashes = a.AtomicClashes + b.AtomicClashes,
            Flops = a.Flops + b.Flops,
            F64Flops = a.F64Flops + b.F64Flops,
            HalfFlops = a.HalfFlops + b.HalfFlops,
            SpecialFunctionLanes = a.SpecialFunctionLanes + b.SpecialFunctionLanes,
            GlobalFootprintSectors = a.GlobalFootprintSectors + b.GlobalFootprintSectors,
            MmaFlops = a.MmaFlops + b.MmaFlops,
        };
    }
}
