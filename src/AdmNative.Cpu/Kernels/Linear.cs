using System.Runtime.CompilerServices;

namespace AdmNative.Cpu.Kernels;

/// <summary>
/// Linear layers with one row per image (time embeddings): bound by reading the weights once, so they are read as they lie, w[M,K] row-major.
/// Forward takes dot products of four weight rows at a time; the input gradient adds weight rows.
/// </summary>
internal sealed unsafe class LinearFewRows<S, V> : ConvPlan
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private const int RowsPerTask = 32;

    private readonly int _rows;
    private readonly int _k;       // in features
    private readonly int _m;       // out features
    private readonly bool _inputGrad;
    private readonly int _vectors;

    /// <summary>For a pointwise geometry.</summary>
    public LinearFewRows(in ConvGeometry g, bool inputGrad)
    {
        _rows = g.N * g.H * g.W;
        _k = g.C;
        _m = g.K;
        _inputGrad = inputGrad;
        _vectors = (_k + S.Width - 1) / S.Width;
    }

    /// <inheritdoc/>
    public override string Algorithm => "rows";

    /// <inheritdoc/>
    public override long WorkspaceBytes => _inputGrad && _k % S.Width != 0 ? 4L * _m * S.Width : 0;

    /// <inheritdoc/>
    public override long PackedBytes => 0;

    /// <inheritdoc/>
    public override string PackedLayout => "";

    /// <inheritdoc/>
    public override void PackWeights(WorkerPool pool, float* w, float* packed) =>
        throw new InvalidOperationException("this plan reads weights as they are: PackedBytes is 0");

    /// <inheritdoc/>
    public override void Run(
        WorkerPool pool, float* x, long ldx, float* w, float* packed, float* bias, float* residual, long ldr, float* y, long ldy,
        byte* workspace)
    {
        var job = new Job(this, x, ldx, w, bias, residual, ldr, y, ldy, (float*)workspace);
        pool.Run(_inputGrad ? Gemm<S, V>.Panels(_vectors, out _) : (_m + RowsPerTask - 1) / RowsPerTask, job);
    }

    private readonly struct Job(
        LinearFewRows<S, V> plan, float* x, long ldx, float* w, float* bias, float* residual, long ldr, float* y, long ldy, float* tail)
        : IPoolJob
    {
        public void Run(int task, int worker)
        {
            if (plan._inputGrad)
            {
                Columns(task);
                return;
            }

            int end = Math.Min(plan._m, (task + 1) * RowsPerTask);
            for (int o = task * RowsPerTask; o < end; o += 4)
            {
                int outputs = Math.Min(4, end - o);
                int row = 0;
                for (; row + 2 <= plan._rows; row += 2)
                {
                    Dots(o, outputs, row, 2);
                }

                if (row < plan._rows)
                {
                    Dots(o, outputs, row, 1);
                }
            }
        }

        /// <summary>dx[:, panel] = dy * w[:, panel].</summary>
        private void Columns(int panel)
        {
            (int first, int count) = Gemm<S, V>.PanelAt(plan._vectors, panel);
            int column = first * S.Width;
            int columns = Math.Min(count * S.Width, plan._k - column);
            int whole = columns / S.Width;
            if (whole > 0)
            {
                Part(column, whole, whole * S.Width, w + column, plan._k);
            }

            if (columns > whole * S.Width)
            {
                // Whole vectors would read past the end of the last row: copy the last columns.
                column += whole * S.Width;
                for (int o = 0; o < plan._m; o++)
                {
                    S.Store(tail + (o * S.Width), S.LoadPartial(w + ((long)o * plan._k) + column, columns % S.Width));
                }

                Part(column, 1, columns % S.Width, tail, S.Width);
            }
        }

        private void Part(int column, int vectors, int columns, float* b, nint bk) =>
            Gemm<S, V>.Panel(
                plan._rows, plan._m, x, (nint)ldx, 1, b, bk, vectors, columns, null,
                residual is null ? null : residual + column, (nint)ldr, y + column, (nint)ldy);

        /// <summary>Up to four outputs of one or two rows.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Dots(int o, int outputs, int row, int rows)
        {
            int k = plan._k;
            float* w0 = w + ((long)o * k);
            float* w1 = outputs > 1 ? w0 + k : w0;
            float* w2 = outputs > 2 ? w1 + k : w0;
            float* w3 = outputs > 3 ? w2 + k : w0;
            float* x0 = x + (row * ldx);
            float* x1 = rows > 1 ? x0 + ldx : x0;
            V a0 = S.Zero, a1 = S.Zero, a2 = S.Zero, a3 = S.Zero, b0 = S.Zero, b1 = S.Zero, b2 = S.Zero, b3 = S.Zero;
            int i = 0;
            for (; i + S.Width <= k; i += S.Width)
            {
                V p = S.Load(x0 + i);
                V q = S.Load(x1 + i);
                V v = S.Load(w0 + i);
                a0 = S.Fma(v, p, a0);
                b0 = S.Fma(v, q, b0);
                v = S.Load(w1 + i);
                a1 = S.Fma(v, p, a1);
                b1 = S.Fma(v, q, b1);
                v = S.Load(w2 + i);
                a2 = S.Fma(v, p, a2);
                b2 = S.Fma(v, q, b2);
                v = S.Load(w3 + i);
                a3 = S.Fma(v, p, a3);
                b3 = S.Fma(v, q, b3);
            }

            if (i < k)
            {
                V p = S.LoadPartial(x0 + i, k - i);
                V q = S.LoadPartial(x1 + i, k - i);
                V v = S.LoadPartial(w0 + i, k - i);
                a0 = S.Fma(v, p, a0);
                b0 = S.Fma(v, q, b0);
                v = S.LoadPartial(w1 + i, k - i);
                a1 = S.Fma(v, p, a1);
                b1 = S.Fma(v, q, b1);
                v = S.LoadPartial(w2 + i, k - i);
                a2 = S.Fma(v, p, a2);
                b2 = S.Fma(v, q, b2);
                v = S.LoadPartial(w3 + i, k - i);
                a3 = S.Fma(v, p, a3);
                b3 = S.Fma(v, q, b3);
            }

            for (int r = 0; r < rows; r++)
            {
                Put(row + r, o, S.Sum(r == 0 ? a0 : b0));
                if (outputs > 1)
                {
                    Put(row + r, o + 1, S.Sum(r == 0 ? a1 : b1));
                }

                if (outputs > 2)
                {
                    Put(row + r, o + 2, S.Sum(r == 0 ? a2 : b2));
                }

                if (outputs > 3)
                {
                    Put(row + r, o + 3, S.Sum(r == 0 ? a3 : b3));
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Put(int row, int o, float sum) =>
            y[(row * ldy) + o] = sum + (bias is null ? 0 : bias[o]) + (residual is null ? 0 : residual[(row * ldr) + o]);
    }
}
