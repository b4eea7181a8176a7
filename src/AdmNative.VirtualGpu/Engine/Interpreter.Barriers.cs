using System.Numerics;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Engine;

// Barriers of a CTA: 16, each with an optional thread count; sync waits, arrive does not, red also combines a predicate.
internal sealed unsafe partial class Interpreter
{
    private readonly Barrier[] _barriers = [.. Enumerable.Range(0, 16).Select(_ => new Barrier())];
    private int _waiting;

    private readonly record struct Waiter(Warp Warp, uint Mask, int Next, int Site);

    private sealed class Barrier
    {
        /// <summary>Threads it waits for; 0 = all that have not exited.</summary>
        public int Expected;

        /// <summary>Threads arrived, whole warps counted as 32; and lanes really arrived.</summary>
        public int Arrived, Lanes;

        public int FirstSite;

        public List<Waiter> Waiters { get; } = [];

        public uint[]? Clocks;

        public int True;

        public void Clear()
        {
            Expected = 0;
            Arrived = 0;
            Lanes = 0;
            True = 0;
            Waiters.Clear();
            Clocks?.AsSpan().Clear();
        }
    }

    private void ResetBarriers()
    {
        _waiting = 0;
        foreach (Barrier b in _barriers)
        {
            b.Clear();
            b.Clocks ??= new uint[_warps.Length];
        }
    }

    private void Arrive(Warp w, MicroOp* op, uint m, int next)
    {
        int lane = BitOperations.TrailingZeroCount(m);
        uint id = Row(op->A)[lane];
        uint count = op->B < 0 ? 0 : Row(op->B)[lane];
        for (uint l = m; l != 0; l &= l - 1)
        {
            int i = BitOperations.TrailingZeroCount(l);
            if (Row(op->A)[i] != id || (op->B >= 0 && Row(op->B)[i] != count))
            {
                Stop(Checks.Barriers, _site, "lanes of one warp name different barriers or counts", i);
            }
        }

        if (id > 15)
        {
            Stop(Checks.Barriers, _site, $"barrier {id}: there are 0 to 15", lane, Cuda.CudaStatus.IllegalInstruction);
        }

        if (op->B >= 0 && (count == 0 || count % 32 != 0))
        {
            Stop(Checks.Barriers, _site, $"barrier {id} for {count} threads: the count is a positive multiple of 32", lane, Cuda.CudaStatus.IllegalInstruction);
        }

        bool whole = m == w.Live;
        if (!whole && (op->Flags & OpFlags.Aligned) != 0 && (_checks & Checks.Barriers) != 0)
        {
            uint missing = w.Live & ~m;
            Report(Checks.Barriers, _site, lane, () =>
                $"divergent barrier {id}: lanes 0x{m:x8} arrive while lanes 0x{missing:x8} of the warp are elsewhere");
        }

        Barrier b = _barriers[id];
        if (b.Lanes > 0 && b.Expected != (int)count)
        {
            string earlier = Place(b.FirstSite);
            Stop(Checks.Barriers, _site, $"barrier {id} is awaited by {CountText(b.Expected)} at {earlier} and by {CountText((int)count)} here", lane);
        }

        if (b.Lanes == 0)
        {
            b.Expected = (int)count;
            b.FirstSite = _site;
        }

        b.Arrived += whole ? 32 : BitOperations.PopCount(m);
        b.Lanes += BitOperations.PopCount(m);
        for (int i = 0; i < b.Clocks!.Length; i++)
        {
            b.Clocks[i] = Math.Max(b.Clocks[i], w.Clocks[i]);
        }

        w.Clocks[w.Index]++;
        if (op->Code == OpCode.BarReduce)
        {
            b.True += BitOperations.PopCount(PredicateC(op) & m);
        }

        if (op->Code != OpCode.BarArrive)
        {
            b.Waiters.Add(new Waiter(w, m, next, _site));
            _waiting++;
        }

        TryComplete(b);
    }

    private static string CountText(int expected) => expected == 0 ? "all threads" : $"{expected} threads";

    private void TryComplete(Barrier b)
    {
        if (b.Lanes == 0)
        {
            return;
        }

        if (b.Expected > 0)
        {
            if (b.Arrived < b.Expected)
            {
                return;
            }
        }
        else
        {
            int live = 0;
            foreach (Warp w in _warps)
            {
                live += BitOperations.PopCount(w.Live);
            }

            if (b.Lanes < live)
            {
                return;
            }
        }

        BarrierCarriesWrites();
        foreach (Waiter waiter in b.Waiters)
        {
            Warp w = waiter.Warp;
            for (int i = 0; i < w.Clocks.Length; i++)
            {
                if (i != w.Index)
                {
                    w.Clocks[i] = Math.Max(w.Clocks[i], b.Clocks![i]);
                }
            }

            MicroOp* op = _code + waiter.Site;
            if (op->Code == OpCode.BarReduce)
            {
                bool result = op->Imm == 1 ? b.True == b.Lanes : b.True > 0;
                if (op->Imm == 0)
                {
                    for (uint l = waiter.Mask; op->D >= 0 && l != 0; l &= l - 1)
                    {
                        w.Rows[(op->D * 32) + BitOperations.TrailingZeroCount(l)] = (uint)b.True;
                    }
                }
                else if (op->D >= 0)
                {
                    w.Predicates[op->D] = (w.Predicates[op->D] & ~waiter.Mask) | (result ? waiter.Mask : 0);
                }
            }

            w.SyncLanes(waiter.Mask);
            if (waiter.Next >= 0)
            {
                w.Add(waiter.Next, waiter.Mask);
            }

            _waiting--;
        }

        b.Clear();
    }

    private void CompleteAfterExit()
    {
        foreach (Barrier b in _barriers)
        {
            if (b.Lanes > 0 && b.Expected == 0)
            {
                TryComplete(b);
            }
        }
    }

    private void ReportDeadlock()
    {
        var places = new List<string>();
        Waiter first = default;
        for (int id = 0; id < 16; id++)
        {
            foreach (IGrouping<int, Waiter> g in _barriers[id].Waiters.GroupBy(x => x.Site))
            {
                first = first.Warp is null ? g.First() : first;
                places.Add($"barrier {id} ({CountText(_barriers[id].Expected)}) at {Place(g.Key)}: {g.Sum(x => BitOperations.PopCount(x.Mask))} threads");
            }
        }

        Activate(first.Warp!);
        Stop(Checks.Barriers, first.Site, $"deadlock: every thread waits or has exited; {string.Join("; ", places)}");
    }
}
