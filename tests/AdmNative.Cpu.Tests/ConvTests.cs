using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using AdmNative.Cpu;
using AdmNative.Cpu.Kernels;

namespace AdmNative.Cpu.Tests;

/// <summary>Every convolution pass on every instruction set against double-precision loops.</summary>
public sealed unsafe class ConvTests
{
    private const float Canary = 12345.678f;

    /// <summary>Results of the loops by shape and pass: the operands depend on nothing else.</summary>
    private static readonly ConcurrentDictionary<(ConvGeometry, int), (double[] Value, double[] Magnitude)> s_expected = new();

    private static readonly WorkerPool[] s_pools = [null!, new(1), new(2, pin: false), new(3, pin: false)];

    /// <summary>N, H, W, C, K, R, S, stride, padH, padW.</summary>
    private static readonly int[][] s_shapes =
    [
        [1, 1, 1, 1, 6, 3, 3, 1, 1, 1],
        [1, 1, 1, 32, 32, 3, 3, 1, 1, 1],
        [2, 2, 3, 8, 6, 3, 3, 1, 1, 1],
        [1, 4, 4, 24, 32, 3, 3, 1, 1, 1],
        [3, 5, 6, 3, 32, 3, 3, 1, 1, 1],
        [1, 9, 7, 33, 72, 3, 3, 1, 1, 1],
        [2, 8, 8, 96, 32, 3, 3, 1, 1, 1],
        [1, 8, 8, 160, 72, 3, 3, 1, 1, 1],
        [2, 16, 16, 32, 64, 3, 3, 1, 1, 1],
        [1, 13, 10, 32, 48, 3, 3, 1, 1, 1],
        [1, 16, 12, 64, 3, 3, 3, 1, 1, 1],
        [1, 6, 6, 16, 200, 3, 3, 1, 1, 1],
        [1, 40, 41, 17, 33, 3, 3, 1, 1, 1],
        [1, 24, 20, 200, 80, 3, 3, 1, 1, 1],
        [1, 10, 9, 336, 144, 3, 3, 1, 1, 1],
        [4, 44, 40, 8, 24, 3, 3, 1, 1, 1],
        [2, 9, 7, 8, 32, 3, 3, 2, 1, 1],
        [1, 8, 8, 33, 24, 3, 3, 2, 1, 1],
        [1, 9, 9, 3, 32, 3, 3, 2, 0, 0],
        [1, 9, 9, 16, 32, 3, 3, 1, 0, 0],
        [2, 9, 7, 24, 32, 1, 7, 1, 0, 3],
        [2, 9, 7, 24, 32, 7, 1, 1, 3, 0],
        [1, 9, 7, 8, 72, 5, 5, 1, 2, 2],
        [1, 5, 5, 8, 8, 3, 3, 1, 2, 2],
        [2, 5, 4, 32, 24, 1, 1, 1, 0, 0],
        [3, 1, 1, 96, 72, 1, 1, 1, 0, 0],
        [8, 1, 1, 33, 160, 1, 1, 1, 0, 0],
        [1, 1, 1, 128, 512, 1, 1, 1, 0, 0],
        [130, 1, 1, 40, 100, 1, 1, 1, 0, 0],
        [2, 5, 5, 8, 8, 1, 1, 2, 0, 0],
    ];

