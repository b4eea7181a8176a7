namespace AdmNative.Cpu.Kernels;

/// <summary>
/// Weight gradient as a matrix product over pixels, dw[k][tap, c] = sum dy[pixel][k] * x[pixel under tap][c]: any kernel, stride and padding,
/// and linear layers. Each task owns a block of dw and walks over all pixels in order, so sums do not depend on the number of threads.
/// </summary>
internal sealed unsafe class ConvWeightGradDirect<S, V> : ConvWeightGradPlan
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private const int BlockPixels = 192;
    private const int BlockK = 192;

    private readonly ConvGeometry _g;
    private readonly int _threads;
    private readonly int _columns;      // taps * C, tap major
    private readonly int _vectors;
    private readonly int _panels;
    private readonly int _widest;
    private readonly int _blockK;
    private readonly int _blocksK;
    private readonly long _workerElements;

    /// <summary>Decides blocks and workspace.</summary>
    public ConvWeightGradDirect(in ConvGeometry g, int threads)
    {
        int w = S.Width;
        _g = g;
        _threads = threads;
        _columns = g.C * g.R * g.S;
        _vectors = (_columns + w - 1) / w;
        _panels = Gemm<S, V>.Panels(_vectors, out int widest);
        _widest = widest * w;
        int wanted = ((2 * threads) + _panels - 1) / _panels;      // blocks of K so that every thread has work
        _blocksK = threads == 1 ? (g.K + BlockK - 1) / BlockK : Math.Max((g.K + BlockK - 1) / BlockK, Math.Min(wanted, (g.K + 23) / 24));
        _blockK = (((g.K + _blocksK - 1) / _blocksK) + 23) / 24 * 24;
        _blocksK = (g.K + _blockK - 1) / _blockK;
        _workerElements = (long)(BlockPixels + _blockK) * _widest;
    }

    /// <inheritdoc/>
    public override string Algorithm => "direct";

    /// <inheritdoc/>
    public override long WorkspaceBytes => 4 * _threads * _workerElements;

    /// <inheritdoc/>
    public override void Run(WorkerPool pool, float* x, long ldx, float* dy, long lddy, float* dw, byte* workspace) =>
        pool.Run(_panels * _blocksK, new Job(this, x, ldx, dy, lddy, dw, (float*)workspace));

    private readonly struct Job(ConvWeightGradDirect<S, V> plan, float* x, long ldx, float* dy, long lddy, float* dw, float* workspace)
        : IPoolJob
    {
        public void Run(int task, int worker)
        {
            ConvGeometry g = plan._g;
            int w = S.Width;
            (int first, int count) = Gemm<S, V>.PanelAt(plan._vectors, task / plan._blocksK);
            int k0 = task % plan._blocksK * plan._blockK;
            int channels = Math.Min(plan._blockK, g.K - k0);
            int column = first * w;
            int columns = Math.Min(count * w, plan._columns - column);
            int width = count * w;
            float* windows = workspace + (worker * plan._workerElements);
            float* sums = windows + ((long)BlockPixels * width);
            int pixels = g.N * g.OutH * g.OutW;
            for (int begin = 0; begin < pixels; begin += BlockPixels)
            {
                int n = Math.Min(BlockPixels, pixels - begin);
                Gather(begin, n, column, columns, width, windows);
                Gemm<S, V>.Panel(
                    channels, n, dy + (begin * lddy) + k0, 1, (nint)lddy, windows, width, count, width, null,
                    begin == 0 ? null : sums, width, sums, width);
            }

            int taps = g.R * g.S;
            for (int k = 0; k < channels; k++)
            {
                float* from = sums + ((long)k * width);
                float* to = dw + ((long)(k0 + k) * plan._columns);
                if (taps == 1)
                {
                    new Span<float>(from, columns).CopyTo(new Span<float>(to + column, columns));
                    continue;
                }

                int tap = column / g.C;
                int c = column % g.C;
                for (int i = 0; i < columns; i++)
                {
                    to[(c * taps) + tap] = from[i];
                    if (++c == g.C)
                    {
                        c = 0;
                        tap++;
                    }
                }
            }
        }

        /// <summary>windows[pixel][0..width) = columns [column, column + columns) of the pixel's window, zero outside the image and beyond.</summary>
        private void Gather(int begin, int pixels, int column, int columns, int width, float* windows)
        {
            ConvGeometry g = plan._g;
            int q = begin % g.OutW;
            int p = begin / g.OutW % g.OutH;
            int n = begin / g.OutW / g.OutH;
            int firstTap = column / g.C;
            int firstChannel = column % g.C;
            for (int pixel = 0; pixel < pixels; pixel++, windows += width)
            {
                int tap = firstTap;
                int c = firstChannel;
                int done = 0;
                while (done < columns)
                {
                    int count = Math.Min(columns - done, g.C - c);
                    int h = (p * g.Stride) + (tap / g.S) - g.PadH;
                    int v = (q * g.Stride) + (tap % g.S) - g.PadW;
                    bool inside = (uint)h < (uint)g.H && (uint)v < (uint)g.W;
                    Windows<S, V>.Copy(
                        windows + done, inside ? x + ((((((long)n * g.H) + h) * g.W) + v) * ldx) + c : null, count);
                    done += count;
                    c = 0;
                    tap++;
                }

                for (; done < width; done++)
                {
                    windows[done] = 0;
                }

                if (++q == g.OutW)
                {
                    q = 0;
                    if (++p == g.OutH)
                    {
                        p = 0;
                        n++;
                    }
                }
            }
        }
    }
}
