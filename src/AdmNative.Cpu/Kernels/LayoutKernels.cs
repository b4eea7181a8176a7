using System.Runtime.CompilerServices;

namespace AdmNative.Cpu.Kernels;

/// <summary>Copies and resampling of rows.</summary>
internal static unsafe class LayoutKernels<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    /// <summary>Copies rows of <paramref name="columns"/> floats.</summary>
    public static void Copy(float* x, long ldx, float* y, long ldy, long rows, int columns)
    {
        for (long r = 0; r < rows; r++)
        {
            Unsafe.CopyBlock(y + (r * ldy), x + (r * ldx), (uint)columns * sizeof(float));
        }
    }

    /// <summary>Fills rows of <paramref name="columns"/> floats.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Fill(float value, float* y, long ldy, long rows, int columns)
    {
        V v = S.Broadcast(value);
        int w = S.Width;
        for (long r = 0; r < rows; r++, y += ldy)
        {
            int c = 0;
            for (; c + w <= columns; c += w)
            {
                S.Store(y + c, v);
            }

            S.StorePartial(y + c, v, columns - c);
        }
    }

    /// <summary>y = factor * x at twice the size, nearest: image rows begin..end of x. Rows are counted over all samples.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Up2(float* x, long ldx, float* y, long ldy, long begin, long end, int width, int channels, float factor)
    {
        int w = S.Width;
        long down = 2L * width * ldy;
        V f = S.Broadcast(factor);
        for (long h = begin; h < end; h++)
        {
            float* p = x + (h * width * ldx);
            float* q = y + (4 * h * width * ldy);
            for (int column = 0; column < width; column++, p += ldx, q += 2 * ldy)
            {
                for (int c = 0; c < channels; c += w)
                {
                    int n = Math.Min(w, channels - c);
                    V v = S.Mul(f, S.LoadPartial(p + c, n));
                    S.StorePartial(q + c, v, n);
                    S.StorePartial(q + c + ldy, v, n);
                    S.StorePartial(q + c + down, v, n);
                    S.StorePartial(q + c + down + ldy, v, n);
                }
            }
        }
    }

    /// <summary>y = factor * (mean of 2x2 pixels of x): image rows begin..end of y. <paramref name="width"/> is y's.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Down2(float* x, long ldx, float* y, long ldy, long begin, long end, int width, int channels, float factor)
    {
        int w = S.Width;
        long down = 2L * width * ldx;
        V f = S.Broadcast(factor / 4);
        for (long h = begin; h < end; h++)
        {
            float* p = x + (4 * h * width * ldx);
            float* q = y + (h * width * ldy);
            for (int column = 0; column < width; column++, p += 2 * ldx, q += ldy)
            {
                for (int c = 0; c < channels; c += w)
                {
                    int n = Math.Min(w, channels - c);
                    V top = S.Add(S.LoadPartial(p + c, n), S.LoadPartial(p + c + ldx, n));
                    V low = S.Add(S.LoadPartial(p + c + down, n), S.LoadPartial(p + c + down + ldx, n));
                    S.StorePartial(q + c, S.Mul(f, S.Add(top, low)), n);
                }
            }
        }
    }
}
