using System.Runtime.CompilerServices;

namespace AdmNative.Cpu.Kernels;

/// <summary>Sums over rows, one per column.</summary>
internal static unsafe class SumKernels<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    /// <summary>Rows summed in one accumulator before it is added to the total: bounds the rounding of long sums.</summary>
    private const int Run = 128;

    /// <summary>sum[c] = sum of x over rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Columns(float* x, long ld, long rows, int columns, float* sum)
    {
        int w = S.Width, c = 0;
        for (; c + (4 * w) <= columns; c += 4 * w)
        {
            V t0 = S.Zero, t1 = S.Zero, t2 = S.Zero, t3 = S.Zero;
            float* p = x + c;
            for (long begin = 0; begin < rows; begin += Run)
            {
                long end = Math.Min(rows, begin + Run);
                V s0 = S.Zero, s1 = S.Zero, s2 = S.Zero, s3 = S.Zero;
                for (long r = begin; r < end; r++, p += ld)
                {
                    s0 = S.Add(s0, S.Load(p));
                    s1 = S.Add(s1, S.Load(p + w));
                    s2 = S.Add(s2, S.Load(p + (2 * w)));
                    s3 = S.Add(s3, S.Load(p + (3 * w)));
                }

                t0 = S.Add(t0, s0);
                t1 = S.Add(t1, s1);
                t2 = S.Add(t2, s2);
                t3 = S.Add(t3, s3);
            }

            S.Store(sum + c, t0);
            S.Store(sum + c + w, t1);
            S.Store(sum + c + (2 * w), t2);
            S.Store(sum + c + (3 * w), t3);
        }

        for (; c < columns; c += w)
        {
            int n = Math.Min(w, columns - c);
            V total = S.Zero;
            float* p = x + c;
            for (long begin = 0; begin < rows; begin += Run)
            {
                long end = Math.Min(rows, begin + Run);
                V s = S.Zero;
                for (long r = begin; r < end; r++, p += ld)
                {
                    s = S.Add(s, S.LoadPartial(p, n));
                }

                total = S.Add(total, s);
            }

            S.StorePartial(sum + c, total, n);
        }
    }

    /// <summary>sum[c] = sum of x y over rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Products(float* x, long ldx, float* y, long ldy, long rows, int columns, float* sum)
    {
        int w = S.Width;
        for (int c = 0; c < columns; c += w)
        {
            int n = Math.Min(w, columns - c);
            V total = S.Zero;
            float* p = x + c;
            float* q = y + c;
            for (long begin = 0; begin < rows; begin += Run)
            {
                long end = Math.Min(rows, begin + Run);
                V s = S.Zero;
                for (long r = begin; r < end; r++, p += ldx, q += ldy)
                {
                    s = S.Fma(S.LoadPartial(p, n), S.LoadPartial(q, n), s);
                }

                total = S.Add(total, s);
            }

            S.StorePartial(sum + c, total, n);
        }
    }

    /// <summary>y[c] = factor * (sum over parts of part[c]), parts in order, ld apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Merge(float* parts, long ld, int count, int columns, float factor, float* y)
    {
        int w = S.Width;
        for (int c = 0; c < columns; c += w)
        {
            int n = Math.Min(w, columns - c);
            V s = S.LoadPartial(parts + c, n);
            for (int i = 1; i < count; i++)
            {
                s = S.Add(s, S.LoadPartial(parts + (i * ld) + c, n));
            }

            S.StorePartial(y + c, S.Mul(S.Broadcast(factor), s), n);
        }
    }
}
