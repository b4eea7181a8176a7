using AdmNative.Diffusion;

namespace AdmNative.VirtualGpu.Tests.Kernels;

/// <summary>Results of the shipped kernels against plain C#: bit for bit where the arithmetic is the same, else within a derived bound.</summary>
public sealed class KernelResultTests
{
    private static readonly string[] s_types = ["f32", "f16", "bf16"];

    private static KernelResult Run(KernelCase kernel, LaunchOptions? options = null)
    {
        KernelResult result = kernel.Run(options ?? new LaunchOptions());
        Assert.True(!result.Findings.Any(), $"{kernel}:\n{string.Join('\n', result.Findings)}");
        Assert.All(result.Reports, r => Assert.True(r.Completed));
        return result;
    }

    public static TheoryData<string, int> AddSizes()
    {
        var data = new TheoryData<string, int>();
        foreach (string dtype in s_types)
        {
            int block = 512 * Storage.Vector(dtype);
            foreach (int n in (int[])[1, 7, 8, 257, block - 1, block, block + 1, (3 * block) + 1029])
            {
                data.Add(dtype, n);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(AddSizes))]
    public void Add_is_one_rounding_of_the_f32_sum(string dtype, int n)
    {
        float[] a = Storage.Values(dtype, n, 1, 100), b = Storage.Values(dtype, n, 2, 0.01f);
        float[] y = Storage.Load(dtype, Run(KernelCases.Add(dtype, a, b)).Output);
        for (int i = 0; i < n; i++)
        {
            Assert.Equal(Storage.Round(dtype, a[i] + b[i]), y[i]);
        }
    }

    [Theory]
    [InlineData("f32", 1e-40f)]
    [InlineData("f16", 6e-8f)]
    [InlineData("bf16", 9.2e-41f)]
    public void Add_keeps_subnormals_zeros_and_infinities(string dtype, float tiny)
    {
        float t = Storage.Round(dtype, tiny), most = dtype == "f16" ? 65504 : Storage.Round(dtype, 3.38e38f), inf = float.PositiveInfinity;
        float[] a = [t, t, -0f, 0f, most, -most, inf, inf, -inf, 1], b = [t, -t, -0f, -0f, most, most, 1, inf, inf, t];
        float[] y = Storage.Load(dtype, Run(KernelCases.Add(dtype, a, b)).Output);
        for (int i = 0; i < a.Length; i++)
        {
            float expected = Storage.Round(dtype, a[i] + b[i]);
            Assert.Equal((i, BitConverter.SingleToInt32Bits(expected)), (i, float.IsNaN(expected) ? BitConverter.SingleToInt32Bits(expected) : BitConverter.SingleToInt32Bits(y[i])));
            Assert.Equal(float.IsNaN(expected), float.IsNaN(y[i]));
        }
    }

    public static TheoryData<string, int> SumSizes()
    {
        var data = new TheoryData<string, int>();
        foreach (string dtype in s_types)
        {
            foreach (int n in (int[])[1, 31, 1023, 4096, 4097, (3 * 4096) + 1229, 20 * 4096])
            {
                data.Add(dtype, n);
            }
        }

        return data;
    }

    /// <summary>The order stated in kernels/reduce.cu, in f32: the same bits.</summary>
    [Theory]
    [MemberData(nameof(SumSizes))]
    public void Sum_adds_in_the_stated_order(string dtype, int n)
    {
        float[] x = Storage.Values(dtype, n, 3);
        float[] made = Storage.Load("f32", Run(KernelCases.Sum(dtype, x)).Output);
        int v = Storage.Vector(dtype), slices = (n + 4095) / 4096;
        var partial = new float[slices];
        for (int s = 0; s < slices; s++)
        {
            partial[s] = Block(t =>
            {
                float sum = 0;
                for (int j = 0; j < 4096 / (256 * v); j++)
                {
                    for (int i = 0; i < v; i++)
                    {
                        int e = (s * 4096) + (((256 * j) + t) * v) + i;
                        sum += e < n ? x[e] : 0;
                    }
                }

                return sum;
            });
        }

        Assert.Equal(partial, made[1..]);
        Assert.Equal(Finish(partial), made[0]);
        double exact = x.Sum(e => (double)e), magnitude = x.Sum(e => Math.Abs((double)e));
        Assert.InRange(made[0], exact - Bound(), exact + Bound());

        double Bound() => (16 + 8 + ((slices + 255) / 256) + 8) * Math.ScaleB(1, -24) * magnitude; // kernels/reduce.cu
    }

    [Theory]
    [InlineData(1)]
    [InlineData(256)]
    [InlineData(1000)]
    public void Finish_adds_in_the_stated_order(int count)
    {
        float[] partial = Storage.Values("f32", count, 4, 1000);
        Assert.Equal(Finish(partial), BitConverter.ToSingle(Run(KernelCases.Finish(partial)).Output));
    }

    private static float Finish(float[] partial) => Block(t =>
    {
        float sum = 0;
        for (int s = t; s < partial.Length; s += 256)
        {
            sum += partial[s];
        }

        return sum;
    });

    /// <summary>The tree of kernels/common/reduce.cuh over 256 threads.</summary>
    private static float Block(Func<int, float> term) =>
        Warp(w => w < 8 ? Warp(lane => term((32 * w) + lane)) : 0);

    private static float Warp(Func<int, float> term)
    {
        float[] v = [.. Enumerable.Range(0, 32).Select(term)];
        for (int d = 16; d > 0; d >>= 1)
        {
            v = [.. Enumerable.Range(0, 32).Select(l => v[l] + v[l ^ d])];
        }

        return v[0];
    }

    public static TheoryData<string, int, int, int, int> TransposeSizes()
    {
        var data = new TheoryData<string, int, int, int, int>();
        foreach ((int rows, int cols) in ((int, int)[])[(1, 1), (1, 77), (93, 1), (32, 32), (33, 31), (64, 64), (65, 129), (200, 7), (45, 70)])
        {
            data.Add("f32", rows, cols, cols, rows);
            data.Add("f32", rows, cols, cols + 3, rows + 5);
            data.Add("f16", rows, cols, (cols + 1) / 2 * 2, (rows + 1) / 2 * 2);
            data.Add("f16", rows, cols, ((cols + 1) / 2 * 2) + 6, ((rows + 1) / 2 * 2) + 8);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(TransposeSizes))]
    public void Transpose_moves_every_element_and_nothing_else(string dtype, int rows, int cols, int ldx, int ldy)
    {
        byte[] y = Run(KernelCases.Transpose(dtype, rows, cols, ldx, ldy)).Output;
        int size = Storage.Bytes(dtype);
        for (int i = 0; i < y.Length / size; i++)
        {
            (int c, int r) = (i / ldy, i % ldy);
            int number = size == 4 ? BitConverter.ToInt32(y, 4 * i) : BitConverter.ToUInt16(y, 2 * i);
            Assert.Equal((i, r < rows ? ((r * ldx) + c) & (size == 4 ? -1 : 0xFFFF) : 0), (i, number));
        }
    }

    public static TheoryData<string, string, int, int, int> GemmSizes()
    {
        var data = new TheoryData<string, string, int, int, int>();
        foreach (string form in (string[])["nt", "nn"])
        {
            foreach (string dtype in (string[])["f16", "bf16"])
            {
                // one element; odd; a whole tile; one past a tile with a k tail; every ring slot used three times; several tiles
                foreach ((int m, int n, int k) in ((int, int, int)[])[(1, 1, 8), (17, 9, 24), (128, 128, 32), (129, 129, 40), (70, 65, 288), (257, 131, 104)])
                {
                    data.Add(form, dtype, m, n, k);
                }
            }
        }

        data.Add("nt", "f16", 9 * 128 + 1, 2 * 128 + 3, 8); // more than one group of 8 rows of tiles
        data.Add("nt", "f16", 5, 3, 0);
        return data;
    }

    /// <summary>Integers in [-5, 5] have exact products and sums, whatever the order, so only the rounding of C remains.</summary>
    [Theory]
    [MemberData(nameof(GemmSizes))]
    public void Products_of_integers_are_exact(string form, string dtype, int m, int n, int k)
    {
        var random = new Random(9);
        float[] a = [.. Enumerable.Range(0, m * k).Select(_ => (float)random.Next(-5, 6))], b = [.. Enumerable.Range(0, n * k).Select(_ => (float)random.Next(-5, 6))];
        float[] c = Storage.Load(dtype, Run(KernelCases.Gemm(form, dtype, m, n, k, a, b)).Output);
        int ldc = KernelCases.Pad(n);
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < ldc; j++)
            {
                float expected = j < n ? Storage.Round(dtype, (float)Dot(form, a, b, n, k, i, j).Sum) : 0;
                Assert.Equal((i, j, expected), (i, j, c[(i * ldc) + j]));
            }
        }
    }

    /// <summary>
    /// Half a unit of C's type, and the sums' own error, relative to sum|a b|: a chain of K f32 fused additions, K 2^-24; the tensor cores'
    /// truncating additions, 2^-22 for every 16 of k (and none of them smaller than f32's own rounding of the result, 2^-24).
    /// </summary>
    [Theory]
    [InlineData("nt", "f16", MmaRounding.Ieee)]
    [InlineData("nt", "f16", MmaRounding.Sm80)]
    [InlineData("nt", "f16", MmaRounding.Sm90)]
    [InlineData("nn", "f16", MmaRounding.Sm80)]
    [InlineData("nt", "bf16", MmaRounding.Ieee)]
    [InlineData("nn", "bf16", MmaRounding.Ieee)]
    [InlineData("nn", "bf16", MmaRounding.Sm80)]
    [InlineData("nn", "bf16", MmaRounding.Sm90)]
    public void Products_of_fractions_are_within_the_units_error(string form, string dtype, MmaRounding rounding)
    {
        const int M = 67, N = 131, K = 520;
        float[] a = Storage.Values(dtype, M * K, 5), b = Storage.Values(dtype, N * K, 6);
        float[] c = Storage.Load(dtype, Run(KernelCases.Gemm(form, dtype, M, N, K, a, b), new LaunchOptions { Mma = rounding }).Output);
        double perSum = rounding == MmaRounding.Ieee ? K * Math.ScaleB(1, -24) : (K + 15) / 16 * Math.ScaleB(1, -22);
        for (int i = 0; i < M; i++)
        {
            for (int j = 0; j < N; j++)
            {
                (double sum, double magnitude) = Dot(form, a, b, N, K, i, j);
                double error = perSum * magnitude, bound = error + (0.5 * Storage.Ulp(dtype, Math.Abs(sum) + error));
                float made = c[(i * KernelCases.Pad(N)) + j];
                Assert.True(Math.Abs(made - sum) <= bound, $"({i}, {j}): {made} for {sum}, off by {made - sum}, allowed {bound}");
            }
        }
    }

    private static (double Sum, double Magnitude) Dot(string form, float[] a, float[] b, int n, int k, int i, int j)
    {
        double sum = 0, magnitude = 0;
        for (int q = 0; q < k; q++)
        {
            double product = (double)a[(i * k) + q] * b[form == "nt" ? (j * k) + q : (q * n) + j];
            sum += product;
            magnitude += Math.Abs(product);
        }

        return (sum, magnitude);
    }

    public static TheoryData<ulong, long, int, int, int, int> NormalSizes() => new()
    {
        { 0, 0, 0, 1, 1, 1 },
        { 42, 7, -1, 3, 5, 8 },
        { 0x1234_5678_9ABC_DEF0, 0x1_0000_0001, 999, 2, 513, 516 },
        { ulong.MaxValue, 3, 250, 2, 1027, 1027 }, // rows not 16-byte aligned
        { 7, 11, 3, 2, 3072, 3072 },
    };

    /// <summary>
    /// The host twin evaluates the same formula, from the same words, in double. The kernel: logf 1 ulp (halved by the root), sqrtf and the
    /// product half an ulp each, sincospif 2 ulp: (1/2 2^-23 + 2^-24 + 2^-24 + 2 2^-23) and the twin's own rounding 2^-24, together 2^-21 |z|;
    /// and 2 pi u in double misses exact zeros of the sine by less than 1e-15 of the radius, which is below 7.
    /// </summary>
    [Theory]
    [MemberData(nameof(NormalSizes))]
    public void Normals_are_those_of_the_host(ulong seed, long firstSample, int step, int samples, int elements, int ld)
    {
        float[] y = Storage.Load("f32", Run(KernelCases.Normals(seed, firstSample, step, samples, elements, ld)).Output);
        var expected = new float[samples * elements];
        new PhiloxNoise(seed).Normals(step, firstSample, [samples, elements], expected);
        for (int i = 0; i < y.Length; i++)
        {
            (int row, int e) = (i / ld, i % ld);
            double z = e < elements ? expected[(row * elements) + e] : 0;
            Assert.True(Math.Abs(y[i] - z) <= (Math.ScaleB(1, -21) * Math.Abs(z)) + (e < elements ? 7e-15 : 0), $"row {row}, element {e}: {y[i]} for {z}");
        }
    }
}
