using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>Registers and predicates one micro-op reads and writes; ranges of <see cref="KernelProgram.Operands"/>.</summary>
internal struct OperandRanges
{
    /// <summary>Rows read whose values only flow on.</summary>
    public int Sources, SourceCount;

    /// <summary>Rows read that decide where memory is touched or what is stored: a value must be there.</summary>
    public int Uses, UseCount;

    public int PredicateSources, PredicateSourceCount;

    public int Destinations, DestinationCount;

    public int PredicateDestinations, PredicateDestinationCount;
}

/// <summary>
/// A kernel made ready for the interpreter: its code in pinned memory with one function pointer per micro-op, flat operand lists, and facts that
/// are the same in every launch. Built once per kernel.
/// </summary>
internal sealed unsafe class KernelProgram
{
    private static readonly System.Runtime.CompilerServices.ConditionalWeakTable<Kernel, KernelProgram> s_cache = [];

    private readonly MicroOp[] _code;
    private readonly nint[] _handlers;
    private readonly int[] _lists;
    private Jit.CompiledKernel? _compiled;

    private KernelProgram(Kernel kernel)
    {
        Kernel = kernel;
        _code = GC.AllocateUninitializedArray<MicroOp>(kernel.Code.Length, pinned: true);
        kernel.Code.CopyTo(_code, 0);
        int[] starts = new int[kernel.RowLists.Length];
        int total = 0;
        for (int i = 0; i < starts.Length; i++)
        {
            starts[i] = total;
            total += kernel.RowLists[i].Length;
        }

        _lists = GC.AllocateUninitializedArray<int>(Math.Max(total, 1), pinned: true);
        for (int i = 0; i < starts.Length; i++)
        {
            kernel.RowLists[i].CopyTo(_lists, starts[i]);
        }

        _handlers = GC.AllocateUninitializedArray<nint>(_code.Length, pinned: true);
        var operands = new List<int>();
        Ranges = new OperandRanges[_code.Length];
        int sharedGranule = 16, globalGranule = 16;
        for (int i = 0; i < _code.Length; i++)
        {
            ref MicroOp op = ref _code[i];
            Ranges[i] = OperandMap.Of(op, kernel, operands);
            if (op.Extra >= 0)
            {
                op.E = op.Code == OpCode.BranchIndexed ? kernel.RowLists[op.Extra].Length : op.E;
                op.Extra = starts[op.Extra];
            }

            _handlers[i] = Interpreter.HandlerOf(op);
            HandsOver |= (op.Code == OpCode.Fence && op.Imm == 0) || (op.Flags & OpFlags.Release) != 0;
            AddsFloats |= op.Code is OpCode.Atomic or OpCode.Reduce && op.Imm == (int)AtomicOp.Add && op.Space != PtxSpace.Shared
                && op.Type is PtxType.F32 or PtxType.F64 or PtxType.F16 or PtxType.F16x2 or PtxType.BF16 or PtxType.BF16x2;
            int written = op.Code switch
            {
                OpCode.Store => op.Bytes * op.Count,
                OpCode.Atomic or OpCode.Reduce or OpCode.CopyAsync => op.Bytes,
                _ => 16,
            };
            if (op.Space is PtxSpace.Shared or PtxSpace.Generic)
            {
                sharedGranule = Math.Min(sharedGranule, written);
            }

            if (op.Space is PtxSpace.Global or PtxSpace.Generic && op.Code != OpCode.CopyAsync)
            {
                globalGranule = Math.Min(globalGranule, written);
            }
        }

        Operands = [.. operands];
        SharedShift = int.Log2(sharedGranule);
        GlobalShift = int.Log2(globalGranule);
    }

    public Kernel Kernel { get; }

    public int Length => _code.Length;

    public MicroOp* Code => (MicroOp*)System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(_code, 0);

    public nint* Handlers => (nint*)System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(_handlers, 0);

    public int* Lists => (int*)System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(_lists, 0);

    /// <summary>Operands of each micro-op, for the register check.</summary>
    public OperandRanges[] Ranges { get; }

    public int[] Operands { get; }

    /// <summary>log2 of the least the kernel writes to shared memory at once: every write covers whole granules of this size.</summary>
    public int SharedShift { get; }

    /// <summary>The same for global memory.</summary>
    public int GlobalShift { get; }

    /// <summary>True when the kernel has fences or releases by which one block may hand work to another.</summary>
    public bool HandsOver { get; }

    /// <summary>True when the kernel adds floats by atomics outside shared memory: the sums depend on the order of the blocks.</summary>
    public bool AddsFloats { get; }

    /// <summary>Compiled code, shared by all launches.</summary>
    public Jit.CompiledKernel Compiled => _compiled ?? Interlocked.CompareExchange(ref _compiled, new Jit.CompiledKernel(this), null) ?? _compiled;

    public static KernelProgram Of(Kernel kernel) => s_cache.GetValue(kernel, static k => new KernelProgram(k));
}

