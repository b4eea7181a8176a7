using System.Numerics;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Engine;

// Which lanes of which registers hold a value. Reported where a missing one matters: an address, a stored value, a branch, a barrier.
internal sealed unsafe partial class Interpreter
{
    private void TrackRegisters(MicroOp* op, int site, uint running, uint m)
    {
        uint[] rows = _warp.Defined, predicates = _warp.DefinedPredicates;
        if (op->Guard >= 0)
        {
            uint missing = running & ~predicates[op->Guard];
            if (missing != 0)
            {
                Report(Checks.UninitialisedRegisters, site, BitOperations.TrailingZeroCount(missing), () => "the predicate that guards this instruction was never set");
            }
        }

        if (m == 0)
        {
            return;
        }

        ref readonly OperandRanges r = ref _launch.Program.Ranges[site];
        int[] operands = _launch.Program.Operands;
        for (int i = 0; i < r.UseCount; i++)
        {
            int row = operands[r.Uses + i];
            uint missing = m & ~rows[row];
            if (missing != 0)
            {
                Report(
                    Checks.UninitialisedRegisters, op, BitOperations.TrailingZeroCount(missing),
                    $"register {_kernel.RowNames[row]} is used without a value");
                rows[row] |= missing; // once is enough
            }
        }

        uint defined = m;
        if (op->Code is OpCode.Selp32 or OpCode.Selp64)
        {
            uint c = PredicateC(op);
            defined &= predicates[op->C] & ((c & rows[op->A]) | (~c & rows[op->B]));
        }
        else
        {
            for (int i = 0; i < r.SourceCount; i++)
            {
                defined &= rows[operands[r.Sources + i]];
            }

            for (int i = 0; i < r.PredicateSourceCount; i++)
            {
                defined &= predicates[operands[r.PredicateSources + i]];
            }

            if (op->Code is OpCode.Mma or OpCode.Ballot or OpCode.Vote or OpCode.ReduceSync or OpCode.MatchAny or OpCode.MatchAll or OpCode.BarReduce)
            {
                defined = defined == m ? m : 0; // every lane's value enters every result
            }
            else if (op->Code == OpCode.Shuffle)
            {
                defined = m; // the shuffle itself narrows it to the lanes whose source had a value
            }
        }

        if (op->Code == OpCode.Shuffle)
        {
            _shuffleDefined = rows[op->A];
        }

        for (int i = 0; i < r.DestinationCount; i++)
        {
            ref uint d = ref rows[operands[r.Destinations + i]];
            d = (d & ~m) | defined;
        }

        for (int i = 0; i < r.PredicateDestinationCount; i++)
        {
            ref uint d = ref predicates[operands[r.PredicateDestinations + i]];
            d = (d & ~m) | defined;
        }
    }

    private uint _shuffleDefined;
}
