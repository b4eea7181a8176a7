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

    /// <summary>Rows that <see cref="Softmax"/> takes at a time; divides every tile height.</summary>
    private const int SoftmaxRows = 4;

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
                for (int r = 0; r < height; r += SoftmaxRows)
                {
                    Softmax(
                        scores + (r * KeyBlock), count, panels, head.Scale, top + i + r, sum + i + r, rows + (r * l.ResultStride),
                        l.ResultStride, l.DepthPanels, key == 0);
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

    /// <summary>
    /// Turns rows of scores into weights exp(scale s - top) under the new running top, the rounded scale * largest score; updates top,
    /// sum and, if the top moved, the result so far. Every use of a top is of the same rounded number, so that its rounding cancels.
    /// Four rows at a time, since the steps of one depend on each other.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Softmax(
        float* scores, int count, int panels, float scale, float* top, float* sum, float* result, long resultStride, int resultPanels,
        bool first)
    {
        int w = S.Width, end = panels * w;
        float* row0 = scores;
        float* row1 = row0 + KeyBlock;
        float* row2 = row1 + KeyBlock;
        float* row3 = row2 + KeyBlock;
        for (int j = count; j < end; j++)
        {
            // Keys that are not there.
            row0[j] = row1[j] = row2[j] = row3[j] = Lowest;
        }

        V a = S.Load(row0), b = S.Load(row1), c = S.Load(row2), d = S.Load(row3);
        for (int j = w; j < end; j += w)
        {
            a = S.MaxNative(a, S.Load(row0 + j));
            b = S.MaxNative(b, S.Load(row1 + j));
            c = S.MaxNative(c, S.Load(row2 + j));
            d = S.MaxNative(d, S.Load(row3 + j));
        }

        float* old = stackalloc float[SoftmaxRows];
        for (int r = 0; r < SoftmaxRows; r++)
        {
            old[r] = top[r];
        }

        top[0] = Math.Max(old[0], scale * S.MaxAcross(a));
        top[1] = Math.Max(old[1], scale * S.MaxAcross(b));
        top[2] = Math.Max(old[2], scale * S.MaxAcross(c));
        top[3] = Math.Max(old[3], scale * S.MaxAcross(d));
        V s = S.Broadcast(scale), shift0 = S.Broadcast(-top[0]), shift1 = S.Broadcast(-top[1]);
        V shift2 = S.Broadcast(-top[2]), shift3 = S.Broadcast(-top[3]);
        (a, b, c, d) = (S.Zero, S.Zero, S.Zero, S.Zero);
        for (int j = 0; j < end; j += w)
        {
            V e = MathKernels<S, V>.ExpNonPositive(S.Fma(S.Load(row0 + j), s, shift0));
            V f = MathKernels<S, V>.ExpNonPositive(S.Fma(S.Load(row1 + j), s, shift1));
            V g = MathKernels<S, V>.ExpNonPositive(S.Fma(S.Load(row2 + j), s, shift2));
            V h = MathKernels<S, V>.ExpNonPositive(S.Fma(S.Load(row3 + j), s, shift3));
            a = S.Add(a, e);
            b = S.Add(b, f);
            c = S.Add(c, g);
            d = S.Add(d, h);
            S.Store(row0 + j, e);
            S.Store(row1 + j, f);
            S.Store(row2 + j, g);
            S.Store(row3 + j, h);
        }

        if (!first)
        {
            for (int r = 0; r < SoftmaxRows; r++)
            {
                if (top[r] != old[r])
                {
                    float fade = MathF.Exp(old[r] - top[r]);
                    sum[r] *= fade;
                    V f = S.Broadcast(fade);
                    for (int i = 0; i < resultPanels * w; i += w)
                    {
                        S.Store(result + (r * resultStride) + i, S.Mul(f, S.Load(result + (r * resultStride) + i)));
                    }
                }
            }
        }

        sum[0] += S.Sum(a);
        sum[1] += S.Sum(b);
        sum[2] += S.Sum(c);
        sum[3] += S.Sum(d);
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
