using System.Numerics;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Jit;

namespace AdmNative.VirtualGpu.Engine;

// Compiled regions under the interpreter's scheduler: the same turns, budgets and stops at the same blocks.
internal sealed unsafe partial class Interpreter
{
    private readonly CompiledKernel? _compiled;
    private long _entryInstructions;

    /// <summary><see cref="RunBlocks"/> with compiled code for the straight parts and uniform branches.</summary>
    private void RunCompiled(CompiledKernel compiled, Warp w, int block, uint mask, bool single)
    {
        long budget = Patience;
        int lanes = BitOperations.PopCount(mask);
        int warmUp = _launch.Options.Engine == EngineKind.Jit ? 0 : CompiledKernel.WarmUp;
        RegionPlan plan = compiled.Plan;
        int piece = plan.FirstPiece[block];
        RegionFrame frame = default;
        while (true)
        {
            int next, exit;
            long done;
            _entryInstructions = w.Instructions;
            if (compiled.Find(piece, mask, warmUp) is { } code)
            {
                frame.Entry = piece - plan.Starts[plan.RegionOf[piece]];
                frame.Bound = w.Count > 0 ? w.FirstBlock : int.MaxValue;
                frame.Limit = Limit(w, budget, lanes, single);
                exit = code(this, R, P, mask, &frame);
                (next, done) = (frame.Next, frame.Done);
            }
            else
            {
                Piece cold = plan.Pieces[piece];
                RunStraight(cold.From, cold.To, mask);
                (exit, next, done) = cold.Last ? (RegionExit.Ended, cold.Block, 0L) : (RegionExit.Piece, piece + 1, 0L);
            }

            MicroOp* transfer = null;
            if (exit == RegionExit.Ended)
            {
                Block b = _blocks[next];
                done += b.Count;
                int last = b.Start + b.Count - 1;
                _site = last;
                transfer = RegionPlan.Ends(_kernel, b) ? _code + last : null;
                next = b.FallThrough;
            }

            w.Instructions = _entryInstructions + done;
            w.Stale += w.Count > 0 ? done : 0;
            budget -= done;
            if (exit == RegionExit.Piece)
            {
                _pendingSteps += done * lanes;
                piece = next;
                continue;
            }

            Settle(done * lanes, force: false);
            if (transfer is not null)
            {
                if (!Transfer(w, transfer, ref next, ref mask))
                {
                    return;
                }

                lanes = BitOperations.PopCount(mask);
            }

            if (single || _policy == SchedulePolicy.Random || budget <= 0 || (w.Count > 0 && w.FirstBlock <= next) || w.Stale > Patience)
            {
                w.Add(next, mask);
                return;
            }

            piece = plan.FirstPiece[next];
        }
    }

    /// <summary>Micro-ops after which the end of a block is the scheduler's business: a turn that is over, or steps to account for.</summary>
    private long Limit(Warp w, long budget, int lanes, bool single)
    {
        if (single || _policy == SchedulePolicy.Random)
        {
            return 1;
        }

        long steps = Math.Min(SettleSteps, _launch.Options.StepBudget) - _pendingSteps;
        long limit = Math.Min(budget, (steps + lanes - 1) / lanes);
        return w.Count > 0 ? Math.Min(limit, Patience + 1 - w.Stale) : limit;
    }

    /// <summary>Brings the warp's clock up to date inside a region.</summary>
    internal void SetClock(long done) => _warp.Instructions = _entryInstructions + done;
}
