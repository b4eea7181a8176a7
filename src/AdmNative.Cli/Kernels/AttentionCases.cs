using AdmNative.Core;
using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>Attention forward and backward: shapes, channel orders and inputs of the kernel design guide, section 7.</summary>
internal static class AttentionCases
{
    /// <summary>Sequence lengths of the guide.</summary>
    private static readonly int[] s_lengths = [1, 17, 49, 64, 65, 100, 196, 256, 784, 1024, 1025];

    /// <summary>All cases. f16 is tested at every length and head dimension that fits a test, the other types where their code differs; the rest is on request.</summary>
    public static IEnumerable<KernelCase> All() => Fused().Concat(PoolCases.All());

    private static IEnumerable<KernelCase> Fused()
    {
        foreach (KernelDType dtype in KernelDTypes.All)
        {
            foreach ((AttentionShape shape, bool newOrder, bool test) in Shapes(dtype))
            {
                yield return new AttentionForwardCase(dtype, shape, newOrder) { Full = !test };
                yield return new AttentionBackwardCase(dtype, shape, newOrder) { Full = !test };
            }

            // the classifier's pool: token 0 alone asks
            var pool = new AttentionShape(3, 1, 65, 4, 64);
            yield return new AttentionForwardCase(dtype, pool, newOrder: true);
            yield return new AttentionBackwardCase(dtype, pool, newOrder: true);
            var extreme = AttentionShape.Self(1, 100, 2, 64);
            yield return new AttentionForwardCase(dtype, extreme, newOrder: false, "scores 1e4", scale: 100);
            yield return new AttentionBackwardCase(dtype, extreme, newOrder: false, "scores 1e4", scale: 100);
            yield return new AttentionForwardCase(dtype, AttentionShape.Self(2, 65, 1, 64), newOrder: true, "equal keys", scale: 0);

            // above 256 scores are stored, by kernels that are judged by their results
            yield return new AttentionForwardCase(dtype, AttentionShape.Self(2, 19, 1, 264), newOrder: true) { Plain = true, Full = dtype != KernelDType.F16 };
            yield return new AttentionBackwardCase(dtype, AttentionShape.Self(2, 19, 1, 264), newOrder: true) { Plain = true, Full = dtype != KernelDType.F16 };
        }

        foreach (KernelDType dtype in (KernelDType[])[KernelDType.F16, KernelDType.BF16])
        {
            yield return new AttentionForwardCase(dtype, AttentionShape.Self(1, 100, 2, 64), newOrder: false, "scores 1e4", scale: 100, queryTile: 128) { Full = dtype != KernelDType.F16 };
            yield return new AttentionForwardCase(dtype, AttentionShape.Self(1, 196, 2, 64), newOrder: true, queryTile: 128) { Full = dtype != KernelDType.F16 };
            yield return new AttentionForwardCase(dtype, AttentionShape.Self(1, 130, 2, 24), newOrder: true, queryTile: 128) { Full = dtype != KernelDType.BF16 };
            yield return new AttentionForwardCase(dtype, AttentionShape.Self(2, 196, 3, 32), newOrder: true, queryTile: 128) { Full = true };
            yield return new AttentionForwardCase(dtype, AttentionShape.Self(1, 1025, 3, 64), newOrder: false, queryTile: 128) { Full = true };
        }
    }

