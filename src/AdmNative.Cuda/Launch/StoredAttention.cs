namespace AdmNative.Cuda;

/// <summary>Attention with stored scores, kernels/attn_plain.cu: any head dimension.</summary>
internal static class StoredAttention
{
    /// <summary>Scores, softmax, O. The workspace holds the scores.</summary>
    public static AttentionForwardPlan PlanForward(in AttentionShape shape, KernelDType dtype, in DeviceLimits limits)
    {
        var plan = new Planner(AttentionKernels.Forward, shape, dtype, limits);
        return new(shape, dtype, AttentionVersion.Stored, [plan.Scores(), plan.Rows("softmax", 8), plan.Apply(shape.Queries)], plan.ScoreBytes);
    }

    /// <summary>Scores, softmax, their gradients, dV, dQ, dK. The workspace holds scores and gradients.</summary>
    public static AttentionBackwardPlan PlanBackward(in AttentionShape shape, KernelDType dtype, in DeviceLimits limits)
    {
        var plan = new Planner(AttentionKernels.Backward, shape, dtype, limits);
        return new(
            shape, dtype, AttentionVersion.Stored,
            [
                plan.Scores(), plan.Rows("softmax", 8), plan.Scores(), plan.Rows("dsoftmax", 12), plan.Apply(shape.Keys), plan.Apply(shape.Queries),
                plan.Apply(shape.Keys),
            ],
            2 * plan.ScoreBytes);
    }

    /// <summary>The launches of a plan; everything has been checked.</summary>
    public static IReadOnlyList<KernelLaunch> EnqueueForward(AttentionForwardPlan plan, in AttentionTensors t, ulong workspace)
    {
        IReadOnlyList<PlannedLaunch> l = plan.Launches;
        AttentionShape shape = plan.Shape;
        return
        [
            KernelLaunch.Of(l[0], Scores(shape, t.Q, t.QStrides, t.K, t.KvStrides, workspace, AttentionKernels.Scale(shape.HeadDim))),
            KernelLaunch.Of(l[1], Rows(shape, workspace, 0, t.Lse)),
            KernelLaunch.Of(l[2], Apply(shape, workspace, false, t.V, t.KvStrides, t.O, t.OStrides, 1)),
        ];
    }

    /// <summary>The launches of a plan; everything has been checked.</summary>
    public static IReadOnlyList<KernelLaunch> EnqueueBackward(AttentionBackwardPlan plan, in AttentionGradients g, ulong workspace)
    {
        IReadOnlyList<PlannedLaunch> l = plan.Launches;
        (AttentionShape shape, AttentionTensors t) = (plan.Shape, g.Forward);
        float scale = AttentionKernels.Scale(shape.HeadDim);
        ulong gradients = workspace + (ulong)(plan.WorkspaceBytes / 2);
        return
        [
            KernelLaunch.Of(l[0], Scores(shape, t.Q, t.QStrides, t.K, t.KvStrides, workspace, scale)),
            KernelLaunch.Of(l[1], Rows(shape, workspace, 0, 0)),
            KernelLaunch.Of(l[2], Scores(shape, g.DO, g.DOStrides, t.V, t.KvStrides, gradients, 1)),
            KernelLaunch.Of(l[3], Rows(shape, workspace, gradients, 0)),
            KernelLaunch.Of(l[4], Apply(shape, workspace, true, g.DO, g.DOStrides, g.DV, g.DKvStrides, 1)),
            KernelLaunch.Of(l[5], Apply(shape, gradients, false, t.K, t.KvStrides, g.DQ, g.DQStrides, scale)),
            KernelLaunch.Of(l[6], Apply(shape, gradients, true, t.Q, t.QStrides, g.DK, g.DKvStrides, scale)),
        ];
    }

    private static AttnProductParams Scores(
        in AttentionShape s, ulong a, in AttentionStrides aStrides, ulong b, in AttentionStrides bStrides, ulong scores, float scale) => new()
        {
            A = a,
            B = b,
            Out = scores,
            AStrides = aStrides,
            BStrides = bStrides,
            Rows = s.Queries,
            Columns = s.Keys,
            Heads = s.Heads,
            D = s.HeadDim,
            Scale = scale,
        };

    private static AttnProductParams Apply(
        in AttentionShape s, ulong weights, bool transposed, ulong b, in AttentionStrides bStrides, ulong to, in AttentionStrides toStrides, float scale) => new()
        {
            A = weights,
            B = b,
            Out = to,
            BStrides = bStrides,
            OutStrides = toStrides,
            Rows = transposed ? s.Keys : s.Queries,
            Columns = transposed ? s.Queries : s.Keys,
            Heads = s.Heads,
            D = s.HeadDim,
            Scale = scale,
            Transposed = transposed ? 1 : 0,
        };

    private static AttnRowsParams Rows(in AttentionShape s, ulong p, ulong dp, ulong lse) =>
        new() { P = p, Dp = dp, Lse = lse, Rows = (long)s.N * s.Heads * s.Queries, Columns = s.Keys };

    private sealed class Planner(string op, AttentionShape shape, KernelDType dtype, DeviceLimits limits)
    {
        private readonly long _heads = (long)shape.N * shape.Heads, _scores = (long)shape.Queries * shape.Keys;
        private readonly long _operands = ((long)shape.Queries + shape.Keys) * shape.HeadDim * dtype.Bytes();

        /// <summary>Of all scores, rounded up so that what follows is aligned.</summary>
        public long ScoreBytes => LaunchRule.RoundUp(_heads * _scores * 4, 256);

        public PlannedLaunch Scores()
        {
            LaunchRule.Require(_scores <= int.MaxValue, op, $"stored scores: queries times keys must lie below 2^31, not {_scores}");
            return Launch($"scores_{dtype.Suffix()}", LaunchRule.CeilDiv(_scores, 256) * _heads, _heads * (_operands + (4 * _scores)));
        }

        public PlannedLaunch Rows(string name, int bytesPerScore) =>
            Launch($"{name}_f32", LaunchRule.CeilDiv(_heads * shape.Queries, 8), _heads * _scores * bytesPerScore);

        public PlannedLaunch Apply(int rows)
        {
            long elements = (long)rows * shape.HeadDim;
            LaunchRule.Require(elements <= int.MaxValue, op, $"stored scores: rows times head dimension must lie below 2^31, not {elements}");
            return Launch($"apply_{dtype.Suffix()}", LaunchRule.CeilDiv(elements, 256) * _heads, _heads * (_operands + (4 * _scores)));
        }

        private PlannedLaunch Launch(string name, long blocks, long traffic) =>
            new($"attn_plain_{name}", LaunchRule.Linear(op, blocks, 256, 0, limits), traffic);
    }
}
