using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.VirtualGpu;

/// <summary>Largest number of 32-bit registers alive at one place of a kernel, by a backward walk over its blocks.</summary>
internal static class RegisterPressure
{
    public static int Of(Kernel kernel)
    {
        int n = kernel.RegisterRows;
        var flat = new List<int>();
        OperandRanges[] ranges = [.. kernel.Code.Select(op => OperandMap.Of(op, kernel, flat))];
        int[] operands = [.. flat];
        bool[] wide = WideRows(kernel);
        int blocks = kernel.Blocks.Length;
        var liveIn = new ulong[blocks][];
        for (int b = 0; b < blocks; b++)
        {
            liveIn[b] = new ulong[(n + 63) / 64];
        }

        int most = 0;
        bool changed = true;
        while (changed)
        {
            changed = false;
            most = 0;
            for (int b = blocks - 1; b >= 0; b--)
            {
                Block block = kernel.Blocks[b];
                var live = new ulong[(n + 63) / 64];
                foreach (int s in Successors(kernel, block))
                {
                    for (int i = 0; i < live.Length; i++)
                    {
                        live[i] |= liveIn[s][i];
                    }
                }

                int count = live.Sum(System.Numerics.BitOperations.PopCount);
                most = Math.Max(most, count);
                for (int i = block.Start + block.Count - 1; i >= block.Start; i--)
                {
                    OperandRanges r = ranges[i];
                    if (kernel.Code[i].Guard < 0)
                    {
                        Mark(operands, r.Destinations, r.DestinationCount, false);
                    }

                    Mark(operands, r.Sources, r.SourceCount, true);
                    Mark(operands, r.Uses, r.UseCount, true);
                    most = Math.Max(most, count);
                }

                if (!live.AsSpan().SequenceEqual(liveIn[b]))
                {
                    liveIn[b] = live;
                    changed = true;
                }

                void Mark(int[] rows, int start, int length, bool alive)
                {
                    for (int k = start; k < start + length; k++)
                    {
                        int row = rows[k];
                        for (int half = 0; half < 2; half++)
                        {
                            int at = row + half;
                            if (at >= n || (half == 1 && !wide[row]))
                            {
                                break;
                            }

                            ref ulong word = ref live[at >> 6];
                            ulong bit = 1UL << (at & 63);
                            if (((word & bit) != 0) != alive)
                            {
                                word ^= bit;
                                count += alive ? 1 : -1;
                            }
                        }
                    }
                }
            }
        }

        return Math.Min(most, 255);
    }

    /// <summary>Rows that begin a 64-bit register: its name stands in two rows.</summary>
    private static bool[] WideRows(Kernel kernel)
    {
        var wide = new bool[kernel.RegisterRows];
        int row = 0;
        foreach (PtxRegister r in kernel.Registers)
        {
            if (r.Type == PtxType.Pred)
            {
                continue;
            }

            bool two = r.Type.Bits() == 64;
            wide[row] = two;
            row += two ? 2 : 1;
        }

        return wide;
    }

    private static IEnumerable<int> Successors(Kernel kernel, Block block)
    {
        MicroOp last = kernel.Code[block.Start + block.Count - 1];
        if (last.Code == OpCode.Branch)
        {
            yield return last.Imm;
        }
        else if (last.Code == OpCode.BranchIndexed)
        {
            foreach (int target in kernel.RowLists[last.Extra])
            {
                yield return target;
            }
        }

        if (block.FallThrough >= 0)
        {
            yield return block.FallThrough;
        }
    }
}
