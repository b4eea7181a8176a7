using System.Runtime.InteropServices;

namespace AdmNative.Cpu.Kernels;

/// <summary>
/// Convolution as a matrix product over taps and reduced channels, forward or input gradient: any kernel, stride and padding, and linear
/// layers. A block of pixels gathers its windows into a panel that stays in cache; 1x1 layers are multiplied in place.
/// </summary>
/// <remarks>
/// The input gradient of stride s is s * s interleaved convolutions of stride 1, one per residue of the pixel's coordinates, each with the taps
/// that reach it; no product with a structural zero is computed. In the forward pass there is one such class, all pixels.
/// </remarks>
internal sealed unsafe class ConvDirect<S, V> : ConvPlan
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private const int BlockRows = 96;
    private const int MaxDepth = 384;

    private readonly ConvGeometry _g;
    private readonly bool _inputGrad;
    private readonly bool _resident;
    private readonly int _threads;
    private readonly int _ci;
    private readonly int _co;
    private readonly int _vectors;
    private readonly int _panels;
    private readonly int _groups;
    private readonly bool _pointwise;
    private readonly PixelClass[] _classes;
    private readonly int _blocks;
    private readonly long _weightElements;
    private readonly long _workerElements;

    /// <summary>Decides blocks and workspace.</summary>
    public ConvDirect(in ConvGeometry g, bool inputGrad, int threads, bool resident)
    {
        int w = S.Width;
        _g = g;
        _inputGrad = inputGrad;
        _resident = resident;
        _threads = threads;
        (_ci, _co) = inputGrad ? (g.K, g.C) : (g.C, g.K);
        _vectors = (_co + w - 1) / w;
        _panels = Gemm<S, V>.Panels(_vectors, out _);
        _pointwise = g.R == 1 && g.S == 1 && g.Stride == 1 && g.PadH == 0 && g.PadW == 0;
        _classes = PixelClass.Split(g, inputGrad, BlockRows);
        _blocks = _classes.Sum(c => c.Blocks);
        _groups = Math.Clamp(((2 * threads) + _blocks - 1) / _blocks, 1, threads == 1 ? 1 : _panels);
        _weightElements = Round((long)_ci * g.R * g.S * _vectors * w);
        _workerElements = Round(Math.Max(_pointwise ? 0 : BlockRows * MaxDepth, ConvWeights<S, V>.ScratchElements(g)));
    }

    /// <inheritdoc/>
    public override string Algorithm => _pointwise ? "gemm" : "direct";

    /// <inheritdoc/>
    public override long WorkspaceBytes => 4 * ((_resident ? 0 : _weightElements) + (_threads * _workerElements));

    /// <inheritdoc/>
    public override long PackedBytes => _resident ? 4 * _weightElements : 0;

    /// <inheritdoc/>
    public override string PackedLayout => $"panels, stride {_g.Stride}, pad {_g.PadH} {_g.PadW}";

    /// <inheritdoc/>
    public override void PackWeights(WorkerPool pool, float* w, float* packed)
    {
        // Packing needs a little scratch; at load time it may be allocated.
        float* scratch = (float*)NativeMemory.AlignedAlloc((nuint)(pool.Threads * _workerElements * 4), 64);
        try
        {
            var weights = new ConvWeights<S, V>(_g, _inputGrad, w, null);
            pool.Run(_panels, new Job { Plan = this, Weights = weights, Panels = packed, Worker = scratch, Packing = true });
        }
        finally
        {
            NativeMemory.AlignedFree(scratch);
        }
    }

    /// <inheritdoc/>
    public override void Run(
        WorkerPool pool, float* x, long ldx, float* w, float* packed, float* bias, float* residual, long ldr, float* y, long ldy,
        byte* workspace)
    {
        var job = new Job
        {
            Plan = this,
            Weights = new ConvWeights<S, V>(_g, _inputGrad, w, null),
            X = x,
            Ldx = ldx,
            Panels = _resident ? packed : (float*)workspace,
            Bias = bias,
            Residual = residual,
            Ldr = ldr,
            Y = y,
            Ldy = ldy,
            Worker = (float*)workspace + (_resident ? 0 : _weightElements),
        };
        if (!_resident)
        {
            job.Packing = true;
            pool.Run(_panels, job);
            job.Packing = false;
        }

        pool.Run(_blocks * _groups, job);
    }

    private static long Round(long elements) => (elements + 15) / 16 * 16;

    private struct Job : IPoolJob
    {
        public ConvDirect<S, V> Plan;
        public ConvWeights<S, V> Weights;
        public float* X;
        public long Ldx;
        public float* Panels;
        public float* Bias;
        public float* Residual;
        public long Ldr;
        public float* Y;
        public long Ldy;
        public float* Worker;
        public bool Packing;

        public readonly void Run(int task, int worker)
        {
            float* own = Worker + (worker * Plan._workerElements);
            if (Packing)
            {
                Pack(task, own);
                return;
            }

            int group = task % Plan._groups;
            int block = task / Plan._groups;
            foreach (PixelClass c in Plan._classes)
            {
                if (block < c.Blocks)
                {
                    Block(c, block, Plan._panels * group / Plan._groups, Plan._panels * (group + 1) / Plan._groups, own);
                    return;
                }

                block -= c.Blocks;
            }
        }

        /// <summary>One panel: [class][tap][reduced channel][panel column].</summary>
        private readonly void Pack(int panel, float* scratch)
        {
            int w = S.Width;
            int ci = Plan._ci;
            int taps = Plan._g.R * Plan._g.S;
            (int first, int count) = Gemm<S, V>.PanelAt(Plan._vectors, panel);
            float* to = Panels + ((long)first * w * ci * taps);
            for (int c = 0; c < ci;)
            {
                int step = Math.Min(Weights.Step, ci - c);
                for (int vector = 0; vector < count; vector++)
                {
                    float* from = Weights.Get(first + vector, c, step, scratch);
                    int slot = 0;
                    foreach (PixelClass pixels in Plan._classes)
                    {
                        foreach (Tap tap in pixels.Taps)
                        {
                            for (int i = 0; i < step; i++)
                            {
                                S.Store(
                                    to + (((((long)slot * ci) + c + i) * count) + vector) * w,
                                    S.Load(from + (((i * taps) + tap.Index) * w)));
                            }

                            slot++;
                        }
                    }
                }

                c += step;
            }
        }

        private readonly void Block(PixelClass pixels, int block, int firstPanel, int lastPanel, float* windows)
        {
            int w = S.Width;
            int ci = Plan._ci;
            long allTaps = Plan._g.R * Plan._g.S;
            int begin = block * BlockRows;
            int rows = Math.Min(BlockRows, pixels.Count - begin);
            int depth = pixels.Taps.Length * ci;
            for (int k0 = 0; k0 == 0 || k0 < depth; k0 += MaxDepth)
            {
                int k = Math.Min(MaxDepth, depth - k0);
                float* a = windows;
                nint lda = k;
                if (Plan._pointwise)
                {
                    a = X + (begin * Ldx) + k0;
                    lda = (nint)Ldx;
                }
                else
                {
                    Gather(pixels, begin, rows, k0, k, windows);
                }

                for (int panel = firstPanel; panel < lastPanel; panel++)
                {
                    (int first, int count) = Gemm<S, V>.PanelAt(Plan._vectors, panel);
                    int column = first * w;
                    int columns = Math.Min(count * w, Plan._co - column);
                    float* b = Panels + (column * ci * allTaps) + ((((long)pixels.FirstSlot * ci) + k0) * count * w);
                    float* bias = Bias is null || k0 > 0 ? null : Bias + column;
                    for (int row = 0; row < rows;)
                    {
                        int run = pixels.Run(begin + row, rows - row, out long pixel);
                        float* y = Y + (pixel * Ldy) + column;
                        float* d = k0 > 0 ? y : Residual is null ? null : Residual + (pixel * Ldr) + column;
                        Gemm<S, V>.Panel(
                            run, k, a + (row * lda), lda, 1, b, count * w, count, columns, bias,
                            d, (nint)(pixels.Step * (k0 > 0 ? Ldy : Ldr)), y, (nint)(pixels.Step * Ldy));
                        row += run;
                    }
                }
            }
        }

        /// <summary>windows[row][0..k) = the inputs under taps and channels [k0, k0 + k) of that pixel, zero outside the image.</summary>
        private readonly void Gather(PixelClass pixels, int begin, int rows, int k0, int k, float* windows)
        {
            int ci = Plan._ci;
            for (int row = 0; row < rows; row++)
            {
                pixels.Position(begin + row, out int n, out int i, out int j);
                float* image = X + ((long)n * pixels.InH * pixels.InW * Ldx);
                int tap = k0 / ci;
                int c = k0 % ci;
                for (int left = k; left > 0; tap++, c = 0)
                {
                    int count = Math.Min(left, ci - c);
                    int h = (i * pixels.InStep) + pixels.Taps[tap].H;
                    int q = (j * pixels.InStep) + pixels.Taps[tap].W;
                    bool inside = (uint)h < (uint)pixels.InH && (uint)q < (uint)pixels.InW;
                    Windows<S, V>.Copy(windows, inside ? image + ((((long)h * pixels.InW) + q) * Ldx) + c : null, count);
                    windows += count;
                    left -= count;
                }
            }
        }
    }
}