    public static TheoryData<Isa, int> Cases()
    {
        var data = new TheoryData<Isa, int>();
        foreach (Isa isa in IsaSupport.Available)
        {
            for (int i = 0; i < s_shapes.Length; i++)
            {
                data.Add(isa, i);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Forward_matches_loops(Isa isa, int shape) => CheckConv(isa, Geometry(shape), inputGrad: false);

    [Theory]
    [MemberData(nameof(Cases))]
    public void Input_gradient_matches_loops(Isa isa, int shape) => CheckConv(isa, Geometry(shape), inputGrad: true);

    [Theory]
    [MemberData(nameof(Cases))]
    public void Weight_gradient_matches_loops(Isa isa, int shape) => CheckWeightGrad(isa, Geometry(shape), ConvAlgorithm.Auto);

    private static void CheckWeightGrad(Isa isa, ConvGeometry g, ConvAlgorithm algorithm)
    {
        long rowsX = (long)g.N * g.H * g.W;
        long rowsY = (long)g.N * g.OutH * g.OutW;
        int ldx = g.C + 5;
        int lddy = g.K + 3;
        long weights = (long)g.K * g.C * g.R * g.S;
        using var x = new Block(rowsX * ldx, 1);
        using var dy = new Block(rowsY * lddy, 2);
        (double[] expected, double[] magnitude) = s_expected.GetOrAdd((g, 2), _ => Reference.WeightGrad(g, x.P, ldx, dy.P, lddy));
        float[]? first = null;
        foreach (int threads in (int[])[1, 2, 3])
        {
            WorkerPool pool = s_pools[threads];
            var plan = ConvWeightGradPlan.Create(g, isa, threads, algorithm);
            using var dw = new Block(weights, 0);
            using var workspace = new Block((plan.WorkspaceBytes + 3) / 4, 0, float.NaN);
            CheckAllocations(() => plan.Run(pool, x.P, ldx, dy.P, lddy, dw.P, (byte*)workspace.P));
            dw.CheckCanaries();
            workspace.CheckCanaries();
            Compare(plan.Algorithm, dw.P, (int)weights, expected, magnitude, 1, (int)weights, (int)weights);
            first ??= new Span<float>(dw.P, (int)weights).ToArray();
            Assert.True(new Span<float>(dw.P, (int)weights).SequenceEqual(first), $"{plan.Algorithm}: {threads} threads differ from 1");
        }
    }

    /// <summary>Each 3x3 stride-1 shape by each Winograd form, also where the cost model would choose another.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void Winograd_forms_match_loops(Isa isa, int shape)
    {
        ConvGeometry g = Geometry(shape);
        if (g.R != 3 || g.S != 3 || g.Stride != 1)
        {
            return;
        }

        foreach (ConvAlgorithm algorithm in (ConvAlgorithm[])[ConvAlgorithm.Winograd2, ConvAlgorithm.Winograd4, ConvAlgorithm.WinogradFew, ConvAlgorithm.Direct])
        {
            CheckConv(isa, g, inputGrad: false, algorithm);
            CheckConv(isa, g, inputGrad: true, algorithm);
            if (algorithm != ConvAlgorithm.WinogradFew)
            {
                CheckWeightGrad(isa, g, algorithm);
            }
        }
    }

    /// <summary>An image has the same bits alone and in batches of any size, whatever algorithm the plan picks for them.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void An_image_does_not_depend_on_its_batch(Isa isa, int shape)
    {
        ConvGeometry one = Geometry(shape) with { N = 1 };
        foreach (bool inputGrad in (bool[])[false, true])
        {
            int inC = inputGrad ? one.K : one.C;
            int outC = inputGrad ? one.C : one.K;
            int inRows = inputGrad ? one.OutH * one.OutW : one.H * one.W;
            int outRows = inputGrad ? one.H * one.W : one.OutH * one.OutW;
            using var x = new Block(11L * inRows * inC, 1);
            using var w = new Block((long)one.K * one.C * one.R * one.S, 2);
            using var bias = new Block(outC, 3);
            float[]? alone = null;
            foreach (int n in (int[])[1, 2, 3, 8, 11])
            {
                var plan = ConvPlan.Create(one with { N = n }, inputGrad, isa, 2, resident: false, ConvAlgorithm.Auto);
                using var workspace = new Block((plan.WorkspaceBytes + 3) / 4, 0, float.NaN);
                using var y = new Block((long)n * outRows * outC, 0, Canary);

                // The same image is the last of every batch.
                plan.Run(
                    s_pools[2], x.P + ((11L - n) * inRows * inC), inC, w.P, null, inputGrad ? null : bias.P, null, 0, y.P, outC,
                    (byte*)workspace.P);
                float[] last = new Span<float>(y.P + ((n - 1L) * outRows * outC), outRows * outC).ToArray();
                alone ??= last;
                Assert.True(
                    MemoryMarshal.AsBytes<float>(last).SequenceEqual(MemoryMarshal.AsBytes<float>(alone)),
                    $"{plan.Algorithm}: an image of a batch of {n} differs from the image alone");
            }
        }
    }

    private static ConvGeometry Geometry(int shape)
    {
        int[] s = s_shapes[shape];
        return new ConvGeometry(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9]);
    }

    private static void CheckConv(Isa isa, ConvGeometry g, bool inputGrad, ConvAlgorithm algorithm = ConvAlgorithm.Auto)
    {
        long inRows = inputGrad ? (long)g.N * g.OutH * g.OutW : (long)g.N * g.H * g.W;
        long outRows = inputGrad ? (long)g.N * g.H * g.W : (long)g.N * g.OutH * g.OutW;
        int inC = inputGrad ? g.K : g.C;
        int outC = inputGrad ? g.C : g.K;
        int ldx = inC + 5;
        int ldy = outC + 7;
        int ldr = outC + 3;
        using var x = new Block(inRows * ldx, 1);
        using var w = new Block((long)g.K * g.C * g.R * g.S, 2);
        using var bias = new Block(outC, 3);
        using var residual = new Block(outRows * ldr, 4);
        (double[] expected, double[] magnitude) = s_expected.GetOrAdd(
            (g, inputGrad ? 1 : 0), _ => inputGrad ? Reference.InputGrad(g, x.P, ldx, w.P) : Reference.Forward(g, x.P, ldx, w.P));
        float[]? first = null;
        foreach ((int threads, bool resident, bool extras) in
            ((int, bool, bool)[])[(1, false, true), (2, true, true), (3, false, true), (1, true, true), (2, false, false), (1, true, false)])
        {
            WorkerPool pool = s_pools[threads];
            var plan = ConvPlan.Create(g, inputGrad, isa, threads, resident, algorithm);
            using var packed = new Block((plan.PackedBytes + 3) / 4, 0, float.NaN);
            using var workspace = new Block((plan.WorkspaceBytes + 3) / 4, 0, float.NaN);
            using var y = new Block(outRows * ldy, 0, Canary);
            bool isPacked = plan.PackedBytes > 0;
            Assert.True(resident || !isPacked);
            if (isPacked)
            {
                plan.PackWeights(pool, w.P, packed.P);
            }

            float* b = extras && !inputGrad ? bias.P : null;
            float* r = extras ? residual.P : null;
            CheckAllocations(
                () => plan.Run(pool, x.P, ldx, isPacked ? null : w.P, packed.P, b, r, ldr, y.P, ldy, (byte*)workspace.P));
            y.CheckCanaries();
            workspace.CheckCanaries();
            packed.CheckCanaries();
            var full = new double[expected.Length];
            for (long i = 0; i < full.Length; i++)
            {
                long row = i / outC;
                int c = (int)(i % outC);
                full[i] = expected[i] + (b is null ? 0 : b[c]) + (r is null ? 0 : r[(row * ldr) + c]);
            }

            Compare(plan.Algorithm, y.P, ldy, full, magnitude, outRows, outC, ldy);
            if (extras)
            {
                float[] values = new Span<float>(y.P, (int)(outRows * ldy)).ToArray();
                first ??= values;
                Assert.True(
                    MemoryMarshal.AsBytes<float>(values).SequenceEqual(MemoryMarshal.AsBytes<float>(first)),
                    $"{plan.Algorithm}: {threads} threads, resident {resident} differ from 1 thread");
            }
        }

        // The residual may be the result's own memory.
        {
            WorkerPool pool = s_pools[2];
            var plan = ConvPlan.Create(g, inputGrad, isa, 2, resident: false, algorithm);
            using var workspace = new Block((plan.WorkspaceBytes + 3) / 4, 0, float.NaN);
            using var y = new Block(outRows * ldr, 4);
            plan.Run(pool, x.P, ldx, w.P, null, inputGrad ? null : bias.P, y.P, ldr, y.P, ldr, (byte*)workspace.P);
            for (long i = 0; i < outRows * outC; i++)
            {
                Assert.Equal(first![(i / outC * ldy) + (i % outC)], y.P[(i / outC * ldr) + (i % outC)]);
            }
        }
    }

    /// <summary>
    /// A run that allocates does so every time; a single non-zero reading may be a collection on another thread, which charges this thread
    /// with the unused rest of its allocation buffer.
    /// </summary>
    private static void CheckAllocations(Action run)
    {
        long least = long.MaxValue;
        for (int attempt = 0; attempt < 5 && least != 0; attempt++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            run();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }

    /// <summary>
    /// |error| at most 64 eps times the sum of |products| of the whole tensor's largest element. A direct sum of n terms errs by at most
    /// n eps / 2 of it and typically sqrt(n) eps; Winograd F(4x4,3x3) multiplies the typical error by about ten.
    /// </summary>
    private static void Compare(
        string algorithm, float* actual, long ld, double[] expected, double[] magnitude, long rows, int columns, long width)
    {
        double scale = magnitude.Max() + 1;
        double tolerance = 64 * 5.96e-8 * scale;
        int bad = 0;
        long worst = -1;
        double worstError = -1;
        for (long row = 0; row < rows; row++)
        {
            for (long c = 0; c < width; c++)
            {
                float a = actual[(row * ld) + c];
                if (c >= columns)
                {
                    Assert.True(a == Canary, $"{algorithm}: wrote {a} at row {row}, column {c} of {columns}");
                    continue;
                }

                double e = Math.Abs(a - expected[(row * columns) + c]);
                if (!(e <= tolerance))
                {
                    bad++;
                }

                if (!(e <= worstError))
                {
                    worstError = e;
                    worst = (row * columns) + c;
                }
            }
        }

        Assert.True(bad == 0,
            $"{algorithm}: {bad} of {rows * columns} out; worst at {worst}: "
            + $"{actual[(worst / columns * ld) + (worst % columns)]} for {expected[worst]}, tolerance {tolerance}");
    }

    /// <summary>Native memory with 64 canaries on each side; seed 0 fills with a value.</summary>
    private sealed class Block : IDisposable
    {
        private const int Margin = 64;
        private readonly long _count;
        private readonly float* _all;

        public Block(long count, int seed, float fill = 0)
        {
            _count = count;
            _all = (float*)NativeMemory.AlignedAlloc((nuint)((count + (2 * Margin) + 16) * 4), 64);
            P = count == 0 ? null : _all + Margin;
            for (int i = 0; i < Margin; i++)
            {
                _all[i] = Canary;
                _all[Margin + count + i] = Canary;
            }

            var random = new Random(seed);
            for (long i = 0; i < count; i++)
            {
                _all[Margin + i] = seed == 0 ? fill : (random.NextSingle() * 2) - 1;
            }
        }

        public float* P { get; }

        public void CheckCanaries()
        {
            for (int i = 0; i < Margin; i++)
            {
                Assert.Equal(Canary, _all[i]);
                Assert.Equal(Canary, _all[Margin + _count + i]);
            }
        }

        public void Dispose() => NativeMemory.AlignedFree(_all);
    }

    /// <summary>The definitions, with the sum of absolute products beside each sum.</summary>
    private static class Reference
    {
        public static (double[] Value, double[] Magnitude) Forward(ConvGeometry g, float* x, long ldx, float* w)
        {
            var y = new double[(long)g.N * g.OutH * g.OutW * g.K];
            var m = new double[y.Length];
            Each(g, (xr, yr, r, s) =>
            {
                for (int k = 0; k < g.K; k++)
                {
                    for (int c = 0; c < g.C; c++)
                    {
                        double t = x[(xr * ldx) + c] * (double)w[Weight(g, k, c, r, s)];
                        y[(yr * g.K) + k] += t;
                        m[(yr * g.K) + k] += Math.Abs(t);
                    }
                }
            });
            return (y, m);
        }

        public static (double[] Value, double[] Magnitude) InputGrad(ConvGeometry g, float* dy, long lddy, float* w)
        {
            var dx = new double[(long)g.N * g.H * g.W * g.C];
            var m = new double[dx.Length];
            Each(g, (xr, yr, r, s) =>
            {
                for (int k = 0; k < g.K; k++)
                {
                    for (int c = 0; c < g.C; c++)
                    {
                        double t = dy[(yr * lddy) + k] * (double)w[Weight(g, k, c, r, s)];
                        dx[(xr * g.C) + c] += t;
                        m[(xr * g.C) + c] += Math.Abs(t);
                    }
                }
            });
            return (dx, m);
        }

        public static (double[] Value, double[] Magnitude) WeightGrad(ConvGeometry g, float* x, long ldx, float* dy, long lddy)
        {
            var dw = new double[(long)g.K * g.C * g.R * g.S];
            var m = new double[dw.Length];
            Each(g, (xr, yr, r, s) =>
            {
                for (int k = 0; k < g.K; k++)
                {
                    for (int c = 0; c < g.C; c++)
                    {
                        double t = x[(xr * ldx) + c] * (double)dy[(yr * lddy) + k];
                        dw[Weight(g, k, c, r, s)] += t;
                        m[Weight(g, k, c, r, s)] += Math.Abs(t);
                    }
                }
            });
            return (dw, m);
        }

        private static long Weight(ConvGeometry g, int k, int c, int r, int s) => (((((long)k * g.C) + c) * g.R) + r) * g.S + s;

        /// <summary>Calls for every tap that lies inside the image: row of x, row of y, r, s.</summary>
        private static void Each(ConvGeometry g, Action<long, long, int, int> tap)
        {
            for (int n = 0; n < g.N; n++)
            {
                for (int p = 0; p < g.OutH; p++)
                {
                    for (int q = 0; q < g.OutW; q++)
                    {
                        for (int r = 0; r < g.R; r++)
                        {
                            for (int s = 0; s < g.S; s++)
                            {
                                int h = (p * g.Stride) + r - g.PadH;
                                int v = (q * g.Stride) + s - g.PadW;
                                if (h >= 0 && h < g.H && v >= 0 && v < g.W)
                                {
                                    tap(((((long)n * g.H) + h) * g.W) + v, ((((long)n * g.OutH) + p) * g.OutW) + q, r, s);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