    private static IEnumerable<(AttentionShape Shape, bool NewOrder, bool Test)> Shapes(KernelDType dtype)
    {
        bool half = dtype == KernelDType.F16, f32 = dtype == KernelDType.F32;
        foreach (int tokens in s_lengths)
        {
            foreach (int heads in f32 && tokens > 256 ? (int[])[1] : [1, 3, 16]) // without tensor cores long sequences take minutes, and heads share nothing
            {
                bool test = heads switch
                {
                    1 => tokens == 100 || (tokens == 65 && dtype != KernelDType.BF16) || (half && tokens == 196),
                    3 => tokens == 17 || (half && (tokens is 1 or 64)),
                    _ => half && tokens == 49,
                };
                yield return (AttentionShape.Self(tokens <= 17 ? 2 : 1, tokens, heads, 64), tokens % 2 == 0, test);
            }
        }

        foreach (int d in (int[])[32, 128])
        {
            foreach (int tokens in (int[])[1, 65, 196])
            {
                yield return (AttentionShape.Self(1, tokens, tokens == 1 ? 3 : 1, d), tokens == 65, tokens == 65 && (d == 128 || dtype != KernelDType.BF16));
            }
        }

        // tensor-core entries in f16 and bf16, with elements past d: padding in each of 32, 64 and 128
        foreach (int d in (int[])[8, 16, 48, 96, 120])
        {
            yield return (AttentionShape.Self(1, 81, 2, d), d % 16 == 0, half && d % 96 != 0 && d != 8);
        }

        foreach (int d in (int[])[1, 30, 192, 256])
        {
            yield return (AttentionShape.Self(1, 50, d > 100 ? 1 : 2, d), d % 4 == 0, d == 30 && dtype != KernelDType.BF16);
        }

        if (!f32)
        {
            yield return (AttentionShape.Self(1, 320, 1, 128), true, false); // five key tiles: every slot of the ring twice
        }
    }
}

