using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Engine;

// Memory accesses of compiled code, which neither checks nor counts: when all lanes lie inside one allocation, or inside shared memory, one
// test serves them all. Everything else goes to the handler that the interpreter uses, which explains what is wrong.
internal sealed unsafe partial class Interpreter
{
    /// <summary>The function compiled code calls for a micro-op.</summary>
    internal static nint FastHandlerOf(in MicroOp op) => (nint)FastHandler(op);

    private static delegate*<Interpreter, MicroOp*, uint, void> FastHandler(in MicroOp op)
    {
        bool known = op.A >= 0 && op.Space is PtxSpace.Global or PtxSpace.Const or PtxSpace.Generic or PtxSpace.Shared
            && ((op.Flags & OpFlags.Address64) != 0) == (op.Space != PtxSpace.Shared);
        switch (op.Code)
        {
            case OpCode.Load when known: return &FastLoad;
            case OpCode.Store when known: return &FastStore;
            case OpCode.CopyAsync: return &FastCopyAsync;
            case OpCode.CopyAsyncCommit: return &FastCommit;
            case OpCode.CopyAsyncWait or OpCode.CopyAsyncWaitAll: return &FastWait;
            case OpCode.Shuffle: return &FastShuffle;
            case OpCode.LoadMatrix when op.Space == PtxSpace.Shared && op.A >= 0: return &FastLoadMatrix;
            default: return (delegate*<Interpreter, MicroOp*, uint, void>)HandlerOf(op);
        }
    }

    /// <summary>
    /// Host address of byte 0 of what the lanes access, and each lane's offset from it (that of some active lane where a lane is not); null unless
    /// all of them lie inside.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private byte* Locate(MicroOp* op, PtxSpace space, int row, bool wide, long offset, uint m, int bytes, ulong* offsets, out Allocation? allocation)
    {
        if (space == PtxSpace.Shared)
        {
            allocation = null;
            return wide ? null : LocateShared(Row(row), (uint)offset, m, bytes, offsets);
        }

        return LocateGlobal(op, (ulong*)Row(row), (ulong)offset, m, bytes, offsets, out allocation);
    }

    private byte* LocateShared(uint* row, uint offset, uint m, int bytes, ulong* offsets)
    {
        if (_sharedBytes < bytes)
        {
            return null;
        }

        Vector512<uint> add = Vector512.Create(offset), low = Vector512.Load(row) + add, high = Vector512.Load(row + 16) + add;
        if (m != uint.MaxValue)
        {
            Vector512<uint> some = Vector512.Create(row[BitOperations.TrailingZeroCount(m)] + offset);
            low = Vector512.ConditionalSelect(LaneOps.Expand(m), low, some);
            high = Vector512.ConditionalSelect(LaneOps.Expand(m >> 16), high, some);
        }

        if (Vector512.GreaterThanAny(Vector512.Max(low, high), Vector512.Create((uint)(_sharedBytes - bytes))))
        {
            return null;
        }

        (Vector512<ulong> a, Vector512<ulong> b) = Vector512.Widen(low);
        (Vector512<ulong> c, Vector512<ulong> d) = Vector512.Widen(high);
        a.Store(offsets);
        b.Store(offsets + 8);
        c.Store(offsets + 16);
        d.Store(offsets + 24);
        return _shared;
    }

    private byte* LocateGlobal(MicroOp* op, ulong* row, ulong offset, uint m, int bytes, ulong* offsets, out Allocation? allocation)
    {
        Vector512<ulong> add = Vector512.Create(offset);
        Vector512<ulong> a = Vector512.Load(row) + add, b = Vector512.Load(row + 8) + add, c = Vector512.Load(row + 16) + add, d = Vector512.Load(row + 24) + add;
        ulong first = row[BitOperations.TrailingZeroCount(m)] + offset;
        if (m != uint.MaxValue)
        {
            Vector512<ulong> some = Vector512.Create(first);
            a = Vector512.ConditionalSelect(LaneOps.Expand64(m & 0xFF), a, some);
            b = Vector512.ConditionalSelect(LaneOps.Expand64((m >> 8) & 0xFF), b, some);
            c = Vector512.ConditionalSelect(LaneOps.Expand64((m >> 16) & 0xFF), c, some);
            d = Vector512.ConditionalSelect(LaneOps.Expand64(m >> 24), d, some);
        }

        ref Allocation? last = ref _allocations[op - _code];
        allocation = last;
        if (allocation is null || first - (ulong)allocation.Address >= (ulong)allocation.Bytes)
        {
            allocation = first > long.MaxValue ? null : _launch.Memory.Find((long)first);
            last = allocation;
        }

        if (allocation is null || allocation.Freed || allocation.Bytes < bytes)
        {
            return null;
        }

        Vector512<ulong> start = Vector512.Create((ulong)allocation.Address), end = Vector512.Create((ulong)(allocation.Bytes - bytes));
        (a, b, c, d) = (a - start, b - start, c - start, d - start);
        if (Vector512.GreaterThanAny(Vector512.Max(Vector512.Max(a, b), Vector512.Max(c, d)), end))
        {
            return null;
        }

        a.Store(offsets);
        b.Store(offsets + 8);
        c.Store(offsets + 16);
        d.Store(offsets + 24);
        return allocation.Host;
    }

