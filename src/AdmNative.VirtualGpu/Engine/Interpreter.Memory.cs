using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu.Engine;

// Loads, stores, atomics, asynchronous copies: every address is resolved to a host pointer first, so that a wrong one is a finding and never a crash.
internal sealed unsafe partial class Interpreter
{
    private readonly Allocation?[] _allocations;
    private readonly byte* _shared;
    private readonly int _sharedBytes;
    private readonly SharedShadow? _sharedShadow;
    private readonly ulong[] _addresses = GC.AllocateArray<ulong>(32, pinned: true);
    private readonly nint[] _hosts = GC.AllocateArray<nint>(32, pinned: true);
    private readonly ulong[] _sorted = new ulong[64];

    private ulong* Addresses => (ulong*)Unsafe.AsPointer(ref System.Runtime.InteropServices.MemoryMarshal.GetArrayDataReference(_addresses));

    private byte** Hosts => (byte**)Unsafe.AsPointer(ref System.Runtime.InteropServices.MemoryMarshal.GetArrayDataReference(_hosts));

    /// <summary>Addresses of all lanes: a register row plus an offset, or the offset alone.</summary>
    private void FillAddresses(int row, bool wide, long offset)
    {
        ulong* to = Addresses;
        if (row < 0)
        {
            new Span<ulong>(to, 32).Fill((ulong)offset);
        }
        else if (wide)
        {
            ulong* from = (ulong*)Row(row);
            Vector512<ulong> add = Vector512.Create((ulong)offset);
            for (int i = 0; i < 32; i += 8)
            {
                (Vector512.Load(from + i) + add).Store(to + i);
            }
        }
        else
        {
            uint* from = Row(row);
            Vector512<uint> add = Vector512.Create((uint)offset);
            for (int i = 0; i < 32; i += 16)
            {
                (Vector512<ulong> low, Vector512<ulong> high) = Vector512.Widen(Vector512.Load(from + i) + add);
                low.Store(to + i);
                high.Store(to + i + 8);
            }
        }
    }

    /// <summary>
    /// Resolves the addresses of the lanes in m: checks them, counts them, and leaves a host pointer per lane. Returns the lanes that may go on.
    /// </summary>
    private uint Resolve(MicroOp* op, PtxSpace space, uint m, int bytes, AccessKind kind)
    {
        if (space == PtxSpace.Generic)
        {
            return ResolveGeneric(op, m, bytes, kind);
        }

        m = CheckAlignment(op, m, bytes);
        return m == 0 ? 0 : space switch
        {
            PtxSpace.Shared => ResolveShared(op, m, bytes, kind),
            PtxSpace.Local => ResolveLocal(op, m, bytes, kind),
            PtxSpace.Param => ResolveParam(op, m, bytes, kind),
            _ => ResolveGlobal(op, m, bytes, kind),
        };
    }

    private uint CheckAlignment(MicroOp* op, uint m, int bytes)
    {
        ulong low = (ulong)bytes - 1, any = 0;
        for (uint l = m; l != 0; l &= l - 1)
        {
            any |= Addresses[BitOperations.TrailingZeroCount(l)];
        }

        if ((any & low) == 0)
        {
            return m;
        }

        if ((_checks & Checks.Alignment) == 0)
        {
            return m;
        }

        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            ulong address = Addresses[i];
            if ((address & low) != 0)
            {
                Report(Checks.Alignment, op, i, $"address 0x{address:x} is not a multiple of the access size, {bytes} bytes");
                m &= ~(1u << i);
            }
        }

