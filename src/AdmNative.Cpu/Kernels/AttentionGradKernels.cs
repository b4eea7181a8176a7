using System.Runtime.CompilerServices;

namespace AdmNative.Cpu.Kernels;

/// <summary>
/// Backward attention of one head, weights recomputed block by block: with P = softmax rows and delta_i = do_i . o_i,
/// dS = P (do v' - delta) / sqrt(d); dq = dS k, dk = dS' q, dv = P' do. Each element is one chain of multiply-adds over keys (dq) or
/// queries (dk, dv) in ascending order, whichever way the work is cut.
/// </summary>
internal static unsafe class AttentionGradKernels<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    /// <summary>Queries per block; a multiple of every tile height.</summary>
    public const int QueryBlock = 32;

    private const float Lowest = -3e38f;

    /// <summary>Floats of scratch a worker needs.</summary>
    public static long ScratchFloats(int tokens, int depth)
    {
        Layout l = new(tokens, depth);
        return l.End;
    }

    /// <summary>Floats per query that <see cref="Queries"/> leaves for <see cref="Keys"/>: top, 1 / sum and delta.</summary>
    public const int StateFloats = 3;

    /// <summary>Packs what both passes read of a head.</summary>
    public static void Prepare(in Head head, float* scratch)
    {
        Layout l = new(head.Tokens, head.Depth);
        TileKernels<S, V>.PackTransposed(head.Key(0), head.Stride, head.Tokens, head.Depth, scratch + l.KeysT, l.Transposed);
        TileKernels<S, V>.PackTransposed(head.Value(0), head.Stride, head.Tokens, head.Depth, scratch + l.ValuesT, l.Transposed);
        TileKernels<S, V>.Pack(head.Key(0), head.Stride, head.Tokens, head.Depth, scratch + l.Keys, l.Panel);
    }

    /// <summary>
    /// dq of queries begin..end. When <paramref name="keysToo"/> (then the range must be all queries), dk and dv as well.
    /// </summary>
    /// <param name="head">q, k, v.</param>
    /// <param name="o">Results of the forward pass, row 0.</param>
    /// <param name="ldo">Their stride.</param>
    /// <param name="dO">Gradient of the results.</param>
    /// <param name="lddo">Its stride.</param>
    /// <param name="grad">dq, dk and dv.</param>
    /// <param name="state">StateFloats per query of the head.</param>
    /// <param name="scratch">Prepared scratch.</param>
    /// <param name="begin">First query.</param>
    /// <param name="end">End of the queries.</param>
    /// <param name="keysToo">Whether to accumulate dk and dv on the way.</param>
    public static void Queries(
        in Head head, float* o, long ldo, float* dO, long lddo, in Head grad, float* state, float* scratch, int begin, int end,
        bool keysToo)
    {
        Layout l = new(head.Tokens, head.Depth);
        if (keysToo)
        {
            ClearKeys(l, scratch, 0, l.TiledTokens);
        }

        for (int q = begin; q < end; q += QueryBlock)
        {
            int count = Math.Min(QueryBlock, end - q);
            LoadQueries(l, head, dO, lddo, q, count, scratch);
            Delta(o + (q * ldo), ldo, dO + (q * lddo), lddo, count, head.Depth, state + (q * StateFloats));
            Scores(l, head, scratch, 0, head.Tokens);
            for (int i = 0; i < QueryBlock; i++)
            {
                float* row = scratch + l.P + (i * l.Row);
                if (i < count)
                {
                    Top(row, l.KeyPanels, head.Tokens, head.Scale, state + ((q + i) * StateFloats));
                }
            }

            Weights(l, head, scratch, 0, head.Tokens, count, state + (q * StateFloats));
            MultiplyBack(l, head, scratch, grad, q, count);
            if (keysToo)
            {
                AddKeys(l, scratch, 0, l.TiledTokens);
            }
        }

        if (keysToo)
        {
            StoreKeys(l, scratch, grad, 0, head.Tokens);
        }
    }

    /// <summary>dk and dv of keys begin..end from the states that <see cref="Queries"/> left; begin is a multiple of the key unit.</summary>
    public static void Keys(
        in Head head, float* dO, long lddo, in Head grad, float* state, float* scratch, int begin, int end)
    {
        Layout l = new(head.Tokens, head.Depth);
        int tiledEnd = Math.Min((end + KeyUnit - 1) / KeyUnit * KeyUnit, l.TiledTokens);
        ClearKeys(l, scratch, begin, tiledEnd);
        for (int q = 0; q < head.Tokens; q += QueryBlock)
        {
            int count = Math.Min(QueryBlock, head.Tokens - q);
            LoadQueries(l, head, dO, lddo, q, count, scratch);
            Scores(l, head, scratch, begin, end);
            Weights(l, head, scratch, begin, end, count, state + (q * StateFloats));
            AddKeys(l, scratch, begin, tiledEnd);
        }

        StoreKeys(l, scratch, grad, begin, end);
    }

    /// <summary>Keys are handed to tasks in multiples of this: whole panels and whole tiles.</summary>
    public const int KeyUnit = 16;

    /// <summary>The block's queries and dO, as left operands (rows, zero-padded) and as right operands (panels).</summary>
    private static void LoadQueries(in Layout l, in Head head, float* dO, long lddo, int q, int count, float* scratch)
    {
        float* rows = scratch + l.QueryRows;
        float* gradRows = scratch + l.GradRows;
        int d = head.Depth;
        LayoutKernels<S, V>.Copy(head.Query(q), head.Stride, rows, d, count, d);
        LayoutKernels<S, V>.Copy(dO + (q * lddo), lddo, gradRows, d, count, d);
        new Span<float>(rows + ((long)count * d), (QueryBlock - count) * d).Clear();
        new Span<float>(gradRows + ((long)count * d), (QueryBlock - count) * d).Clear();
        TileKernels<S, V>.Pack(rows, d, QueryBlock, d, scratch + l.QueryPanels, (long)QueryBlock * S.Width);
        TileKernels<S, V>.Pack(gradRows, d, QueryBlock, d, scratch + l.GradPanels, (long)QueryBlock * S.Width);
    }

    /// <summary>P = q k' and dS = do v' for the block and keys begin..end; keys past the last are hidden.</summary>
    private static void Scores(in Layout l, in Head head, float* scratch, int begin, int end)
    {
        int w = S.Width, first = begin / w, panels = ((end + w - 1) / w) - first;
        long panel = first * l.Transposed, column = (long)first * w;
        float* p = scratch + l.P + column;
        TileKernels<S, V>.Multiply(
            QueryBlock, panels, head.Depth, scratch + l.QueryRows, head.Depth, 1, scratch + l.KeysT + panel, l.Transposed, p, l.Row, false);
        TileKernels<S, V>.Multiply(
            QueryBlock, panels, head.Depth, scratch + l.GradRows, head.Depth, 1, scratch + l.ValuesT + panel, l.Transposed,
            scratch + l.Ds + column, l.Row, false);
    }

    /// <summary>delta = do . o per query.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Delta(float* o, long ldo, float* dO, long lddo, int count, int depth, float* state)
    {
        int w = S.Width;
        for (int i = 0; i < count; i++, o += ldo, dO += lddo)
        {
            V sum = S.Zero;
            for (int c = 0; c < depth; c += w)
            {
                int n = Math.Min(w, depth - c);
                sum = S.Fma(S.LoadPartial(o + c, n), S.LoadPartial(dO + c, n), sum);
            }

            state[(i * StateFloats) + 2] = S.Sum(sum);
        }
    }

    /// <summary>The row's top (rounded scale * largest score) and 1 / sum of exp(scale s - top).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Top(float* row, int panels, int tokens, float scale, float* state)
    {
        int w = S.Width;
        for (int j = tokens; j < panels * w; j++)
        {
            row[j] = Lowest;
        }

        V m = S.Load(row);
        for (int p = 1; p < panels; p++)
        {
            m = S.MaxNative(m, S.Load(row + (p * w)));
        }

        float top = scale * S.MaxAcross(m);
        V s = S.Broadcast(scale), shift = S.Broadcast(-top), total = S.Zero;
        for (int p = 0; p < panels; p++)
        {
            total = S.Add(total, MathKernels<S, V>.ExpNonPositive(S.Fma(S.Load(row + (p * w)), s, shift)));
        }

        (state[0], state[1]) = (top, 1 / S.Sum(total));
    }

    /// <summary>Scores to P, and do v' to dS, for keys begin..end. Queries and keys that are not there get zeros.</summary>
    private static void Weights(in Layout l, in Head head, float* scratch, int begin, int end, int count, float* state)
    {
        int w = S.Width, first = begin / w, columns = (((end + w - 1) / w) - first) * w;
        int tiled = (end + KeyUnit - 1) / KeyUnit * KeyUnit;
        for (int i = 0; i < QueryBlock; i++)
        {
            float* p = scratch + l.P + (i * l.Row) + begin;
            float* ds = scratch + l.Ds + (i * l.Row) + begin;
            if (i < count)
            {
                WeightRow(p, ds, columns, head.Scale, state + (i * StateFloats));
                new Span<float>(p + (end - begin), tiled - end).Clear();
                new Span<float>(ds + (end - begin), tiled - end).Clear();
            }
            else
            {
                new Span<float>(p, tiled - begin).Clear();
                new Span<float>(ds, tiled - begin).Clear();
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WeightRow(float* p, float* ds, int columns, float scale, float* state)
    {
        int w = S.Width;
        V s = S.Broadcast(scale), shift = S.Broadcast(-state[0]), f = S.Broadcast(state[1]), delta = S.Broadcast(state[2]);
        for (int j = 0; j < columns; j += w)
        {
            V weight = S.Mul(f, MathKernels<S, V>.ExpNonPositive(S.Fma(S.Load(p + j), s, shift)));
            S.Store(p + j, weight);
            S.Store(ds + j, S.Mul(S.Mul(weight, s), S.Sub(S.Load(ds + j), delta)));
        }
    }

    /// <summary>dq = dS k for the block.</summary>
    private static void MultiplyBack(in Layout l, in Head head, float* scratch, in Head grad, int q, int count)
    {
        float* dq = scratch + l.Dq;
        TileKernels<S, V>.Multiply(
            QueryBlock, l.DepthPanels, head.Tokens, scratch + l.Ds, l.Row, 1, scratch + l.Keys, l.Panel, dq, l.Wide, false);
        LayoutKernels<S, V>.Copy(dq, l.Wide, grad.Query(q), grad.Stride, count, head.Depth);
    }

    private static void ClearKeys(in Layout l, float* scratch, int begin, int end)
    {
        new Span<float>(scratch + l.Dk + (begin * l.Wide), (int)((end - begin) * l.Wide)).Clear();
        new Span<float>(scratch + l.Dv + (begin * l.Wide), (int)((end - begin) * l.Wide)).Clear();
    }

    /// <summary>dk += dS' q and dv += P' do for keys begin..end, whole tiles.</summary>
    private static void AddKeys(in Layout l, float* scratch, int begin, int end)
    {
        long panel = (long)QueryBlock * S.Width;
        TileKernels<S, V>.Multiply(
            end - begin, l.DepthPanels, QueryBlock, scratch + l.Ds + begin, 1, l.Row, scratch + l.QueryPanels, panel,
            scratch + l.Dk + (begin * l.Wide), l.Wide, true);
        TileKernels<S, V>.Multiply(
            end - begin, l.DepthPanels, QueryBlock, scratch + l.P + begin, 1, l.Row, scratch + l.GradPanels, panel,
            scratch + l.Dv + (begin * l.Wide), l.Wide, true);
    }

    private static void StoreKeys(in Layout l, float* scratch, in Head grad, int begin, int end)
    {
        LayoutKernels<S, V>.Copy(scratch + l.Dk + (begin * l.Wide), l.Wide, grad.Key(begin), grad.Stride, end - begin, grad.Depth);
        LayoutKernels<S, V>.Copy(scratch + l.Dv + (begin * l.Wide), l.Wide, grad.Value(begin), grad.Stride, end - begin, grad.Depth);
    }

    /// <summary>Where things are in a worker's scratch, in floats.</summary>
    private readonly struct Layout
    {
        public Layout(int tokens, int depth)
        {
            int w = S.Width;
            KeyPanels = (tokens + w - 1) / w;
            Tokens = KeyPanels * w;
            TiledTokens = (tokens + KeyUnit - 1) / KeyUnit * KeyUnit;
            DepthPanels = (depth + w - 1) / w;
            Wide = (long)DepthPanels * w;
            Row = TiledTokens;
            Transposed = (long)depth * w;
            Panel = (long)Tokens * w;
            long rows = (((long)QueryBlock * depth) + 15) / 16 * 16, block = QueryBlock * Wide;
            KeysT = 0;
            ValuesT = KeysT + (KeyPanels * Transposed);
            Keys = ValuesT + (KeyPanels * Transposed);
            QueryRows = Keys + (DepthPanels * Panel);
            GradRows = QueryRows + rows;
            QueryPanels = GradRows + rows;
            GradPanels = QueryPanels + block;
            P = GradPanels + block;
            Ds = P + (QueryBlock * Row);
            Dq = Ds + (QueryBlock * Row);
            Dk = Dq + block;
            Dv = Dk + (TiledTokens * Wide);
            End = Dv + (TiledTokens * Wide);
        }

        public int KeyPanels { get; }

        /// <summary>Tokens in whole panels.</summary>
        public int Tokens { get; }

        /// <summary>Tokens in whole key units: whole panels for every width, and whole tiles.</summary>
        public int TiledTokens { get; }

        public int DepthPanels { get; }

        /// <summary>Row stride of dq, dk and dv.</summary>
        public long Wide { get; }

        /// <summary>Row stride of P and dS.</summary>
        public long Row { get; }

        /// <summary>Floats of a panel of k' or v'.</summary>
        public long Transposed { get; }

        /// <summary>Floats of a panel of k.</summary>
        public long Panel { get; }

        public long KeysT { get; }

        public long ValuesT { get; }

        public long Keys { get; }

        public long QueryRows { get; }

        public long GradRows { get; }

        public long QueryPanels { get; }

        public long GradPanels { get; }

        public long P { get; }

        public long Ds { get; }

        public long Dq { get; }

        public long Dk { get; }

        public long Dv { get; }

        public long End { get; }
    }
}