    /// <summary>True when each lane's bytes follow those of the lane before.</summary>
    private static bool Contiguous(ulong* offsets, int bytes)
    {
        Vector512<ulong> step = Vector512.Create(0ul, 1, 2, 3, 4, 5, 6, 7) * Vector512.Create((ulong)bytes), next = Vector512.Create(8 * (ulong)bytes);
        Vector512<ulong> expected = Vector512.Create(offsets[0]) + step;
        Vector512<ulong> difference = Vector512.Load(offsets) ^ expected;
        for (int i = 8; i < 32; i += 8)
        {
            expected += next;
            difference |= Vector512.Load(offsets + i) ^ expected;
        }

        return difference == Vector512<ulong>.Zero;
    }

    [SkipLocalsInit]
    private static void FastLoad(Interpreter x, MicroOp* op, uint m)
    {
        ulong* offsets = stackalloc ulong[32];
        int bytes = op->Bytes, count = op->Count;
        byte* host = x.Locate(op, op->Space, op->A, (op->Flags & OpFlags.Address64) != 0, op->Offset, m, bytes * count, offsets, out _);
        if (host is null)
        {
            Load(x, op, m);
            return;
        }

        int* list = x.Lists + op->Extra;
        if (count == 1 && bytes == (list[1] != 0 ? 8 : 4))
        {
            uint* d = x.To(list[0]);
            if (m == uint.MaxValue && Contiguous(offsets, bytes))
            {
                byte* from = host + offsets[0];
                for (int i = 0; i < 8 * bytes; i += 16)
                {
                    Vector512.Load((uint*)from + i).Store(d + i);
                }
            }
            else if (bytes == 4)
            {
                for (; m != 0; m &= m - 1)
                {
                    int i = BitOperations.TrailingZeroCount(m);
                    d[i] = *(uint*)(host + offsets[i]);
                }
            }
            else
            {
                for (; m != 0; m &= m - 1)
                {
                    int i = BitOperations.TrailingZeroCount(m);
                    ((ulong*)d)[i] = *(ulong*)(host + offsets[i]);
                }
            }

            return;
        }

        if (bytes == 4 && count == 4 && (list[4] | list[5] | list[6] | list[7]) == 0)
        {
            uint* d0 = x.To(list[0]), d1 = x.To(list[1]), d2 = x.To(list[2]), d3 = x.To(list[3]);
            for (; m != 0; m &= m - 1)
            {
                int i = BitOperations.TrailingZeroCount(m);
                uint* from = (uint*)(host + offsets[i]);
                d0[i] = from[0];
                d1[i] = from[1];
                d2[i] = from[2];
                d3[i] = from[3];
            }

            return;
        }

        bool signed = (op->Flags & OpFlags.Signed) != 0;
        ulong keep = (op->Flags & OpFlags.Narrow) != 0 ? 0xFFFF : ulong.MaxValue;
        for (int e = 0; e < count; e++)
        {
            uint* d = x.To(list[e]);
            bool wide = list[count + e] != 0;
            byte* from = host + (e * bytes);
            for (uint l = m; l != 0; l &= l - 1)
            {
                int i = BitOperations.TrailingZeroCount(l);
                ulong v = ReadElement(from + offsets[i], bytes, signed) & keep;
                if (wide)
                {
                    ((ulong*)d)[i] = v;
                }
                else
                {
                    d[i] = (uint)v;
                }
            }
        }
    }

