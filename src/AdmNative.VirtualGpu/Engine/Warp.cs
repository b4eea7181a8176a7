using System.Runtime.InteropServices;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>A copy of cp.async that a lane has not waited for.</summary>
internal struct PendingCopy
{
    public int Lane, Offset, Bytes, Site;

    /// <summary>Number of the lane's group it belongs to; -1 while no commit_group has closed it.</summary>
    public int Group;

    /// <summary>What it will write.</summary>
    public UInt128 Data;
}

/// <summary>One warp: rows, predicates, and the frontier of (block, lanes) pairs that still have to run, lowest block first.</summary>
internal sealed unsafe class Warp : IDisposable
{
    private const int MaxEntries = 33;

    private readonly int[] _blocks = new int[MaxEntries];
    private readonly uint[] _masks = new uint[MaxEntries];

    public Warp(int index, int rows, int predicates, int localBytes, int warps)
    {
        Index = index;
        Rows = (uint*)NativeMemory.AlignedAlloc((nuint)rows * 128, 64);
        Predicates = (uint*)NativeMemory.AlignedAlloc((nuint)Math.Max(predicates, 1) * 4, 64);
        LocalBytes = localBytes;
        Local = (byte*)NativeMemory.AlignedAlloc((nuint)Math.Max(localBytes * 32, 16), 64);
        LocalWritten = new byte[localBytes * 32];
        Clocks = new uint[warps];
        Defined = new uint[rows];
        DefinedPredicates = new uint[predicates];
        LaneSync = new uint[32 * 32];
    }

    public int Index { get; }

    public uint* Rows { get; }

    public uint* Predicates { get; }

    public byte* Local { get; }

    public int LocalBytes { get; }

    public byte[] LocalWritten { get; }

    /// <summary>Lanes that exist and have not exited.</summary>
    public uint Live { get; set; }

    /// <summary>Carry flag of each lane.</summary>
    public uint Carry { get; set; }

    /// <summary>Entries of the frontier; 0 = every live lane waits at a barrier, or none is left.</summary>
    public int Count { get; private set; }

    public long Instructions { get; set; }

    public long LastRun { get; set; }

    /// <summary>Micro-ops run since another frontier entry last moved.</summary>
    public long Stale { get; set; }

    /// <summary>Vector clock: what this warp knows of the others through barriers.</summary>
    public uint[] Clocks { get; }

    /// <summary>Lanes holding a value, per row and predicate.</summary>
    public uint[] Defined { get; }

    public uint[] DefinedPredicates { get; }

    /// <summary>Time of the last synchronisation of all lanes, and of each pair.</summary>
    public uint AllSync { get; set; }

    public uint[] LaneSync { get; }

    /// <summary>Counts synchronisations between lanes.</summary>
    public uint Time { get; set; }

    public List<PendingCopy> Copies { get; } = [];

    /// <summary>Groups each lane has committed.</summary>
    public int[] Committed { get; } = new int[32];

    /// <summary>True when lane b is known to come after lane a's access at the time.</summary>
    public bool LanesOrdered(int a, int b, uint time) => AllSync > time || LaneSync[(a * 32) + b] > time;

    public void SyncLanes(uint mask)
    {
        Time++;
        if ((Live & ~mask) == 0)
        {
            AllSync = Time;
            return;
        }

        for (int a = 0; a < 32; a++)
        {
            for (int b = 0; b < 32; b++)
            {
                if (((mask >> a) & (mask >> b) & 1) != 0)
                {
                    LaneSync[(a * 32) + b] = Time;
                }
            }
        }
    }

    public void Reset(uint live)
    {
        Live = live;
        Carry = 0;
        Count = 0;
        Instructions = 0;
        LastRun = 0;
        Stale = 0;
        AllSync = 0;
        Time = 0;
        Copies.Clear();
        Array.Clear(Committed);
        Array.Clear(Clocks);
        Array.Clear(LaneSync);
        Array.Clear(LocalWritten);
        Clocks[Index] = 1;
        NativeMemory.Fill(Local, (nuint)(LocalBytes * 32), 0xFF);
        Add(0, live);
    }

    public int FirstBlock => _blocks[0];

    public int BlockAt(int i) => _blocks[i];

    /// <summary>Puts lanes at a block, keeping the order; lanes already there are joined.</summary>
    public void Add(int block, uint mask)
    {
        int i = Count;
        while (i > 0 && _blocks[i - 1] > block)
        {
            i--;
        }

        if (i > 0 && _blocks[i - 1] == block)
        {
            _masks[i - 1] |= mask;
            Stale = 0;
            return;
        }

        for (int k = Count; k > i; k--)
        {
            _blocks[k] = _blocks[k - 1];
            _masks[k] = _masks[k - 1];
        }

        _blocks[i] = block;
        _masks[i] = mask;
        Count++;
    }

    public (int Block, uint Mask) Take(int i)
    {
        (int, uint) entry = (_blocks[i], _masks[i]);
        Count--;
        for (int k = i; k < Count; k++)
        {
            _blocks[k] = _blocks[k + 1];
            _masks[k] = _masks[k + 1];
        }

        return entry;
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(Rows);
        NativeMemory.AlignedFree(Predicates);
        NativeMemory.AlignedFree(Local);
    }
}
