namespace AdmNative.Core;

/// <summary>
/// Addresses for buffers with known lifetimes: largest first, each into the tightest gap between the buffers already
/// placed that live at the same time. Quadratic in the number of buffers, with a very small constant.
/// </summary>
internal static class ArenaPacker
{
    /// <summary>Offsets by index, all multiples of <paramref name="alignment"/>.</summary>
    public static long[] Pack(IReadOnlyList<ArenaBuffer> buffers, int alignment, out long totalBytes)
    {
        var offsets = new long[buffers.Count];
        var placed = new List<Slot>(buffers.Count); // by offset
        totalBytes = 0;
        foreach (int index in Enumerable.Range(0, buffers.Count).OrderByDescending(i => buffers[i].Bytes).ThenBy(i => i))
        {
            ArenaBuffer buffer = buffers[index];
            long bytes = RoundUp(buffer.Bytes, alignment);
            if (bytes == 0)
            {
                continue;
            }

            long offset = BestFit(placed, buffer, bytes);
            offsets[index] = offset;
            totalBytes = Math.Max(totalBytes, offset + bytes);
            var slot = new Slot(offset, offset + bytes, buffer.First, buffer.Last);
            int at = placed.BinarySearch(slot);
            placed.Insert(at < 0 ? ~at : at, slot);
        }

        return offsets;
    }

    public static long RoundUp(long bytes, int alignment) => (bytes + alignment - 1) & -alignment;

    private static long BestFit(List<Slot> placed, ArenaBuffer buffer, long bytes)
    {
        long best = -1;
        long bestGap = long.MaxValue;
        long end = 0; // of what overlaps in time so far
        foreach (Slot slot in placed)
        {
            if (slot.First > buffer.Last || slot.Last < buffer.First)
            {
                continue;
            }

            long gap = slot.Offset - end;
            if (gap >= bytes && gap < bestGap)
            {
                best = end;
                bestGap = gap;
            }

            end = Math.Max(end, slot.End);
        }

        return best >= 0 ? best : end;
    }

    private readonly record struct Slot(long Offset, long End, int First, int Last) : IComparable<Slot>
    {
        public int CompareTo(Slot other) => Offset.CompareTo(other.Offset);
    }
}