    [SkipLocalsInit]
    private static void FastStore(Interpreter x, MicroOp* op, uint m)
    {
        ulong* offsets = stackalloc ulong[32];
        int bytes = op->Bytes, count = op->Count;
        byte* host = x.Locate(op, op->Space, op->A, (op->Flags & OpFlags.Address64) != 0, op->Offset, m, bytes * count, offsets, out Allocation? allocation);
        if (host is null)
        {
            Store(x, op, m);
            return;
        }

        int* list = x.Lists + op->Extra;
        bool contiguous = m == uint.MaxValue && Contiguous(offsets, bytes * count);
        if (allocation?.Written is not null)
        {
            if (contiguous)
            {
                allocation.MarkWritten((long)offsets[0], 32 * bytes * count);
            }
            else
            {
                for (uint l = m; l != 0; l &= l - 1)
                {
                    allocation.MarkWritten((long)offsets[BitOperations.TrailingZeroCount(l)], bytes * count);
                }
            }
        }

        if (contiguous && count == 1 && bytes == (list[1] != 0 ? 8 : 4))
        {
            uint* from = x.Row(list[0]), to = (uint*)(host + offsets[0]);
            for (int i = 0; i < 8 * bytes; i += 16)
            {
                Vector512.Load(from + i).Store(to + i);
            }

            return;
        }

        // Element by element, each in lane order: where lanes overlap the last one wins, as in the interpreter.
        for (int e = 0; e < count; e++)
        {
            uint* a = x.Row(list[e]);
            bool wide = list[count + e] != 0;
            byte* to = host + (e * bytes);
            if (bytes == 4 && !wide)
            {
                for (uint l = m; l != 0; l &= l - 1)
                {
                    int i = BitOperations.TrailingZeroCount(l);
                    *(uint*)(to + offsets[i]) = a[i];
                }

                continue;
            }

            for (uint l = m; l != 0; l &= l - 1)
            {
                int i = BitOperations.TrailingZeroCount(l);
                ulong v = wide ? ((ulong*)a)[i] : a[i];
                switch (bytes)
                {
                    case 1: to[offsets[i]] = (byte)v; break;
                    case 2: *(ushort*)(to + offsets[i]) = (ushort)v; break;
                    case 4: *(uint*)(to + offsets[i]) = (uint)v; break;
                    default: *(ulong*)(to + offsets[i]) = v; break;
                }
            }
        }
    }

    /// <summary>Data that lands at issue needs no list of open copies when nobody watches them.</summary>
    private bool CopiesLandAtOnce => _launch.Options.Delivery == AsyncDelivery.Early && _sharedShadow is null;

