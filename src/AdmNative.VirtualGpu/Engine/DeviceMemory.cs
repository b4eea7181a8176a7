using System.Runtime.InteropServices;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>One device allocation, with the shadow the checks need.</summary>
internal sealed unsafe class Allocation
{
    private readonly Lock _touchLock = new();
    private long _touchedLaunch;

    public Allocation(long address, long bytes, string name)
    {
        Address = address;
        Bytes = bytes;
        Name = name;
        Host = (byte*)NativeMemory.AlignedAlloc((nuint)Math.Max(bytes, 1), 64);
        NativeMemory.Fill(Host, (nuint)bytes, 0xFF);
    }

    /// <summary>Device address of byte 0.</summary>
    public long Address { get; }

    public long Bytes { get; }

    /// <summary>Symbol name of a module variable, the name its owner gave it, or "".</summary>
    public string Name { get; }

    /// <summary>Host address of byte 0; null once freed.</summary>
    public byte* Host { get; private set; }

    public bool Freed => Host is null;

    /// <summary>Written bit per byte, or null when that check is off.</summary>
    public ulong[]? Written { get; set; }

    /// <summary>Launch the next two belong to.</summary>
    public long ShadowLaunch { get; set; }

    /// <summary>CTA + 1 that wrote each granule in this launch; negative: by an atomic; 0 = none; int.MinValue = atomics of several.</summary>
    public int[]? LastWriter { get; set; }

    /// <summary>CTA + 1 that read each granule; -1 = several.</summary>
    public int[]? LastReader { get; set; }

    /// <summary>One bit per 32-byte sector the launch <see cref="TouchedLaunch"/> read or wrote.</summary>
    public ulong[]? Touched { get; private set; }

    public long TouchedLaunch => Volatile.Read(ref _touchedLaunch);

    /// <summary>Marks the sectors from first to last (counted from byte 0) as touched by a launch.</summary>
    public void Touch(long launch, long first, long last)
    {
        if (TouchedLaunch != launch)
        {
            lock (_touchLock)
            {
                if (TouchedLaunch != launch)
                {
                    Touched = new ulong[(((Bytes + 31) >> 5) + 63) >> 6];
                    Volatile.Write(ref _touchedLaunch, launch);
                }
            }
        }

        ulong[] bits = Touched!;
        for (long s = first; s <= last; s++)
        {
            ref ulong word = ref bits[s >> 6];
            ulong bit = 1UL << (int)(s & 63);
            if ((word & bit) == 0)
            {
                Interlocked.Or(ref word, bit);
            }
        }
    }

    /// <summary>Starts to remember which bytes were written; until then all count as written.</summary>
    public void TrackWrites() => Written ??= new ulong[(Bytes + 63) / 64];

    /// <summary>Marks bytes as written.</summary>
    public void MarkWritten(long offset, long bytes)
    {
        if (Written is not { } bits)
        {
            return;
        }

        while (bytes > 0)
        {
            int bit = (int)(offset & 63);
            int n = (int)Math.Min(64 - bit, bytes);
            ulong mask = (n == 64 ? ulong.MaxValue : (1UL << n) - 1) << bit;
            ref ulong word = ref bits[offset >> 6];
            if ((word & mask) != mask)
            {
                Interlocked.Or(ref word, mask);
            }

            offset += n;
            bytes -= n;
        }
    }

    /// <summary>Offset of the first byte of the range that was never written, or -1.</summary>
    public long FirstUnwritten(long offset, long bytes)
    {
        if (Written is not { } bits)
        {
            return -1;
        }

        while (bytes > 0)
        {
            int bit = (int)(offset & 63);
            int n = (int)Math.Min(64 - bit, bytes);
            ulong mask = (n == 64 ? ulong.MaxValue : (1UL << n) - 1) << bit;
            ulong missing = ~bits[offset >> 6] & mask;
            if (missing != 0)
            {
                return (offset & ~63L) + System.Numerics.BitOperations.TrailingZeroCount(missing);
            }

            offset += n;
            bytes -= n;
        }

        return -1;
    }

