using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace AdmNative.Cpu.Kernels;

/// <summary>A number known when a kernel is compiled.</summary>
internal interface IConst
{
    static abstract int Value { get; }
}

internal readonly struct N0 : IConst
{
    public static int Value => 0;
}

internal readonly struct N1 : IConst
{
    public static int Value => 1;
}

internal readonly struct N2 : IConst
{
    public static int Value => 2;
}

internal readonly struct N3 : IConst
{
    public static int Value => 3;
}

internal readonly struct N4 : IConst
{
    public static int Value => 4;
}

internal readonly struct N6 : IConst
{
    public static int Value => 6;
}

internal readonly struct N8 : IConst
{
    public static int Value => 8;
}

internal readonly struct N12 : IConst
{
    public static int Value => 12;
}

/// <summary>
/// C[m,n] = A[m,k] * B[k,n] (+ bias[n]) (+ D[m,n]), the inner loops of every convolution and linear layer.
/// A is read in place by scalar broadcasts with any two strides, so it may be transposed or a window of an image; B is a panel of one to three
/// vectors per step.
/// </summary>
/// <remarks>
/// Register tiles (rows x vectors): 8x3, 12x2 and 12x1 with 32 registers, 6x2 and 6x1 with 16. Each element of C is one chain of fused
/// multiply-adds in ascending k whatever the tile, so results do not depend on how rows are split.
/// </remarks>
internal static unsafe class Gemm<S, V> where S : struct, ISimd<V> where V : unmanaged
{
    /// <summary>Vectors in the widest panel.</summary>
    public static int MaxVectors
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => S.Registers >= 32 ? 3 : 2;
    }

    /// <summary>Vectors of the next panel when <paramref name="left"/> remain: threes and twos, a one only if nothing else is left.</summary>
    public static int PanelVectors(int left) =>
        MaxVectors == 2 ? Math.Min(left, 2) : left == 4 || left == 2 ? 2 : left == 1 ? 1 : 3;

    /// <summary>Number of panels that cover so many vectors, and vectors in the widest.</summary>
    public static int Panels(int vectors, out int widest)
    {
        int panels = 0;
        widest = 0;
        for (int left = vectors; left > 0; panels++)
        {
            int n = PanelVectors(left);
            widest = Math.Max(widest, n);
            left -= n;
        }

        return panels;
    }

    /// <summary>First vector and number of vectors of a panel.</summary>
    public static (int First, int Count) PanelAt(int vectors, int panel)
    {
        int first = 0;
        while (true)
        {
            int n = PanelVectors(vectors - first);
            if (panel-- == 0)
            {
                return (first, n);
            }

            first += n;
        }
    }

    /// <summary>Rows of the register tile for panels of that many vectors.</summary>
    public static int RowsFor(int vectors) => S.Registers < 32 ? 6 : vectors == 3 ? 8 : 12;

    /// <summary>All rows of one panel.</summary>
    /// <param name="m">Rows.</param>
    /// <param name="k">Steps; 0 gives bias + D.</param>
    /// <param name="a">A; element (i, t) is a[i * ar + t * ak].</param>
    /// <param name="ar">Elements between rows of A.</param>
    /// <param name="ak">Elements between steps of A.</param>
    /// <param name="b">B; step t begins at b + t * bk and is read as whole vectors.</param>
    /// <param name="bk">Elements between steps of B.</param>
    /// <param name="vectors">Vectors in the panel, 1..MaxVectors.</param>
    /// <param name="columns">Columns of C that exist; more than (vectors - 1) * Width.</param>
    /// <param name="bias">One value per column, or null.</param>
    /// <param name="d">Added to the result, or null; may be c.</param>
    /// <param name="ldd">Row stride of d.</param>
    /// <param name="c">Result.</param>
    /// <param name="ldc">Row stride of c.</param>
    /// <param name="next">The A of the next call if it is worth prefetching: m * k elements; else null.</param>
    public static void Panel(
        int m, int k, float* a, nint ar, nint ak, float* b, nint bk, int vectors, int columns, float* bias, float* d, nint ldd, float* c,
        nint ldc, float* next = null)
    {
        switch (vectors)
        {
            case 3:
                Rows<N8, N3>(m, k, a, ar, ak, b, bk, columns, bias, d, ldd, c, ldc, next);
                break;
            case 2 when S.Registers >= 32:
                Rows<N12, N2>(m, k, a, ar, ak, b, bk, columns, bias, d, ldd, c, ldc, next);
                break;
            case 2:
                Rows<N6, N2>(m, k, a, ar, ak, b, bk, columns, bias, d, ldd, c, ldc, next);
                break;
            default:
                if (S.Registers >= 32)
                {
                    Rows<N12, N1>(m, k, a, ar, ak, b, bk, columns, bias, d, ldd, c, ldc, next);
                }
                else
                {
                    Rows<N6, N1>(m, k, a, ar, ak, b, bk, columns, bias, d, ldd, c, ldc, next);
                }

                break;
        }
    }

    private static void Rows<TR, TC>(
        int m, int k, float* a, nint ar, nint ak, float* b, nint bk, int columns, float* bias, float* d, nint ldd, float* c, nint ldc,
        float* next)
        where TR : struct, IConst
        where TC : struct, IConst
    {
        while (m > 0)
        {
            int rows;
            if (m >= TR.Value)
            {
                rows = TR.Value;
                Tile<TR, TC>(k, a, ar, ak, b, bk, columns, bias, d, ldd, c, ldc, next);
            }
            else if (TR.Value > 8 && m >= 8)
            {
                rows = 8;
                Tile<N8, TC>(k, a, ar, ak, b, bk, columns, bias, d, ldd, c, ldc, next);
            }
            else if (m >= 4)
            {
                rows = 4;
                Tile<N4, TC>(k, a, ar, ak, b, bk, columns, bias, d, ldd, c, ldc, next);
            }
            else if (m >= 2)
            {
                rows = 2;
                Tile<N2, TC>(k, a, ar, ak, b, bk, columns, bias, d, ldd, c, ldc, next);
            }
            else
            {
                rows = 1;
                Tile<N1, TC>(k, a, ar, ak, b, bk, columns, bias, d, ldd, c, ldc, next);
            }

            m -= rows;
            a += rows * ar;
            c += rows * ldc;
            d = d is null ? null : d + (rows * ldd);
            next = next is null ? null : next + ((nint)rows * k);
        }
    }

    /// <summary>One register tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    [SkipLocalsInit]
    private static void Tile<TR, TC>(
        int k, float* a, nint ar, nint ak, float* b, nint bk, int columns, float* bias, float* d, nint ldd, float* c, nint ldc,
        float* next)
        where TR : struct, IConst
        where TC : struct, IConst
    {
        int w = S.Width;
        int tail = columns - ((TC.Value - 1) * w);   // lanes of the last vector
        V i0 = S.Zero, i1 = S.Zero, i2 = S.Zero;
        if (bias is not null)
        {
            i0 = TC.Value == 1 && tail < w ? S.LoadPartial(bias, tail) : S.Load(bias);
            if (TC.Value > 1)
            {
                i1 = TC.Value == 2 && tail < w ? S.LoadPartial(bias + w, tail) : S.Load(bias + w);
            }

            if (TC.Value > 2)
            {
                i2 = tail < w ? S.LoadPartial(bias + (2 * w), tail) : S.Load(bias + (2 * w));
            }
        }


        V c00 = i0, c01 = i1, c02 = i2;
        V c10 = i0, c11 = i1, c12 = i2;
        V c20 = i0, c21 = i1, c22 = i2;
        V c30 = i0, c31 = i1, c32 = i2;
        V c40 = i0, c41 = i1, c42 = i2;
        V c50 = i0, c51 = i1, c52 = i2;
        V c60 = i0, c61 = i1, c62 = i2;
        V c70 = i0, c71 = i1, c72 = i2;
        V c80 = i0, c81 = i1, c82 = i2;
        V c90 = i0, c91 = i1, c92 = i2;
        V c100 = i0, c101 = i1, c102 = i2;
        V c110 = i0, c111 = i1, c112 = i2;

        nint ar2 = 2 * ar;
        nint ar3 = 3 * ar;
        float* a4 = a + (4 * ar);
        float* a8 = a + (8 * ar);
        nint pace = next is null ? 0 : TR.Value;
        next = next is null ? a : next;
        for (; k > 0; k--)
        {
            V b0 = S.Load(b);
            V b1 = TC.Value > 1 ? S.Load(b + w) : S.Zero;
            V b2 = TC.Value > 2 ? S.Load(b + (2 * w)) : S.Zero;
            b += bk;
            if (Sse.IsSupported)
            {
                Sse.Prefetch1(next);
                next += pace;
            }

            Step<TC>(S.Broadcast(a[0]), b0, b1, b2, ref c00, ref c01, ref c02);
            if (TR.Value > 1)
            {
                Step<TC>(S.Broadcast(a[ar]), b0, b1, b2, ref c10, ref c11, ref c12);
            }

            if (TR.Value > 2)
            {
                Step<TC>(S.Broadcast(a[ar2]), b0, b1, b2, ref c20, ref c21, ref c22);
                Step<TC>(S.Broadcast(a[ar3]), b0, b1, b2, ref c30, ref c31, ref c32);
            }

            if (TR.Value > 4)
            {
                Step<TC>(S.Broadcast(a4[0]), b0, b1, b2, ref c40, ref c41, ref c42);
                Step<TC>(S.Broadcast(a4[ar]), b0, b1, b2, ref c50, ref c51, ref c52);
            }

            if (TR.Value > 6)
            {
                Step<TC>(S.Broadcast(a4[ar2]), b0, b1, b2, ref c60, ref c61, ref c62);
                Step<TC>(S.Broadcast(a4[ar3]), b0, b1, b2, ref c70, ref c71, ref c72);
            }

            if (TR.Value > 8)
            {
                Step<TC>(S.Broadcast(a8[0]), b0, b1, b2, ref c80, ref c81, ref c82);
                Step<TC>(S.Broadcast(a8[ar]), b0, b1, b2, ref c90, ref c91, ref c92);
                Step<TC>(S.Broadcast(a8[ar2]), b0, b1, b2, ref c100, ref c101, ref c102);
                Step<TC>(S.Broadcast(a8[ar3]), b0, b1, b2, ref c110, ref c111, ref c112);
            }

            a += ak;
            a4 += ak;
            a8 += ak;
        }

        Finish<TC>(c00, c01, c02, tail, d, c);
        if (TR.Value > 1)
        {
            Finish<TC>(c10, c11, c12, tail, d is null ? null : d + (1 * ldd), c + (1 * ldc));
        }

        if (TR.Value > 2)
        {
            Finish<TC>(c20, c21, c22, tail, d is null ? null : d + (2 * ldd), c + (2 * ldc));
            Finish<TC>(c30, c31, c32, tail, d is null ? null : d + (3 * ldd), c + (3 * ldc));
        }

        if (TR.Value > 4)
        {
            Finish<TC>(c40, c41, c42, tail, d is null ? null : d + (4 * ldd), c + (4 * ldc));
            Finish<TC>(c50, c51, c52, tail, d is null ? null : d + (5 * ldd), c + (5 * ldc));
        }

        if (TR.Value > 6)
        {
            Finish<TC>(c60, c61, c62, tail, d is null ? null : d + (6 * ldd), c + (6 * ldc));
            Finish<TC>(c70, c71, c72, tail, d is null ? null : d + (7 * ldd), c + (7 * ldc));
        }

        if (TR.Value > 8)
        {
            Finish<TC>(c80, c81, c82, tail, d is null ? null : d + (8 * ldd), c + (8 * ldc));
            Finish<TC>(c90, c91, c92, tail, d is null ? null : d + (9 * ldd), c + (9 * ldc));
            Finish<TC>(c100, c101, c102, tail, d is null ? null : d + (10 * ldd), c + (10 * ldc));
            Finish<TC>(c110, c111, c112, tail, d is null ? null : d + (11 * ldd), c + (11 * ldc));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step<TC>(V a, V b0, V b1, V b2, ref V c0, ref V c1, ref V c2) where TC : struct, IConst
    {
        c0 = S.Fma(a, b0, c0);
        if (TC.Value > 1)
        {
            c1 = S.Fma(a, b1, c1);
        }

        if (TC.Value > 2)
        {
            c2 = S.Fma(a, b2, c2);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish<TC>(V c0, V c1, V c2, int tail, float* d, float* c) where TC : struct, IConst
    {
        Last(c0, TC.Value == 1 ? tail : S.Width, d, c);
        if (TC.Value > 1)
        {
            Last(c1, TC.Value == 2 ? tail : S.Width, d is null ? null : d + S.Width, c + S.Width);
        }

        if (TC.Value > 2)
        {
            Last(c2, tail, d is null ? null : d + (2 * S.Width), c + (2 * S.Width));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Last(V v, int lanes, float* d, float* c)
    {
        if (lanes >= S.Width)
        {
            S.Store(c, d is null ? v : S.Add(v, S.Load(d)));
        }
        else
        {
            S.StorePartial(c, d is null ? v : S.Add(v, S.LoadPartial(d, lanes)), lanes);
        }
    }
}
