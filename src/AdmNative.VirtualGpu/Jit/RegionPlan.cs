using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Jit;

/// <summary>Micro-ops of one block that are compiled together: a whole block, or a part of a long one.</summary>
/// <param name="Block">The block.</param>
/// <param name="From">First micro-op.</param>
/// <param name="To">End of the straight code; the op that ends the block is not part of it.</param>
/// <param name="Last">The block ends here, with its transfer if it has one.</param>
internal readonly record struct Piece(int Block, int From, int To, bool Last);

/// <summary>Cuts a kernel into regions: runs of neighbouring blocks, each small enough that the runtime still optimises its method, loops whole where they fit.</summary>
internal sealed unsafe class RegionPlan
{
    /// <summary>Micro-ops per region. The runtime drops to minimal optimisation in methods some three times as long.</summary>
    public const int MaxOps = 256;

    public RegionPlan(KernelProgram program)
    {
        Kernel kernel = program.Kernel;
        Block[] blocks = kernel.Blocks;
        int[] loopEnds = LoopEnds(kernel);
        var pieces = new List<Piece>();
        var starts = new List<int>();
        FirstPiece = new int[blocks.Length];
        int size = MaxOps;
        for (int i = 0; i < blocks.Length; i++)
        {
            Block b = blocks[i];
            int loop = 0;
            for (int k = i; k <= loopEnds[i]; k++)
            {
                loop += blocks[k].Count;
            }

            FirstPiece[i] = pieces.Count;
            if (size + b.Count > MaxOps || (loop <= MaxOps && size + loop > MaxOps))
            {
                starts.Add(pieces.Count);
                size = 0;
            }

            int end = b.Start + b.Count, stop = Ends(kernel, b) ? end - 1 : end, from = b.Start;
            for (; stop - from > MaxOps; from += MaxOps)
            {
                pieces.Add(new Piece(i, from, from + MaxOps, Last: false));
                starts.Add(pieces.Count);
            }

            pieces.Add(new Piece(i, from, stop, Last: true));
            size += end - from;
        }

        Pieces = [.. pieces];
        Starts = [.. starts];
        RegionOf = new int[Pieces.Length];
        for (int r = 0; r < Starts.Length; r++)
        {
            RegionOf.AsSpan(Starts[r], End(r) - Starts[r]).Fill(r);
        }
    }

    public Piece[] Pieces { get; }

    /// <summary>First piece of each region.</summary>
    public int[] Starts { get; }

    /// <summary>Region of each piece.</summary>
    public int[] RegionOf { get; }

    /// <summary>First piece of each block.</summary>
    public int[] FirstPiece { get; }

    /// <summary>One past the last piece of a region.</summary>
    public int End(int region) => region + 1 < Starts.Length ? Starts[region + 1] : Pieces.Length;

    /// <summary>Whether the last op of the block is a transfer of control.</summary>
    public static bool Ends(Kernel kernel, Block block) => kernel.Code[block.Start + block.Count - 1].Code is >= OpCode.Branch and <= OpCode.BarReduce;

    /// <summary>For each block the last one that branches back to it, or -1.</summary>
    private static int[] LoopEnds(Kernel kernel)
    {
        var ends = new int[kernel.Blocks.Length];
        Array.Fill(ends, -1);
        for (int i = 0; i < ends.Length; i++)
        {
            Block b = kernel.Blocks[i];
            ref readonly MicroOp last = ref kernel.Code[b.Start + b.Count - 1];
            if (last.Code == OpCode.Branch && last.Imm <= i)
            {
                ends[last.Imm] = Math.Max(ends[last.Imm], i);
            }
        }

        return ends;
    }
}
