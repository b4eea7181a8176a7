using System.Collections;
using AdmNative.VirtualGpu.Engine;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Jit;

/// <summary>Which rows some lane may still read after each block; the others need not be written back.</summary>
internal sealed class RowLiveness
{
    private readonly KernelProgram _program;
    private readonly Kernel _kernel;
    private readonly BitArray _crossLane;
    private readonly BitArray[] _out;

    public RowLiveness(KernelProgram program)
    {
        _program = program;
        _kernel = program.Kernel;
        Block[] blocks = _kernel.Blocks;

        // Rows read across lanes count as live everywhere: a lane that is elsewhere, or has exited, still lends its value.
        _crossLane = new BitArray(_kernel.Rows + 1);
        for (int i = 0; i < _kernel.Code.Length; i++)
        {
            if (_kernel.Code[i].Code is OpCode.Shuffle or OpCode.Mma or OpCode.MoveMatrix or OpCode.LoadMatrix or OpCode.StoreMatrix)
            {
                Read(i, _crossLane);
            }
        }

        var liveIn = new BitArray[blocks.Length];
        _out = new BitArray[blocks.Length];
        for (int b = 0; b < blocks.Length; b++)
        {
            (liveIn[b], _out[b]) = (new BitArray(_crossLane), new BitArray(_crossLane));
        }

        bool changed = true;
        while (changed)
        {
            changed = false;
            for (int b = blocks.Length - 1; b >= 0; b--)
            {
                foreach (int next in Successors(blocks[b]))
                {
                    _out[b].Or(liveIn[next]);
                }

                var live = new BitArray(_out[b]);
                for (int i = blocks[b].Start + blocks[b].Count - 1; i >= blocks[b].Start; i--)
                {
                    Write(i, live);
                    Read(i, live);
                }

                live.Or(_crossLane);
                var difference = new BitArray(live);
                if (difference.Xor(liveIn[b]).HasAnySet())
                {
                    liveIn[b] = live;
                    changed = true;
                }
            }
        }
    }

    /// <summary>For each op from start to end of a block: the rows that it or a later one may read. The last entry is what holds after the block.</summary>
    public BitArray[] Within(int block)
    {
        Block b = _kernel.Blocks[block];
        var live = new BitArray[b.Count + 1];
        live[b.Count] = _out[block];
        for (int i = b.Count - 1; i >= 0; i--)
        {
            live[i] = new BitArray(live[i + 1]);
            Write(b.Start + i, live[i]);
            Read(b.Start + i, live[i]);
            live[i].Or(_crossLane);
        }

        return live;
    }

    private IEnumerable<int> Successors(Block block)
    {
        if (block.FallThrough >= 0)
        {
            yield return block.FallThrough;
        }

        MicroOp last = _kernel.Code[block.Start + block.Count - 1];
        if (last.Code == OpCode.Branch)
        {
            yield return last.Imm;
        }
        else if (last.Code == OpCode.BranchIndexed)
        {
            foreach (int target in _kernel.RowLists[last.Extra])
            {
                yield return target;
            }
        }
    }

    private void Read(int site, BitArray live)
    {
        ref readonly OperandRanges r = ref _program.Ranges[site];
        foreach (int row in _program.Operands.AsSpan(r.Sources, r.SourceCount))
        {
            MarkPair(row, live);
        }

        foreach (int row in _program.Operands.AsSpan(r.Uses, r.UseCount))
        {
            MarkPair(row, live);
        }
    }

    /// <summary>A row and, where it may be the lower half of a 64-bit value, the next.</summary>
    private void MarkPair(int row, BitArray live)
    {
        live[row] = true;
        if (row + 1 < _kernel.Rows && _kernel.RowNames[row] == _kernel.RowNames[row + 1])
        {
            live[row + 1] = true;
        }
    }

    private void Write(int site, BitArray live)
    {
        ref readonly MicroOp op = ref _kernel.Code[site];
        if (op.Guard >= 0 || op.Code is OpCode.BarReduce)
        {
            return; // some lanes keep what they had
        }

        ref readonly OperandRanges r = ref _program.Ranges[site];
        foreach (int row in _program.Operands.AsSpan(r.Destinations, r.DestinationCount))
        {
            live[row] = false;
            if (WritesPairs(op))
            {
                live[row + 1] = false;
            }
        }
    }

    /// <summary>Ops whose only result is 64 bits wide.</summary>
    private static bool WritesPairs(in MicroOp op) => op.Code switch
    {
        OpCode.Mov64 or OpCode.Pack64 or OpCode.Add64 or OpCode.Sub64 or OpCode.MulLo64 or OpCode.MadLo64 or OpCode.And64 or OpCode.Or64 or OpCode.Xor64 or OpCode.Not64
            or OpCode.Neg64 or OpCode.Shl64 or OpCode.ShrU64 or OpCode.ShrS64 or OpCode.MulWideS32 or OpCode.MulWideU32 or OpCode.MadWideS32 or OpCode.MadWideU32
            or OpCode.Selp64 => true,
        OpCode.CvtInt => (op.Count & Engine.Convert.WideDest) != 0,
        _ => false,
    };
}