/// <summary>Which fields of a micro-op are registers, which predicates.</summary>
internal static class OperandMap
{
    public static OperandRanges Of(in MicroOp op, Kernel kernel, List<int> flat)
    {
        List<int> sources = [], uses = [], predicates = [], destinations = [], predicateDestinations = [];
        int[] list = op.Extra >= 0 ? kernel.RowLists[op.Extra] : [];
        switch (op.Code)
        {
            case OpCode.Nop or OpCode.Exit or OpCode.Trap or OpCode.Fence or OpCode.Branch or OpCode.Prefetch or OpCode.Printf
                or OpCode.CopyAsyncCommit or OpCode.CopyAsyncWait or OpCode.CopyAsyncWaitAll:
                break;
            case OpCode.BranchIndexed:
                uses.Add(op.A);
                break;
            case OpCode.BarSync or OpCode.BarArrive:
                uses.AddRange([op.A, op.B]);
                break;
            case OpCode.BarReduce:
                uses.AddRange([op.A, op.B]);
                predicates.Add(op.C);
                (op.Imm == 0 ? destinations : predicateDestinations).Add(op.D);
                break;
            case OpCode.WarpSync:
                uses.Add(op.E);
                break;
            case OpCode.MovPred or OpCode.NotPred or OpCode.AndPred or OpCode.OrPred or OpCode.XorPred:
                predicates.AddRange([op.A, op.B]);
                predicateDestinations.Add(op.D);
                break;
            case OpCode.Pack32 or OpCode.Pack64 or OpCode.Pack64x4:
                sources.AddRange(list);
                destinations.Add(op.D);
                break;
            case OpCode.Unpack32 or OpCode.Unpack64 or OpCode.Unpack64x4:
                sources.Add(op.A);
                destinations.AddRange(list);
                break;
            case >= OpCode.SetpS16 and <= OpCode.SetpBF16x2:
                sources.AddRange([op.A, op.B]);
                predicates.Add(op.C);
                predicateDestinations.AddRange([op.D, op.D2]);
                break;
            case OpCode.TestpF32:
                sources.Add(op.A);
                predicateDestinations.Add(op.D);
                break;
            case OpCode.Selp32 or OpCode.Selp64:
                sources.AddRange([op.A, op.B]);
                predicates.Add(op.C);
                destinations.Add(op.D);
                break;
            case OpCode.Load:
                uses.Add(op.A);
                destinations.AddRange(list.AsSpan(0, op.Count));
                break;
            case OpCode.Store:
                uses.Add(op.A);
                uses.AddRange(list.AsSpan(0, op.Count));
                break;
            case OpCode.Atomic or OpCode.Reduce:
                uses.AddRange([op.A, op.B, op.C]);
                destinations.Add(op.D);
                break;
            case OpCode.CopyAsync:
                uses.AddRange([op.A, op.B, op.C]);
                break;
            case OpCode.LoadMatrix:
                uses.Add(op.A);
                destinations.AddRange(list);
                break;
            case OpCode.StoreMatrix:
                uses.Add(op.A);
                uses.AddRange(list);
                break;
            case OpCode.IsSpace:
                sources.Add(op.A);
                predicateDestinations.Add(op.D);
                break;
            case OpCode.Shuffle:
                sources.Add(op.A);
                uses.AddRange([op.B, op.C, op.E]);
                destinations.Add(op.D);
                predicateDestinations.Add(op.D2);
                break;
            case OpCode.Vote:
                predicates.Add(op.A);
                uses.Add(op.E);
                predicateDestinations.Add(op.D);
                break;
            case OpCode.Ballot:
                predicates.Add(op.A);
                uses.Add(op.E);
                destinations.Add(op.D);
                break;
            case OpCode.MatchAny or OpCode.MatchAll or OpCode.ReduceSync or OpCode.Elect:
                sources.Add(op.A);
                uses.Add(op.E);
                destinations.Add(op.D);
                predicateDestinations.Add(op.D2);
                break;
            case OpCode.Mma:
                (int a, int b, int c) = Lowering.MmaRegisters((MmaShape)op.Imm);
                destinations.AddRange(list.AsSpan(0, c));
                sources.AddRange(list.AsSpan(c, a + b + c));
                break;
            default:
                sources.AddRange([op.A, op.B, op.C, op.E]);
                destinations.Add(op.D);
                break;
        }

        var r = new OperandRanges();
        (r.Sources, r.SourceCount) = Put(sources);
        (r.Uses, r.UseCount) = Put(uses);
        (r.PredicateSources, r.PredicateSourceCount) = Put(predicates);
        (r.Destinations, r.DestinationCount) = Put(destinations);
        (r.PredicateDestinations, r.PredicateDestinationCount) = Put(predicateDestinations);
        return r;

        (int, int) Put(List<int> items)
        {
            int start = flat.Count;
            flat.AddRange(items.Where(i => i >= 0));
            return (start, flat.Count - start);
        }
    }
}