/// <summary>What both directions share: data, layouts, the references and the same-type computation that tolerances are measured by.</summary>
internal abstract class AttentionCase(string operation, KernelDType dtype, AttentionShape shape, bool newOrder, string input, double scale)
    : KernelCase("attn", operation, dtype, Text(shape, newOrder), input)
{
    /// <summary>Elements between the rows of tensors beyond what they hold: whole sectors of 32 bytes, as rows of wider tensors have.</summary>
    protected const int Gap = 16;

    /// <summary>True where earlier versions stand beside ours: at 256 tokens, which their sentences speak of, and where tests are quick.</summary>
    protected bool Ladder => Input == "normal" && (Sizes == AttentionShape.Self(1, 256, 1, 64) || Sizes == AttentionShape.Self(1, 65, 1, 64));

    /// <summary>Sizes.</summary>
    protected AttentionShape Sizes { get; } = shape;

    /// <summary>Channels of all heads.</summary>
    protected int C => Sizes.Heads * Sizes.HeadDim;

    /// <summary>The op whose twin is the reference: it computes every query.</summary>
    protected Attention Op { get; } = new(shape.Heads, newOrder);

    private static string Text(AttentionShape s, bool newOrder) =>
        $"{s.N}x{s.Keys}x{s.Heads}x{s.HeadDim}{(s.Queries == s.Keys ? "" : $" queries {s.Queries}")} {(newOrder ? "new" : "legacy")}";

    /// <summary>qkv [N, keys, 3C], rounded.</summary>
    protected float[] Qkv()
    {
        float[] values = KernelInputs.Normal((long)Sizes.N * Sizes.Keys * 3 * C, 11, scale == 0 ? 1 : scale);
        for (int i = 0; scale == 0 && i < values.Length; i++)
        {
            values[i] = Part(i) == 1 ? 0.5f : values[i];
        }

        return KernelNumbers.Rounded(values, DType);
    }

    /// <summary>q (0), k (1) or v (2) for an element of qkv.</summary>
    protected int Part(long i)
    {
        long column = i % (3 * C);
        return (int)(Op.NewOrder ? column / C : column / Sizes.HeadDim % 3);
    }

    /// <summary>Strides of q, k and v in rows of 3C + Gap, and the elements from q to k.</summary>
    protected (AttentionStrides Strides, long Between) Layout()
    {
        long row = (3L * C) + Gap;
        return Op.NewOrder ? (AttentionStrides.HeadMajor(row, Sizes.Keys, Sizes.HeadDim), C) : (AttentionStrides.Legacy(row, Sizes.Keys, Sizes.HeadDim), Sizes.HeadDim);
    }

    /// <summary>O of all tokens in f64.</summary>
    protected double[] ReferenceO(float[] qkv) =>
        KernelInputs.Twin(Op, [Sizes.N, Sizes.Keys, C], KernelInputs.Host([Sizes.N, Sizes.Keys, 3 * C], qkv));

    /// <summary>The queries' rows of a tensor of all tokens.</summary>
    protected T[] Rows<T>(T[] all, int columns) =>
        [.. Enumerable.Range(0, Sizes.N).SelectMany(n => all.AsSpan(n * Sizes.Keys * columns, Sizes.Queries * columns).ToArray())];

    /// <summary>Scores of one query in f64.</summary>
    protected void Scores(float[] qkv, int n, int head, int query, double[] scores)
    {
        int q = Index(n, query, head, 0), d = Sizes.HeadDim;
        for (int j = 0; j < Sizes.Keys; j++)
        {
            double dot = 0;
            int k = Index(n, j, head, 1);
            for (int a = 0; a < d; a++)
            {
                dot += (double)qkv[q + a] * qkv[k + a];
            }

            scores[j] = dot / Math.Sqrt(d);
        }
    }

    /// <summary>Where a head's q, k or v of a token begins in qkv.</summary>
    protected int Index(int n, int token, int head, int part) =>
        (((n * Sizes.Keys) + token) * 3 * C) + (Op.NewOrder ? (part * C) + (head * Sizes.HeadDim) : ((head * 3) + part) * Sizes.HeadDim);

    /// <summary>LSE [N, heads, queries] in f64.</summary>
    protected double[] ReferenceLse(float[] qkv)
    {
        var lse = new double[Sizes.N * Sizes.Heads * Sizes.Queries];
        var scores = new double[Sizes.Keys];
        for (int i = 0; i < lse.Length; i++)
        {
            Scores(qkv, i / Sizes.Queries / Sizes.Heads, i / Sizes.Queries % Sizes.Heads, i % Sizes.Queries, scores);
            double max = scores.Max();
            lse[i] = max + Math.Log(scores.Sum(s => Math.Exp(s - max)));
        }

        return lse;
    }

    /// <summary>One rounding to the storage type.</summary>
    protected double Round(double value) => KernelNumbers.Decode(KernelNumbers.Encode((float)value, DType), DType);

    /// <summary>Largest difference per group of elements.</summary>
    protected static double[] Errors(double[] values, double[] reference, int groups, Func<long, int> group)
    {
        var worst = new double[groups];
        for (int i = 0; i < values.Length; i++)
        {
            worst[group(i)] = Math.Max(worst[group(i)], Math.Abs(values[i] - reference[i]));
        }

        return worst;
    }

    /// <summary>Scores rounded to the type, softmax in f32, weights rounded: what a computation in the type itself would use.</summary>
    protected void NaiveWeights(float[] qkv, int n, int head, int query, double[] weights)
    {
        Scores(qkv, n, head, query, weights);
        double max = double.NegativeInfinity, sum = 0;
        for (int j = 0; j < weights.Length; j++)
        {
            weights[j] = Round(weights[j]);
            max = Math.Max(max, weights[j]);
        }

        for (int j = 0; j < weights.Length; j++)
        {
            weights[j] = Math.Exp(weights[j] - max);
            sum += weights[j];
        }

        for (int j = 0; j < weights.Length; j++)
        {
            weights[j] = Round(weights[j] / sum);
        }
    }

    /// <summary>f32: 2e-5 of the largest reference; else <paramref name="factor"/> times the naive computation's error + 1e-5.</summary>
    protected Tolerance Allowed(double[] reference, double[] naive, double factor, int groups, Func<long, int> group)
    {
        double[] errors = Errors(naive, reference, groups, group), largest = Errors(new double[reference.Length], reference, groups, group);
        double[] allowed = [.. errors.Zip(largest, (e, most) => DType == KernelDType.F32 ? 2e-5 * Math.Max(1, most) : (factor * e) + 1e-5)];
        return (i, _) => allowed[group(i)];
    }

    /// <summary>No conflicts anywhere. Elements of any alignment cost sectors, and so do rows that begin in the middle of one.</summary>
    protected LaunchGates Gates(PlannedLaunch launch)
    {
        bool Is(string part) => launch.Entry.Contains(part, StringComparison.Ordinal);
        bool any = Is("_any_"), mma = launch.MmaInstructions > 0, forward = Is("_fwd_"), wide = Is("_q128_"), delta = Is("_delta_");
        int columns = mma ? (!forward && Is("_d128_") ? 32 : 64) : (any ? 16 : 32) / (forward ? 1 : 2);
        long blocks = launch.Shape.GridX, tiles = ((Is("_dkdv_") ? Sizes.Queries : Sizes.Keys) + columns - 1) / columns;
        return new LaunchGates
        {
            Conflicts = 0,
            Sectors = any ? 1.5 : Sizes.HeadDim * DType.Bytes() % 32 == 0 ? 1.05 : 2,
            Barriers = delta ? 0 : 4 * blocks * (tiles + (mma && !wide ? 1 : 0)),
            // a warp's 16 rows of a tile have columns / 2 scores in each lane; forward rescales both rows of a lane at most once and takes two logarithms
            SpecialFunctions = mma ? 128 * blocks * (wide ? 2 : 1) * ((tiles * ((columns / 2) + (forward ? 2 : 0))) + (forward ? 2 : 0)) : null,
            Registers = Is("_plain_") ? 40 : Is("_step_") ? 168 : delta ? 56 : !mma || !forward ? 232 : wide ? 224 : Is("_d128_") ? 216 : 128,
        };
    }
}

