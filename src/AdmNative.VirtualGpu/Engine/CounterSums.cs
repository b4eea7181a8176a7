using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>What one micro-op did in a launch.</summary>
internal struct SiteCounts
{
    public long Warps, Lanes, Requests, Sectors, Bytes, UniqueBytes, WriteRequests, WriteSectors, WriteBytes, WriteUniqueBytes;
    public long SharedRequests, Passes, IdealPasses, Divergent, Atomics, AtomicClashes, LocalRequests;

    public void Add(in SiteCounts o)
    {
        Warps += o.Warps;
        Lanes += o.Lanes;
        Requests += o.Requests;
        Sectors += o.Sectors;
        Bytes += o.Bytes;
        UniqueBytes += o.UniqueBytes;
        WriteRequests += o.WriteRequests;
        WriteSectors += o.WriteSectors;
        WriteBytes += o.WriteBytes;
        WriteUniqueBytes += o.WriteUniqueBytes;
        SharedRequests += o.SharedRequests;
        Passes += o.Passes;
        IdealPasses += o.IdealPasses;
        Divergent += o.Divergent;
        Atomics += o.Atomics;
        AtomicClashes += o.AtomicClashes;
        LocalRequests += o.LocalRequests;
    }
}

/// <summary>Turns counts per micro-op into totals and shares per source line.</summary>
internal static class CounterSums
{
    private enum Class
    {
        Integer, Move, F32, F16, F64, Special, Conversion, Global, Shared, Local, Parameter, Control, Warp, Mma,
    }

    public static (Counters Total, IReadOnlyList<LineCounters> Lines) Of(Kernel kernel, SiteCounts[] sites)
    {
        var lines = new Dictionary<(string File, int Line), Counters>();
        for (int i = 0; i < sites.Length; i++)
        {
            if (sites[i].Warps == 0)
            {
                continue;
            }

            MicroOp op = kernel.Code[i];
            (string, int) key = op.SourceLine > 0 ? (kernel.Module.Files.GetValueOrDefault(op.SourceFile, ""), op.SourceLine) : ("", op.Line);
            Counters c = One(op, sites[i]);
            lines[key] = lines.TryGetValue(key, out Counters? sum) ? sum + c : c;
        }

        var total = new Counters();
        foreach (Counters c in lines.Values)
        {
            total += c;
        }

        return (total, [.. lines.OrderBy(l => l.Key.File, StringComparer.Ordinal).ThenBy(l => l.Key.Line).Select(l => new LineCounters(l.Key.File, l.Key.Line, l.Value))]);
    }

    private static Counters One(in MicroOp op, in SiteCounts s)
    {
        Class kind = ClassOf(op);
        long Of(Class c, long n) => c == kind ? n : 0;
        bool atomic = op.Code is OpCode.Atomic or OpCode.Reduce, constant = op.Space == PtxSpace.Const;
        bool stores = op.Code is OpCode.Store or OpCode.StoreMatrix, writesShared = stores || op.Code == OpCode.CopyAsync;
        (long mma, string shape) = op.Code == OpCode.Mma ? MmaOf((MmaShape)op.Imm) : (0, "");
        return new Counters
        {
            WarpInstructions = s.Warps,
            LaneInstructions = s.Lanes,
            IntegerInstructions = Of(Class.Integer, s.Warps),
            MoveInstructions = Of(Class.Move, s.Warps),
            F32Instructions = Of(Class.F32, s.Warps),
            F16Instructions = Of(Class.F16, s.Warps),
            F64Instructions = Of(Class.F64, s.Warps),
            SpecialFunctionInstructions = Of(Class.Special, s.Warps),
            ConversionInstructions = Of(Class.Conversion, s.Warps),
            GlobalInstructions = Of(Class.Global, s.Warps),
            SharedInstructions = Of(Class.Shared, s.Warps),
            LocalInstructions = Of(Class.Local, s.Warps),
            ParameterInstructions = Of(Class.Parameter, s.Warps),
            ControlInstructions = Of(Class.Control, s.Warps),
            WarpOperations = Of(Class.Warp, s.Warps),
            MmaInstructions = Of(Class.Mma, s.Warps),
            MmaByShape = mma == 0 ? new Dictionary<string, long>() : new Dictionary<string, long> { [shape] = s.Warps },
            DivergentBranches = s.Divergent,
            Barriers = op.Code is OpCode.BarSync or OpCode.BarArrive or OpCode.BarReduce ? s.Warps : 0,
            Fences = op.Code == OpCode.Fence ? s.Warps : 0,
            GlobalLoads = constant ? 0 : s.Requests,
            GlobalStores = atomic ? 0 : s.WriteRequests,
            GlobalAtomics = atomic ? s.WriteRequests : 0,
            ConstantLoads = constant ? s.Requests : 0,
            SharedLoads = atomic || writesShared ? 0 : s.SharedRequests,
            SharedStores = writesShared ? s.SharedRequests : 0,
            SharedAtomics = atomic ? s.SharedRequests : 0,
            LocalLoads = stores ? 0 : s.LocalRequests,
            LocalStores = stores ? s.LocalRequests : 0,
            GlobalReadRequests = s.Requests,
            GlobalReadSectors = s.Sectors,
            GlobalReadBytes = s.Bytes,
            GlobalReadUniqueBytes = s.UniqueBytes,
            GlobalWriteRequests = s.WriteRequests,
            GlobalWriteSectors = s.WriteSectors,
            GlobalWriteBytes = s.WriteBytes,
            GlobalWriteUniqueBytes = s.WriteUniqueBytes,
            SharedRequests = s.SharedRequests,
            SharedPasses = s.Passes,
            SharedIdealPasses = s.IdealPasses,
            Atomics = s.Atomics,
            AtomicClashes = s.AtomicClashes,
            Flops = FlopsOf(op) * s.Lanes,
            F64Flops = Of(Class.F64, FlopsOf(op) * s.Lanes),
            HalfFlops = Of(Class.F16, FlopsOf(op) * s.Lanes),
            SpecialFunctionLanes = Of(Class.Special, s.Lanes),
            MmaFlops = mma * s.Warps,
        };
    }

