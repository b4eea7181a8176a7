using System.Numerics;
using System.Runtime.Intrinsics;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Engine;

// Operations of a whole warp: shuffles, votes, matches, reductions, matrix moves, printf.
internal sealed unsafe partial class Interpreter
{
    /// <summary>.aligned: every live lane must execute. Otherwise a finding, and the op does nothing.</summary>
    private bool AllLanes(MicroOp* op, uint m)
    {
        if (m == _warp.Live)
        {
            return true;
        }

        uint missing = _warp.Live & ~m;
        Report(
            Checks.Barriers, op, BitOperations.TrailingZeroCount(m),
            $"an instruction for the whole warp is executed by lanes 0x{m:x8} only, lanes 0x{missing:x8} are elsewhere");
        return false;
    }

    /// <summary>The member mask of a .sync op: it must name every executing lane, and every live lane it names must execute.</summary>
    private uint Members(MicroOp* op, uint m)
    {
        uint* row = Row(op->E);
        int first = BitOperations.TrailingZeroCount(m);
        uint members = row[first];
        if ((_checks & Checks.WarpMasks) == 0)
        {
            return members;
        }

        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            if (row[i] != members)
            {
                uint other = row[i];
                Report(Checks.WarpMasks, op, i, $"lanes give different member masks: 0x{members:x8} and 0x{other:x8}");
                return members;
            }
        }

        if ((m & ~members) != 0)
        {
            Report(Checks.WarpMasks, op, BitOperations.TrailingZeroCount(m & ~members), $"the executing lanes 0x{m:x8} are not all in the member mask 0x{members:x8}");
        }
        else if ((members & _warp.Live & ~m) != 0)
        {
            Report(Checks.WarpMasks, op, first, $"the member mask 0x{members:x8} names lanes that do not execute: only 0x{m:x8} do");
        }