/// <summary>Copies of short runs of channels.</summary>
internal static unsafe class Windows<S, V> where S : struct, ISimd<V> where V : unmanaged
{
    /// <summary>to[0..count) = from[0..count), or zeros if from is null.</summary>
    public static void Copy(float* to, float* from, int count)
    {
        int w = S.Width;
        int i = 0;
        if (from is null)
        {
            for (; i + w <= count; i += w)
            {
                S.Store(to + i, S.Zero);
            }

            if (i < count)
            {
                S.StorePartial(to + i, S.Zero, count - i);
            }

            return;
        }

        for (; i + w <= count; i += w)
        {
            S.Store(to + i, S.Load(from + i));
        }

        if (i < count)
        {
            S.StorePartial(to + i, S.LoadPartial(from + i, count - i), count - i);
        }
    }
}

/// <summary>A filter tap as seen from a pixel of a class.</summary>
/// <param name="Index">r * S + s.</param>
/// <param name="H">Row of the input it reads, relative to the pixel's row times InStep.</param>
/// <param name="W">Column, likewise.</param>
internal readonly record struct Tap(int Index, int H, int W);

/// <summary>Result pixels (i * Step + OffsetH, j * Step + OffsetW) of every image, and the taps that reach them.</summary>
internal sealed class PixelClass
{
    private PixelClass(Tap[] taps)
    {
        Taps = taps;
    }

