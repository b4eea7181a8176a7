using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using AdmNative.Cuda;
using AdmNative.VirtualGpu.Ir;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>
/// Executes the CTAs of a launch one after another on one host thread. A warp runs until all its lanes wait or have exited; inside it the lanes at
/// the lowest block always go first, which brings diverged lanes together again. The interpreter does every check and all counting.
/// </summary>
internal sealed unsafe partial class Interpreter : IDisposable
{
    /// <summary>Rows behind the kernel's own: where results that nobody wants are written.</summary>
    public const int ScratchRows = 2;

    /// <summary>Micro-ops after which a warp whose other lanes stand still lets them run once, and a warp yields to the next.</summary>
    private const long Patience = 100_000;

    /// <summary>Lane steps a thread collects before it adds them to the launch's.</summary>
    private const long SettleSteps = 1 << 16;

    private readonly Launch _launch;
    private readonly Kernel _kernel;
    private readonly MicroOp* _code;
    private readonly nint* _handlers;
    private readonly nint[]? _ownHandlers; // keeps the pinned array alive
    private readonly Block[] _blocks;
    private readonly Checks _checks;
    private readonly bool _counting;
    private readonly bool _trackRegisters;
    private readonly SchedulePolicy _policy;
    private readonly Warp[] _warps;
    private readonly SiteCounts[] _counts;
    private readonly int _scratch;
    private readonly uint[] _definedTemplate;
    private readonly ApproxNoise _noise;
    private SplitMix _random;

    private Warp _warp = null!;
    private uint* R;
    private uint* P;
    private int* Lists;
    private int _site;
    private int _ctaIndex;
    private (int X, int Y, int Z) _cta;
    private long _clock;
    private long _pendingSteps;

    public Interpreter(Launch launch)
    {
        _launch = launch;
        _kernel = launch.Kernel;
        _code = launch.Program.Code;
        Lists = launch.Program.Lists;
        _blocks = _kernel.Blocks;
        _checks = launch.Options.Checks;
        _ownHandlers = (_checks & Checks.Numeric) != 0 ? WatchedHandlers() : null;
        _handlers = _ownHandlers is null ? launch.Program.Handlers : (nint*)Marshal.UnsafeAddrOfPinnedArrayElement(_ownHandlers, 0);
        _counting = launch.Options.Counters;
        _trackRegisters = (_checks & Checks.UninitialisedRegisters) != 0;
        _policy = launch.Options.Schedule;
        _compiled = launch.Compiled ? launch.Program.Compiled : null;
        _noise = new ApproxNoise(launch.Options.ApproxNoise, launch.Options.Seed);
        _counts = new SiteCounts[launch.Program.Length];
        _scratch = _kernel.Rows;
        _warps = new Warp[launch.Warps];
        for (int i = 0; i < _warps.Length; i++)
        {
            _warps[i] = new Warp(i, _kernel.Rows + ScratchRows, _kernel.Predicates, _kernel.LocalBytes, _warps.Length);
        }

        _definedTemplate = new uint[_kernel.Rows + ScratchRows];
        foreach (ConstantRow c in _kernel.Constants)
        {
            _definedTemplate[c.Row] = uint.MaxValue;
        }

        _allocations = new Allocation?[launch.Program.Length];
        _sharedBytes = launch.SharedBytes;
        _shared = (byte*)NativeMemory.AlignedAlloc((nuint)Math.Max(_sharedBytes, 16), 128);
        bool watchShared = (_checks & (Checks.SharedRaces | Checks.LaneHazards | Checks.AsyncCopies | Checks.UninitialisedMemory)) != 0;
        _sharedShadow = watchShared && _sharedBytes > 0 ? new SharedShadow(this, _sharedBytes, launch.Program.SharedShift, _warps.Length) : null;
    }

    /// <summary>What each micro-op did on this thread.</summary>
    public SiteCounts[] Counts => _counts;

