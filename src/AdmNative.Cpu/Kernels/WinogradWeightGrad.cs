namespace AdmNative.Cpu.Kernels;

/// <summary>
/// Weight gradient of a 3x3 stride-1 convolution by Winograd tiles: dw = G^T [ sum over tiles of (B^T d B) * (A dY A^T) ] G, where the sum is
/// one matrix product [C x tiles] * [tiles x K] per element of the transformed tile.
/// </summary>
/// <remarks>
/// Tiles are taken slice by slice: first both transforms of the slice, then every task adds the slice to its own block of channels times panel.
/// Sums run over tiles in ascending order whatever the slices, so results do not depend on the number of threads.
/// </remarks>
internal sealed unsafe class WinogradWeightGrad<S, V, F> : ConvWeightGradPlan
    where S : struct, ISimd<V>
    where V : unmanaged
    where F : struct, IWinograd<V>
{
    private const long SliceBytes = 450 * 1024;
    private const int SumBytes = 350 * 1024;

    private readonly ConvGeometry _g;
    private readonly int _threads;
    private readonly int _tilesH;
    private readonly int _tilesW;
    private readonly int _tiles;
    private readonly int _vectors;
    private readonly int _panels;
    private readonly int _widest;
    private readonly int _blockC;
    private readonly int _blocksC;
    private readonly int _slice;
    private readonly int _slices;
    private readonly nint _vs;
    private readonly nint _ds;
    private readonly nint _us;
    private readonly long _inputElements;
    private readonly long _gradElements;
    private readonly long _sumElements;
    private readonly long _workerElements;

    /// <summary>Decides blocks and workspace.</summary>
    public WinogradWeightGrad(in ConvGeometry g, int threads)
    {
        int w = S.Width;
        int e = F.Side * F.Side;
        _g = g;
        _threads = threads;
        _tilesH = (g.OutH + F.Out - 1) / F.Out;
        _tilesW = (g.OutW + F.Out - 1) / F.Out;
        _tiles = g.N * _tilesH * _tilesW;
        _vectors = (g.K + w - 1) / w;
        _panels = Gemm<S, V>.Panels(_vectors, out int widest);
        _widest = widest * w;

        int mostC = Math.Max(w, SumBytes / (e * _widest * 4) / w * w);
        int blocks = Math.Max((g.C + mostC - 1) / mostC, Math.Min((2 * threads + _panels - 1) / _panels, (g.C + w - 1) / w));
        _blockC = (((g.C + blocks - 1) / blocks) + w - 1) / w * w;
        _blocksC = (g.C + _blockC - 1) / _blockC;

        // A slice should stay in cache while it is used; one that is too short pays for reading and writing the sums.
        long perTile = (long)e * 4 * (((long)_blocksC * _blockC) + ((long)_vectors * w));
        int fit = (int)Math.Max(SliceBytes / perTile, 0);
        _slice = Math.Clamp(Math.Max(fit, LeastSlice) / 8 * 8, 1, _tiles);
        _slices = (_tiles + _slice - 1) / _slice;
        _slice = (_tiles + _slices - 1) / _slices;
        _slices = (_tiles + _slice - 1) / _slice;

        _vs = WinogradLayout.Stride((long)_slice * _blockC, w);
        _ds = WinogradLayout.Stride((long)_slice * _widest, w);
        _us = WinogradLayout.Stride((long)_blockC * _widest, _widest);
        _inputElements = WinogradLayout.Round(e * _vs * _blocksC);
        _gradElements = WinogradLayout.Round(e * _ds * _panels);
        _sumElements = _slices > 1 ? WinogradLayout.Round(e * _us * _blocksC * _panels) : 0;
        _workerElements = WinogradLayout.Round((_slices > 1 ? 0 : e * _us) + Math.Max(((long)_blockC * 9 * w) + (w * w), 2 * e * w));
    }

    /// <inheritdoc/>
    public override string Algorithm => $"winograd{F.Out} {_slices}x{_slice}x{_blockC}x{_widest}";

    /// <inheritdoc/>
    public override long WorkspaceBytes => 4 * (_inputElements + _gradElements + _sumElements + (_threads * _workerElements));

    private static int LeastSlice => 256;

    /// <inheritdoc/>
    public override void Run(WorkerPool pool, float* x, long ldx, float* dy, long lddy, float* dw, byte* workspace)
    {
        var job = new Job
        {
            Plan = this,
            X = x,
            Ldx = ldx,
            Dy = dy,
            Lddy = lddy,
            Dw = dw,
            V = (float*)workspace,
            D = (float*)workspace + _inputElements,
            Sums = (float*)workspace + _inputElements + _gradElements,
            Worker = (float*)workspace + _inputElements + _gradElements + _sumElements,
        };
        for (int slice = 0; slice < _slices; slice++)
        {
            job.Begin = slice * _slice;
            job.Tiles = Math.Min(_slice, _tiles - job.Begin);
            job.Parts = _threads == 1 ? 1 : Math.Min(job.Tiles, ((4 * _threads) + _blocksC + _panels - 1) / (_blocksC + _panels));
            job.Transforming = true;
            pool.Run((_blocksC + _panels) * job.Parts, job);
            job.Transforming = false;
            job.Last = slice == _slices - 1;
            pool.Run(_blocksC * _panels, job);
        }
    }

    private struct Job : IPoolJob
    {
        public WinogradWeightGrad<S, V, F> Plan;
        public float* X;
        public long Ldx;
        public float* Dy;
        public long Lddy;
        public float* Dw;
        public float* V;
        public float* D;
        public float* Sums;
        public float* Worker;
        public int Begin;
        public int Tiles;
        public int Parts;
        public bool Transforming;
        public bool Last;

        public readonly void Run(int task, int worker)
        {
            WinogradWeightGrad<S, V, F> p = Plan;
            float* own = Worker + (worker * p._workerElements);
            if (Transforming)
            {
                int part = task % Parts;
                int from = (int)((long)Tiles * part / Parts);
                int to = (int)((long)Tiles * (part + 1) / Parts);
                task /= Parts;
                if (task < p._blocksC)
                {
                    TransformInput(task, from, to, own);
                }
                else
                {
                    TransformGrad(task - p._blocksC, from, to, own);
                }

                return;
            }

            Multiply(task / p._panels, task % p._panels, own);
        }

        /// <summary>V[block][e][tile][channel] of tiles [from, to) of the slice.</summary>
        private readonly void TransformInput(int block, int from, int to, float* scratch)
        {
            WinogradWeightGrad<S, V, F> p = Plan;
            ConvGeometry g = p._g;
            int c = block * p._blockC;
            int channels = Math.Min(p._blockC, g.C - c);
            var tile = new TilePosition(Begin + from, p._tilesH, p._tilesW);
            float* v = V + (block * F.Side * F.Side * p._vs) + ((long)from * p._blockC);
            for (int t = from; t < to; t++, v += p._blockC, tile.Next())
            {
                int h = (tile.I * F.Out) - g.PadH;
                int q = (tile.J * F.Out) - g.PadW;
                float* d = X + (((((long)tile.N * g.H) + h) * g.W) + q) * Ldx + c;
                for (int i = 0; i < channels; i += S.Width)
                {
                    F.Input(
                        d + i, (nint)(g.W * Ldx), (nint)Ldx, Math.Max(0, -h), Math.Min(F.Side, g.H - h), Math.Max(0, -q),
                        Math.Min(F.Side, g.W - q), channels - i, v + i, p._vs, scratch);
                }
            }
        }

        /// <summary>D[panel][e][tile][column] of tiles [from, to) of the slice.</summary>
        private readonly void TransformGrad(int panel, int from, int to, float* scratch)
        {
            WinogradWeightGrad<S, V, F> p = Plan;
            ConvGeometry g = p._g;
            (int first, int count) = Gemm<S, V>.PanelAt(p._vectors, panel);
            int k = first * S.Width;
            int width = count * S.Width;
            var tile = new TilePosition(Begin + from, p._tilesH, p._tilesW);
            float* v = D + (panel * F.Side * F.Side * p._ds) + ((long)from * width);
            for (int t = from; t < to; t++, v += width, tile.Next())
            {
                int h = tile.I * F.Out;
                int q = tile.J * F.Out;
                float* dy = Dy + (((((long)tile.N * g.OutH) + h) * g.OutW) + q) * Lddy + k;
                for (int i = 0; i < width; i += S.Width)
                {
                    F.OutputGrad(
                        dy + i, (nint)(g.OutW * Lddy), (nint)Lddy, Math.Min(F.Out, g.OutH - h), Math.Min(F.Out, g.OutW - q), g.K - k - i,
                        v + i, p._ds, scratch);
                }
            }
        }

        private readonly void Multiply(int block, int panel, float* own)
        {
            WinogradWeightGrad<S, V, F> p = Plan;
            int e = F.Side * F.Side;
            int w = S.Width;
            (int first, int count) = Gemm<S, V>.PanelAt(p._vectors, panel);
            int width = count * w;
            int c = block * p._blockC;
            int channels = Math.Min(p._blockC, p._g.C - c);
            float* v = V + (block * e * p._vs);
            float* d = D + (panel * e * p._ds);
            float* sums = own;
            float* scratch = own + (e * p._us);
            if (p._slices > 1)
            {
                sums = Sums + (((block * p._panels) + panel) * e * p._us);
                scratch = own;
            }

            for (int i = 0; i < e; i++)
            {
                float* u = sums + (i * p._us);
                Gemm<S, V>.Panel(
                    channels, Tiles, v, 1, p._blockC, d, width, count, width, null, Begin > 0 ? u : null, width, u, width, v + p._vs);
                v += p._vs;
                d += p._ds;
            }

            if (Last)
            {
                Finish(first, count, c, channels, sums, scratch);
            }
        }

        /// <summary>dw[k][c][9] = G^T sums G for one block and panel.</summary>
        private readonly void Finish(int first, int count, int c, int channels, float* sums, float* scratch)
        {
            WinogradWeightGrad<S, V, F> p = Plan;
            int w = S.Width;
            int rows = channels * 9;
            float* square = scratch + ((long)p._blockC * 9 * w);
            for (int vector = 0; vector < count; vector++)
            {
                for (int i = 0; i < channels; i++)
                {
                    F.WeightGrad(sums + ((long)i * count * w) + (vector * w), p._us, scratch + ((long)i * 9 * w), w);
                }

                int k = (first + vector) * w;
                int lanes = Math.Min(w, p._g.K - k);
                float* to = Dw + ((((long)k * p._g.C) + c) * 9);
                for (int j = 0; j < rows; j += w)
                {
                    int n = Math.Min(w, rows - j);
                    S.Transpose(scratch + ((long)j * w), w, n, lanes, square);
                    for (int lane = 0; lane < lanes; lane++)
                    {
                        float* row = to + (lane * (long)p._g.C * 9) + j;
                        if (n == w)
                        {
                            S.Store(row, S.Load(square + (lane * w)));
                        }
                        else
                        {
                            S.StorePartial(row, S.Load(square + (lane * w)), n);
                        }
                    }
                }
            }
        }
    }
}