    /// <summary>Takes over from another allocation which bytes of a range were written.</summary>
    public void CopyWritten(long offset, Allocation from, long fromOffset, long bytes)
    {
        if (Written is null)
        {
            return;
        }

        if (from.Written is null || from.FirstUnwritten(fromOffset, bytes) < 0)
        {
            MarkWritten(offset, bytes);
            return;
        }

        var written = new bool[bytes];
        for (long i = 0; i < bytes; i++)
        {
            written[i] = (from.Written[(fromOffset + i) >> 6] >> (int)((fromOffset + i) & 63) & 1) != 0;
        }

        for (long i = 0; i < bytes; i++)
        {
            ref ulong word = ref Written[(offset + i) >> 6];
            ulong bit = 1UL << (int)((offset + i) & 63);
            word = written[i] ? word | bit : word & ~bit;
        }
    }

    public void Free()
    {
        NativeMemory.AlignedFree(Host);
        Host = null;
    }
}

/// <summary>
/// Global memory: a table of allocations at 256-byte aligned addresses with a 256-byte red zone behind each. Freed ranges are never handed out
/// again, so a late access is always seen. Fresh bytes hold 0xFF: a NaN in every float format.
/// </summary>
internal sealed unsafe class DeviceMemory : IDisposable
{
    public const int RedZoneBytes = 256;

    private readonly List<Allocation> _allocations = [];
    private long _next = AddressWindows.GlobalBase;

    /// <summary>Live allocations.</summary>
    public int LiveCount => _allocations.Count(a => !a.Freed);

    /// <summary>Bytes of live allocations.</summary>
    public long LiveBytes { get; private set; }

    public Allocation Allocate(long bytes, string name = "")
    {
        var allocation = new Allocation(_next, bytes, name);
        _next = (_next + bytes + RedZoneBytes + 255) & ~255L;
        _allocations.Add(allocation);
        LiveBytes += bytes;
        return allocation;
    }

    /// <summary>Frees the allocation that begins at the address.</summary>
    /// <returns>False when no live allocation begins there.</returns>
    public bool Free(long address)
    {
        Allocation? found = Find(address);
        if (found is null || found.Freed || found.Address != address)
        {
            return false;
        }

        LiveBytes -= found.Bytes;
        found.Free();
        return true;
    }

    /// <summary>The allocation (live or freed) whose range or red zone holds the address, or null.</summary>
    public Allocation? Find(long address)
    {
        int low = 0, high = _allocations.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            Allocation a = _allocations[middle];
            if (address < a.Address)
            {
                high = middle - 1;
            }
            else if (middle + 1 < _allocations.Count && address >= _allocations[middle + 1].Address)
            {
                low = middle + 1;
            }
            else
            {
                return a;
            }
        }

        return null;
    }

    /// <summary>Host address of a range that lies wholly inside one live allocation, or null.</summary>
    public byte* Resolve(long address, long bytes)
    {
        Allocation? a = Find(address);
        return a is null || a.Freed || address - a.Address > a.Bytes - bytes ? null : a.Host + (address - a.Address);
    }

    /// <summary>Distinct 32-byte sectors a launch touched.</summary>
    public long TouchedSectors(long launch)
    {
        long sum = 0;
        foreach (Allocation a in _allocations)
        {
            if (a.TouchedLaunch == launch && a.Touched is { } bits)
            {
                foreach (ulong word in bits)
                {
                    sum += System.Numerics.BitOperations.PopCount(word);
                }
            }
        }

        return sum;
    }

    /// <summary>All allocations, live and freed, by address.</summary>
    public IReadOnlyList<Allocation> Allocations => _allocations;

    public void Dispose()
    {
        foreach (Allocation a in _allocations)
        {
            if (!a.Freed)
            {
                a.Free();
            }
        }

        _allocations.Clear();
        LiveBytes = 0;
    }
}
