namespace AdmNative.VirtualGpu.Engine;

/// <summary>How an access touches memory.</summary>
internal enum AccessKind : byte
{
    Read,

    Write,

    Atomic,

    /// <summary>A read by a whole warp at once (ldmatrix): races with other warps, not with lanes of its own.</summary>
    WarpRead,
}

/// <summary>
/// What is known about each granule of a CTA's shared memory: who wrote and read it last and when, whether it holds a value, and whether an asynchronous
/// copy is under way. Two accesses of different warps are ordered when a barrier lies between them (vector clocks), two of different lanes of
/// one warp when bar.warp.sync or a barrier does.
/// </summary>
internal sealed class SharedShadow(Interpreter owner, int bytes, int shift, int warps)
{
    private struct Cell
    {
        public uint Stamp;
        public int Writer; // warp + 1 of the last plain write; 0 = none
        public int WriterLane, WriteSite;
        public uint WriteClock, WriteTime;
        public int Atomic; // last warp + 1 that made an atomic
        public uint AtomicLanes, AtomicTime;
        public int AtomicSite;
        public int Reader; // last reading warp + 1
        public uint ReadLanes, ReadTime;
        public int ReadSite;
        public int InFlight; // pending copies
        public int CopyWarp, CopyLane, CopySite;
    }

    private readonly Cell[] _cells = new Cell[(bytes + (1 << shift) - 1) >> shift];
    private readonly uint[] _readClocks = new uint[((bytes + (1 << shift) - 1) >> shift) * warps];
    private readonly byte[] _written = new byte[bytes];
    private uint[]? _atomicClocks; // as those of reads; made by the first atomic
    private uint _stamp;

    private bool Races => (owner.Checks & Checks.SharedRaces) != 0;

    private bool Hazards => (owner.Checks & Checks.LaneHazards) != 0;

    public void Reset()
    {
        _stamp++;
        Array.Clear(_written);
    }

    private ref Cell At(int index)
    {
        ref Cell c = ref _cells[index];
        if (c.Stamp != _stamp)
        {
            c = new Cell { Stamp = _stamp };
            Array.Clear(_readClocks, index * warps, warps);
            _atomicClocks?.AsSpan(index * warps, warps).Clear();
        }

        return ref c;
    }

    /// <summary>Checks and records one lane's access to bytes that exist.</summary>
    public void Access(int site, int lane, int offset, int count, AccessKind kind)
    {
        int first = offset >> shift, last = (offset + count - 1) >> shift;
        bool flying = false;
        for (int i = first; i <= last; i++)
        {
            ref Cell c = ref At(i);
            if (c.InFlight > 0)
            {
                flying = true;
                (int warp, int by, int at) = (c.CopyWarp, c.CopyLane, c.CopySite);
                if ((owner.Checks & Checks.AsyncCopies) != 0)
                {
                    owner.Report(Checks.AsyncCopies, site, lane, $"shared byte {offset} is {Verb(kind)} while the copy that warp {warp} lane {by} issued at {owner.Place(at)} has not been waited for");
                }
            }

            Check(ref c, i, site, lane, offset, kind);
            Record(ref c, i, site, lane, kind);
        }

        if (kind is AccessKind.Read or AccessKind.WarpRead or AccessKind.Atomic)
        {
            CheckWritten(site, lane, offset, count, flying);
        }

        if (kind is AccessKind.Write or AccessKind.Atomic)
        {
            MarkWritten(offset, count);
        }
    }

    private static string Verb(AccessKind kind) => kind switch
    {
        AccessKind.Write => "written",
        AccessKind.Atomic => "updated",
        _ => "read",
    };

    private void CheckWritten(int site, int lane, int offset, int count, bool flying)
    {
        if (flying || (owner.Checks & Checks.UninitialisedMemory) == 0)
        {
            return;
        }

        for (int i = 0; i < count; i++)
        {
            if (_written[offset + i] == 0)
            {
                int at = offset + i;
                owner.Report(Checks.UninitialisedMemory, site, lane, $"shared byte {at} is read, nothing was written there");
                return;
            }
        }
    }

    private void MarkWritten(int offset, int count) => _written.AsSpan(offset, count).Fill(1);

    private void Check(ref Cell c, int index, int site, int lane, int offset, AccessKind kind)
    {
        Warp w = owner.CurrentWarp;
        int self = w.Index + 1;
        bool writes = kind is AccessKind.Write or AccessKind.Atomic;
        if (c.Writer != 0 && c.Writer != self)
        {
            if (Races && c.WriteClock > w.Clocks[c.Writer - 1])
            {
                (int other, int otherLane, int otherSite) = (c.Writer - 1, c.WriterLane, c.WriteSite);
                owner.Report(Checks.SharedRaces, site, lane, $"race on shared byte {offset}: {Verb(kind)} here, written by warp {other} lane {otherLane} at {owner.Place(otherSite)} with no barrier between");
            }
        }
        else if (Hazards && c.Writer == self)
        {
            LaneHazard(w, site, lane, offset, kind, 1u << c.WriterLane, c.WriteSite, c.WriteTime, "written");
        }

        if (c.Atomic != 0 && kind != AccessKind.Atomic)
        {
            int other = Races ? Unordered(_atomicClocks!, index) : -1;
            if (other >= 0)
            {
                int atomicSite = c.AtomicSite;
                bool exact = c.Atomic == other + 1;
                owner.Report(Checks.SharedRaces, site, lane, $"race on shared byte {offset}: {Verb(kind)} here, updated by warp {other}{(exact ? $" at {owner.Place(atomicSite)}" : "")} with no barrier between");
            }

            if (Hazards && c.Atomic == self)
            {
                LaneHazard(w, site, lane, offset, kind, c.AtomicLanes, c.AtomicSite, c.AtomicTime, "updated");
            }
        }

        if (!writes)
        {
            return;
        }

        if (Races)
        {
            int other = Unordered(_readClocks, index);
            if (other >= 0)
            {
                int readSite = c.ReadSite;
                bool exact = c.Reader == other + 1;
                owner.Report(Checks.SharedRaces, site, lane, $"race on shared byte {offset}: {Verb(kind)} here, read by warp {other}{(exact ? $" at {owner.Place(readSite)}" : "")} with no barrier between");
            }
        }

        if (Hazards && c.Reader == self)
        {
            LaneHazard(w, site, lane, offset, kind, c.ReadLanes, c.ReadSite, c.ReadTime, "read");
        }
    }