    public Checks Checks => _checks;

    public Warp CurrentWarp => _warp;

    public void Dispose()
    {
        foreach (Warp w in _warps)
        {
            w.Dispose();
        }

        NativeMemory.AlignedFree(_shared);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private uint* Row(int row) => R + ((nint)row << 5);

    /// <summary>A destination; results nobody wants go to the scratch rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private uint* To(int row) => R + ((nint)(row < 0 ? _scratch : row) << 5);

    private uint* RowOrNull(int row) => row < 0 ? null : Row(row);

    /// <summary>Executes one CTA to its end.</summary>
    public void RunCta(int index)
    {
        _ctaIndex = index;
        uint gx = _launch.Shape.GridX, gy = _launch.Shape.GridY;
        _cta = ((int)((uint)index % gx), (int)((uint)index / gx % gy), (int)((uint)index / gx / gy));
        _random = new SplitMix(_launch.Options.Seed ^ ((ulong)(uint)index * 0xD6E8_FEB8_6659_FD93));
        _clock = 0;
        new Span<byte>(_shared, _sharedBytes).Fill(0xFF);
        _sharedShadow?.Reset();
        ResetBarriers();
        ResetOrdering();
        int threads = _launch.Threads;
        foreach (Warp w in _warps)
        {
            int lanes = Math.Min(32, threads - (w.Index * 32));
            w.Reset(lanes == 32 ? uint.MaxValue : (1u << lanes) - 1);
            FillRows(w);
        }

        while (true)
        {
            Warp? next = Pick();
            if (next is null)
            {
                break;
            }

            next.LastRun = ++_clock;
            Activate(next);
            RunWarp(next);
        }

        Settle(0, force: true);
        if (_waiting > 0)
        {
            ReportDeadlock();
        }
    }

    private void Activate(Warp w)
    {
        _warp = w;
        R = w.Rows;
        P = w.Predicates;
    }

    private void FillRows(Warp w)
    {
        int rows = _kernel.Rows + ScratchRows;
        Buffer.MemoryCopy(_launch.Template, w.Rows, (long)rows * 128, (long)rows * 128);
        new Span<uint>(w.Predicates, _kernel.Predicates).Clear();
        if (_trackRegisters)
        {
            _definedTemplate.CopyTo(w.Defined, 0);
            Array.Clear(w.DefinedPredicates);
        }

        uint bx = _launch.Shape.BlockX, by = _launch.Shape.BlockY;
        foreach (ConstantRow c in _kernel.Constants)
        {
            if (c.Kind != ConstantKind.Special)
            {
                continue;
            }

            for (int lane = 0; lane < 32; lane++)
            {
                uint thread = (uint)((w.Index * 32) + lane);
                uint? value = c.Name switch
                {
                    "%tid.x" => thread % bx,
                    "%tid.y" => thread / bx % by,
                    "%tid.z" => thread / bx / by,
                    "%ctaid.x" => (uint)_cta.X,
                    "%ctaid.y" => (uint)_cta.Y,
                    "%ctaid.z" => (uint)_cta.Z,
                    "%laneid" => (uint)lane,
                    "%warpid" => (uint)w.Index,
                    "%lanemask_eq" => 1u << lane,
                    "%lanemask_le" => uint.MaxValue >> (31 - lane),
                    "%lanemask_lt" => (1u << lane) - 1,
                    "%lanemask_ge" => uint.MaxValue << lane,
                    "%lanemask_gt" => ~(uint.MaxValue >> (31 - lane)),
                    _ => null,
                };
                if (value is null)
                {
                    break; // the same in the whole launch: in the template
                }

                if (c.Wide)
                {
                    ((ulong*)(w.Rows + (c.Row * 32)))[lane] = value.Value;
                }
                else
                {
                    w.Rows[(c.Row * 32) + lane] = value.Value;
                }
            }
        }
    }

    private Warp? Pick()
    {
        Warp? best = null;
        int runnable = 0;
        foreach (Warp w in _warps)
        {
            if (w.Count == 0)
            {
                continue;
            }

            runnable++;
            bool better = best is null || _policy switch
            {
                SchedulePolicy.InOrder => w.LastRun < best.LastRun && _yielded,
                SchedulePolicy.Reverse => !_yielded || w.LastRun < best.LastRun,
                SchedulePolicy.Adversarial => _yielded ? w.LastRun < best.LastRun : w.LastRun > best.LastRun,
                _ => _random.Next() % (ulong)runnable == 0,
            };
            if (better)
            {
                best = w;
            }
        }

        return best;
    }

    private bool _yielded;

    /// <summary>Runs the warp until it has no runnable lanes, or it is another's turn.</summary>
    private void RunWarp(Warp w)
    {
        long start = w.Instructions;
        _yielded = false;
        while (w.Count > 0)
        {
            int pick = 0;
            if (w.Count > 1 && w.Stale > Patience)
            {
                pick = w.Count - 1;
                w.Stale = 0;
                _launch.CountRotation();
            }

            (int block, uint mask) = w.Take(pick);
            if (_compiled is null)
            {
                RunBlocks(w, block, mask, single: pick != 0);
            }
            else
            {
                RunCompiled(_compiled, w, block, mask, single: pick != 0);
            }

            if (_launch.Stopped)
            {
                throw new LaunchStoppedException();
            }

            if (_policy == SchedulePolicy.Random)
            {
                return;
            }

            if (w.Instructions - start > Patience)
            {
                // Perhaps it waits for another warp: those that ran longest ago go first now.
                _yielded = true;
                return;
            }
        }
    }

    /// <summary>Runs lanes from a block on, without touching the frontier as long as they stay together and ahead of nobody.</summary>
    private void RunBlocks(Warp w, int block, uint mask, bool single)
    {
        long budget = Patience;
        while (true)
        {
            Block b = _blocks[block];
            int end = b.Start + b.Count;
            int last = end - 1;
            bool ends = _code[last].Code is >= OpCode.Branch and <= OpCode.BarReduce;
            int stop = ends ? last : end;
            RunStraight(b.Start, stop, mask);
            _site = last;
            w.Instructions += b.Count;
            w.Stale += w.Count > 0 ? b.Count : 0;
            budget -= b.Count;
            Settle((long)b.Count * BitOperations.PopCount(mask), force: false);
            int next = b.FallThrough;
            if (ends)
            {
                if (!Transfer(w, _code + last, ref next, ref mask))
                {
                    return;
                }
            }

            if (single || _policy == SchedulePolicy.Random || budget <= 0 || (w.Count > 0 && w.FirstBlock <= next) || w.Stale > Patience)
            {
                w.Add(next, mask);
                return;
            }

            block = next;
        }
    }

    private void Settle(long steps, bool force)
    {
        _pendingSteps += steps;
        if (!force && _pendingSteps < SettleSteps && _pendingSteps < _launch.Options.StepBudget)
        {
            return;
        }

        bool spent = _launch.Spend(_pendingSteps);
        _pendingSteps = 0;
        if (spent && !force)
        {
            Stop(Checks.None, _site, $"the launch executed more than {_launch.Options.StepBudget} lane instructions: an endless loop?");
        }
    }

    private void RunStraight(int from, int to, uint mask)
    {
        for (int i = from; i < to; i++)
        {
            MicroOp* op = _code + i;
            uint m = mask;
            if (op->Guard >= 0)
            {
                uint g = P[op->Guard];
                m &= op->GuardNegated ? ~g : g;
            }

            if (_counting)
            {
                ref SiteCounts c = ref _counts[i];
                c.Warps++;
                c.Lanes += BitOperations.PopCount(m);
            }

            _site = i;
            if (_trackRegisters)
            {
                TrackRegisters(op, i, mask, m);
            }

            if (m != 0)
            {
                ((delegate*<Interpreter, MicroOp*, uint, void>)_handlers[i])(this, op, m);
            }
        }
    }

    /// <summary>Executes the op that ends a block. True: the lanes in mask go on at next.</summary>
    private bool Transfer(Warp w, MicroOp* op, ref int next, ref uint mask)
    {
        uint m = mask;
        if (op->Guard >= 0)
        {
            uint g = P[op->Guard];
            m &= op->GuardNegated ? ~g : g;
        }

        if (_counting)
        {
            ref SiteCounts c = ref _counts[_site];
            c.Warps++;
            c.Lanes += BitOperations.PopCount(m);
        }

        if (_trackRegisters)
        {
            TrackRegisters(op, _site, mask, m);
        }

        uint rest = mask & ~m;
        switch (op->Code)
        {
            case OpCode.Branch:
                if (rest == 0)
                {
                    next = op->Imm;
                    return true;
                }

                if (m == 0)
                {
                    return true;
                }

                _counts[_site].Divergent++;
                // The lower block goes first.
                int taken = op->Imm;
                if (taken == next)
                {
                    return true;
                }

                if (taken < next)
                {
                    w.Add(next, rest);
                    (next, mask) = (taken, m);
                }
                else
                {
                    w.Add(taken, m);
                    mask = rest;
                }

                return true;
            case OpCode.BranchIndexed:
                BranchIndexed(w, op, m);
                break;
            case OpCode.Exit:
                ExitLanes(w, m);
                break;
            case OpCode.Trap:
                if (m != 0)
                {
                    Stop(Checks.None, _site, "trap", status: CudaStatus.LaunchFailed);
                }

                break;
            default:
                if (m != 0)
                {
                    Arrive(w, op, m, next);
                    if (op->Code == OpCode.BarArrive)
                    {
                        rest = mask; // it does not wait
                    }
                }

                break;
        }

        mask = rest;
        if (rest == 0 || next < 0)
        {
            return false;
        }

        return true;
    }

    private void BranchIndexed(Warp w, MicroOp* op, uint m)
    {
        uint* a = Row(op->A);
        bool diverged = false;
        int first = -1;
        for (; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            if (a[i] >= (uint)op->E)
            {
                Stop(Checks.None, _site, $"brx.idx {a[i]} in a list of {op->E} targets", i, CudaStatus.InvalidPc);
            }

            int target = Lists[op->Extra + (int)a[i]];
            diverged |= first >= 0 && target != first;
            first = target;
            w.Add(target, 1u << i);
        }

        _counts[_site].Divergent += diverged ? 1 : 0;
    }

    private void ExitLanes(Warp w, uint m)
    {
        w.Live &= ~m;
        if (m != 0 && _waiting > 0)
        {
            CompleteAfterExit();
        }
    }

    // ---- findings

    // Messages are made before the call: a lambda would cost an allocation on every access, found or not. A finding that repeats is
    // only counted, so its text is made in vain at most as often as the bug strikes.
    private void Report(Checks check, MicroOp* op, int lane, string message) => Report(check, (int)(op - _code), lane, message);

    internal void Report(Checks check, int site, int lane, string message) => _launch.Add(check, site, () => message, _cta, _warp.Index, lane);

    private void Report(Checks check, int site, int lane, Func<string> message) => _launch.Add(check, site, message, _cta, _warp.Index, lane);

    internal string Place(int site) => _launch.Place(site);

    /// <summary>Ends the launch. Hardware would hang where nothing else is said: a deadlock, an endless loop.</summary>
    private void Stop(Checks check, int site, string message, int lane = -1, CudaStatus status = CudaStatus.LaunchTimeout)
    {
        _launch.StopStatus = status;
        _launch.Add(check, site, () => message, _cta, _warp.Index, lane);
        _launch.Stopped = true;
        throw new LaunchStoppedException();
    }
}
