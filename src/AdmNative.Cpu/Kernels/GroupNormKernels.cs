using System.Runtime.CompilerServices;
using AdmNative.Core;

namespace AdmNative.Cpu.Kernels;

/// <summary>What follows the affine map of a normalisation.</summary>
internal interface IActivation<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    static abstract V Apply(V u);

    /// <summary>dy times the derivative at u.</summary>
    static abstract V Back(V u, V dy);
}

/// <summary>Nothing.</summary>
internal readonly struct Identity<S, V> : IActivation<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V u) => u;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Back(V u, V dy) => dy;
}

/// <summary>x sigmoid(x).</summary>
internal readonly struct Swish<S, V> : IActivation<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Apply(V u) => MathKernels<S, V>.Silu(u);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Back(V u, V dy) => S.Mul(dy, MathKernels<S, V>.SiluSlope(u));
}

/// <summary>Where the elements of a sample lie and how the result is resampled.</summary>
/// <param name="Height">Image rows of x.</param>
/// <param name="Width">Pixels of an image row of x.</param>
/// <param name="Channels">C.</param>
/// <param name="Resample">What is done to the normalised image.</param>
internal readonly record struct NormGeometry(int Height, int Width, int Channels, NormResample Resample)
{
    /// <summary>Pixels of x in a sample.</summary>
    public int Pixels => Height * Width;

    /// <summary>Pixels of the result in a sample.</summary>
    public int ResultPixels => Resample switch
    {
        NormResample.Up2 => Pixels * 4,
        NormResample.Down2 => Pixels / 4,
        _ => Pixels,
    };
}

/// <summary>Three rows of a sample; the pilot of a channel is their median.</summary>
internal readonly unsafe struct PilotRows(float* x, long ld, int rows)
{
    public float* First { get; } = x;

    public float* Second { get; } = x + (rows / 2 * ld);

    public float* Third { get; } = x + ((rows - 1) * ld);

    /// <summary>The pilot of one channel, as the vector kernels choose it.</summary>
    public double Median(int c)
    {
        (float a, float b) = (First[c], Second[c]);
        return Math.Max(Math.Min(a, b), Math.Min(Math.Max(a, b), Third[c]));
    }
}