/// <summary>O and LSE.</summary>
internal sealed class AttentionForwardCase(
    KernelDType dtype, AttentionShape shape, bool newOrder, string input = "normal", double scale = 1, int queryTile = 0, AttentionVersion version = AttentionVersion.Best)
    : AttentionCase(queryTile == 0 ? "forward" : $"forward q{queryTile}", dtype, shape, newOrder, input, scale)
{
    /// <inheritdoc/>
    public override IReadOnlyList<KernelPlan> Plans(in DeviceLimits limits) => [AttentionKernels.PlanForward(Sizes, DType, limits, queryTile, version)];

    /// <inheritdoc/>
    public override IReadOnlyList<KernelVariant> Variants => !Ladder || queryTile != 0 || version != AttentionVersion.Best ? []
        : DType == KernelDType.F32
        ?
        [
            Earlier(
                "plain", AttentionVersion.Stored,
                "At 256 tokens: online softmax over tiles in shared memory stores no scores and reads K and V once per 32 queries: 30 times fewer requested bytes, 136 times fewer sectors, a third of the instructions."),
        ]
        :
        [
            Earlier(
                "plain", AttentionVersion.Stored,
                "At 256 tokens: online softmax over tiles in shared memory stores no scores and reads K and V once per 32 queries: 32 times fewer requested bytes, 257 times fewer sectors."),
            Earlier(
                "online softmax", AttentionVersion.Tiles,
                "At 256 tokens: tensor cores, with scores and weights in registers and 64 queries per block: 57 times fewer instructions, 44 % fewer bytes."),
            Earlier(
                "tensor cores", AttentionVersion.OneStage,
                "At 256 tokens: swizzled rows lose no shared pass where 85 % went to bank conflicts (a sixth of the passes is left); two stages halve the barriers and copy during the products; whole rows are stored, 9 % fewer sectors."),
        ];

    private KernelVariant Earlier(string name, AttentionVersion earlier, string next) =>
        new(name, next, new AttentionForwardCase(DType, Sizes, Op.NewOrder, version: earlier) { Plain = true });

    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        AttentionForwardPlan plan = AttentionKernels.PlanForward(Sizes, DType, limits, queryTile, version);
        float[] qkv = Qkv();
        (AttentionStrides strides, long between) = Layout();
        KernelBuffer from = work.Input("qkv", qkv, DType, 3 * C, strides.Row);
        KernelBuffer o = work.Output("o", (long)Sizes.N * Sizes.Queries, C, DType, C + Gap);
        KernelBuffer lse = work.Output("lse", (long)Sizes.N * Sizes.Heads, Sizes.Queries, KernelDType.F32);
        KernelBuffer? workspace = work.Workspace(plan);
        ulong part = (ulong)(between * DType.Bytes());
        work.Run(plan, () => AttentionKernels.EnqueueForward(
            plan,
            new AttentionTensors(
                from.Address, from.Address + part, from.Address + (2 * part), o.Address, lse.Address,
                strides, strides, AttentionStrides.HeadMajor(C + Gap, Sizes.Queries, Sizes.HeadDim)),
            workspace?.Address ?? 0));

        double[] reference = Rows(ReferenceO(qkv), C);
        work.Expect(o, reference, Allowed(reference, NaiveO(qkv), 2, 1, static _ => 0));
        work.Expect(lse, ReferenceLse(qkv), static (_, r) => 1e-4 * Math.Max(1, Math.Abs(r)));
        work.Gates = Gates;
        return work;
    }

    private double[] NaiveO(float[] qkv)
    {
        var o = new double[Sizes.N * Sizes.Queries * C];
        var weights = new double[Sizes.Keys];
        int d = Sizes.HeadDim;
        for (int row = 0; row < Sizes.N * Sizes.Queries; row++)
        {
            for (int head = 0; head < Sizes.Heads; head++)
            {
                NaiveWeights(qkv, row / Sizes.Queries, head, row % Sizes.Queries, weights);
                for (int a = 0; a < d; a++)
                {
                    double sum = 0;
                    for (int j = 0; j < Sizes.Keys; j++)
                    {
                        sum += weights[j] * qkv[Index(row / Sizes.Queries, j, head, 2) + a];
                    }

                    o[(row * C) + (head * d) + a] = Round(sum);
                }
            }
        }

        return o;
    }
}