    /// <summary>Another warp whose access, noted in these clocks, no barrier puts before this one; -1 = none.</summary>
    private int Unordered(uint[] clocks, int index)
    {
        Warp w = owner.CurrentWarp;
        for (int other = 0; other < warps; other++)
        {
            if (other != w.Index && clocks[(index * warps) + other] > w.Clocks[other])
            {
                return other;
            }
        }

        return -1;
    }

    /// <summary>
    /// Reports an earlier access of the same warp by one of the lanes unless they synchronised since. Lanes of one instruction are no hazard; ldmatrix gives
    /// a row to many lanes, so the whole warp must have synchronised.
    /// </summary>
    private void LaneHazard(Warp w, int site, int lane, int offset, AccessKind kind, uint lanes, int otherSite, uint time, string did)
    {
        bool whole = kind == AccessKind.WarpRead;
        for (lanes &= whole ? uint.MaxValue : otherSite == site ? 0 : ~(1u << lane); lanes != 0; lanes &= lanes - 1)
        {
            int other = System.Numerics.BitOperations.TrailingZeroCount(lanes);
            if (whole ? w.AllSync <= time : !w.LanesOrdered(other, lane, time))
            {
                owner.Report(Checks.LaneHazards, site, lane, $"shared byte {offset} is {Verb(kind)} here, {did} by lane {other} of the same warp at {owner.Place(otherSite)} with no bar.warp.sync between");
                return;
            }
        }
    }

    private void Record(ref Cell c, int index, int site, int lane, AccessKind kind)
    {
        Warp w = owner.CurrentWarp;
        int self = w.Index + 1;
        switch (kind)
        {
            case AccessKind.Write:
                c.Writer = self;
                c.WriterLane = lane;
                c.WriteSite = site;
                c.WriteClock = w.Clocks[w.Index];
                c.WriteTime = w.Time;
                return;
            case AccessKind.Atomic:
                _atomicClocks ??= new uint[_readClocks.Length];
                _atomicClocks[(index * warps) + w.Index] = w.Clocks[w.Index];
                c.AtomicLanes = c.Atomic == self && c.AtomicTime == w.Time ? c.AtomicLanes | (1u << lane) : 1u << lane;
                c.Atomic = self;
                c.AtomicTime = w.Time;
                c.AtomicSite = site;
                return;
            default:
                break;
        }

        _readClocks[(index * warps) + w.Index] = w.Clocks[w.Index];
        uint lanes = kind == AccessKind.WarpRead ? 0 : 1u << lane;
        c.ReadLanes = c.Reader == self && c.ReadTime == w.Time ? c.ReadLanes | lanes : lanes;
        c.Reader = self;
        c.ReadTime = w.Time;
        c.ReadSite = site;
    }

    /// <summary>A copy begins: from now to its wait nobody may touch the bytes.</summary>
    public void CopyIssued(int site, int lane, int offset, int count)
    {
        for (int i = offset >> shift; i <= (offset + count - 1) >> shift; i++)
        {
            ref Cell c = ref At(i);
            if (c.InFlight > 0 && (owner.Checks & Checks.AsyncCopies) != 0)
            {
                (int warp, int by, int at) = (c.CopyWarp, c.CopyLane, c.CopySite);
                owner.Report(Checks.AsyncCopies, site, lane, $"a copy to shared byte {offset} begins while the one that warp {warp} lane {by} issued at {owner.Place(at)} is in flight");
            }

            if ((owner.Checks & Checks.AsyncCopies) != 0)
            {
                ReadBefore(ref c, i, site, lane, offset);
            }

            Check(ref c, i, site, lane, offset, AccessKind.Write);
            c.InFlight++;
            c.CopyWarp = owner.CurrentWarp.Index;
            c.CopyLane = lane;
            c.CopySite = site;
        }
    }

    /// <summary>The bytes were read since the last barrier by another warp: the copy may overtake that read.</summary>
    private void ReadBefore(ref Cell c, int index, int site, int lane, int offset)
    {
        int other = Unordered(_readClocks, index);
        if (other >= 0)
        {
            int readSite = c.ReadSite;
            bool exact = c.Reader == other + 1;
            owner.Report(Checks.AsyncCopies, site, lane, $"a copy to shared byte {offset} begins, but warp {other} read it{(exact ? $" at {owner.Place(readSite)}" : "")} with no barrier between");
        }
    }

    /// <summary>The lane has waited for its copy: it counts as written by it now.</summary>
    public void CopyLanded(int site, int lane, int offset, int count)
    {
        for (int i = offset >> shift; i <= (offset + count - 1) >> shift; i++)
        {
            ref Cell c = ref At(i);
            c.InFlight = Math.Max(0, c.InFlight - 1);
            Record(ref c, i, site, lane, AccessKind.Write);
        }

        MarkWritten(offset, count);
    }
}
