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
        public int Writer; // warp + 1; 0 = none
        public int WriterLane, WriteSite;
        public uint WriteClock, WriteTime;
        public bool WriteAtomic;
        public int Reader; // last reading warp + 1
        public uint ReadLanes, ReadTime;
        public int ReadSite;
        public int InFlight; // pending copies
        public int CopyWarp, CopyLane, CopySite;
    }

    private readonly Cell[] _cells = new Cell[(bytes + (1 << shift) - 1) >> shift];
    private readonly uint[] _readClocks = new uint[((bytes + (1 << shift) - 1) >> shift) * warps];
    private readonly byte[] _written = new byte[bytes];
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
        if (c.Writer != 0 && !(kind == AccessKind.Atomic && c.WriteAtomic))
        {
            if (c.Writer != self)
            {
                if (Races && c.WriteClock > w.Clocks[c.Writer - 1])
                {
                    (int other, int otherLane, int otherSite) = (c.Writer - 1, c.WriterLane, c.WriteSite);
                    owner.Report(Checks.SharedRaces, site, lane, $"race on shared byte {offset}: {Verb(kind)} here, written by warp {other} lane {otherLane} at {owner.Place(otherSite)} with no barrier between");
                }
            }
            else if (Hazards && kind != AccessKind.WarpRead && c.WriterLane != lane && c.WriteSite != site && !w.LanesOrdered(c.WriterLane, lane, c.WriteTime))
            {
                LaneHazard(site, lane, offset, kind, c.WriterLane, c.WriteSite, "written");
            }
            // ldmatrix gives a row to many lanes: the whole warp must have synchronised since the write.
            else if (Hazards && kind == AccessKind.WarpRead && w.AllSync <= c.WriteTime)
            {
                LaneHazard(site, lane, offset, kind, c.WriterLane, c.WriteSite, "written");
            }
        }

        if (!writes)
        {
            return;
        }

        if (Races)
        {
            for (int other = 0; other < warps; other++)
            {
                if (other != w.Index && _readClocks[(index * warps) + other] > w.Clocks[other])
                {
                    int readSite = c.ReadSite;
                    bool exact = c.Reader == other + 1;
                    owner.Report(Checks.SharedRaces, site, lane, $"race on shared byte {offset}: {Verb(kind)} here, read by warp {other}{(exact ? $" at {owner.Place(readSite)}" : "")} with no barrier between");
                    break;
                }
            }
        }

        if (Hazards && c.Reader == self && c.ReadSite != site)
        {
            uint others = c.ReadLanes & ~(1u << lane);
            for (; others != 0; others &= others - 1)
            {
                int other = System.Numerics.BitOperations.TrailingZeroCount(others);
                if (!w.LanesOrdered(other, lane, c.ReadTime))
                {
                    LaneHazard(site, lane, offset, kind, other, c.ReadSite, "read");
                    break;
                }
            }
        }
    }

    private void LaneHazard(int site, int lane, int offset, AccessKind kind, int other, int otherSite, string did) =>
        owner.Report(Checks.LaneHazards, site, lane, $"shared byte {offset} is {Verb(kind)} here, {did} by lane {other} of the same warp at {owner.Place(otherSite)} with no bar.warp.sync between");

    private void Record(ref Cell c, int index, int site, int lane, AccessKind kind)
    {
        Warp w = owner.CurrentWarp;
        int self = w.Index + 1;
        if (kind is AccessKind.Write or AccessKind.Atomic)
        {
            c.Writer = self;
            c.WriterLane = lane;
            c.WriteSite = site;
            c.WriteClock = w.Clocks[w.Index];
            c.WriteTime = w.Time;
            c.WriteAtomic = kind == AccessKind.Atomic;
            return;
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
        Warp w = owner.CurrentWarp;
        for (int other = 0; other < warps; other++)
        {
            if (other != w.Index && _readClocks[(index * warps) + other] > w.Clocks[other])
            {
                int readSite = c.ReadSite;
                bool exact = c.Reader == other + 1;
                owner.Report(Checks.AsyncCopies, site, lane, $"a copy to shared byte {offset} begins, but warp {other} read it{(exact ? $" at {owner.Place(readSite)}" : "")} with no barrier between");
                return;
            }
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
