using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests.Kernels;

/// <summary>The shipped kernels on given shapes.</summary>
internal static class KernelCases
{
    private static ulong Ceil(long a, long b) => (ulong)((a + b - 1) / b);

    /// <summary>y = a + b.</summary>
    public static KernelCase Add(string dtype, float[] a, float[] b) => new($"eltwise_add_{dtype} n={a.Length}", "eltwise", run =>
    {
        int bytes = a.Length * Storage.Bytes(dtype);
        ulong y = run.Room(bytes);
        var p = new AddParams { A = run.Put(Storage.Store(dtype, a)), B = run.Put(Storage.Store(dtype, b)), Y = y, N = a.Length };
        run.Launch($"eltwise_add_{dtype}", (long)Ceil(a.Length, 512 * Storage.Vector(dtype)), p);
        return run.Result(y, bytes);
    });

    public static KernelCase Add(string dtype, int n) => Add(dtype, Storage.Values(dtype, n, 1, 100), Storage.Values(dtype, n, 2, 100));

    /// <summary>Both stages; the output is the sum, then the partials.</summary>
    public static KernelCase Sum(string dtype, float[] x) => new($"reduce_sum_{dtype} n={x.Length}", "reduce", run =>
    {
        int slices = (int)Ceil(x.Length, 4096);
        ulong room = run.Room(4 * (slices + 1));
        run.Launch($"reduce_sum_{dtype}", slices, new SumParams { X = run.Put(Storage.Store(dtype, x)), Partial = room + 4, N = x.Length });
        run.Launch("reduce_finish_f32", 1, new FinishParams { Partial = room + 4, Sum = room, Count = slices });
        return run.Result(room, 4 * (slices + 1));
    });

    public static KernelCase Sum(string dtype, int n) => Sum(dtype, Storage.Values(dtype, n, 3));

    /// <summary>The second stage alone.</summary>
    public static KernelCase Finish(float[] partial) => new($"reduce_finish_f32 count={partial.Length}", "reduce", run =>
    {
        ulong sum = run.Room(4);
        run.Launch("reduce_finish_f32", 1, new FinishParams { Partial = run.Put(Storage.Store("f32", partial)), Sum = sum, Count = partial.Length });
        return run.Result(sum, 4);
    });

    /// <summary>Element (r, c) has number r ldx + c; padding of y is given as zeros and must stay.</summary>
    public static KernelCase Transpose(string dtype, int rows, int cols, int ldx, int ldy) =>
        new($"transpose_2d_{dtype} {rows}x{cols} ld {ldx}, {ldy}", "transpose", run =>
        {
            int size = Storage.Bytes(dtype), tile = 128 / size;
            var x = new byte[((rows - 1) * ldx * size) + (cols * size)]; // ends with the last element: padding there does not exist
            for (int i = 0; i < x.Length / size; i++)
            {
                BitConverter.GetBytes(i).AsSpan(0, size).CopyTo(x.AsSpan(i * size));
            }

            int bytes = ((cols - 1) * ldy * size) + (rows * size);
            ulong y = run.Put(new byte[bytes]);
            var p = new TransposeParams { X = run.Put(x), Y = y, Ldx = ldx, Ldy = ldy, Rows = rows, Cols = cols };
            run.Launch($"transpose_2d_{dtype}", (long)(Ceil(rows, tile) * Ceil(cols, tile)), p);
            return run.Result(y, bytes);
        });

    /// <summary>C = A B^T (nt) or A B (nn), tight rows padded to 8; padding columns of C are given as zeros and must stay.</summary>
    public static KernelCase Gemm(string form, string dtype, int m, int n, int k, float[] a, float[] b) =>
        new($"gemm_{form}_{dtype} {m}x{n}x{k}", "gemm", run =>
        {
            (int ldb, int ldc) = (form == "nt" ? k : Pad(n), Pad(n));
            ulong c = run.Put(new byte[m * ldc * 2]);
            var p = new GemmParams
            {
                A = run.Put(Storage.Store(dtype, a)),
                B = run.Put(Rows(Storage.Store(dtype, b), form == "nt" ? k : n, ldb)),
                C = c,
                Lda = k,
                Ldb = ldb,
                Ldc = ldc,
                M = m,
                N = n,
                K = k,
            };
            run.Launch($"gemm_{form}_{dtype}", (long)(Ceil(m, 128) * Ceil(n, 128)), p);
            return run.Result(c, m * ldc * 2);
        });

    public static KernelCase Gemm(string form, string dtype, int m, int n, int k) =>
        Gemm(form, dtype, m, n, k, Storage.Values(dtype, m * k, 5), Storage.Values(dtype, n * k, 6));

    public static int Pad(int n) => (n + 7) / 8 * 8;

    /// <summary>Normals; padding of y is given as zeros and must stay.</summary>
    public static KernelCase Normals(ulong seed, long firstSample, int step, int samples, int elements, int ld) =>
        new($"noise_normal_f32 {samples}x{elements} ld {ld} seed {seed:x} sample {firstSample} step {step}", "noise", run =>
        {
            int bytes = (((samples - 1) * ld) + elements) * 4;
            ulong y = run.Put(new byte[bytes]);
            var p = new NormalParams { Y = y, Ld = ld, Seed = seed, FirstSample = firstSample, Step = step, Samples = samples, Elements = elements };
            run.Launch("noise_normal_f32", samples * (long)Ceil(elements, 512), p);
            return run.Result(y, bytes);
        });

    /// <summary>Rows of n 16-bit elements, spread to ld; the last row stays short, so that its padding does not exist.</summary>
    private static byte[] Rows(byte[] tight, int n, int ld)
    {
        if (tight.Length == 0)
        {
            return tight;
        }

        int rows = tight.Length / (2 * n);
        var padded = new byte[(((rows - 1) * ld) + n) * 2];
        for (int r = 0; r < rows; r++)
        {
            tight.AsSpan(r * n * 2, n * 2).CopyTo(padded.AsSpan(r * ld * 2));
        }

        return padded;
    }
}
