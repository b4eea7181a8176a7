using System.Runtime.Intrinsics;
using AdmNative.Cpu.Kernels;

namespace AdmNative.Cpu.Tests;

/// <summary>The vector operations kernels are built from, for each width.</summary>
public sealed unsafe class GemmSimdTests
{
    [Fact]
    public void Vector512_operations()
    {
        if (IsaSupport.IsSupported(Isa.Avx512))
        {
            Check<Simd512, Vector512<float>>();
        }
    }

    [Fact]
    public void Vector256_operations()
    {
        if (IsaSupport.IsSupported(Isa.Avx2))
        {
            Check<Simd256, Vector256<float>>();
        }
    }

    [Fact]
    public void Vector128_operations() => Check<Simd128, Vector128<float>>();

    private static void Check<S, V>() where S : struct, ISimd<V> where V : unmanaged
    {
        int n = S.Width;
        float* a = stackalloc float[16];
        float* b = stackalloc float[16];
        float* r = stackalloc float[17];
        for (int i = 0; i < 16; i++)
        {
            a[i] = (i * 1.25f) - 7;
            b[i] = 3 - (i * 0.5f) + 0.125f;
        }

        V va = S.Load(a);
        V vb = S.Load(b);
        void Each(V actual, Func<float, float, float> expected)
        {
            S.Store(r, actual);
            for (int i = 0; i < n; i++)
            {
                Assert.Equal(expected(a[i], b[i]), r[i]);
            }
        }

        Each(S.Add(va, vb), (x, y) => x + y);
        Each(S.Sub(va, vb), (x, y) => x - y);
        Each(S.Mul(va, vb), (x, y) => x * y);
        Each(S.Div(va, vb), (x, y) => x / y);
        Each(S.Fma(va, vb, va), (x, y) => (x * y) + x);   // exact: the products are short
        Each(S.Fnma(va, vb, va), (x, y) => x - (x * y));
        Each(S.Max(va, vb), MathF.Max);
        Each(S.Min(va, vb), MathF.Min);
        Each(S.Abs(va), (x, _) => MathF.Abs(x));
        Each(S.Sqrt(S.Abs(va)), (x, _) => MathF.Sqrt(MathF.Abs(x)));
        Each(S.Round(va), (x, _) => MathF.Round(x));
        Each(S.Pow2(S.Round(va)), (x, _) => MathF.Pow(2, MathF.Round(x)));
        Each(S.Select(S.Less(va, vb), va, S.Zero), (x, y) => x < y ? x : 0);
        Each(S.Broadcast(2.5f), (_, _) => 2.5f);
        float sum = 0;
        float max = float.NegativeInfinity;
        for (int i = 0; i < n; i++)
        {
            sum += a[i];   // exact: multiples of 1/4
            max = MathF.Max(max, a[i]);
        }

        Assert.Equal(sum, S.Sum(va));
        Assert.Equal(max, S.MaxAcross(va));
        for (int count = 0; count <= n; count++)
        {
            S.Store(r, S.LoadPartial(a, count));
            for (int i = 0; i < n; i++)
            {
                Assert.Equal(i < count ? a[i] : 0, r[i]);
                r[i] = 99;
            }

            r[n] = 99;
            S.StorePartial(r, va, count);
            for (int i = 0; i <= n; i++)
            {
                Assert.Equal(i < count ? a[i] : 99, r[i]);
            }
        }

        float* src = stackalloc float[16 * 20];
        float* dst = stackalloc float[16 * 16 + 1];
        for (int i = 0; i < 16 * 20; i++)
        {
            src[i] = i;
        }

        for (int rows = 0; rows <= n; rows++)
        {
            for (int columns = 0; columns <= n; columns++)
            {
                new Span<float>(dst, (16 * 16) + 1).Fill(-1);
                S.Transpose(src, 20, rows, columns, dst);
                for (int i = 0; i <= 16 * 16; i++)
                {
                    int c = i / n;
                    int row = i % n;
                    Assert.Equal(c >= columns ? -1 : row < rows ? src[(row * 20) + c] : 0, dst[i]);
                }
            }
        }
    }
}
