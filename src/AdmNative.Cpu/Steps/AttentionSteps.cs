using AdmNative.Core;
using AdmNative.Cpu.Kernels;

namespace AdmNative.Cpu.Steps;

/// <summary>Where the heads of qkv [N, ..., 3C] are, in either channel order.</summary>
internal readonly unsafe struct Heads(Operand qkv, int count, bool newOrder)
{
    private readonly int _depth = qkv.Columns / (3 * count);

    public int Tokens => qkv.RowsPerSample;

    public int Depth => _depth;

    /// <summary>Heads of all samples.</summary>
    public int Total => qkv.Samples * count;

    /// <summary>Head number index, counted over samples.</summary>
    public Head At(int index)
    {
        (int n, int head) = Math.DivRem(index, count);
        float* token = qkv.Row((long)n * Tokens);
        int part = newOrder ? count * _depth : _depth, first = newOrder ? head * _depth : head * 3 * _depth;
        float* q = token + first;
        return new Head((nint)q, (nint)(q + part), (nint)(q + (2 * part)), qkv.Stride, Tokens, _depth);
    }

    /// <summary>The columns of a head in x [N, ..., C], first token of its sample.</summary>
    public float* Columns(Operand x, int index)
    {
        (int n, int head) = Math.DivRem(index, count);
        return x.Row((long)n * Tokens) + (head * _depth);
    }
}

/// <summary>Softmax attention; one task per head, or several per head when there are fewer heads than threads.</summary>
internal sealed unsafe class AttentionStep<S, V> : ParallelStep
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private readonly Operand _o;
    private readonly Heads _heads;
    private readonly float* _scratch;
    private readonly long _scratchFloats;
    private readonly int _chunks;

    public AttentionStep(StepContext context, Attention op)
        : base(context.Pool)
    {
        _heads = new Heads(context.In(0), op.Heads, op.NewOrder);
        _o = context.Out;
        _scratch = (float*)context.Workspace;
        _scratchFloats = AttentionKernels<S, V>.ScratchFloats(_heads.Tokens, _heads.Depth);
        int blocks = (_heads.Tokens + AttentionKernels<S, V>.QueryBlock - 1) / AttentionKernels<S, V>.QueryBlock;
        _chunks = Chunks(_heads.Total, context.Pool.Threads, blocks);
    }

    public static long WorkspaceBytes(Shape qkv, int heads, int threads) =>
        threads * AttentionKernels<S, V>.ScratchFloats((int)(qkv.Rows / Math.Max(1, qkv[0])), qkv.Last / (3 * heads)) * sizeof(float);

    /// <summary>Parts a head is cut into: as few as keep all threads busy.</summary>
    public static int Chunks(int heads, int threads, int blocks) =>
        heads == 0 || heads % threads == 0 || heads >= 4 * threads ? 1 : Math.Min(blocks, ((4 * threads) + heads - 1) / heads);

    public override void Run() => RunPhase(0, _heads.Total * _chunks);

    protected override void Execute(int phase, int task, int worker)
    {
        (int index, int chunk) = Math.DivRem(task, _chunks);
        Head head = _heads.At(index);
        float* scratch = _scratch + (worker * _scratchFloats);
        float* o = _heads.Columns(_o, index);
        int block = AttentionKernels<S, V>.QueryBlock, blocks = (head.Tokens + block - 1) / block;
        int end = Math.Min(head.Tokens, (int)Tasks.Begin(blocks, _chunks, chunk + 1) * block);
        AttentionKernels<S, V>.Prepare(head, scratch);
        for (int q = (int)Tasks.Begin(blocks, _chunks, chunk) * block; q < end; q += block)
        {
            AttentionKernels<S, V>.Forward(head, scratch, o + (q * _o.Stride), _o.Stride, q, Math.Min(end, q + block));
        }
    }
}

/// <summary>Backward attention. Few heads: queries first (dq and the softmax statistics), then keys (dk, dv), each cut into parts.</summary>
internal sealed unsafe class AttentionGradStep<S, V> : ParallelStep
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private readonly Operand _o;
    private readonly Operand _dO;
    private readonly Heads _heads;
    private readonly Heads _grads;
    private readonly float* _state;
    private readonly float* _scratch;
    private readonly long _scratchFloats;
    private readonly int _chunks;

    public AttentionGradStep(StepContext context, AttentionGrad op)
        : base(context.Pool)
    {
        _heads = new Heads(context.In(0), op.Heads, op.NewOrder);
        _grads = new Heads(context.Out, op.Heads, op.NewOrder);
        (_o, _dO) = (context.In(1), context.In(2));
        _state = (float*)context.Workspace;
        _scratch = _state + StateFloats(_heads.Total, _heads.Tokens);
        _scratchFloats = AttentionGradKernels<S, V>.ScratchFloats(_heads.Tokens, _heads.Depth);
        int blocks = (_heads.Tokens + AttentionGradKernels<S, V>.QueryBlock - 1) / AttentionGradKernels<S, V>.QueryBlock;
        _chunks = AttentionStep<S, V>.Chunks(_heads.Total, context.Pool.Threads, blocks);
    }

    public static long WorkspaceBytes(Shape qkv, int heads, int threads)
    {
        int tokens = (int)(qkv.Rows / Math.Max(1, qkv[0]));
        long scratch = AttentionGradKernels<S, V>.ScratchFloats(tokens, qkv.Last / (3 * heads));
        return (StateFloats(qkv[0] * heads, tokens) + (threads * scratch)) * sizeof(float);
    }

    public override void Run()
    {
        RunPhase(0, _heads.Total * _chunks);
        if (_chunks > 1)
        {
            RunPhase(1, _heads.Total * _chunks);
        }
    }

    protected override void Execute(int phase, int task, int worker)
    {
        (int index, int chunk) = Math.DivRem(task, _chunks);
        (Head head, Head grad) = (_heads.At(index), _grads.At(index));
        float* scratch = _scratch + (worker * _scratchFloats);
        float* state = _state + ((long)index * head.Tokens * AttentionGradKernels<S, V>.StateFloats);
        float* o = _heads.Columns(_o, index);
        float* dO = _heads.Columns(_dO, index);
        AttentionGradKernels<S, V>.Prepare(head, scratch);
        if (phase == 0)
        {
            (int begin, int end) = Range(head.Tokens, AttentionGradKernels<S, V>.QueryBlock, chunk);
            AttentionGradKernels<S, V>.Queries(
                head, o, _o.Stride, dO, _dO.Stride, grad, state, scratch, begin, end, keysToo: _chunks == 1);
        }
        else
        {
            (int begin, int end) = Range(head.Tokens, AttentionGradKernels<S, V>.KeyUnit, chunk);
            if (begin < end)
            {
                AttentionGradKernels<S, V>.Keys(head, dO, _dO.Stride, grad, state, scratch, begin, end);
            }
        }
    }

    private static long StateFloats(long heads, int tokens) =>
        ((heads * tokens * AttentionGradKernels<S, V>.StateFloats) + 15) / 16 * 16;

    private (int Begin, int End) Range(int tokens, int unit, int chunk)
    {
        int units = (tokens + unit - 1) / unit;
        return ((int)Tasks.Begin(units, _chunks, chunk) * unit, Math.Min(tokens, (int)Tasks.Begin(units, _chunks, chunk + 1) * unit));
    }
}