/// <summary>dQ, dK and dV from given O, LSE and dO.</summary>
internal sealed class AttentionBackwardCase(
    KernelDType dtype, AttentionShape shape, bool newOrder, string input = "normal", double scale = 1, AttentionVersion version = AttentionVersion.Best)
    : AttentionCase("backward", dtype, shape, newOrder, input, scale)
{
    /// <inheritdoc/>
    public override IReadOnlyList<KernelPlan> Plans(in DeviceLimits limits) => [AttentionKernels.PlanBackward(Sizes, DType, limits, version)];

    /// <inheritdoc/>
    public override IReadOnlyList<KernelVariant> Variants => !Ladder || version != AttentionVersion.Best ? []
        : DType == KernelDType.F32
        ?
        [
            Earlier(
                "plain", AttentionVersion.Stored,
                "At 256 tokens: scores recomputed tile by tile from the saved LSE: three launches instead of seven, 33 times fewer requested bytes, 126 times fewer sectors, 46 % fewer instructions."),
        ]
        :
        [
            Earlier(
                "plain", AttentionVersion.Stored,
                "At 256 tokens: scores recomputed tile by tile from the saved LSE: three launches instead of seven, 34 times fewer requested bytes, 230 times fewer sectors."),
            Earlier(
                "recomputed scores", AttentionVersion.Tiles,
                "At 256 tokens: tensor cores, with weights in registers and 64 rows per block: 59 times fewer instructions, 29 times fewer shared passes, 39 % fewer bytes."),
        ];

    private KernelVariant Earlier(string name, AttentionVersion earlier, string next) =>
        new(name, next, new AttentionBackwardCase(DType, Sizes, Op.NewOrder, version: earlier) { Plain = true });

    /// <inheritdoc/>
    public override CaseWork Build(in DeviceLimits limits)
    {
        var work = new CaseWork();
        AttentionBackwardPlan plan = AttentionKernels.PlanBackward(Sizes, DType, limits, version);
        (int d, int rows) = (Sizes.HeadDim, Sizes.N * Sizes.Queries);
        float[] qkv = Qkv();
        float[] o = KernelNumbers.Rounded([.. Rows(ReferenceO(qkv), C).Select(v => (float)v)], DType);
        float[] dO = KernelNumbers.Rounded(KernelInputs.Normal(o.Length, 12), DType);
        float[] lse = [.. ReferenceLse(qkv).Select(v => (float)v)];

        (AttentionStrides strides, long between) = Layout();
        AttentionStrides headMajor = AttentionStrides.HeadMajor(C + Gap, Sizes.Queries, d), keyMajor = AttentionStrides.HeadMajor(C + Gap, Sizes.Keys, d);
        KernelBuffer qkvBuffer = work.Input("qkv", qkv, DType, 3 * C, strides.Row), oBuffer = work.Input("o", o, DType, C, C + Gap);
        KernelBuffer dOBuffer = work.Input("dO", dO, DType, C, C + Gap), lseBuffer = work.Input("lse", lse, KernelDType.F32);
        KernelBuffer dq = work.Output("dq", rows, C, DType, C + Gap);
        KernelBuffer dk = work.Output("dk", (long)Sizes.N * Sizes.Keys, C, DType, C + Gap), dv = work.Output("dv", (long)Sizes.N * Sizes.Keys, C, DType, C + Gap);
        KernelBuffer workspace = work.Workspace(plan)!;
        ulong part = (ulong)(between * DType.Bytes());
        work.Run(plan, () =>
        {
            var tensors = new AttentionTensors(
                qkvBuffer.Address, qkvBuffer.Address + part, qkvBuffer.Address + (2 * part), oBuffer.Address, lseBuffer.Address, strides, strides, headMajor);
            return AttentionKernels.EnqueueBackward(
                plan, new AttentionGradients(tensors, dOBuffer.Address, dq.Address, dk.Address, dv.Address, headMajor, headMajor, keyMajor), workspace.Address);
        });

        double[] reference = Reference(qkv, o, dO), naive = Naive(qkv, o, dO, out double[] largestTerms);
        Tolerance allowed = Allowed(reference, naive, 3, 3, Part);
        double weightError = WeightError(qkv, lse);
        foreach ((KernelBuffer buffer, int which) in ((KernelBuffer, int)[])[(dq, 0), (dk, 1), (dv, 2)])
        {
            double[] values = Take(reference, which);
            values = which == 0 ? Rows(values, C) : values;
            long first = Index(0, 0, 0, which);
            work.Expect(buffer, values, (_, r) => allowed(first, r) + (weightError * largestTerms[which]));
        }

        work.Gates = Gates;
        return work;
    }

    /// <summary>The q, k or v columns of a tensor like qkv, heads side by side.</summary>
    private double[] Take(double[] qkv, int part)
    {
        var taken = new double[qkv.Length / 3];
        for (int i = 0; i < taken.Length; i++)
        {
            int token = i / C, channel = i % C;
            taken[i] = qkv[Index(token / Sizes.Keys, token % Sizes.Keys, channel / Sizes.HeadDim, part) + (channel % Sizes.HeadDim)];
        }

        return taken;
    }

    /// <summary>
    /// Relative error of every weight exp(score - LSE) that f32 cannot avoid: LSE is rounded when saved, in base 2 and with the scale, 2^-24 of it each;
    /// a score is a sum of d products, 2^-23 sqrt(d) of their magnitude as the guide allows for sums, times d^-1/2. Only large scores make it count.
    /// </summary>
    private double WeightError(float[] qkv, float[] lse)
    {
        double q = 0, k = 0;
        for (int row = 0; row < Sizes.N * Sizes.Keys; row++)
        {
            for (int head = 0; head < Sizes.Heads; head++)
            {
                q = Math.Max(q, Norm(qkv.AsSpan(Index(0, row, head, 0), Sizes.HeadDim)));
                k = Math.Max(k, Norm(qkv.AsSpan(Index(0, row, head, 1), Sizes.HeadDim)));
            }
        }

        return Math.ScaleB((3 * lse.Max(Math.Abs)) + (2 * q * k), -24);
    }

    private static double Norm(ReadOnlySpan<float> values)
    {
        double sum = 0;
        foreach (float v in values)
        {
            sum += (double)v * v;
        }

        return Math.Sqrt(sum);
    }

    /// <summary>The twin computes all tokens: those that are no queries get dO = 0, which contributes nothing.</summary>
    private double[] Reference(float[] qkv, float[] o, float[] dO) => KernelInputs.Twin(
        new AttentionGrad(Sizes.Heads, Op.NewOrder), [Sizes.N, Sizes.Keys, 3 * C],
        KernelInputs.Host([Sizes.N, Sizes.Keys, 3 * C], qkv), Spread(o), Spread(dO));

    private HostArray<double> Spread(float[] queries)
    {
        var all = new HostArray<double>([Sizes.N, Sizes.Keys, C]);
        for (int i = 0; i < queries.Length; i++)
        {
            int row = i / C;
            all.Data[(((row / Sizes.Queries * Sizes.Keys) + (row % Sizes.Queries)) * C) + (i % C)] = queries[i];
        }

        return all;
    }

    /// <summary>The gradients of a computation in the type itself, and for dQ, dK and dV the largest sum of magnitudes of what its weights multiply.</summary>
    private double[] Naive(float[] qkv, float[] o, float[] dO, out double[] largestTerms)
    {
        (var gradient, var terms) = (new double[qkv.Length], new double[qkv.Length]);
        var weights = new double[Sizes.Keys];
        (int d, double scale) = (Sizes.HeadDim, 1 / Math.Sqrt(Sizes.HeadDim));
        for (int row = 0; row < Sizes.N * Sizes.Queries; row++)
        {
            for (int head = 0; head < Sizes.Heads; head++)
            {
                (int n, int at) = (row / Sizes.Queries, (row * C) + (head * d));
                int q = Index(n, row % Sizes.Queries, head, 0);
                NaiveWeights(qkv, n, head, row % Sizes.Queries, weights);
                double delta = 0;
                for (int a = 0; a < d; a++)
                {
                    delta += (double)dO[at + a] * o[at + a];
                }

                for (int j = 0; j < Sizes.Keys; j++)
                {
                    int k = Index(n, j, head, 1), v = Index(n, j, head, 2);
                    double dP = 0;
                    for (int a = 0; a < d; a++)
                    {
                        dP += (double)dO[at + a] * qkv[v + a];
                        gradient[v + a] += weights[j] * dO[at + a];
                    }

                    double dS = scale * Round(weights[j] * (Round(dP) - delta)), most = scale * weights[j] * (Math.Abs(dP) + Math.Abs(delta));
                    for (int a = 0; a < d; a++)
                    {
                        gradient[q + a] += dS * qkv[k + a];
                        gradient[k + a] += dS * qkv[q + a];
                        terms[q + a] += most * Math.Abs(qkv[k + a]);
                        terms[k + a] += most * Math.Abs(qkv[q + a]);
                        terms[v + a] += weights[j] * Math.Abs(dO[at + a]);
                    }
                }
            }
        }

        largestTerms = Errors(terms, new double[terms.Length], 3, i => Part(i));
        return [.. gradient.Select(Round)];
    }
}
