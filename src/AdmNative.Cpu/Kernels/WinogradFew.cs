using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace AdmNative.Cpu.Kernels;

/// <summary>
/// F(4x4, 3x3) for images of a few tiles (8x8, batch 1 or 2), forward or input gradient, where reading and transforming weights is most of the work.
/// The transformed weights never reach memory: one row of the transformed tile is kept as 6 x 4 sums in registers while the row's six transformed
/// weights are made on the fly from half-transformed ones in L1.
/// </summary>
/// <remarks>Same transforms and same order of sums as <see cref="WinogradConv{S, V, F}"/> with F(4x4, 3x3): the results are equal bit for bit.</remarks>
internal sealed unsafe class WinogradFew<S, V> : ConvPlan
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private const int Chunk = 16;
    private const int HalfVectors = 18;

    private readonly ConvGeometry _g;
    private readonly bool _inputGrad;
    private readonly bool _resident;
    private readonly int _threads;
    private readonly int _ci;
    private readonly int _co;
    private readonly int _inH;
    private readonly int _inW;
    private readonly int _outH;
    private readonly int _outW;
    private readonly int _padH;
    private readonly int _padW;
    private readonly int _tilesH;
    private readonly int _tilesW;
    private readonly int _tiles;
    private readonly int _groups;
    private readonly int _vectors;
    private readonly int _depth;        // channels summed in one go, as the other plan does
    private readonly long _inputElements;
    private readonly long _workerElements;

    /// <summary>Decides workspace.</summary>
    public WinogradFew(in ConvGeometry g, bool inputGrad, int threads, bool resident)
    {
        int w = S.Width;
        _g = g;
        _inputGrad = inputGrad;
        _resident = resident;
        _threads = threads;
        (_ci, _co) = inputGrad ? (g.K, g.C) : (g.C, g.K);
        (_inH, _inW, _outH, _outW) = inputGrad ? (g.OutH, g.OutW, g.H, g.W) : (g.H, g.W, g.OutH, g.OutW);
        (_padH, _padW) = inputGrad ? (2 - g.PadH, 2 - g.PadW) : (g.PadH, g.PadW);
        _tilesH = (_outH + 3) / 4;
        _tilesW = (_outW + 3) / 4;
        _tiles = g.N * _tilesH * _tilesW;
        _groups = (_tiles + GroupTiles - 1) / GroupTiles;
        _vectors = (_co + w - 1) / w;
        _depth = WinogradConv<S, V, Winograd4<S, V>>.Chunk(_ci, _co);
        _inputElements = WinogradLayout.Round((long)_groups * _ci * 36 * GroupTiles);
        _workerElements = WinogradLayout.Round(
            (Chunk * HalfVectors * w) + (2L * _groups * 36 * GroupTiles * w) + Math.Max(108 * w, ConvWeights<S, V>.ScratchElements(g)));
    }

    /// <inheritdoc/>
    public override string Algorithm => "winograd4 few";

    /// <inheritdoc/>
    public override long WorkspaceBytes => 4 * (_inputElements + (_threads * _workerElements));

    /// <inheritdoc/>
    public override long PackedBytes => _resident ? 4 * ConvWeights<S, V>.PackedElements(_g, _inputGrad) : 0;

    /// <inheritdoc/>
    public override string PackedLayout => "lanes";

    private static int GroupTiles
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => S.Registers >= 32 ? 4 : 2;
    }

    /// <inheritdoc/>
    public override void PackWeights(WorkerPool pool, float* w, float* packed) =>
        pool.Run(_vectors, new PackJob<S, V>(new ConvWeights<S, V>(_g, _inputGrad, w, null), packed));

    /// <inheritdoc/>
    public override void Run(
        WorkerPool pool, float* x, long ldx, float* w, float* packed, float* bias, float* residual, long ldr, float* y, long ldy,
        byte* workspace)
    {
        var job = new Job
        {
            Plan = this,
            Weights = new ConvWeights<S, V>(_g, _inputGrad, w, _resident ? packed : null),
            Packed = _resident,
            X = x,
            Ldx = ldx,
            Bias = bias,
            Residual = residual,
            Ldr = ldr,
            Y = y,
            Ldy = ldy,
            Input = (float*)workspace,
            Worker = (float*)workspace + _inputElements,
            Transforming = true,
        };
        pool.Run(_groups * GroupTiles, job);
        job.Transforming = false;
        pool.Run(_vectors, job);
    }

    private struct Job : IPoolJob
    {
        public WinogradFew<S, V> Plan;
        public ConvWeights<S, V> Weights;
        public bool Packed;
        public float* X;
        public long Ldx;
        public float* Bias;
        public float* Residual;
        public long Ldr;
        public float* Y;
        public long Ldy;
        public float* Input;
        public float* Worker;
        public bool Transforming;

        public readonly void Run(int task, int worker)
        {
            float* own = Worker + (worker * Plan._workerElements);
            if (Transforming)
            {
                TransformInput(task, own);
            }
            else
            {
                Channels(task, own);
            }
        }

        /// <summary>Input[group][channel][row i of the tile][column j][tile of the group].</summary>
        private readonly void TransformInput(int slot, float* scratch)
        {
            WinogradFew<S, V> p = Plan;
            int w = S.Width;
            int n = GroupTiles;
            float* to = Input + ((long)(slot / n) * p._ci * 36 * n) + (slot % n);
            if (slot >= p._tiles)
            {
                for (long i = 0; i < (long)p._ci * 36; i++)
                {
                    to[i * n] = 0;
                }

                return;
            }

            var tile = new TilePosition(slot, p._tilesH, p._tilesW);
            int h = (tile.I * 4) - p._padH;
            int q = (tile.J * 4) - p._padW;
            float* d = X + (((((long)tile.N * p._inH) + h) * p._inW) + q) * Ldx;
            float* v = scratch + (72 * w);
            for (int c = 0; c < p._ci; c += w)
            {
                Winograd4<S, V>.Input(
                    d + c, (nint)(p._inW * Ldx), (nint)Ldx, Math.Max(0, -h), Math.Min(6, p._inH - h), Math.Max(0, -q), Math.Min(6, p._inW - q),
                    p._ci - c, v, w, scratch);
                int lanes = Math.Min(w, p._ci - c);
                for (int lane = 0; lane < lanes; lane++)
                {
                    for (int e = 0; e < 36; e++)
                    {
                        to[e * n] = v[(e * w) + lane];
                    }

                    to += 36 * n;
                }
            }
        }

        /// <summary>One vector of produced channels.</summary>
        private readonly void Channels(int vector, float* own)
        {
            WinogradFew<S, V> p = Plan;
            int w = S.Width;
            int n = GroupTiles;
            float* half = own;
            float* sums = half + (Chunk * HalfVectors * w);
            int count = p._groups * 36 * n * w;
            float* total = sums + count;
            float* scratch = total + count;
            bool turn = p._inputGrad;
            nint gs = turn ? -w : w;
            int channels;
            for (int c = 0; c < p._ci; c += channels)
            {
                int done = c % p._depth;
                channels = Math.Min(Math.Min(Chunk, p._depth - done), p._ci - c);
                float* raw = null;
                for (int i = 0; i < channels;)
                {
                    int step = Math.Min(Weights.Step, channels - i);
                    float* g = Weights.Get(vector, c + i, step, scratch);
                    raw = Packed ? g + ((long)channels * 9 * w) + (3 * Chunk * 9 * w) : null;   // four chunks ahead
                    g += turn ? 8 * w : 0;
                    for (int last = i + step; i < last; i++, g += 9 * w)
                    {
                        Winograd4<S, V>.HalfWeight(g, gs, half + (i * HalfVectors * w));
                    }
                }

                for (int group = 0; group < p._groups; group++)
                {
                    float* v = Input + ((((long)group * p._ci) + c) * 36 * n);
                    float* m = sums + (group * 36 * n * w);
                    for (int i = 0; i < 6; i++)
                    {
                        Row(half + (i * 3 * w), channels, v + (i * 6 * n), m + (i * 6 * n * w), done == 0, group == 0 ? raw : null);
                        raw = raw is null ? null : raw + (Chunk * 2 * w);
                    }
                }

                if (done + channels == p._depth || c + channels == p._ci)
                {
                    Accumulate(sums, total, count, c < p._depth);
                }
            }

            int k = vector * w;
            var tile = new TilePosition(0, p._tilesH, p._tilesW);
            for (int t = 0; t < p._tiles; t++, tile.Next())
            {
                int h = tile.I * 4;
                int q = tile.J * 4;
                long pixel = ((((long)tile.N * p._outH) + h) * p._outW) + q;
                Winograd4<S, V>.Output(
                    total + ((t / n * 36 * n) + (t % n)) * w, n * w, Bias is null ? null : Bias + k,
                    Residual is null ? null : Residual + (pixel * Ldr) + k, (nint)(p._outW * Ldr), (nint)Ldr,
                    Y + (pixel * Ldy) + k, (nint)(p._outW * Ldy), (nint)Ldy, Math.Min(4, p._outH - h), Math.Min(4, p._outW - q), p._co - k,
                    scratch);
            }
        }

        private static void Accumulate(float* sums, float* total, int count, bool first)
        {
            for (int i = 0; i < count; i += S.Width)
            {
                V sum = S.Load(sums + i);
                S.Store(total + i, first ? sum : S.Add(sum, S.Load(total + i)));
            }
        }

        /// <summary>
        /// m[j][tile] += sum over channels of u_j * v[channel][j][tile], with u = the row's six transformed weights made from three half-transformed
        /// ones. Prefetches a sixth (rounded up) of the next chunk of raw weights.
        /// </summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Row(float* half, int channels, float* v, float* m, bool first, float* raw)
        {
            int w = S.Width;
            int n = GroupTiles;
            V a0 = S.Zero, a1 = S.Zero, a2 = S.Zero, a3 = S.Zero, b0 = S.Zero, b1 = S.Zero, b2 = S.Zero, b3 = S.Zero;
            V c0 = S.Zero, c1 = S.Zero, c2 = S.Zero, c3 = S.Zero, d0 = S.Zero, d1 = S.Zero, d2 = S.Zero, d3 = S.Zero;
            V e0 = S.Zero, e1 = S.Zero, e2 = S.Zero, e3 = S.Zero, f0 = S.Zero, f1 = S.Zero, f2 = S.Zero, f3 = S.Zero;
            if (!first)
            {
                Get(m, ref a0, ref a1, ref a2, ref a3);
                Get(m + (n * w), ref b0, ref b1, ref b2, ref b3);
                Get(m + (2 * n * w), ref c0, ref c1, ref c2, ref c3);
                Get(m + (3 * n * w), ref d0, ref d1, ref d2, ref d3);
                Get(m + (4 * n * w), ref e0, ref e1, ref e2, ref e3);
                Get(m + (5 * n * w), ref f0, ref f1, ref f2, ref f3);
            }

            nint pace = raw is null ? 0 : 2 * w;
            float* next = raw is null ? half : raw;
            for (; channels > 0; channels--)
            {
                if (Sse.IsSupported)
                {
                    Sse.Prefetch1(next);
                    Sse.Prefetch1(next + w);
                    next += pace;
                }

                V g0 = S.Load(half);
                V g1 = S.Load(half + w);
                V g2 = S.Load(half + (2 * w));
                Add(g0, v, ref a0, ref a1, ref a2, ref a3);
                Add(g2, v + (5 * n), ref f0, ref f1, ref f2, ref f3);
                V even = S.Fma(S.Broadcast(Winograd4<S, V>.A2), g2, g0);
                Add(S.Fma(S.Broadcast(Winograd4<S, V>.A1), g1, even), v + n, ref b0, ref b1, ref b2, ref b3);
                Add(S.Fnma(S.Broadcast(Winograd4<S, V>.A1), g1, even), v + (2 * n), ref c0, ref c1, ref c2, ref c3);
                even = S.Fma(S.Broadcast(Winograd4<S, V>.B2), g2, g0);
                Add(S.Fma(S.Broadcast(Winograd4<S, V>.B1), g1, even), v + (3 * n), ref d0, ref d1, ref d2, ref d3);
                Add(S.Fnma(S.Broadcast(Winograd4<S, V>.B1), g1, even), v + (4 * n), ref e0, ref e1, ref e2, ref e3);
                half += HalfVectors * w;
                v += 36 * n;
            }

            Put(m, a0, a1, a2, a3);
            Put(m + (n * w), b0, b1, b2, b3);
            Put(m + (2 * n * w), c0, c1, c2, c3);
            Put(m + (3 * n * w), d0, d1, d2, d3);
            Put(m + (4 * n * w), e0, e1, e2, e3);
            Put(m + (5 * n * w), f0, f1, f2, f3);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Add(V u, float* v, ref V m0, ref V m1, ref V m2, ref V m3)
        {
            m0 = S.Fma(u, S.Broadcast(v[0]), m0);
            m1 = S.Fma(u, S.Broadcast(v[1]), m1);
            if (GroupTiles > 2)
            {
                m2 = S.Fma(u, S.Broadcast(v[2]), m2);
                m3 = S.Fma(u, S.Broadcast(v[3]), m3);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Get(float* m, ref V m0, ref V m1, ref V m2, ref V m3)
        {
            m0 = S.Load(m);
            m1 = S.Load(m + S.Width);
            if (GroupTiles > 2)
            {
                m2 = S.Load(m + (2 * S.Width));
                m3 = S.Load(m + (3 * S.Width));
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Put(float* m, V m0, V m1, V m2, V m3)
        {
            S.Store(m, m0);
            S.Store(m + S.Width, m1);
            if (GroupTiles > 2)
            {
                S.Store(m + (2 * S.Width), m2);
                S.Store(m + (3 * S.Width), m3);
            }
        }
    }
}