/// <summary>
/// Passes over one sample x [P, C] of a group normalisation. Statistics: per channel sums of d and d^2, d = x - pilot, over slices of
/// pixels; all slices of a sample have the same pilot, so their sums add, and a large mean costs no digits.
/// </summary>
internal static unsafe class GroupNormKernels<S, V, A>
    where S : struct, ISimd<V>
    where V : unmanaged
    where A : struct, IActivation<S, V>
{
    /// <summary>sum[c] = sum of x - pilot, square[c] = sum of its square, over rows.</summary>
    /// <param name="x">First row.</param>
    /// <param name="ld">Floats between rows.</param>
    /// <param name="rows">Rows to sum.</param>
    /// <param name="channels">C.</param>
    /// <param name="pilots">The rows that the pilot is chosen from, the same for all slices of a sample.</param>
    /// <param name="sum">Result.</param>
    /// <param name="square">Result.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Sums(float* x, long ld, int rows, int channels, PilotRows pilots, float* sum, float* square)
    {
        int w = S.Width, c = 0;
        for (; c + (4 * w) <= channels; c += 4 * w)
        {
            V p0 = Pilot(pilots, c, w), p1 = Pilot(pilots, c + w, w), p2 = Pilot(pilots, c + (2 * w), w), p3 = Pilot(pilots, c + (3 * w), w);
            V s0 = S.Zero, s1 = S.Zero, s2 = S.Zero, s3 = S.Zero;
            V q0 = S.Zero, q1 = S.Zero, q2 = S.Zero, q3 = S.Zero;
            float* p = x + c;
            for (int r = 0; r < rows; r++, p += ld)
            {
                V d0 = S.Sub(S.Load(p), p0), d1 = S.Sub(S.Load(p + w), p1);
                V d2 = S.Sub(S.Load(p + (2 * w)), p2), d3 = S.Sub(S.Load(p + (3 * w)), p3);
                s0 = S.Add(s0, d0);
                s1 = S.Add(s1, d1);
                s2 = S.Add(s2, d2);
                s3 = S.Add(s3, d3);
                q0 = S.Fma(d0, d0, q0);
                q1 = S.Fma(d1, d1, q1);
                q2 = S.Fma(d2, d2, q2);
                q3 = S.Fma(d3, d3, q3);
            }

            S.Store(sum + c, s0);
            S.Store(sum + c + w, s1);
            S.Store(sum + c + (2 * w), s2);
            S.Store(sum + c + (3 * w), s3);
            S.Store(square + c, q0);
            S.Store(square + c + w, q1);
            S.Store(square + c + (2 * w), q2);
            S.Store(square + c + (3 * w), q3);
        }

        for (; c + (2 * w) <= channels; c += 2 * w)
        {
            V p0 = Pilot(pilots, c, w), p1 = Pilot(pilots, c + w, w);
            V s0 = S.Zero, s1 = S.Zero, s2 = S.Zero, s3 = S.Zero;
            V q0 = S.Zero, q1 = S.Zero, q2 = S.Zero, q3 = S.Zero;
            float* p = x + c;
            int r = 0;
            for (; r + 2 <= rows; r += 2, p += 2 * ld)
            {
                V d0 = S.Sub(S.Load(p), p0), d1 = S.Sub(S.Load(p + w), p1);
                V d2 = S.Sub(S.Load(p + ld), p0), d3 = S.Sub(S.Load(p + ld + w), p1);
                s0 = S.Add(s0, d0);
                s1 = S.Add(s1, d1);
                s2 = S.Add(s2, d2);
                s3 = S.Add(s3, d3);
                q0 = S.Fma(d0, d0, q0);
                q1 = S.Fma(d1, d1, q1);
                q2 = S.Fma(d2, d2, q2);
                q3 = S.Fma(d3, d3, q3);
            }

            if (r < rows)
            {
                V d0 = S.Sub(S.Load(p), p0), d1 = S.Sub(S.Load(p + w), p1);
                s0 = S.Add(s0, d0);
                s1 = S.Add(s1, d1);
                q0 = S.Fma(d0, d0, q0);
                q1 = S.Fma(d1, d1, q1);
            }

            S.Store(sum + c, S.Add(s0, s2));
            S.Store(sum + c + w, S.Add(s1, s3));
            S.Store(square + c, S.Add(q0, q2));
            S.Store(square + c + w, S.Add(q1, q3));
        }

        for (; c < channels; c += w)
        {
            int n = Math.Min(w, channels - c);
            V p0 = Pilot(pilots, c, n);
            V s0 = S.Zero, s1 = S.Zero, q0 = S.Zero, q1 = S.Zero;
            float* p = x + c;
            int r = 0;
            for (; r + 2 <= rows; r += 2, p += 2 * ld)
            {
                V d0 = S.Sub(S.LoadPartial(p, n), p0), d1 = S.Sub(S.LoadPartial(p + ld, n), p0);
                s0 = S.Add(s0, d0);
                s1 = S.Add(s1, d1);
                q0 = S.Fma(d0, d0, q0);
                q1 = S.Fma(d1, d1, q1);
            }

            if (r < rows)
            {
                V d0 = S.Sub(S.LoadPartial(p, n), p0);
                s0 = S.Add(s0, d0);
                q0 = S.Fma(d0, d0, q0);
            }

            S.StorePartial(sum + c, S.Add(s0, s1), n);
            S.StorePartial(square + c, S.Add(q0, q1), n);
        }
    }

    /// <summary>
    /// y = resample(act(a (x - mean) + b)) for a range of pixels: of the result for Down2, of x otherwise. x and y point at their sample.
    /// Folding the mean into b would save a subtraction and lose the digits that a x and b have in common.
    /// </summary>
    public static void Apply(
        in NormGeometry g, float* x, long ldx, float* mean, float* a, float* b, float* y, long ldy, int begin, int end)
    {
        switch (g.Resample)
        {
            case NormResample.Up2: ApplyUp2(g, x, ldx, mean, a, b, y, ldy, begin, end); break;
            case NormResample.Down2: ApplyDown2(g, x, ldx, mean, a, b, y, ldy, begin, end); break;
            default: ApplyKeep(x + (begin * ldx), ldx, mean, a, b, y + (begin * ldy), ldy, end - begin, g.Channels); break;
        }
    }

    /// <summary>
    /// sumX[c] = sum of dz (x - mean), sumOne[c] = sum of dz over the pixels begin..end of x, where dz is dy taken back through the
    /// resampling and the activation at u = a (x - mean) + b.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void GradSums(
        in NormGeometry g, float* x, long ldx, float* dy, long lddy, float* mean, float* a, float* b,
        float* sumX, float* sumOne, int begin, int end)
    {
        int w = S.Width;
        for (int c = 0; c < g.Channels; c += w)
        {
            int n = Math.Min(w, g.Channels - c);
            V vMean = S.LoadPartial(mean + c, n), vA = S.LoadPartial(a + c, n), vB = S.LoadPartial(b + c, n);
            V s0 = S.Zero, s1 = S.Zero;
            float* px = x + (begin * ldx) + c;
            if (g.Resample == NormResample.None)
            {
                float* pd = dy + (begin * lddy) + c;
                if (n == w)
                {
                    for (int r = begin; r < end; r++, px += ldx, pd += lddy)
                    {
                        V d = S.Sub(S.Load(px), vMean);
                        V dz = A.Back(S.Fma(vA, d, vB), S.Load(pd));
                        s0 = S.Fma(dz, d, s0);
                        s1 = S.Add(s1, dz);
                    }
                }
                else
                {
                    for (int r = begin; r < end; r++, px += ldx, pd += lddy)
                    {
                        V d = S.Sub(S.LoadPartial(px, n), vMean);
                        V dz = A.Back(S.Fma(vA, d, vB), S.LoadPartial(pd, n));
                        s0 = S.Fma(dz, d, s0);
                        s1 = S.Add(s1, dz);
                    }
                }
            }
            else
            {
                for (int r = begin; r < end; r++, px += ldx)
                {
                    V d = S.Sub(S.LoadPartial(px, n), vMean);
                    V dz = A.Back(S.Fma(vA, d, vB), BackResample(g, dy + c, lddy, r, n));
                    s0 = S.Fma(dz, d, s0);
                    s1 = S.Add(s1, dz);
                }
            }

            S.StorePartial(sumX + c, s0, n);
            S.StorePartial(sumOne + c, s1, n);
        }
    }

    /// <summary>
    /// dx = k1 dz + k2 (x - mean) + k3 (+ addend) for the pixels begin..end of x; dz as in <see cref="GradSums"/>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void InputGrad(
        in NormGeometry g, float* x, long ldx, float* dy, long lddy, float* mean, float* a, float* b, float* k1, float* k2, float* k3,
        float* addend, long ldAddend, float* dx, long lddx, int begin, int end)
    {
        int w = S.Width, channels = g.Channels;
        bool keep = g.Resample == NormResample.None;
        for (int r = begin; r < end; r++)
        {
            float* px = x + (r * ldx);
            float* pdy = keep ? dy + (r * lddy) : null;
            float* pAdd = addend is null ? null : addend + (r * ldAddend);
            float* pdx = dx + (r * lddx);
            int c = 0;
            if (keep)
            {
                for (; c + w <= channels; c += w)
                {
                    V d = S.Sub(S.Load(px + c), S.Load(mean + c));
                    V dz = A.Back(S.Fma(S.Load(a + c), d, S.Load(b + c)), S.Load(pdy + c));
                    V value = S.Fma(S.Load(k1 + c), dz, S.Fma(S.Load(k2 + c), d, S.Load(k3 + c)));
                    S.Store(pdx + c, pAdd is null ? value : S.Add(value, S.Load(pAdd + c)));
                }
            }

            for (; c < channels; c += w)
            {
                int n = Math.Min(w, channels - c);
                V dyc = keep ? S.LoadPartial(pdy + c, n) : BackResample(g, dy + c, lddy, r, n);
                V d = S.Sub(S.LoadPartial(px + c, n), S.LoadPartial(mean + c, n));
                V dz = A.Back(S.Fma(S.LoadPartial(a + c, n), d, S.LoadPartial(b + c, n)), dyc);
                V value = S.Fma(
                    S.LoadPartial(k1 + c, n), dz, S.Fma(S.LoadPartial(k2 + c, n), d, S.LoadPartial(k3 + c, n)));
                S.StorePartial(pdx + c, pAdd is null ? value : S.Add(value, S.LoadPartial(pAdd + c, n)), n);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ApplyKeep(
        float* x, long ldx, float* mean, float* a, float* b, float* y, long ldy, int rows, int channels)
    {
        int w = S.Width, whole = channels - (channels % w);
        for (int r = 0; r < rows; r++, x += ldx, y += ldy)
        {
            int c = 0;
            for (; c < whole; c += w)
            {
                S.Store(y + c, A.Apply(S.Fma(S.Load(a + c), S.Sub(S.Load(x + c), S.Load(mean + c)), S.Load(b + c))));
            }

            if (c < channels)
            {
                int n = channels - c;
                V d = S.Sub(S.LoadPartial(x + c, n), S.LoadPartial(mean + c, n));
                S.StorePartial(y + c, A.Apply(S.Fma(S.LoadPartial(a + c, n), d, S.LoadPartial(b + c, n))), n);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ApplyUp2(
        in NormGeometry g, float* x, long ldx, float* mean, float* a, float* b, float* y, long ldy, int begin, int end)
    {
        int w = S.Width, channels = g.Channels, whole = channels - (channels % w);
        long down = 2 * g.Width * ldy;
        for (int r = begin; r < end; r++)
        {
            (int h, int column) = Math.DivRem(r, g.Width);
            float* px = x + (r * ldx);
            float* p = y + (((4L * h * g.Width) + (2 * column)) * ldy);
            int c = 0;
            for (; c < whole; c += w)
            {
                V v = A.Apply(S.Fma(S.Load(a + c), S.Sub(S.Load(px + c), S.Load(mean + c)), S.Load(b + c)));
                S.Store(p + c, v);
                S.Store(p + c + ldy, v);
                S.Store(p + c + down, v);
                S.Store(p + c + down + ldy, v);
            }

            if (c < channels)
            {
                int n = channels - c;
                V d = S.Sub(S.LoadPartial(px + c, n), S.LoadPartial(mean + c, n));
                V v = A.Apply(S.Fma(S.LoadPartial(a + c, n), d, S.LoadPartial(b + c, n)));
                S.StorePartial(p + c, v, n);
                S.StorePartial(p + c + ldy, v, n);
                S.StorePartial(p + c + down, v, n);
                S.StorePartial(p + c + down + ldy, v, n);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ApplyDown2(
        in NormGeometry g, float* x, long ldx, float* mean, float* a, float* b, float* y, long ldy, int begin, int end)
    {
        int w = S.Width, channels = g.Channels, whole = channels - (channels % w), half = g.Width / 2;
        long down = g.Width * ldx;
        V quarter = S.Broadcast(0.25f);
        for (int r = begin; r < end; r++)
        {
            (int h, int column) = Math.DivRem(r, half);
            float* p = x + (((2L * h * g.Width) + (2 * column)) * ldx);
            float* py = y + (r * ldy);
            int c = 0;
            for (; c < whole; c += w)
            {
                V vm = S.Load(mean + c), va = S.Load(a + c), vb = S.Load(b + c);
                float* q = p + c;
                V top = S.Add(Normalise(S.Load(q), vm, va, vb), Normalise(S.Load(q + ldx), vm, va, vb));
                V low = S.Add(Normalise(S.Load(q + down), vm, va, vb), Normalise(S.Load(q + down + ldx), vm, va, vb));
                S.Store(py + c, S.Mul(quarter, S.Add(top, low)));
            }

            if (c < channels)
            {
                int n = channels - c;
                V vm = S.LoadPartial(mean + c, n), va = S.LoadPartial(a + c, n), vb = S.LoadPartial(b + c, n);
                float* q = p + c;
                V top = S.Add(
                    Normalise(S.LoadPartial(q, n), vm, va, vb), Normalise(S.LoadPartial(q + ldx, n), vm, va, vb));
                V low = S.Add(
                    Normalise(S.LoadPartial(q + down, n), vm, va, vb), Normalise(S.LoadPartial(q + down + ldx, n), vm, va, vb));
                S.StorePartial(py + c, S.Mul(quarter, S.Add(top, low)), n);
            }
        }
    }

    /// <summary>The median of the pilot rows: one outlier cannot be it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Pilot(PilotRows rows, int c, int n)
    {
        V a = S.LoadPartial(rows.First + c, n), b = S.LoadPartial(rows.Second + c, n);
        return S.MaxNative(S.MinNative(a, b), S.MinNative(S.MaxNative(a, b), S.LoadPartial(rows.Third + c, n)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Normalise(V x, V mean, V a, V b) => A.Apply(S.Fma(a, S.Sub(x, mean), b));

    /// <summary>The gradient that reaches pixel r of x from the resampled image: a sum of four, or a quarter of one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V BackResample(in NormGeometry g, float* dy, long ld, int r, int n)
    {
        (int h, int column) = Math.DivRem(r, g.Width);
        if (g.Resample == NormResample.Up2)
        {
            float* p = dy + (((4L * h * g.Width) + (2 * column)) * ld);
            float* q = p + (2 * g.Width * ld);
            V top = S.Add(S.LoadPartial(p, n), S.LoadPartial(p + ld, n));
            return S.Add(top, S.Add(S.LoadPartial(q, n), S.LoadPartial(q + ld, n)));
        }

        long pixel = ((long)(h / 2) * (g.Width / 2)) + (column / 2);
        return S.Mul(S.Broadcast(0.25f), S.LoadPartial(dy + (pixel * ld), n));
    }
}