        return m;
    }

    private uint ResolveGeneric(MicroOp* op, uint m, int bytes, AccessKind kind)
    {
        uint shared = 0, local = 0, param = 0;
        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            ulong a = Addresses[i];
            ulong window = a & ~((ulong)AddressWindows.WindowBytes - 1);
            uint bit = 1u << i;
            if (window == (ulong)AddressWindows.Shared)
            {
                shared |= bit;
            }
            else if (window == (ulong)AddressWindows.Local)
            {
                local |= bit;
            }
            else if (window == (ulong)AddressWindows.Param)
            {
                param |= bit;
            }
            else
            {
                continue;
            }

            Addresses[i] = a - window;
        }

        uint ok = 0, global = m & ~(shared | local | param);
        ok |= global == 0 ? 0 : Resolve(op, PtxSpace.Global, global, bytes, kind);
        ok |= shared == 0 ? 0 : Resolve(op, PtxSpace.Shared, shared, bytes, kind);
        ok |= local == 0 ? 0 : Resolve(op, PtxSpace.Local, local, bytes, kind);
        ok |= param == 0 ? 0 : Resolve(op, PtxSpace.Param, param, bytes, kind);
        return ok;
    }

    // ---- global

    private uint ResolveGlobal(MicroOp* op, uint m, int bytes, AccessKind kind)
    {
        ulong min = ulong.MaxValue, max = 0;
        for (uint l = m; l != 0; l &= l - 1)
        {
            ulong a = Addresses[BitOperations.TrailingZeroCount(l)];
            min = Math.Min(min, a);
            max = Math.Max(max, a);
        }

        Allocation? found = _allocations[_site];
        if (found is null || found.Freed || min < (ulong)found.Address || max - (ulong)found.Address > (ulong)found.Bytes - (ulong)bytes || found.Bytes < bytes)
        {
            found = min > long.MaxValue ? null : _launch.Memory.Find((long)min);
            if (found is null || found.Freed || found.Bytes < bytes || max < min || max - (ulong)found.Address > (ulong)(found.Bytes - bytes))
            {
                found = null;
            }

            _allocations[_site] = found;
        }

        if (found is not null)
        {
            byte* host = found.Host;
            ulong start = (ulong)found.Address;
            for (uint l = m; l != 0; l &= l - 1)
            {
                int i = BitOperations.TrailingZeroCount(l);
                Hosts[i] = host + (Addresses[i] - start);
            }

            WatchGlobal(op, found, m, bytes, kind);
        }
        else
        {
            for (uint l = m; l != 0; l &= l - 1)
            {
                int i = BitOperations.TrailingZeroCount(l);
                Allocation? own = Addresses[i] > long.MaxValue ? null : _launch.Memory.Find((long)Addresses[i]);
                long offset = own is null ? 0 : (long)Addresses[i] - own.Address;
                if (own is null || own.Freed || offset > own.Bytes - bytes)
                {
                    ReportGlobal(op, own, i, bytes, kind);
                    m &= ~(1u << i);
                    continue;
                }

                Hosts[i] = own.Host + offset;
                WatchGlobal(op, own, 1u << i, bytes, kind);
            }
        }

        if (_counting && m != 0)
        {
            CountGlobal(found, m, bytes, kind);
        }

        return m;
    }

    /// <summary>So far behind the last allocation an address is not explained by it any more.</summary>
    private const long FarBytes = 1L << 36;

    private void ReportGlobal(MicroOp* op, Allocation? near, int lane, int bytes, AccessKind kind)
    {
        ulong address = Addresses[lane];
        string did = kind == AccessKind.Write ? "write" : kind == AccessKind.Atomic ? "atomic" : "read";
        Report(Checks.Bounds, _site, lane, () =>
        {
            if (near is null || address - (ulong)near.Address > (ulong)near.Bytes + FarBytes)
            {
                string guess = address < AddressWindows.GlobalBase ? " (a null pointer?)" : near is null ? "" : " and no window (a pointer of the host?)";
                return $"{did} of {bytes} bytes at 0x{address:x}, which belongs to no allocation{guess}";
            }

            string name = near.Name.Length > 0 ? $"'{near.Name}'" : $"the allocation at 0x{near.Address:x}";
            long offset = (long)address - near.Address;
            return near.Freed
                ? $"{did} of {bytes} bytes at 0x{address:x}: {name} of {near.Bytes} bytes was freed"
                : $"{did} of {bytes} bytes at 0x{address:x}: byte {offset} of {name}, which has {near.Bytes}";
        });
    }

    private void WatchGlobal(MicroOp* op, Allocation a, uint m, int bytes, AccessKind kind)
    {
        bool writes = kind is AccessKind.Write or AccessKind.Atomic;
        if (a.Written is not null)
        {
            bool check = (_checks & Checks.UninitialisedMemory) != 0 && kind != AccessKind.Write;
            for (uint l = m; l != 0 && (check || writes); l &= l - 1)
            {
                int i = BitOperations.TrailingZeroCount(l);
                long offset = (long)Addresses[i] - a.Address;
                if (check)
                {
                    long missing = a.FirstUnwritten(offset, bytes);
                    if (missing >= 0)
                    {
                        Report(
                            Checks.UninitialisedMemory, op, i,
                            $"byte {missing} of {(a.Name.Length > 0 ? $"'{a.Name}'" : $"the allocation at 0x{a.Address:x}")} is read, nothing was written there");
                    }
                }

                if (writes)
                {
                    a.MarkWritten(offset, bytes);
                }
            }
        }

        if ((_checks & Checks.InterCta) != 0)
        {
            bool strong = (op->Flags & OpFlags.Volatile) != 0;
            if (strong || kind == AccessKind.Atomic)
            {
                HandOverAt(op, m, kind);
            }

            if (!strong)
            {
                WatchCtas(a, m, bytes, kind);
            }
        }
    }

    private void WatchCtas(Allocation a, uint m, int bytes, AccessKind kind)
    {
        int shift = _launch.Program.GlobalShift;
        if (a.LastWriter is null || a.ShadowLaunch != _launch.Number)
        {
            int n = checked((int)((a.Bytes + (1L << shift) - 1) >> shift));
            if (a.LastWriter is { } old && old.Length == n)
            {
                Array.Clear(old);
                Array.Clear(a.LastReader!);
            }
            else
            {
                a.LastWriter = new int[n];
                a.LastReader = new int[n];
            }

            a.ShadowLaunch = _launch.Number;
        }

        if (_unfenced is not null && kind == AccessKind.Write)
        {
            _unfenced[_warp.Index] |= m;
        }

        int self = _ctaIndex + 1;
        int[] writers = a.LastWriter, readers = a.LastReader!;
        for (uint l = m; l != 0; l &= l - 1)
        {
            int lane = BitOperations.TrailingZeroCount(l);
            long offset = (long)Addresses[lane] - a.Address;
            for (long g = offset >> shift; g <= (offset + bytes - 1) >> shift; g++)
            {
                int writer = writers[g], reader = readers[g];
                bool foreignWrite = writer != 0 && writer != self && writer != -self && !(kind == AccessKind.Atomic && writer < 0);
                bool foreignRead = kind is AccessKind.Write or AccessKind.Atomic && reader != 0 && reader != self;
                foreignWrite = foreignWrite && !HappenedBefore(writer, lane);
                foreignRead = foreignRead && !(reader > 0 && HappenedBefore(reader, lane));
                if (foreignWrite || foreignRead)
                {
                    ReportCtas(a, lane, offset, foreignWrite ? writer : reader, foreignWrite, kind);
                }

                switch (kind)
                {
                    case AccessKind.Write:
                        writers[g] = self;
                        break;
                    case AccessKind.Atomic:
                        writers[g] = writer == 0 || writer == -self ? -self : writer < 0 ? int.MinValue : writer;
                        break;
                    default:
                        readers[g] = reader == 0 || reader == self ? self : -1;
                        break;
                }
            }
        }
    }

    private void ReportCtas(Allocation a, int lane, long offset, int other, bool written, AccessKind kind) =>
        Report(Checks.InterCta, _site, lane, () =>
        {
            string who = other is int.MinValue or -1 ? "other blocks" : $"block {CtaText(Math.Abs(other) - 1)}";
            string did = kind switch { AccessKind.Write => "written", AccessKind.Atomic => "updated", _ => "read" };
            string name = a.Name.Length > 0 ? $"'{a.Name}'" : $"the allocation at 0x{a.Address:x}";
            return $"byte {offset} of {name} is {did} here and was {(written ? "written" : "read")} by {who} in the same launch";
        });

    private string CtaText(int index)
    {
        int gx = (int)_launch.Shape.GridX, gy = (int)_launch.Shape.GridY;
        return $"({index % gx},{index / gx % gy},{index / gx / gy})";
    }

    /// <summary>Counts an access; found is the allocation all its lanes hit, or null.</summary>
    private void CountGlobal(Allocation? found, uint m, int bytes, AccessKind kind)
    {
        // Distinct addresses and distinct 32-byte sectors; ascending lanes, the usual case, need no sorting.
        int n = 0;
        bool ascending = true;
        ulong previous = 0;
        for (uint l = m; l != 0; l &= l - 1)
        {
            ulong a = Addresses[BitOperations.TrailingZeroCount(l)];
            ascending &= n == 0 || a >= previous;
            previous = a;
            _sorted[n++] = a;
        }

        if (!ascending)
        {
            Array.Sort(_sorted, 0, n);
        }

        long sectors = 0, unique = 0;
        ulong nextSector = 0, nextByte = 0;
        for (int i = 0; i < n; i++)
        {
            ulong first = _sorted[i] >> 5, last = (_sorted[i] + (ulong)bytes - 1) >> 5;
            first = Math.Max(first, nextSector);
            if (last >= first)
            {
                sectors += (long)(last - first) + 1;
                Allocation? a = found ?? _launch.Memory.Find((long)_sorted[i]);
                a?.Touch(_launch.Number, (long)first - (a.Address >> 5), (long)last - (a.Address >> 5));
                nextSector = last + 1;
            }

            ulong end = _sorted[i] + (ulong)bytes, begin = Math.Max(_sorted[i], nextByte);
            if (end > begin)
            {
                unique += (long)(end - begin);
                nextByte = end;
            }
        }

        ref SiteCounts c = ref _counts[_site];
        if (kind is AccessKind.Read or AccessKind.WarpRead)
        {
            c.Requests++;
            c.Sectors += sectors;
            c.Bytes += (long)n * bytes;
            c.UniqueBytes += unique;
        }
        else
        {
            c.WriteRequests++;
            c.WriteSectors += sectors;
            c.WriteBytes += (long)n * bytes;
            c.WriteUniqueBytes += unique;
        }
    }

    // ---- shared

    private uint ResolveShared(MicroOp* op, uint m, int bytes, AccessKind kind)
    {
        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            ulong a = Addresses[i];
            if (a > (ulong)_sharedBytes || a + (ulong)bytes > (ulong)_sharedBytes)
            {
                Report(Checks.Bounds, op, i, $"shared byte {a}, {bytes} wide: the block has {_sharedBytes}");
                m &= ~(1u << i);
                continue;
            }

            Hosts[i] = _shared + a;
        }

        if (m == 0)
        {
            return 0;
        }

        if (_sharedShadow is not null)
        {
            for (uint l = m; l != 0; l &= l - 1)
            {
                int i = BitOperations.TrailingZeroCount(l);
                _sharedShadow.Access(_site, i, (int)Addresses[i], bytes, kind);
            }
        }

        if (_counting)
        {
            CountShared(m, bytes, bytes switch { 16 => 8, 8 => 16, _ => 32 });
        }

        return m;
    }

    /// <summary>Passes over the banks: per phase of some lanes, the largest number of distinct words any bank has to give.</summary>
    private void CountShared(uint m, int bytes, int lanesPerPhase)
    {
        ref SiteCounts c = ref _counts[_site];
        c.SharedRequests++;
        uint* words = stackalloc uint[32 * 4];
        byte* depth = stackalloc byte[32];
        for (int phase = 0; phase < 32; phase += lanesPerPhase)
        {
            uint lanes = (lanesPerPhase == 32 ? m : m >> phase) & (lanesPerPhase == 32 ? uint.MaxValue : (1u << lanesPerPhase) - 1);
            if (lanes == 0)
            {
                continue;
            }

            int n = 0;
            int passes = 0;
            new Span<byte>(depth, 32).Clear();
            for (; lanes != 0; lanes &= lanes - 1)
            {
                int i = phase + BitOperations.TrailingZeroCount(lanes);
                uint first = (uint)Addresses[i] >> 2, last = ((uint)Addresses[i] + (uint)bytes - 1) >> 2;
                for (uint word = first; word <= last; word++)
                {
                    if (depth[word & 31] > 0 && new ReadOnlySpan<uint>(words, n).Contains(word))
                    {
                        continue;
                    }

                    words[n++] = word;
                    passes = Math.Max(passes, ++depth[word & 31]);
                }
            }

            c.Passes += passes;
            c.IdealPasses++;
        }
    }

    // ---- local and parameters

    private uint ResolveLocal(MicroOp* op, uint m, int bytes, AccessKind kind)
    {
        Warp w = _warp;
        bool check = (_checks & Checks.UninitialisedMemory) != 0;
        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            ulong a = Addresses[i];
            if (a > (ulong)w.LocalBytes || a + (ulong)bytes > (ulong)w.LocalBytes)
            {
                Report(Checks.Bounds, op, i, $"local byte {a}, {bytes} wide: a thread has {w.LocalBytes}");
                m &= ~(1u << i);
                continue;
            }

            int at = (i * w.LocalBytes) + (int)a;
            Hosts[i] = w.Local + at;
            if (kind == AccessKind.Write)
            {
                w.LocalWritten.AsSpan(at, bytes).Fill(1);
            }
            else if (check)
            {
                int missing = w.LocalWritten.AsSpan(at, bytes).IndexOf((byte)0);
                if (missing >= 0)
                {
                    Report(Checks.UninitialisedMemory, op, i, $"local byte {a + (ulong)missing} is read, nothing was written there");
                }
            }
        }

        if (_counting && m != 0)
        {
            _counts[_site].LocalRequests++;
        }

        return m;
    }

    private uint ResolveParam(MicroOp* op, uint m, int bytes, AccessKind kind)
    {
        uint call = 0;
        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            ulong a = Addresses[i];
            if (a >= AddressWindows.CallParam)
            {
                Addresses[i] = a - AddressWindows.CallParam;
                call |= 1u << i;
                m &= ~(1u << i);
            }
            else if (kind != AccessKind.Read || a + (ulong)bytes > (ulong)_kernel.ParameterBytes)
            {
                Report(Checks.Bounds, op, i, kind == AccessKind.Read
                    ? $"parameter byte {a}, {bytes} wide: the kernel has {_kernel.ParameterBytes}" : $"write to parameter byte {a}: parameters are read-only");
                m &= ~(1u << i);
            }
            else
            {
                Hosts[i] = _launch.Parameters + a;
            }
        }

        return call == 0 ? m : m | ResolveLocal(op, call, bytes, kind);
    }

    // ---- loads and stores

    private static void Load(Interpreter x, MicroOp* op, uint m)
    {
        if (op->Space == PtxSpace.Param && op->A < 0 && x.LoadParameter(op, m))
        {
            return;
        }

        x.FillAddresses(op->A, (op->Flags & OpFlags.Address64) != 0, op->Offset);
        int bytes = op->Bytes, count = op->Count;
        uint ok = x.Resolve(op, op->Space, m, bytes * count, AccessKind.Read);
        int* list = x.Lists + op->Extra;
        bool signed = (op->Flags & OpFlags.Signed) != 0;
        ulong keep = (op->Flags & OpFlags.Narrow) != 0 ? 0xFFFF : ulong.MaxValue;
        byte** hosts = x.Hosts;
        for (int e = 0; e < count; e++)
        {
            uint* d = x.To(list[e]);
            bool wide = list[count + e] != 0;
            int skip = e * bytes;
            if (bytes == 4 && !wide)
            {
                for (uint l = ok; l != 0; l &= l - 1)
                {
                    int i = BitOperations.TrailingZeroCount(l);
                    d[i] = *(uint*)(hosts[i] + skip);
                }
            }
            else
            {
                for (uint l = ok; l != 0; l &= l - 1)
                {
                    int i = BitOperations.TrailingZeroCount(l);
                    ulong v = ReadElement(hosts[i] + skip, bytes, signed) & keep;
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

            for (uint l = m & ~ok; l != 0; l &= l - 1)
            {
                int i = BitOperations.TrailingZeroCount(l);
                if (wide)
                {
                    ((ulong*)d)[i] = 0;
                }
                else
                {
                    d[i] = 0;
                }
            }
        }
    }

    /// <summary>A parameter at a fixed place: one value for all lanes.</summary>
    private bool LoadParameter(MicroOp* op, uint m)
    {
        int bytes = op->Bytes, count = op->Count;
        if (op->Offset < 0 || op->Offset + (bytes * count) > _kernel.ParameterBytes || op->Offset % (bytes * count) != 0)
        {
            return false;
        }

        int* list = Lists + op->Extra;
        for (int e = 0; e < count; e++)
        {
            ulong v = ReadElement(_launch.Parameters + op->Offset + (e * bytes), bytes, (op->Flags & OpFlags.Signed) != 0);
            v &= (op->Flags & OpFlags.Narrow) != 0 ? 0xFFFF : ulong.MaxValue;
            uint* d = To(list[e]);
            if (list[count + e] != 0)
            {
                Vector512<ulong> all = Vector512.Create(v);
                for (int part = 0; part < 4; part++)
                {
                    Store64((ulong*)d, part, all, m);
                }
            }
            else
            {
                Vector512<uint> all = Vector512.Create((uint)v);
                LaneOps.Store(d, all, all, m);
            }
        }

        return true;
    }

    private static ulong ReadElement(byte* p, int bytes, bool signed) => bytes switch
    {
        1 => signed ? (ulong)*(sbyte*)p : *p,
        2 => signed ? (ulong)*(short*)p : *(ushort*)p,
        4 => signed ? (ulong)*(int*)p : *(uint*)p,
        _ => *(ulong*)p,
    };

    private static void Store(Interpreter x, MicroOp* op, uint m)
    {
        x.FillAddresses(op->A, (op->Flags & OpFlags.Address64) != 0, op->Offset);
        int bytes = op->Bytes, count = op->Count;
        uint ok = x.Resolve(op, op->Space, m, bytes * count, AccessKind.Write);
        if (ok == 0)
        {
            return;
        }

        int* list = x.Lists + op->Extra;
        if ((x._checks & Checks.LaneHazards) != 0 && (ok & (ok - 1)) != 0 && op->Space is not (PtxSpace.Local or PtxSpace.Param))
        {
            x.CheckClash(op, ok, bytes * count, list);
        }

        byte** hosts = x.Hosts;
        for (int e = 0; e < count; e++)
        {
            uint* a = x.Row(list[e]);
            bool wide = list[count + e] != 0;
            int skip = e * bytes;
            for (uint l = ok; l != 0; l &= l - 1)
            {
                int i = BitOperations.TrailingZeroCount(l);
                byte* p = hosts[i] + skip;
                switch (bytes)
                {
                    case 1: *p = (byte)(wide ? ((ulong*)a)[i] : a[i]); break;
                    case 2: *(ushort*)p = (ushort)(wide ? ((ulong*)a)[i] : a[i]); break;
                    case 4: *(uint*)p = wide ? (uint)((ulong*)a)[i] : a[i]; break;
                    default: *(ulong*)p = ((ulong*)a)[i]; break;
                }
            }
        }
    }

    /// <summary>Two lanes of one store that write different values to the same bytes.</summary>
    private void CheckClash(MicroOp* op, uint m, int total, int* list)
    {
        byte** hosts = Hosts;
        bool ascending = true;
        byte* previous = null;
        for (uint l = m; l != 0; l &= l - 1)
        {
            byte* h = hosts[BitOperations.TrailingZeroCount(l)];
            ascending &= previous is null || h >= previous + total;
            previous = h;
        }

        if (ascending)
        {
            return;
        }

        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            for (uint k = l & (l - 1); k != 0; k &= k - 1)
            {
                int j = BitOperations.TrailingZeroCount(k);
                long distance = hosts[j] - hosts[i];
                if (distance <= -total || distance >= total || (distance == 0 && SameValue(op, list, i, j)))
                {
                    continue;
                }

                ulong address = Addresses[j];
                Report(Checks.LaneHazards, op, j, $"lanes {i} and {j} of one store write different values to 0x{address:x}");
                return;
            }
        }
    }

    private bool SameValue(MicroOp* op, int* list, int i, int j)
    {
        for (int e = 0; e < op->Count; e++)
        {
            uint* a = Row(list[e]);
            bool wide = list[op->Count + e] != 0;
            ulong vi = wide ? ((ulong*)a)[i] : a[i], vj = wide ? ((ulong*)a)[j] : a[j];
            ulong mask = op->Bytes == 8 ? ulong.MaxValue : (1UL << (8 * op->Bytes)) - 1;
            if (((vi ^ vj) & mask) != 0)
            {
                return false;
            }
        }

        return true;
    }

    // ---- atomics: lanes in lane order

    private static void Atomic(Interpreter x, MicroOp* op, uint m)
    {
        x.FillAddresses(op->A, (op->Flags & OpFlags.Address64) != 0, op->Offset);
        uint ok = x.Resolve(op, op->Space, m, op->Bytes, AccessKind.Atomic);
        if (x._counting)
        {
            ref SiteCounts c = ref x._counts[x._site];
            c.Atomics += BitOperations.PopCount(ok);
            for (uint l = ok; l != 0; l &= l - 1)
            {
                int i = BitOperations.TrailingZeroCount(l);
                for (uint k = ok & ((1u << i) - 1); k != 0; k &= k - 1)
                {
                    if (x.Hosts[BitOperations.TrailingZeroCount(k)] == x.Hosts[i])
                    {
                        c.AtomicClashes++;
                        break;
                    }
                }
            }
        }

        if (x._launch.Parallel)
        {
            lock (x._launch.AtomicLock)
            {
                x.ApplyAtomics(op, ok);
            }
        }
        else
        {
            x.ApplyAtomics(op, ok);
        }
    }

    private void ApplyAtomics(MicroOp* op, uint m)
    {
        uint* d = op->Code == OpCode.Atomic ? To(op->D) : To(-1), b = Row(op->B), c = op->C < 0 ? b : Row(op->C);
        var kind = (AtomicOp)op->Imm;
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            byte* p = Hosts[i];
            switch (op->Bytes)
            {
                case 8:
                    ulong old64 = *(ulong*)p;
                    *(ulong*)p = Combine64(kind, op->Type, old64, ((ulong*)b)[i], ((ulong*)c)[i]);
                    ((ulong*)d)[i] = old64;
                    break;
                case 4:
                    uint old = *(uint*)p;
                    // f32 sums flush subnormals in global memory; in shared memory they do not.
                    *(uint*)p = op->Type == PtxType.F32 && !(p >= _shared && p < _shared + _sharedBytes)
                        ? FlushBits(Combine32(kind, op->Type, FlushBits(old), FlushBits(b[i]), c[i])) : Combine32(kind, op->Type, old, b[i], c[i]);
                    d[i] = old;
                    break;
                default:
                    ushort old16 = *(ushort*)p;
                    *(ushort*)p = kind == AtomicOp.Cas
                        ? (ushort)Combine32(kind, op->Type, old16, b[i] & 0xFFFF, c[i]) : (ushort)AddHalves(old16, b[i] & 0xFFFF, op->Type == PtxType.BF16);
                    d[i] = old16;
                    break;
            }
        }
    }

    private static uint FlushBits(uint single) => (single & 0x7F80_0000) == 0 ? single & 0x8000_0000 : single;

    private static uint AddHalves(uint a, uint b, bool bf16)
    {
        uint* x = stackalloc uint[32], y = stackalloc uint[32];
        (x[0], y[0]) = (a, b);
        HalfOps.Row(OpCode.AddHalf, bf16 ? HalfKind.BF16 : HalfKind.F16, x, x, y, null, OpFlags.None, default, 1);
        return x[0];
    }

    private static uint Combine32(AtomicOp kind, PtxType type, uint old, uint b, uint c)
    {
        switch (kind)
        {
            case AtomicOp.Add:
                switch (type)
                {
                    case PtxType.F32:
                        float sum = BitConverter.UInt32BitsToSingle(old) + BitConverter.UInt32BitsToSingle(b);
                        return float.IsNaN(sum) ? FloatOps.CanonicalNan : BitConverter.SingleToUInt32Bits(sum);
                    case PtxType.F16x2 or PtxType.BF16x2:
                        bool bf16 = type == PtxType.BF16x2;
                        return AddHalves(old & 0xFFFF, b & 0xFFFF, bf16) | (AddHalves(old >> 16, b >> 16, bf16) << 16);
                    default:
                        return old + b;
                }

            case AtomicOp.Min: return type == PtxType.S32 ? (uint)Math.Min((int)old, (int)b) : Math.Min(old, b);
            case AtomicOp.Max: return type == PtxType.S32 ? (uint)Math.Max((int)old, (int)b) : Math.Max(old, b);
            case AtomicOp.And: return old & b;
            case AtomicOp.Or: return old | b;
            case AtomicOp.Xor: return old ^ b;
            case AtomicOp.Exch: return b;
            case AtomicOp.Cas: return old == b ? c : old;
            case AtomicOp.Inc: return old >= b ? 0 : old + 1;
            default: return old == 0 || old > b ? b : old - 1;
        }
    }

    private static ulong Combine64(AtomicOp kind, PtxType type, ulong old, ulong b, ulong c) => kind switch
    {
        AtomicOp.Add when type == PtxType.F64 => BitConverter.DoubleToUInt64Bits(BitConverter.UInt64BitsToDouble(old) + BitConverter.UInt64BitsToDouble(b)),
        AtomicOp.Add => old + b,
        AtomicOp.Min => type == PtxType.S64 ? (ulong)Math.Min((long)old, (long)b) : Math.Min(old, b),
        AtomicOp.Max => type == PtxType.S64 ? (ulong)Math.Max((long)old, (long)b) : Math.Max(old, b),
        AtomicOp.And => old & b,
        AtomicOp.Or => old | b,
        AtomicOp.Xor => old ^ b,
        AtomicOp.Exch => b,
        _ => old == b ? c : old,
    };

    // ---- asynchronous copies

    private static void CopyAsync(Interpreter x, MicroOp* op, uint m)
    {
        int bytes = op->Bytes;
        // Global side: with a source size below the chunk only that much is read, and nothing at all with 0.
        ulong* data = stackalloc ulong[64];
        new Span<ulong>(data, 64).Clear();
        uint* sizes = op->C < 0 ? null : x.Row(op->C);
        x.FillAddresses(op->B, true, op->Offset2);
        uint full = 0, partial = 0;
        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            uint size = sizes is null ? (uint)bytes : sizes[i];
            if (size > (uint)bytes)
            {
                if ((x._checks & Checks.AsyncCopies) != 0)
                {
                    x.Report(Checks.AsyncCopies, op, i, $"the source size {size} is larger than the chunk of {bytes} bytes");
                }

                size = (uint)bytes;
            }

            full |= (size == (uint)bytes ? 1u : 0) << i;
            partial |= (size > 0 && size < (uint)bytes ? 1u : 0) << i;
        }

        uint aligned = x.CheckAlignment(op, full | partial, bytes);
        uint read = full & aligned;
        read = read == 0 ? 0 : x.ResolveGlobal(op, read, bytes, AccessKind.Read);
        for (uint l = read; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            Buffer.MemoryCopy(x.Hosts[i], data + (2 * i), 16, bytes);
        }

        for (uint l = partial & aligned; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            if (x.ResolveGlobal(op, 1u << i, (int)sizes![i], AccessKind.Read) != 0)
            {
                Buffer.MemoryCopy(x.Hosts[i], data + (2 * i), 16, sizes[i]);
            }
        }

        // Shared side.
        x.FillAddresses(op->A, (op->Flags & OpFlags.Address64) != 0, op->Offset);
        uint ok = x.CheckAlignment(op, m, bytes);
        bool late = x._launch.Options.Delivery == AsyncDelivery.Late;
        for (uint l = ok; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            ulong a = x.Addresses[i];
            if (a > (ulong)x._sharedBytes || a + (ulong)bytes > (ulong)x._sharedBytes)
            {
                x.Report(Checks.Bounds, op, i, $"asynchronous copy to shared byte {a}, {bytes} wide: the block has {x._sharedBytes}");
                ok &= ~(1u << i);
                continue;
            }

            x._sharedShadow?.CopyIssued(x._site, i, (int)a, bytes);
            var copy = new PendingCopy
            {
                Lane = i,
                Offset = (int)a,
                Bytes = bytes,
                Group = -1,
                Site = x._site,
                Data = new UInt128(data[(2 * i) + 1], data[2 * i]),
            };
            x._warp.Copies.Add(copy);
            if (!late)
            {
                x.Deliver(copy);
            }
        }

        if (x._counting && ok != 0)
        {
            x.CountShared(ok, bytes, bytes switch { 16 => 8, 8 => 16, _ => 32 });
        }
    }

    private void Deliver(in PendingCopy copy)
    {
        UInt128 data = copy.Data;
        Buffer.MemoryCopy(&data, _shared + copy.Offset, copy.Bytes, copy.Bytes);
    }

    private static void CopyAsyncCommit(Interpreter x, MicroOp* op, uint m)
    {
        Warp w = x._warp;
        Span<PendingCopy> copies = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(w.Copies);
        for (int i = copies.Length - 1; i >= 0; i--)
        {
            ref PendingCopy c = ref copies[i];
            if (c.Group < 0 && ((m >> c.Lane) & 1) != 0)
            {
                c.Group = w.Committed[c.Lane];
            }
        }

        for (; m != 0; m &= m - 1)
        {
            w.Committed[BitOperations.TrailingZeroCount(m)]++;
        }
    }

    private static void CopyAsyncWait(Interpreter x, MicroOp* op, uint m)
    {
        Warp w = x._warp;
        bool all = op->Code == OpCode.CopyAsyncWaitAll;
        int kept = 0;
        Span<PendingCopy> copies = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(w.Copies);
        for (int i = 0; i < copies.Length; i++)
        {
            PendingCopy c = copies[i];
            bool done = ((m >> c.Lane) & 1) != 0 && (all || (c.Group >= 0 && c.Group < w.Committed[c.Lane] - op->Imm));
            if (!done)
            {
                copies[kept++] = c;
                continue;
            }

            if (x._launch.Options.Delivery == AsyncDelivery.Late)
            {
                x.Deliver(c);
            }

            x._sharedShadow?.CopyLanded(c.Site, c.Lane, c.Offset, c.Bytes);
        }

        w.Copies.RemoveRange(kept, w.Copies.Count - kept);
    }

    private static void IsSpace(Interpreter x, MicroOp* op, uint m)
    {
        ulong* a = (ulong*)x.Row(op->A);
        uint bits = 0;
        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            ulong window = a[i] & ~((ulong)AddressWindows.WindowBytes - 1);
            PtxSpace space = window switch
            {
                (ulong)AddressWindows.Shared => PtxSpace.Shared,
                (ulong)AddressWindows.Local => PtxSpace.Local,
                (ulong)AddressWindows.Param => PtxSpace.Param,
                _ => PtxSpace.Global,
            };
            bits |= (space == op->Space ? 1u : 0) << i;
        }

        x.SetPredicateBits(op->D, bits, m);
    }
}
