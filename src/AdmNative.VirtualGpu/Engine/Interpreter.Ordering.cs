using System.Numerics;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>A word that blocks hand work over by: which of them released what they did there, in order, and who was last.</summary>
internal sealed class HandOver
{
    public Dictionary<int, int> Released { get; } = [];

    public int LastAtomic { get; set; } = -1;
}

// What one block may see of another's work: it was released by a fence and an atomic (or a strong store) on a word, and acquired by an atomic or a strong
// load on the same word. A block that releases is taken to have released all it did: writes it makes after that are not told apart.
internal sealed unsafe partial class Interpreter
{
    /// <summary>Lanes of each warp that wrote global memory, or passed a barrier behind such a write, and have not fenced since; null when nobody watches.</summary>
    private uint[]? _unfenced;

    private readonly Dictionary<HandOver, int> _acquired = [];

    private void ResetOrdering()
    {
        _acquired.Clear();
        _unfenced = (_checks & Checks.InterCta) != 0 && _launch.Program.HandsOver ? new uint[_warps.Length] : null;
    }

    private static void Fence(Interpreter x, MicroOp* op, uint m)
    {
        if (x._unfenced is not null && op->Imm == 0)
        {
            x._unfenced[x._warp.Index] &= ~m;
        }
    }

    /// <summary>Behind a barrier every thread answers for what the others wrote.</summary>
    private void BarrierCarriesWrites()
    {
        if (_unfenced is not null && _unfenced.AsSpan().ContainsAnyExcept(0u))
        {
            Array.Fill(_unfenced, uint.MaxValue);
        }
    }

    /// <summary>An atomic or strong access: what is fenced is released there, what others released there is acquired.</summary>
    private void HandOverAt(MicroOp* op, uint m, AccessKind kind)
    {
        uint[]? unfenced = _unfenced;
        if (unfenced is null)
        {
            return;
        }

        bool releases = (op->Flags & OpFlags.Release) != 0;
        for (; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            HandOver word = _launch.HandOverOf(Addresses[lane]);
            if (kind != AccessKind.Write)
            {
                _acquired[word] = word.Released.Count;
            }

            if (kind is AccessKind.Write or AccessKind.Atomic && (releases || ((unfenced[_warp.Index] >> lane) & 1) == 0))
            {
                word.Released.TryAdd(_ctaIndex, word.Released.Count);
            }

            if (kind == AccessKind.Atomic)
            {
                word.LastAtomic = _ctaIndex;
            }
        }
    }

    /// <summary>True when the block of this shadow entry (index + 1, negative after atomics) finished its work before, as far as this block can know.</summary>
    private bool HappenedBefore(int entry, int lane)
    {
        if (_unfenced is null)
        {
            return false;
        }

        // Own atomics come after those of others on the same word.
        if (entry < 0 && _launch.HandOverOf(Addresses[lane]).LastAtomic == _ctaIndex)
        {
            return true;
        }

        if (entry == int.MinValue)
        {
            return false;
        }

        foreach ((HandOver word, int seen) in _acquired)
        {
            if (word.Released.TryGetValue(Math.Abs(entry) - 1, out int at) && at < seen)
            {
                return true;
            }
        }

        return false;
    }
}