        return members;
    }

    private static void WarpSync(Interpreter x, MicroOp* op, uint m)
    {
        x.Members(op, m);
        x._warp.SyncLanes(m);
    }

    private static void Shuffle(Interpreter x, MicroOp* op, uint m)
    {
        uint members = x.Members(op, m);
        uint* a = x.Row(op->A), b = x.Row(op->B), c = x.Row(op->C);
        uint* result = stackalloc uint[32];
        uint inside = 0, undefined = 0;
        for (uint l = m; l != 0; l &= l - 1)
        {
            int lane = BitOperations.TrailingZeroCount(l);
            int bound = (int)(b[lane] & 31), clamp = (int)(c[lane] & 31), segment = (int)((c[lane] >> 8) & 31);
            int max = (lane & segment) | (clamp & ~segment), min = lane & segment;
            int source;
            bool p;
            switch ((ShuffleKind)op->Imm)
            {
                case ShuffleKind.Up:
                    source = lane - bound;
                    p = source >= max;
                    break;
                case ShuffleKind.Down:
                    source = lane + bound;
                    p = source <= max;
                    break;
                case ShuffleKind.Butterfly:
                    source = lane ^ bound;
                    p = source <= max;
                    break;
                default:
                    source = min | (bound & ~segment);
                    p = source <= max;
                    break;
            }

            source = p ? source : lane;
            inside |= (p ? 1u : 0) << lane;
            if (((m >> source) & 1) == 0 && (x._checks & Checks.WarpMasks) != 0)
            {
                int from = source;
                x.Report(Checks.WarpMasks, op, lane, ((x._warp.Live >> from) & 1) == 0
                    ? $"reads from lane {from}, which has exited" : $"reads from lane {from}, which does not take part (mask 0x{members:x8})");
            }

            result[lane] = a[source];
            undefined |= ((~x._shuffleDefined >> source) & 1) << lane;
        }

        LaneOps.Copy(x.To(op->D), result, m);
        x.SetPredicateBits(op->D2, inside, m);
        if (x._trackRegisters && op->D >= 0)
        {
            x._warp.Defined[op->D] &= ~undefined;
        }
    }

    private static void Vote(Interpreter x, MicroOp* op, uint m)
    {
        x.Members(op, m);
        uint yes = x.PredicateA(op) & m;
        bool r = (VoteKind)op->Imm switch
        {
            VoteKind.All => yes == m,
            VoteKind.Any => yes != 0,
            _ => yes == m || yes == 0,
        };
        x.SetPredicateBits(op->D, r ? uint.MaxValue : 0, m);
    }

    private static void Ballot(Interpreter x, MicroOp* op, uint m)
    {
        x.Members(op, m);
        Vector512<uint> v = Vector512.Create(x.PredicateA(op) & m);
        LaneOps.Store(x.To(op->D), v, v, m);
    }

    private ulong MatchValue(MicroOp* op, int lane) => op->Type.Bits() == 64 ? ((ulong*)Row(op->A))[lane] : Row(op->A)[lane];

    private static void MatchAny(Interpreter x, MicroOp* op, uint m)
    {
        x.Members(op, m);
        uint* result = stackalloc uint[32];
        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            uint same = 0;
            for (uint k = m; k != 0; k &= k - 1)
            {
                int j = BitOperations.TrailingZeroCount(k);
                same |= (x.MatchValue(op, i) == x.MatchValue(op, j) ? 1u : 0) << j;
            }

            result[i] = same;
        }

        LaneOps.Copy(x.To(op->D), result, m);
    }

    private static void MatchAll(Interpreter x, MicroOp* op, uint m)
    {
        x.Members(op, m);
        ulong first = x.MatchValue(op, BitOperations.TrailingZeroCount(m));
        bool all = true;
        for (uint l = m; l != 0; l &= l - 1)
        {
            all &= x.MatchValue(op, BitOperations.TrailingZeroCount(l)) == first;
        }

        Vector512<uint> v = Vector512.Create(all ? m : 0);
        LaneOps.Store(x.To(op->D), v, v, m);
        x.SetPredicateBits(op->D2, all ? uint.MaxValue : 0, m);
    }

    private static void ReduceSync(Interpreter x, MicroOp* op, uint m)
    {
        x.Members(op, m);
        uint* a = x.Row(op->A);
        uint l = m;
        uint sum = a[BitOperations.TrailingZeroCount(l)];
        for (l &= l - 1; l != 0; l &= l - 1)
        {
            sum = Combine32((AtomicOp)op->Imm, op->Type, sum, a[BitOperations.TrailingZeroCount(l)], 0);
        }

        Vector512<uint> v = Vector512.Create(sum);
        LaneOps.Store(x.To(op->D), v, v, m);
    }

    private static void Elect(Interpreter x, MicroOp* op, uint m)
    {
        x.Members(op, m);
        int leader = BitOperations.TrailingZeroCount(m);
        Vector512<uint> v = Vector512.Create((uint)leader);
        LaneOps.Store(x.To(op->D), v, v, m);
        x.SetPredicateBits(op->D2, 1u << leader, m);
    }

    // ---- matrices

    /// <summary>Host pointers of the 8 rows of each matrix; false when one is wrong (a finding).</summary>
    private bool MatrixRows(MicroOp* op, AccessKind kind)
    {
        int rows = 8 * op->Count;
        uint lanes = rows == 32 ? uint.MaxValue : (1u << rows) - 1;
        FillAddresses(op->A, (op->Flags & OpFlags.Address64) != 0, op->Offset);
        return Resolve(op, op->Space, lanes, 16, kind) == lanes;
    }

    private static void LoadMatrix(Interpreter x, MicroOp* op, uint m)
    {
        if (!x.AllLanes(op, m) || !x.MatrixRows(op, AccessKind.WarpRead))
        {
            return;
        }

        uint** rows = stackalloc uint*[4];
        for (int j = 0; j < op->Count; j++)
        {
            rows[j] = x.To(x.Lists[op->Extra + j]);
        }

        MatrixOps.Load(rows, x.Hosts, op->Count, (op->Flags & OpFlags.Transposed) != 0, m);
    }

    private static void StoreMatrix(Interpreter x, MicroOp* op, uint m)
    {
        if (!x.AllLanes(op, m) || !x.MatrixRows(op, AccessKind.Write))
        {
            return;
        }

        uint** rows = stackalloc uint*[4];
        for (int j = 0; j < op->Count; j++)
        {
            rows[j] = x.Row(x.Lists[op->Extra + j]);
        }

        MatrixOps.Store(x.Hosts, rows, op->Count, (op->Flags & OpFlags.Transposed) != 0, m);
    }

    private static void MoveMatrix(Interpreter x, MicroOp* op, uint m)
    {
        if (!x.AllLanes(op, m))
        {
            return;
        }

        MatrixOps.Transpose(x.To(op->D), x.Row(op->A), m);
    }
}
