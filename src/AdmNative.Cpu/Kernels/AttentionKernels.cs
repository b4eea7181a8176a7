using System.Runtime.CompilerServices;

namespace AdmNative.Cpu.Kernels;

/// <summary>One head of one sample: three matrices [Tokens, Depth] with a common row stride.</summary>
/// <param name="Q">Queries.</param>
/// <param name="K">Keys.</param>
/// <param name="V">Values.</param>
/// <param name="Stride">Floats between tokens.</param>
/// <param name="Tokens">T.</param>
/// <param name="Depth">d.</param>
internal readonly unsafe record struct Head(nint Q, nint K, nint V, long Stride, int Tokens, int Depth)
{
    public float* Query(int i) => (float*)Q + (i * Stride);

    public float* Key(int i) => (float*)K + (i * Stride);

    public float* Value(int i) => (float*)V + (i * Stride);

    /// <summary>1 / sqrt(d).</summary>
    public float Scale => (float)(1 / Math.Sqrt(Depth));
}

/// <summary>
/// o = softmax(q k' / sqrt(d)) v without the T x T matrix: blocks of keys pass by blocks of queries, which keep a running maximum, a
/// running sum and an unnormalised result. Scores and results are register-tiled products.
/// </summary>
internal static unsafe class AttentionKernels<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    /// <summary>Queries whose state is kept while the keys pass by.</summary>
    public const int QueryBlock = 64;

    /// <summary>Keys per block: their scores for one tile of queries stay in the first-level cache.</summary>
    private const int KeyBlock = 256;

    /// <summary>Below every score, and finite, so that differences of tops are never NaN.</summary>
    private const float Lowest = -3e38f;

    /// <summary>Floats of scratch a worker needs.</summary>
    public static long ScratchFloats(int tokens, int depth)
    {
        Layout l = new(tokens, depth);
        return l.End;
    }

    /// <summary>Packs keys and values of a head into scratch.</summary>
    public static void Prepare(in Head head, float* scratch)
    {
        Layout l = new(head.Tokens, head.Depth);
        TileKernels<S, V>.PackTransposed(head.Key(0), head.Stride, head.Tokens, head.Depth, scratch, l.KeyPanel);
        TileKernels<S, V>.Pack(head.Value(0), head.Stride, head.Tokens, head.Depth, scratch + l.Values, l.ValuePanel);
        for (int p = 0; p < l.DepthPanels; p++)
        {
            // Keys beyond the last get weight exp(-87) at most; their values must not be NaN garbage.
            float* tail = scratch + l.Values + (p * l.ValuePanel) + ((long)head.Tokens * S.Width);
            new Span<float>(tail, (l.Tokens - head.Tokens) * S.Width).Clear();
        }
    }

    /// <summary>Results of queries begin..end (at most <see cref="QueryBlock"/>) of a prepared head.</summary>
    public static void Forward(in Head head, float* scratch, float* o, long ldo, int begin, int end)
    {
        Layout l = new(head.Tokens, head.Depth);
        int height = TileKernels<S, V>.Rows, w = S.Width;
        float* keys = scratch;
        float* values = scratch + l.Values;
        float* scores = scratch + l.Scores;
        float* result = scratch + l.Result;
        float* queryTail = scratch + l.QueryTail;
        float* top = scratch + l.State;
        float* sum = top + QueryBlock;
        int queries = end - begin, padded = (queries + height - 1) / height * height;
        for (int i = 0; i < padded; i++)
        {
            (top[i], sum[i]) = (Lowest, 0);
        }

        int whole = queries / height * height;
        PadQueries(head, begin + whole, queries - whole, queryTail);
        for (int key = 0; key < head.Tokens; key += KeyBlock)
        {
            int panels = (Math.Min(KeyBlock, head.Tokens - key) + w - 1) / w;
            int count = Math.Min(panels * w, head.Tokens - key);
            float* keyPanels = keys + (key / w * l.KeyPanel);
            float* valuePanels = values + ((long)key * w);
            for (int i = 0; i < padded; i += height)
            {
                float* q = i < whole ? head.Query(begin + i) : queryTail;
                long row = i < whole ? head.Stride : head.Depth;
                TileKernels<S, V>.Multiply(
                    height, panels, head.Depth, q, row, 1, keyPanels, l.KeyPanel, scores, KeyBlock, false);
                float* rows = result + (i * l.ResultStride);
                for (int r = 0; r < height; r++)
                {
                    float* line = scores + (r * KeyBlock);
                    Hide(line, count, panels * w);
                    Softmax(line, panels, head.Scale, top + i + r, sum + i + r, rows + (r * l.ResultStride), l.DepthPanels, key == 0);
                }

                TileKernels<S, V>.Multiply(
                    height, l.DepthPanels, panels * w, scores, KeyBlock, 1, valuePanels, l.ValuePanel, rows, l.ResultStride, key > 0);
            }
        }

        for (int i = 0; i < queries; i++)
        {
            Divide(result + (i * l.ResultStride), sum[i], o + (i * ldo), head.Depth);
        }
    }

    /// <summary>Copies fewer than a tile's rows of queries, so that whole tiles can be computed; the rest is zero.</summary>
    private static void PadQueries(in Head head, int first, int count, float* to)
    {
        int height = TileKernels<S, V>.Rows;
        if (count == 0)
        {
            return;
        }

        LayoutKernels<S, V>.Copy(head.Query(first), head.Stride, to, head.Depth, count, head.Depth);
        new Span<float>(to + ((long)count * head.Depth), (height - count) * head.Depth).Clear();
    }

    /// <summary>Scores of keys that are not there.</summary>
    private static void Hide(float* scores, int count, int padded)
    {
        for (int j = count; j < padded; j++)
        {
            scores[j] = Lowest;
        }
    }

    /// <summary>
    /// Turns a row of scores into weights exp(scale s - top) under the new running top, the rounded scale * largest score; updates top,
    /// sum and, if the top moved, the result so far. Every use of a top is of the same rounded number, so that its rounding cancels.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Softmax(float* scores, int panels, float scale, float* top, float* sum, float* result, int resultPanels, bool first)
    {
        int w = S.Width;
        V m0 = S.Load(scores), m1 = m0;
        int p = 1;
        for (; p + 2 <= panels; p += 2)
        {
            m0 = S.MaxNative(m0, S.Load(scores + (p * w)));
            m1 = S.MaxNative(m1, S.Load(scores + ((p + 1) * w)));
        }

        if (p < panels)
        {
            m0 = S.MaxNative(m0, S.Load(scores + (p * w)));
        }

        float old = *top, now = Math.Max(old, scale * S.MaxAcross(S.MaxNative(m0, m1)));
        V s = S.Broadcast(scale), shift = S.Broadcast(-now);
        V total = S.Zero;
        for (p = 0; p < panels; p++)
        {
            V weight = MathKernels<S, V>.ExpNonPositive(S.Fma(S.Load(scores + (p * w)), s, shift));
            total = S.Add(total, weight);
            S.Store(scores + (p * w), weight);
        }

        if (!first && now != old)
        {
            float fade = MathF.Exp(old - now);
            *sum *= fade;
            V f = S.Broadcast(fade);
            for (int i = 0; i < resultPanels; i++)
            {
                S.Store(result + (i * w), S.Mul(f, S.Load(result + (i * w))));
            }
        }

        *top = now;
        *sum += S.Sum(total);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Divide(float* x, float sum, float* y, int count)
    {
        int w = S.Width;
        V f = S.Broadcast(1 / sum);
        for (int c = 0; c < count; c += w)
        {
            S.StorePartial(y + c, S.Mul(f, S.Load(x + c)), Math.Min(w, count - c));
        }
    }

    /// <summary>Where things are in a worker's scratch, in floats.</summary>
    private readonly struct Layout
    {
        public Layout(int tokens, int depth)
        {
            int w = S.Width, height = TileKernels<S, V>.Rows;
            int keyPanels = (tokens + w - 1) / w;
            Tokens = keyPanels * w;
            DepthPanels = (depth + w - 1) / w;
            KeyPanel = (long)depth * w;
            ValuePanel = (long)Tokens * w;
            Values = keyPanels * KeyPanel;
            Scores = Values + (DepthPanels * ValuePanel);
            Result = Scores + ((long)height * KeyBlock);
            ResultStride = (long)DepthPanels * w;
            QueryTail = Result + (QueryBlock * ResultStride);
            State = QueryTail + ((((long)height * depth) + 15) / 16 * 16);
            End = State + (2 * QueryBlock);
        }

        /// <summary>Tokens in whole panels.</summary>
        public int Tokens { get; }

        public int DepthPanels { get; }

        public long KeyPanel { get; }

        public long ValuePanel { get; }

        public long Values { get; }

        public long Scores { get; }

        public long Result { get; }

        public long ResultStride { get; }

        public long QueryTail { get; }

        public long State { get; }

        public long End { get; }
    }
}
