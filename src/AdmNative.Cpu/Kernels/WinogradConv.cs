namespace AdmNative.Cpu.Kernels;

/// <summary>
/// 3x3 stride-1 convolution by Winograd tiles, forward or input gradient (the same thing with the taps turned round and C and K exchanged).
/// </summary>
/// <remarks>
/// Two loop orders. Small layers (all transformed weights fit in cache): weights are transformed once, then each task takes a block of tiles
/// through input transform, products and output transform. Large layers: input tiles are transformed once, then each task takes a panel of
/// output channels, transforms its weights chunk by chunk of reduced channels, and runs all its tiles over them.
/// Transformed weights are not kept between runs: they would take four times the memory of the weights.
/// </remarks>
internal sealed unsafe class WinogradConv<S, V, F> : ConvPlan
    where S : struct, ISimd<V>
    where V : unmanaged
    where F : struct, IWinograd<V>
{
    private const int SmallWeightBytes = 1300 * 1024;
    private const int ChunkWeightBytes = 280 * 1024;
    private const int SmallInputBytes = 400 * 1024;
    private const int BlockSumBytes = 700 * 1024;

    private readonly ConvGeometry _g;
    private readonly bool _inputGrad;
    private readonly bool _resident;
    private readonly int _threads;

    private readonly int _ci;           // reduced channels
    private readonly int _co;           // produced channels
    private readonly int _inH;
    private readonly int _inW;
    private readonly int _outH;
    private readonly int _outW;
    private readonly int _padH;
    private readonly int _padW;
    private readonly int _tilesH;
    private readonly int _tilesW;
    private readonly int _tiles;

    private readonly bool _small;
    private readonly int _vectors;      // vectors of produced channels
    private readonly int _panels;
    private readonly int _widest;       // elements in the widest panel
    private readonly int _chunk;        // reduced channels per chunk
    private readonly int _chunks;
    private readonly int _block;        // tiles per block
    private readonly int _blocks;
    private readonly int _groups;       // large: tasks per panel, each a range of blocks
    private readonly nint _us;          // elements between matrices of U, V, M
    private readonly nint _vs;
    private readonly nint _ms;
    private readonly int _ldv;
    private readonly bool _prefetchWeights;
    private readonly long _sharedElements;
    private readonly long _workerElements;

    /// <summary>Decides blocks and workspace.</summary>
    public WinogradConv(in ConvGeometry g, bool inputGrad, int threads, bool resident)
    {
        int w = S.Width;
        int e = F.Side * F.Side;
        _g = g;
        _inputGrad = inputGrad;
        _resident = resident;
        _threads = threads;
        (_ci, _co) = inputGrad ? (g.K, g.C) : (g.C, g.K);
        (_inH, _inW, _outH, _outW) = inputGrad ? (g.OutH, g.OutW, g.H, g.W) : (g.H, g.W, g.OutH, g.OutW);
        (_padH, _padW) = inputGrad ? (2 - g.PadH, 2 - g.PadW) : (g.PadH, g.PadW);
        _tilesH = (_outH + F.Out - 1) / F.Out;
        _tilesW = (_outW + F.Out - 1) / F.Out;
        _tiles = g.N * _tilesH * _tilesW;
        _vectors = (_co + w - 1) / w;
        _panels = Gemm<S, V>.Panels(_vectors, out int widest);
        _widest = widest * w;
        int rows = Gemm<S, V>.RowsFor(widest);

        _chunk = Chunk(_ci, _co);
        _chunks = (_ci + _chunk - 1) / _chunk;
        _small = IsSmall(_ci, _co);
        if (_small)
        {
            int target = Math.Max(1, 16 * 16 / w / rows);
            _block = Math.Min(target * rows, Math.Max(1, (_tiles + threads - 1) / threads));
            _us = WinogradLayout.Stride((long)_ci * _widest, _widest);
        }
        else
        {
            int fit = Math.Max(rows, (int)(BlockSumBytes / ((long)e * _widest * 4)) / rows * rows);
            int blocks = (_tiles + fit - 1) / fit;
            _block = (((_tiles + blocks - 1) / blocks) + rows - 1) / rows * rows;
            _us = WinogradLayout.Stride((long)_chunk * _widest, _widest);   // one row of U at a time
        }

        _block = Math.Min(_block, _tiles);
        _blocks = (_tiles + _block - 1) / _block;
        _groups = _small ? _blocks : Math.Min(_blocks, Math.Max(1, ((2 * threads) + _panels - 1) / _panels));
        if (!_small && (threads == 1 || _panels >= 8 * threads || _panels % threads == 0))
        {
            _groups = 1;
        }

        _ldv = (_chunk + w - 1) / w * w;
        _vs = WinogradLayout.Stride((long)(_small ? _block : _tiles) * _ldv, w);
        _prefetchWeights = resident && !_small && (long)e * _tiles * _ldv * 4 <= SmallInputBytes;
        _ms = WinogradLayout.Stride((long)_block * _widest, _widest);
        long scratch = Math.Max(2 * e * w, ConvWeights<S, V>.ScratchElements(g));
        if (!_small && !resident)
        {
            scratch = Math.Max(scratch, ((long)_chunk + w) * 9 * _widest);
        }

        _sharedElements = _small ? WinogradLayout.Round(e * _us * _panels) : WinogradLayout.Round(e * _vs * _chunks);
        _workerElements = WinogradLayout.Round((_small ? e * _vs : F.Side * _us) + (e * _ms) + scratch);
    }

    /// <summary>Reduced channels summed in one go; the sums of the chunks are added afterwards. Depends on the two numbers of channels only.</summary>
    public static int Chunk(int ci, int co)
    {
        if (IsSmall(ci, co))
        {
            return ci;
        }

        int w = S.Width;
        Gemm<S, V>.Panels((co + w - 1) / w, out int widest);
        int most = Math.Max(w, (int)(ChunkWeightBytes / ((long)(F.Side + 9) * widest * w * 4)) / w * w);
        int chunks = (ci + most - 1) / most;
        return (((ci + chunks - 1) / chunks) + w - 1) / w * w;
    }

    private static bool IsSmall(int ci, int co) =>
        (long)F.Side * F.Side * ci * ((co + S.Width - 1) / S.Width) * S.Width * 4 <= SmallWeightBytes;

    /// <inheritdoc/>
    public override string Algorithm => $"winograd{F.Out} {(_small ? "tiles" : "panels")} {_block}x{_chunk}x{_widest}";

    /// <inheritdoc/>
    public override long WorkspaceBytes => 4 * (_sharedElements + (_threads * _workerElements));

    /// <inheritdoc/>
    public override long PackedBytes => _resident ? 4 * ConvWeights<S, V>.PackedElements(_g, _inputGrad) : 0;

    /// <inheritdoc/>
    public override string PackedLayout => "lanes";

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
            X = x,
            Ldx = ldx,
            Bias = bias,
            Residual = residual,
            Ldr = ldr,
            Y = y,
            Ldy = ldy,
            Shared = (float*)workspace,
            Worker = (float*)workspace + _sharedElements,
        };
        if (_small)
        {
            int parts = _threads == 1 ? 1 : Math.Min(4, (_ci + S.Width - 1) / S.Width);
            job.Parts = parts;
            job.Phase = Phase.Weights;
            pool.Run(_panels * parts, job);
            job.Phase = Phase.Tiles;
            pool.Run(_blocks, job);
        }
        else
        {
            job.Phase = Phase.Input;
            job.Parts = Math.Min(_tilesH * _g.N, Math.Max(1, 4 * _threads / _chunks));
            pool.Run(_chunks * job.Parts, job);
            job.Phase = Phase.Panels;
            pool.Run(_panels * _groups, job);
        }
    }

    private enum Phase
    {
        Weights,
        Tiles,
        Input,
        Panels,
    }

    private struct Job : IPoolJob
    {
        public WinogradConv<S, V, F> Plan;
        public ConvWeights<S, V> Weights;
        public float* X;
        public long Ldx;
        public float* Bias;
        public float* Residual;
        public long Ldr;
        public float* Y;
        public long Ldy;
        public float* Shared;
        public float* Worker;
        public Phase Phase;
        public int Parts;

        public readonly void Run(int task, int worker)
        {
            WinogradConv<S, V, F> p = Plan;
            int e = F.Side * F.Side;
            float* own = Worker + (worker * p._workerElements);
            switch (Phase)
            {
                case Phase.Weights:
                    {
                        (int first, int count) = Gemm<S, V>.PanelAt(p._vectors, task / Parts);
                        int step = ((p._ci / Parts) + S.Width - 1) / S.Width * S.Width;
                        int part = task % Parts;
                        int begin = part * step;
                        int end = part == Parts - 1 ? p._ci : Math.Min(p._ci, begin + step);
                        if (begin < end)
                        {
                            float* u = Shared + (task / Parts * e * p._us) + ((long)begin * count * S.Width);
                            TransformWeights(first, count, begin, end, u, own);
                        }

                        break;
                    }

                case Phase.Tiles:
                    {
                        int begin = task * p._block;
                        int tiles = Math.Min(p._block, p._tiles - begin);
                        float* v = own;
                        float* m = own + (e * p._vs);
                        float* scratch = m + (e * p._ms);
                        TransformInput(begin, tiles, 0, p._ci, v, scratch);
                        for (int panel = 0; panel < p._panels; panel++)
                        {
                            (int first, int count) = Gemm<S, V>.PanelAt(p._vectors, panel);
                            Multiply(tiles, p._ci, v, Shared + (panel * e * p._us), count, m, false);
                            TransformOutput(begin, tiles, first, count, m, scratch);
                        }

                        break;
                    }

                case Phase.Input:
                    {
                        int chunk = task / Parts;
                        int rows = p._g.N * p._tilesH;
                        int begin = (int)((long)rows * (task % Parts) / Parts) * p._tilesW;
                        int end = (int)((long)rows * ((task % Parts) + 1) / Parts) * p._tilesW;
                        int c = chunk * p._chunk;
                        float* v = Shared + (chunk * e * p._vs) + ((long)begin * p._ldv);
                        TransformInput(begin, end - begin, c, Math.Min(p._chunk, p._ci - c), v, own);
                        break;
                    }

                default:
                    {
                        int panel = task / p._groups;
                        int group = task % p._groups;
                        (int first, int count) = Gemm<S, V>.PanelAt(p._vectors, panel);
                        float* u = own;
                        float* m = own + (F.Side * p._us);
                        float* scratch = m + (e * p._ms);
                        int last = (int)((long)p._blocks * (group + 1) / p._groups);
                        int start = (int)((long)p._blocks * group / p._groups);
                        for (int block = start; block < last; block++)
                        {
                            int begin = block * p._block;
                            int tiles = Math.Min(p._block, p._tiles - begin);
                            for (int chunk = 0; chunk < p._chunks; chunk++)
                            {
                                int c = chunk * p._chunk;
                                int channels = Math.Min(p._chunk, p._ci - c);
                                float* raw = Raw(first, count, c, channels, scratch, out long rawStride);
                                float* v = Shared + (chunk * e * p._vs) + ((long)begin * p._ldv);
                                for (int i = 0; i < F.Side; i++)
                                {
                                    TransformWeightRow(i, count, channels, raw, rawStride, u);
                                    MultiplyRow(
                                        tiles, channels, v + (i * F.Side * p._vs), u, count, m + (i * F.Side * p._ms), chunk > 0,
                                        p._prefetchWeights ? raw + ((long)channels * 9 * S.Width) : null, rawStride, i);
                                }
                            }

                            TransformOutput(begin, tiles, first, count, m, scratch);
                        }

                        break;
                    }
            }
        }

        /// <summary>u[e][c][panel] of reduced channels [begin, end); u points at channel begin.</summary>
        private readonly void TransformWeights(int first, int count, int begin, int end, float* u, float* scratch)
        {
            int w = S.Width;
            int ldu = count * w;
            bool turn = Plan._inputGrad;
            nint gs = turn ? -w : w;
            for (int c = begin; c < end;)
            {
                int step = Math.Min(Weights.Step, end - c);
                for (int vector = 0; vector < count; vector++)
                {
                    float* g = Weights.Get(first + vector, c, step, scratch) + (turn ? 8 * w : 0);
                    float* to = u + ((long)(c - begin) * ldu) + (vector * w);
                    for (int i = 0; i < step; i++)
                    {
                        F.Weight(g, gs, to, Plan._us);
                        g += 9 * w;
                        to += ldu;
                    }
                }

                c += step;
            }
        }

        /// <summary>Taps of a panel and chunk as vectors, [vector of the panel][channel][tap]: in the packed weights, or read into scratch.</summary>
        private readonly float* Raw(int first, int count, int c, int channels, float* scratch, out long stride)
        {
            int w = S.Width;
            if (Plan._resident)
            {
                stride = (long)Plan._ci * 9 * w;
                return Weights.Get(first, c, channels, null);
            }

            stride = (long)channels * 9 * w;
            for (int vector = 0; vector < count; vector++)
            {
                for (int i = 0; i < channels; i += Weights.Step)
                {
                    Weights.Get(first + vector, c + i, Math.Min(Weights.Step, channels - i), scratch + (vector * stride) + ((long)i * 9 * w));
                }
            }

            return scratch;
        }

        private readonly void TransformWeightRow(int i, int count, int channels, float* raw, long rawStride, float* u)
        {
            int w = S.Width;
            bool turn = Plan._inputGrad;
            for (int vector = 0; vector < count; vector++)
            {
                F.WeightRow(i, raw + (vector * rawStride) + (turn ? 8 * w : 0), turn ? -w : w, channels, u + (vector * w), Plan._us, count * w);
            }
        }

        /// <summary>
        /// Products of row <paramref name="i"/> of the transformed tile. Meanwhile prefetches the next matrix of V, or if V is small its share of the
        /// taps that follow.
        /// </summary>
        private readonly void MultiplyRow(
            int tiles, int channels, float* v, float* u, int count, float* m, bool accumulate, float* raw, long rawStride, int i)
        {
            int width = count * S.Width;
            int e = F.Side * F.Side;
            for (int j = 0; j < F.Side; j++)
            {
                float* next = v + Plan._vs;
                if (raw is not null)
                {
                    int part = ((i * F.Side) + j) * count;      // in units of 1/e of a vector's taps
                    next = raw + (part / e * rawStride) + ((long)(part % e) * channels * 9 * S.Width / e);
                }

                Gemm<S, V>.Panel(
                    tiles, channels, v, Plan._ldv, 1, u, width, count, width, null, accumulate ? m : null, width, m, width, next);
                v += Plan._vs;
                u += Plan._us;
                m += Plan._ms;
            }
        }

        /// <summary>v[e][tile][channel] of tiles [begin, begin + tiles) and channels [c, c + channels).</summary>
        private readonly void TransformInput(int begin, int tiles, int c, int channels, float* v, float* scratch)
        {
            WinogradConv<S, V, F> p = Plan;
            var tile = new TilePosition(begin, p._tilesH, p._tilesW);
            nint column = (nint)Ldx;
            nint row = (nint)(p._inW * Ldx);
            for (int t = 0; t < tiles; t++, tile.Next())
            {
                int h = (tile.I * F.Out) - p._padH;
                int q = (tile.J * F.Out) - p._padW;
                int top = Math.Max(0, -h);
                int left = Math.Max(0, -q);
                int bottom = Math.Min(F.Side, p._inH - h);
                int right = Math.Min(F.Side, p._inW - q);
                float* d = X + (((((long)tile.N * p._inH) + h) * p._inW) + q) * Ldx + c;
                float* to = v + ((long)t * p._ldv);
                for (int i = 0; i < channels; i += S.Width)
                {
                    F.Input(d + i, row, column, top, bottom, left, right, channels - i, to + i, p._vs, scratch);
                }
            }
        }

        /// <summary>m[e] = v[e] * u[e] (+ m[e]).</summary>
        private readonly void Multiply(int tiles, int channels, float* v, float* u, int count, float* m, bool accumulate)
        {
            int width = count * S.Width;
            for (int i = 0; i < F.Side * F.Side; i++)
            {
                Gemm<S, V>.Panel(
                    tiles, channels, v, Plan._ldv, 1, u, width, count, width, null, accumulate ? m : null, width, m, width,
                    null);
                v += Plan._vs;
                u += Plan._us;
                m += Plan._ms;
            }
        }

        private readonly void TransformOutput(int begin, int tiles, int first, int count, float* m, float* scratch)
        {
            WinogradConv<S, V, F> p = Plan;
            int w = S.Width;
            var tile = new TilePosition(begin, p._tilesH, p._tilesW);
            for (int t = 0; t < tiles; t++, tile.Next())
            {
                int h = tile.I * F.Out;
                int q = tile.J * F.Out;
                int rows = Math.Min(F.Out, p._outH - h);
                int columns = Math.Min(F.Out, p._outW - q);
                long pixel = ((((long)tile.N * p._outH) + h) * p._outW) + q;
                for (int vector = 0; vector < count; vector++)
                {
                    int k = (first + vector) * w;
                    F.Output(
                        m + (vector * w), p._ms, Bias is null ? null : Bias + k,
                        Residual is null ? null : Residual + (pixel * Ldr) + k, (nint)(p._outW * Ldr), (nint)Ldr,
                        Y + (pixel * Ldy) + k, (nint)(p._outW * Ldy), (nint)Ldy, rows, columns, p._co - k, scratch);
                }

                m += count * w;
            }
        }
    }
}
