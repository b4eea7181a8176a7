using System.Reflection.Emit;
using System.Runtime.Intrinsics;

namespace AdmNative.VirtualGpu.Jit;

/// <summary>
/// Keeps the vectors of a straight run of code in a few locals, written back when a call needs them or the run ends. A slot is 16 lanes of a 32-bit
/// row or 8 of a 64-bit one: 64 bytes of the row file. The least recently used local makes room.
/// </summary>
internal sealed class RowCache
{
    private readonly ILGenerator _il;
    private readonly LocalBuilder[] _locals;
    private readonly int[] _slots;
    private readonly bool[] _dirty;
    private readonly long[] _used;
    private long _time;

    public RowCache(ILGenerator il, int locals)
    {
        _il = il;
        _locals = [.. Enumerable.Range(0, locals).Select(_ => il.DeclareLocal(typeof(Vector512<uint>)))];
        _slots = new int[locals];
        Array.Fill(_slots, -1);
        _dirty = new bool[locals];
        _used = new long[locals];
    }

    /// <summary>Whether the op being emitted, or a later one, may read a slot. Values of others need not be kept.</summary>
    public Func<int, bool> Live { get; set; } = _ => true;

    /// <summary>Pushes a slot as Vector512 of uint.</summary>
    public void Load(int slot)
    {
        int i = Array.IndexOf(_slots, slot);
        if (i < 0)
        {
            i = Take(slot);
            Address(slot);
            _il.Emit(OpCodes.Ldobj, typeof(Vector512<uint>));
            _il.Emit(OpCodes.Stloc, _locals[i]);
        }

        _used[i] = ++_time;
        _il.Emit(OpCodes.Ldloc, _locals[i]);
    }

    /// <summary>Pops a Vector512 of uint into a slot. Nothing may be on the stack below it: room is made by storing.</summary>
    public void Store(int slot)
    {
        int i = Array.IndexOf(_slots, slot);
        if (i < 0)
        {
            i = Take(slot);
        }

        _used[i] = ++_time;
        _dirty[i] = true;
        _il.Emit(OpCodes.Stloc, _locals[i]);
    }

    /// <summary>Writes a slot back if it changed.</summary>
    public void Flush(int slot)
    {
        int i = Array.IndexOf(_slots, slot);
        if (i >= 0)
        {
            WriteBack(i);
        }
    }

    /// <summary>Forgets a slot: somebody else writes it.</summary>
    public void Forget(int slot)
    {
        int i = Array.IndexOf(_slots, slot);
        if (i >= 0)
        {
            _slots[i] = -1;
            _dirty[i] = false;
        }
    }

    /// <summary>Ends the run: slots that somebody may still read are written back, all are forgotten.</summary>
    public void Clear(Func<int, bool> live)
    {
        for (int i = 0; i < _slots.Length; i++)
        {
            if (_slots[i] >= 0 && live(_slots[i]))
            {
                WriteBack(i);
            }

            _slots[i] = -1;
            _dirty[i] = false;
        }
    }

    private int Take(int slot)
    {
        // A free local, else one whose value nobody reads any more, else the one longest unused.
        int best = 0;
        for (int i = 0; i < _slots.Length; i++)
        {
            if (_slots[i] < 0 || !Live(_slots[i]))
            {
                best = i;
                break;
            }

            best = _used[i] < _used[best] ? i : best;
        }

        if (_slots[best] >= 0 && Live(_slots[best]))
        {
            WriteBack(best);
        }

        _slots[best] = slot;
        _dirty[best] = false;
        return best;
    }

    private void WriteBack(int i)
    {
        if (_dirty[i])
        {
            Address(_slots[i]);
            _il.Emit(OpCodes.Ldloc, _locals[i]);
            _il.Emit(OpCodes.Stobj, typeof(Vector512<uint>));
            _dirty[i] = false;
        }
    }

    private void Address(int slot)
    {
        _il.Emit(OpCodes.Ldarg_1);
        _il.Emit(OpCodes.Ldc_I4, slot * 64);
        _il.Emit(OpCodes.Add);
    }
}