    [SkipLocalsInit]
    private static void FastCopyAsync(Interpreter x, MicroOp* op, uint m)
    {
        ulong* from = stackalloc ulong[32], to = stackalloc ulong[32];
        int bytes = op->Bytes;
        uint full = m;
        bool simple = x.CopiesLandAtOnce && op->A >= 0 && op->B >= 0;
        if (op->C >= 0)
        {
            // Whole chunks and empty ones are simple.
            uint* sizes = x.Row(op->C);
            Vector512<uint> low = Vector512.Load(sizes), high = Vector512.Load(sizes + 16), whole = Vector512.Create((uint)bytes), none = Vector512<uint>.Zero;
            full &= LaneOps.Bits(Vector512.Equals(low, whole), Vector512.Equals(high, whole));
            simple &= (m & ~full & ~LaneOps.Bits(Vector512.Equals(low, none), Vector512.Equals(high, none))) == 0;
        }

        byte* source = null, target = null;
        if (simple)
        {
            target = x.Locate(op, PtxSpace.Shared, op->A, (op->Flags & OpFlags.Address64) != 0, op->Offset, m, bytes, to, out _);
            source = full == 0 ? target : x.LocateGlobal(op, (ulong*)x.Row(op->B), (ulong)op->Offset2, full, bytes, from, out _);
        }

        if (source is null || target is null)
        {
            CopyAsync(x, op, m);
            return;
        }

        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            byte* d = target + to[i], s = source + from[i];
            bool zero = ((full >> i) & 1) == 0;
            switch (bytes)
            {
                case 16: (zero ? Vector128<byte>.Zero : Vector128.Load(s)).Store(d); break;
                case 8: *(ulong*)d = zero ? 0 : *(ulong*)s; break;
                default: *(uint*)d = zero ? 0 : *(uint*)s; break;
            }
        }
    }

    /// <summary><see cref="Shuffle"/> for all lanes at once.</summary>
    private static void FastShuffle(Interpreter x, MicroOp* op, uint m)
    {
        uint* a = x.Row(op->A), b = x.Row(op->B), c = x.Row(op->C);
        Vector512<uint> low = Vector512.Load(a), high = Vector512.Load(a + 16);
        (Vector512<uint> r0, Vector512<uint> p0) = Half(0);
        (Vector512<uint> r1, Vector512<uint> p1) = Half(16);
        LaneOps.Store(x.To(op->D), r0, r1, m);
        x.SetPredicateBits(op->D2, LaneOps.Bits(p0, p1), m);

        (Vector512<uint> Values, Vector512<uint> Inside) Half(int first)
        {
            Vector512<int> five = Vector512.Create(31), lane = Vector512.Create(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) + Vector512.Create(first);
            Vector512<int> bound = Vector512.Load((int*)b + first) & five, clamp = Vector512.Load((int*)c + first);
            Vector512<int> segment = Vector512.ShiftRightLogical(clamp, 8) & five, min = lane & segment, max = min | (clamp & five & ~segment);
            var kind = (ShuffleKind)op->Imm;
            Vector512<int> source = kind switch
            {
                ShuffleKind.Up => lane - bound,
                ShuffleKind.Down => lane + bound,
                ShuffleKind.Butterfly => lane ^ bound,
                _ => min | (bound & ~segment),
            };
            Vector512<int> inside = kind == ShuffleKind.Up ? Vector512.GreaterThanOrEqual(source, max) : Vector512.LessThanOrEqual(source, max);
            Vector512<int> from = Vector512.ConditionalSelect(inside, source, lane);
            return (Avx512F.PermuteVar16x32x2(low, from.AsUInt32(), high), inside.AsUInt32());
        }
    }

    private static void FastCommit(Interpreter x, MicroOp* op, uint m)
    {
        if (!x.CopiesLandAtOnce || x._warp.Copies.Count > 0)
        {
            CopyAsyncCommit(x, op, m);
        }
    }

    private static void FastWait(Interpreter x, MicroOp* op, uint m)
    {
        if (!x.CopiesLandAtOnce || x._warp.Copies.Count > 0)
        {
            CopyAsyncWait(x, op, m);
        }
    }

    [SkipLocalsInit]
    private static void FastLoadMatrix(Interpreter x, MicroOp* op, uint m)
    {
        ulong* offsets = stackalloc ulong[32];
        int rows = 8 * op->Count;
        byte* host = m != x._warp.Live ? null : x.Locate(
            op, PtxSpace.Shared, op->A, (op->Flags & OpFlags.Address64) != 0, op->Offset, rows == 32 ? uint.MaxValue : (1u << rows) - 1, 16, offsets, out _);
        if (host is null)
        {
            LoadMatrix(x, op, m);
            return;
        }

        int* list = x.Lists + op->Extra;
        bool transposed = (op->Flags & OpFlags.Transposed) != 0;
        for (int j = 0; j < op->Count; j++)
        {
            // Lane 4g + t takes word t of row g: the rows, one behind the other.
            ulong* at = offsets + (8 * j);
            Vector512<uint> low = Rows(host, at), high = Rows(host, at + 4);
            if (transposed)
            {
                (low, high) = Transpose(low, high);
            }

            LaneOps.Store(x.To(list[j]), low, high, m);
        }

        static Vector512<uint> Rows(byte* host, ulong* at) => Vector512.Create(
            Vector256.Create(Vector128.Load((uint*)(host + at[0])), Vector128.Load((uint*)(host + at[1]))),
            Vector256.Create(Vector128.Load((uint*)(host + at[2])), Vector128.Load((uint*)(host + at[3]))));
    }

    /// <summary>The fragment of the transposed 8x8 matrix of 16-bit elements: rows 0 to 3 and 4 to 7.</summary>
    private static (Vector512<uint> Low, Vector512<uint> High) Transpose(Vector512<uint> low, Vector512<uint> high)
    {
        // Row r is 128 bits of low or high. Pairs of rows are interleaved: rows 2t and 2t+1 make the words {row 2t column g, row 2t+1 column g}.
        Vector512<uint> a = Interleave(low), b = Interleave(high);

        // a holds for t = 0 then t = 1 the words of columns 0 to 7, b the same for t = 2 and 3; lane 4g + t wants column g.
        Vector512<uint> first = Vector512.Create(0u, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27), second = first + Vector512.Create(4u);
        return (Avx512F.PermuteVar16x32x2(a, first, b), Avx512F.PermuteVar16x32x2(a, second, b));

        static Vector512<uint> Interleave(Vector512<uint> rows)
        {
            // Even rows' words and odd rows' words, each twice, side by side: word 8t + 2w + h is of the even row, then of the odd one.
            Vector512<uint> even = Avx512F.PermuteVar16x32(rows, Vector512.Create(0u, 0, 1, 1, 2, 2, 3, 3, 8, 8, 9, 9, 10, 10, 11, 11));
            Vector512<uint> odd = Avx512F.PermuteVar16x32(rows, Vector512.Create(4u, 4, 5, 5, 6, 6, 7, 7, 12, 12, 13, 13, 14, 14, 15, 15));
            Vector512<uint> evenColumns = (even & Vector512.Create(0xFFFFu)) | Vector512.ShiftLeft(odd, 16);
            Vector512<uint> oddColumns = Vector512.ShiftRightLogical(even, 16) | (odd & Vector512.Create(0xFFFF_0000u));
            Vector512<uint> upper = Vector512.Create(0u, uint.MaxValue, 0, uint.MaxValue, 0, uint.MaxValue, 0, uint.MaxValue, 0, uint.MaxValue, 0, uint.MaxValue, 0, uint.MaxValue, 0, uint.MaxValue);
            return Vector512.ConditionalSelect(upper, oddColumns, evenColumns);
        }
    }
}