/// <summary>Walks over the tiles of all images.</summary>
internal struct TilePosition(int tile, int tilesH, int tilesW)
{
    /// <summary>Image.</summary>
    public int N = tile / tilesW / tilesH;

    /// <summary>Row of tiles.</summary>
    public int I = tile / tilesW % tilesH;

    /// <summary>Column of tiles.</summary>
    public int J = tile % tilesW;

    /// <summary>The next tile in row-major order.</summary>
    public void Next()
    {
        if (++J == tilesW)
        {
            J = 0;
            if (++I == tilesH)
            {
                I = 0;
                N++;
            }
        }
    }
}

/// <summary>Distances in workspaces.</summary>
internal static class WinogradLayout
{
    /// <summary>
    /// Distance between matrices of at least <paramref name="elements"/>, such that <paramref name="step"/> elements at one place of all of them
    /// fall into different cache sets: transforms write one vector to each matrix, and a distance near a multiple of 4096 bytes would send
    /// them all to one set (measured: weight transform 244 cycles per vector instead of 129).
    /// </summary>
    public static nint Stride(long elements, int step)
    {
        long rounded = (elements + 15) / 16 * 16;
        long over = rounded % 1024;
        return (nint)(over < step ? rounded - over + step : over > 1024 - step ? rounded - over + 1024 + step : rounded);
    }

    /// <summary>Rounds to 4096 bytes.</summary>
    public static long Round(long elements) => (elements + 1023) / 1024 * 1024;
}