    /// <summary>Taps, at least those that read inside the image for some pixel.</summary>
    public Tap[] Taps { get; }

    /// <summary>Taps of the classes before this one.</summary>
    public int FirstSlot { get; private init; }

    /// <summary>Distance between neighbouring result pixels.</summary>
    public int Step { get; private init; }

    /// <summary>Distance between the input pixels of neighbouring result pixels.</summary>
    public int InStep { get; private init; }

    /// <summary>Rows of an input image.</summary>
    public int InH { get; private init; }

    /// <summary>Columns of an input image.</summary>
    public int InW { get; private init; }

    /// <summary>Pixels of the class in all images.</summary>
    public int Count { get; private init; }

    /// <summary>Blocks of pixels.</summary>
    public int Blocks { get; private init; }

    private int OffsetH { get; init; }

    private int OffsetW { get; init; }

    private int GridH { get; init; }

    private int GridW { get; init; }

    private int OutH { get; init; }

    private int OutW { get; init; }

    /// <summary>The classes of a pass; together their taps are all taps, once each.</summary>
    public static PixelClass[] Split(in ConvGeometry g, bool inputGrad, int blockRows)
    {
        var classes = new List<PixelClass>();
        int step = inputGrad ? g.Stride : 1;
        int slot = 0;
        for (int oh = 0; oh < step; oh++)
        {
            for (int ow = 0; ow < step; ow++)
            {
                var taps = new List<Tap>();
                for (int r = 0; r < g.R; r++)
                {
                    for (int s = 0; s < g.S; s++)
                    {
                        int h = inputGrad ? oh + g.PadH - r : r - g.PadH;
                        int w = inputGrad ? ow + g.PadW - s : s - g.PadW;
                        if (h % step == 0 && w % step == 0)
                        {
                            taps.Add(new Tap((r * g.S) + s, h / step, w / step));
                        }
                    }
                }

                (int outH, int outW) = inputGrad ? (g.H, g.W) : (g.OutH, g.OutW);
                int gridH = Math.Max(0, (outH - oh + step - 1) / step);
                int gridW = Math.Max(0, (outW - ow + step - 1) / step);
                int count = g.N * gridH * gridW;
                classes.Add(new PixelClass([.. taps])
                {
                    FirstSlot = slot,
                    Step = step,
                    InStep = inputGrad ? 1 : g.Stride,
                    InH = inputGrad ? g.OutH : g.H,
                    InW = inputGrad ? g.OutW : g.W,
                    OffsetH = oh,
                    OffsetW = ow,
                    GridH = gridH,
                    GridW = gridW,
                    OutH = outH,
                    OutW = outW,
                    Count = count,
                    Blocks = (count + blockRows - 1) / blockRows,
                });
                slot += taps.Count;
            }
        }

        return [.. classes];
    }

    /// <summary>Image, grid row and grid column of a pixel.</summary>
    public void Position(int pixel, out int n, out int i, out int j)
    {
        j = pixel % GridW;
        int line = pixel / GridW;
        i = line % GridH;
        n = line / GridH;
    }

    /// <summary>How many of <paramref name="most"/> pixels from <paramref name="pixel"/> on lie evenly spaced in the result, and where the first is.</summary>
    public int Run(int pixel, int most, out long outPixel)
    {
        if (Step == 1)
        {
            outPixel = pixel;
            return most;
        }

        Position(pixel, out int n, out int i, out int j);
        outPixel = ((((long)n * OutH) + (i * Step) + OffsetH) * OutW) + (j * Step) + OffsetW;
        return Math.Min(most, GridW - j);
    }
}
