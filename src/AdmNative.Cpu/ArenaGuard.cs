using AdmNative.Core;

namespace AdmNative.Cpu;

/// <summary>
/// Debug mode ADMNATIVE_ARENA_CANARIES=1: before each step its result and scratch are filled with NaN (unless the result lies over an
/// operand), and after it every byte outside them must be what it was. Finds stray writes and reads of unwritten memory; slow.
/// </summary>
internal sealed unsafe class ArenaGuard
{
    private readonly Plan _plan;
    private readonly AlignedMemory _arena;
    private readonly byte[] _copy;

    public ArenaGuard(Plan plan, AlignedMemory arena)
    {
        if (arena.Bytes > Array.MaxLength)
        {
            throw new NotSupportedException($"{Variable}=1 copies the arena and takes at most 2 GiB; this one has {arena.Bytes} bytes");
        }

        _plan = plan;
        _arena = arena;
        _copy = new byte[arena.Bytes];
    }

    /// <summary>Environment variable that turns the mode on.</summary>
    public const string Variable = "ADMNATIVE_ARENA_CANARIES";

    public static bool IsWanted => Environment.GetEnvironmentVariable(Variable) == "1";

    public void Before(int index)
    {
        PlanStep step = _plan.Steps[index];
        var arena = new Span<byte>(_arena.Address, (int)_arena.Bytes);
        Visit(step, InPlace(step.Node) ? Region.Scratch : Region.Both, (offset, bytes) => new Span<byte>(_arena.Address + offset, bytes).Fill(0xFF));
        arena.CopyTo(_copy);
    }

    public void After(int index)
    {
        PlanStep step = _plan.Steps[index];
        Visit(step, Region.Both, (offset, bytes) => new ReadOnlySpan<byte>(_arena.Address + offset, bytes).CopyTo(_copy.AsSpan((int)offset)));
        int at = new ReadOnlySpan<byte>(_arena.Address, (int)_arena.Bytes).CommonPrefixLength(_copy);
        if (at < _copy.Length)
        {
            throw new InvalidOperationException(
                $"step {index} wrote to arena byte {at}, outside its result and scratch: {step.Node}, layout {_plan.Layouts[step.Node.Id]}");
        }
    }

    private static bool Overlap(long beginA, long endA, long beginB, long endB) => beginA < endB && beginB < endA;

    /// <summary>Whether the result lies over an operand, as a whole or (a concatenation whose parts are already in place) in part.</summary>
    private bool InPlace(Node node)
    {
        (long begin, long end) = Extent(node);
        foreach (Node input in node.Inputs)
        {
            if (_plan.Layouts[input.Id].Storage == Storage.Arena)
            {
                (long first, long last) = Extent(input);
                if (Overlap(begin, end, first, last))
                {
                    return true;
                }
            }
        }

        return false;
    }

    private (long Begin, long End) Extent(Node node)
    {
        ValueLayout layout = _plan.Layouts[node.Id];
        long rows = node.Shape.Rows;
        long floats = rows == 0 ? 0 : ((rows - 1) * layout.RowStride) + node.Shape.Last;
        return (layout.OffsetBytes, layout.OffsetBytes + (floats * sizeof(float)));
    }

    private void Visit(PlanStep step, Region region, Action<long, int> visit)
    {
        if (region == Region.Both)
        {
            ValueLayout layout = _plan.Layouts[step.Node.Id];
            for (long r = 0; r < step.Node.Shape.Rows; r++)
            {
                visit(layout.OffsetBytes + (r * layout.RowStride * sizeof(float)), step.Node.Shape.Last * sizeof(float));
            }
        }

        visit(step.WorkspaceOffsetBytes, (int)step.WorkspaceBytes);
    }

    private enum Region
    {
        Scratch,
        Both,
    }
}