    private static (long Flops, string Shape) MmaOf(MmaShape shape)
    {
        string name = shape.ToString();
        int k = name.StartsWith("M16N8K16", StringComparison.Ordinal) ? 16 : name.StartsWith("M16N8K32", StringComparison.Ordinal) ? 32
            : name.StartsWith("M16N8K8", StringComparison.Ordinal) ? 8 : 4;
        return (2L * 16 * 8 * k, name.ToLowerInvariant());
    }

    private static long FlopsOf(in MicroOp op)
    {
        switch (op.Code)
        {
            case OpCode.AddF32 or OpCode.SubF32 or OpCode.MulF32 or OpCode.AddF64 or OpCode.SubF64 or OpCode.MulF64:
                return 1;
            case OpCode.FmaF32 or OpCode.FmaF64:
                return 2;
            case OpCode.AddHalf or OpCode.SubHalf or OpCode.MulHalf or OpCode.FmaHalf:
                int lanes = (HalfKind)op.Imm is HalfKind.F16x2 or HalfKind.BF16x2 ? 2 : 1;
                return op.Code == OpCode.FmaHalf ? 2 * lanes : lanes;
            default:
                return 0;
        }
    }

    private static Class ClassOf(in MicroOp op) => op.Code switch
    {
        <= OpCode.BarReduce or OpCode.Fence or OpCode.Printf => Class.Control,
        OpCode.WarpSync => Class.Warp,
        >= OpCode.Mov32 and <= OpCode.ActiveMask => Class.Move,
        >= OpCode.Add16 and <= OpCode.SlctF32 => op.SourceType switch
        {
            PtxType.F16 or PtxType.F16x2 or PtxType.BF16 or PtxType.BF16x2 => Class.F16,
            PtxType.F32 => Class.F32,
            PtxType.F64 => Class.F64,
            _ => Class.Integer,
        },
        >= OpCode.DivApproxF32 and <= OpCode.TanhF32 or OpCode.Ex2Half or OpCode.TanhHalf => Class.Special,
        >= OpCode.AddF32 and <= OpCode.TestpF32 => Class.F32,
        >= OpCode.AddF64 and <= OpCode.SqrtF64 => Class.F64,
        >= OpCode.AddHalf and <= OpCode.MaxHalf => Class.F16,
        >= OpCode.CvtInt and <= OpCode.CvtPack2 => Class.Conversion,
        OpCode.CopyAsync => Class.Global,
        OpCode.CopyAsyncCommit or OpCode.CopyAsyncWait or OpCode.CopyAsyncWaitAll => Class.Control,
        OpCode.LoadMatrix or OpCode.StoreMatrix => Class.Shared,
        OpCode.MoveMatrix => Class.Warp,
        OpCode.IsSpace => Class.Integer,
        OpCode.Load or OpCode.Store or OpCode.Atomic or OpCode.Reduce or OpCode.Prefetch => op.Space switch
        {
            PtxSpace.Shared => Class.Shared,
            PtxSpace.Local => Class.Local,
            PtxSpace.Param => Class.Parameter,
            _ => Class.Global,
        },
        OpCode.Mma => Class.Mma,
        _ => Class.Warp,
    };
}
