using System.Runtime.CompilerServices;

namespace AdmNative.Cpu.Kernels;

/// <summary>
/// Small matrix products in register tiles. The right operand is packed in panels [depth, Width]; element (i, k) of the left one is
/// a[i * row + k * step], so it may be read transposed. Every result element is one chain of multiply-adds in the order of k, however the
/// product is cut into tiles.
/// </summary>
internal static unsafe class TileKernels<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    /// <summary>Rows of a tile: two vectors of columns and this many rows fill the register file.</summary>
    public static int Rows => S.Registers >= 32 ? 8 : 4;

    /// <summary>
    /// c[i, j] = (add ? c[i, j] : 0) + sum over k of a(i, k) b(k, j) for i &lt; rows and panels * Width columns j.
    /// Whole tiles only: rows is a multiple of <see cref="Rows"/>.
    /// </summary>
    /// <param name="rows">Rows of c.</param>
    /// <param name="panels">Panels of b.</param>
    /// <param name="depth">Products per element.</param>
    /// <param name="a">Left operand.</param>
    /// <param name="row">Floats between its rows.</param>
    /// <param name="step">Floats between its columns.</param>
    /// <param name="b">First panel.</param>
    /// <param name="panelStride">Floats between panels.</param>
    /// <param name="c">Result.</param>
    /// <param name="ldc">Floats between its rows.</param>
    /// <param name="add">Whether to add to c.</param>
    public static void Multiply(
        int rows, int panels, int depth, float* a, long row, long step, float* b, long panelStride, float* c, long ldc, bool add)
    {
        int height = Rows, w = S.Width;
        for (int p = 0; p < panels; p += 2, b += 2 * panelStride, c += 2 * w)
        {
            bool pair = p + 1 < panels;
            for (int i = 0; i < rows; i += height)
            {
                float* tile = c + (i * ldc);
                if (height == 8)
                {
                    if (pair)
                    {
                        Tile8x2(depth, a + (i * row), row, step, b, b + panelStride, tile, ldc, add);
                    }
                    else
                    {
                        Tile8x1(depth, a + (i * row), row, step, b, tile, ldc, add);
                    }
                }
                else if (pair)
                {
                    Tile4x2(depth, a + (i * row), row, step, b, b + panelStride, tile, ldc, add);
                }
                else
                {
                    Tile4x1(depth, a + (i * row), row, step, b, tile, ldc, add);
                }
            }
        }
    }

    /// <summary>Packs x [rows, columns] for use as a right operand: panel p holds columns p * Width.., zeros beyond the last.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Pack(float* x, long ld, int rows, int columns, float* panels, long panelStride)
    {
        int w = S.Width;
        for (int c = 0; c < columns; c += w, panels += panelStride)
        {
            int n = Math.Min(w, columns - c);
            float* p = x + c;
            for (int r = 0; r < rows; r++, p += ld)
            {
                S.Store(panels + ((long)r * w), S.LoadPartial(p, n));
            }
        }
    }

    /// <summary>Packs the transpose of x [rows, columns]: panel p holds rows p * Width.. of x, as columns; zeros beyond the last.</summary>
    public static void PackTransposed(float* x, long ld, int rows, int columns, float* panels, long panelStride)
    {
        int w = S.Width;
        for (int r = 0; r < rows; r += w, panels += panelStride)
        {
            int n = Math.Min(w, rows - r);
            for (int c = 0; c < columns; c += w)
            {
                S.Transpose(x + (r * ld) + c, ld, n, Math.Min(w, columns - c), panels + ((long)c * w));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile8x2(
        int depth, float* a, long row, long step, float* b0, float* b1, float* c, long ldc, bool add)
    {
        int w = S.Width;
        float* a1 = a + row;
        float* a2 = a1 + row;
        float* a3 = a2 + row;
        float* a4 = a3 + row;
        float* a5 = a4 + row;
        float* a6 = a5 + row;
        float* a7 = a6 + row;
        V c00 = S.Zero, c01 = S.Zero, c10 = S.Zero, c11 = S.Zero, c20 = S.Zero, c21 = S.Zero, c30 = S.Zero, c31 = S.Zero;
        V c40 = S.Zero, c41 = S.Zero, c50 = S.Zero, c51 = S.Zero, c60 = S.Zero, c61 = S.Zero, c70 = S.Zero, c71 = S.Zero;
        if (add)
        {
            float* p = c;
            Load(p, out c00, out c01);
            p += ldc;
            Load(p, out c10, out c11);
            p += ldc;
            Load(p, out c20, out c21);
            p += ldc;
            Load(p, out c30, out c31);
            p += ldc;
            Load(p, out c40, out c41);
            p += ldc;
            Load(p, out c50, out c51);
            p += ldc;
            Load(p, out c60, out c61);
            p += ldc;
            Load(p, out c70, out c71);
        }

        long at = 0;
        for (int k = 0; k < depth; k++, at += step, b0 += w, b1 += w)
        {
            V u = S.Load(b0), v = S.Load(b1);
            V x = S.Broadcast(a[at]);
            c00 = S.Fma(x, u, c00);
            c01 = S.Fma(x, v, c01);
            x = S.Broadcast(a1[at]);
            c10 = S.Fma(x, u, c10);
            c11 = S.Fma(x, v, c11);
            x = S.Broadcast(a2[at]);
            c20 = S.Fma(x, u, c20);
            c21 = S.Fma(x, v, c21);
            x = S.Broadcast(a3[at]);
            c30 = S.Fma(x, u, c30);
            c31 = S.Fma(x, v, c31);
            x = S.Broadcast(a4[at]);
            c40 = S.Fma(x, u, c40);
            c41 = S.Fma(x, v, c41);
            x = S.Broadcast(a5[at]);
            c50 = S.Fma(x, u, c50);
            c51 = S.Fma(x, v, c51);
            x = S.Broadcast(a6[at]);
            c60 = S.Fma(x, u, c60);
            c61 = S.Fma(x, v, c61);
            x = S.Broadcast(a7[at]);
            c70 = S.Fma(x, u, c70);
            c71 = S.Fma(x, v, c71);
        }

        Store(c, c00, c01);
        Store(c += ldc, c10, c11);
        Store(c += ldc, c20, c21);
        Store(c += ldc, c30, c31);
        Store(c += ldc, c40, c41);
        Store(c += ldc, c50, c51);
        Store(c += ldc, c60, c61);
        Store(c + ldc, c70, c71);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile8x1(int depth, float* a, long row, long step, float* b, float* c, long ldc, bool add)
    {
        int w = S.Width;
        float* a1 = a + row;
        float* a2 = a1 + row;
        float* a3 = a2 + row;
        float* a4 = a3 + row;
        float* a5 = a4 + row;
        float* a6 = a5 + row;
        float* a7 = a6 + row;
        V c0 = S.Zero, c1 = S.Zero, c2 = S.Zero, c3 = S.Zero, c4 = S.Zero, c5 = S.Zero, c6 = S.Zero, c7 = S.Zero;
        if (add)
        {
            float* p = c;
            c0 = S.Load(p);
            p += ldc;
            c1 = S.Load(p);
            p += ldc;
            c2 = S.Load(p);
            p += ldc;
            c3 = S.Load(p);
            p += ldc;
            c4 = S.Load(p);
            p += ldc;
            c5 = S.Load(p);
            p += ldc;
            c6 = S.Load(p);
            p += ldc;
            c7 = S.Load(p);
        }

        long at = 0;
        for (int k = 0; k < depth; k++, at += step, b += w)
        {
            V u = S.Load(b);
            c0 = S.Fma(S.Broadcast(a[at]), u, c0);
            c1 = S.Fma(S.Broadcast(a1[at]), u, c1);
            c2 = S.Fma(S.Broadcast(a2[at]), u, c2);
            c3 = S.Fma(S.Broadcast(a3[at]), u, c3);
            c4 = S.Fma(S.Broadcast(a4[at]), u, c4);
            c5 = S.Fma(S.Broadcast(a5[at]), u, c5);
            c6 = S.Fma(S.Broadcast(a6[at]), u, c6);
            c7 = S.Fma(S.Broadcast(a7[at]), u, c7);
        }

        S.Store(c, c0);
        S.Store(c += ldc, c1);
        S.Store(c += ldc, c2);
        S.Store(c += ldc, c3);
        S.Store(c += ldc, c4);
        S.Store(c += ldc, c5);
        S.Store(c += ldc, c6);
        S.Store(c + ldc, c7);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4x2(
        int depth, float* a, long row, long step, float* b0, float* b1, float* c, long ldc, bool add)
    {
        int w = S.Width;
        float* a1 = a + row;
        float* a2 = a1 + row;
        float* a3 = a2 + row;
        V c00 = S.Zero, c01 = S.Zero, c10 = S.Zero, c11 = S.Zero, c20 = S.Zero, c21 = S.Zero, c30 = S.Zero, c31 = S.Zero;
        if (add)
        {
            float* p = c;
            Load(p, out c00, out c01);
            p += ldc;
            Load(p, out c10, out c11);
            p += ldc;
            Load(p, out c20, out c21);
            p += ldc;
            Load(p, out c30, out c31);
        }

        long at = 0;
        for (int k = 0; k < depth; k++, at += step, b0 += w, b1 += w)
        {
            V u = S.Load(b0), v = S.Load(b1);
            V x = S.Broadcast(a[at]);
            c00 = S.Fma(x, u, c00);
            c01 = S.Fma(x, v, c01);
            x = S.Broadcast(a1[at]);
            c10 = S.Fma(x, u, c10);
            c11 = S.Fma(x, v, c11);
            x = S.Broadcast(a2[at]);
            c20 = S.Fma(x, u, c20);
            c21 = S.Fma(x, v, c21);
            x = S.Broadcast(a3[at]);
            c30 = S.Fma(x, u, c30);
            c31 = S.Fma(x, v, c31);
        }

        Store(c, c00, c01);
        Store(c += ldc, c10, c11);
        Store(c += ldc, c20, c21);
        Store(c + ldc, c30, c31);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4x1(int depth, float* a, long row, long step, float* b, float* c, long ldc, bool add)
    {
        int w = S.Width;
        float* a1 = a + row;
        float* a2 = a1 + row;
        float* a3 = a2 + row;
        V c0 = S.Zero, c1 = S.Zero, c2 = S.Zero, c3 = S.Zero;
        if (add)
        {
            float* p = c;
            c0 = S.Load(p);
            p += ldc;
            c1 = S.Load(p);
            p += ldc;
            c2 = S.Load(p);
            p += ldc;
            c3 = S.Load(p);
        }

        long at = 0;
        for (int k = 0; k < depth; k++, at += step, b += w)
        {
            V u = S.Load(b);
            c0 = S.Fma(S.Broadcast(a[at]), u, c0);
            c1 = S.Fma(S.Broadcast(a1[at]), u, c1);
            c2 = S.Fma(S.Broadcast(a2[at]), u, c2);
            c3 = S.Fma(S.Broadcast(a3[at]), u, c3);
        }

        S.Store(c, c0);
        S.Store(c += ldc, c1);
        S.Store(c += ldc, c2);
        S.Store(c + ldc, c3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Load(float* c, out V left, out V right)
    {
        left = S.Load(c);
        right = S.Load(c + S.Width);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(float* c, V left, V right)
    {
        S.Store(c, left);
        S.Store(c + S.Width, right);
    }
}
