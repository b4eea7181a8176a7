using System.Numerics;
using AdmNative.Cuda;
using AdmNative.Tests;
using AdmNative.VirtualGpu.Ir;
using AdmNative.VirtualGpu.Ptx;
using AdmNative.VirtualGpu.Tests.Opcodes;

namespace AdmNative.VirtualGpu.Tests.Corpora;

/// <summary>
/// One source, compiled by every compiler in several ways (README.md beside the files): each file is read whole, every kernel lowered, and run under all
/// checks and two schedules against plain C#. Every launch is repeated by both engines.
/// </summary>
public sealed class CorpusTests
{
    private static readonly string s_folder = Repo.Path("tests", "AdmNative.VirtualGpu.Tests", "Corpora");

    public static readonly string[] Files =
    [
        "clang19-sm_80.ptx", "clang19-sm_80-O0.ptx", "nvcc118-sm_80.ptx", "nvcc118-sm_90-fastmath-lineinfo.ptx",
        "nvrtc124-sm_80.ptx", "nvrtc124-sm_80-fastmath.ptx", "nvrtc124-sm_80-debug.ptx", "nvrtc124-sm_90-lineinfo.ptx",
    ];

    public static string Text(string file) => File.ReadAllText(Path.Combine(s_folder, file));

    public static TheoryData<string> AllFiles() => [.. Files];

    public static TheoryData<string, bool> Runs()
    {
        var data = new TheoryData<string, bool>();
        foreach (string file in Files)
        {
            data.Add(file, false);
            data.Add(file, true);
        }

        return data;
    }

    /// <summary>The runs of files whose compiler links a device library: clang's do not.</summary>
    public static TheoryData<string, bool> RunsWithLibrary()
    {
        var data = new TheoryData<string, bool>();
        foreach (string file in Files.Where(f => !f.StartsWith("clang", StringComparison.Ordinal)))
        {
            data.Add(file, false);
            data.Add(file, true);
        }

        return data;
    }

    private static PtxRun Load(string file, bool adversarial) => new(Text(file))
    {
        Options = new LaunchOptions
        {
            Schedule = adversarial ? SchedulePolicy.Adversarial : SchedulePolicy.InOrder,
            Delivery = adversarial ? AsyncDelivery.Late : AsyncDelivery.Early,
        },
    };

    /// <summary>Approximate division and roots, flushed subnormals: the fast-math files are looser.</summary>
    private static double Slack(string file) => file.Contains("fastmath", StringComparison.Ordinal) ? 16 : 1;

    private static byte[] Struct(params ReadOnlySpan<object> members)
    {
        var bytes = new List<byte>();
        foreach (object m in members)
        {
            byte[] one = m switch
            {
                long l => BitConverter.GetBytes(l),
                ulong u => BitConverter.GetBytes(u),
                int i => BitConverter.GetBytes(i),
                float f => BitConverter.GetBytes(f),
                _ => throw new ArgumentException($"no member {m.GetType()}"),
            };
            bytes.AddRange(new byte[(one.Length - (bytes.Count % one.Length)) % one.Length]);
            bytes.AddRange(one);
        }

        return [.. bytes, .. new byte[(8 - (bytes.Count % 8)) % 8]];
    }

    private static float[] Normals(int n, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, n).Select(_ => (float)((random.NextDouble() + random.NextDouble() + random.NextDouble() - 1.5) * 2))];
    }

    private static void Clean(LaunchReport report)
    {
        Assert.True(report.Findings.Count == 0, string.Join('\n', report.Findings));
        Assert.True(report.Completed);
    }

    private static void Near(double want, double got, double tolerance, string what) =>
        Assert.True(double.IsFinite(got) && Math.Abs(want - got) <= tolerance, $"{what}: {got}, not {want} (tolerance {tolerance})");

    [Theory]
    [MemberData(nameof(AllFiles))]
    public void Every_kernel_is_read_and_lowered(string file)
    {
        PtxModule module = PtxParser.Parse(Text(file));
        List<string> expected =
        [
            "adamw", "conv_tile", "convert_mix", "flash_attention", "group_norm", "histogram", "int_mix", "local_sort", "print_some", "switch_op", "ticket_sum",
        ];
        if (!file.StartsWith("clang", StringComparison.Ordinal))
        {
            expected.Insert(9, "sincos_large");
        }

        Assert.Equal(expected, module.Entries.Select(e => e.Name).Order(StringComparer.Ordinal));
        Assert.All(module.Entries, e => Assert.NotEmpty(Lowering.Lower(module, e).Code));
    }

    [PtxasFact]
    public void Every_file_assembles() => Assert.All(Files, f => Assert.Equal("", Toolchain.Assemble(Text(f), f.Contains("sm_90", StringComparison.Ordinal) ? "sm_90" : "sm_80")));

    [Theory]
    [MemberData(nameof(Runs))]
    public void Group_norm(string file, bool adversarial)
    {
        const int N = 2, P = 35, C = 12, G = 3, Per = C / G;
        float[] x = Normals(N * P * C, 1), gamma = Normals(C, 2), beta = Normals(C, 3);
        using PtxRun run = Load(file, adversarial);
        long to = run.Room<float>(x.Length);
        Clean(run.Launch("group_norm", N * G, 128, to, run.Put<float>(x), run.Put<float>(gamma), run.Put<float>(beta), P, C, G, 1e-5f));
        float[] y = run.Get<float>(to, x.Length);
        for (int n = 0; n < N; n++)
        {
            for (int g = 0; g < G; g++)
            {
                int[] at = [.. Enumerable.Range(0, P * Per).Select(i => (n * P * C) + (i / Per * C) + (g * Per) + (i % Per))];
                double mean = at.Average(i => (double)x[i]), variance = at.Average(i => (x[i] - mean) * (x[i] - mean));
                foreach (int i in at)
                {
                    Near((((x[i] - mean) / Math.Sqrt(variance + 1e-5)) * gamma[i % C]) + beta[i % C], y[i], 4e-6 * Slack(file), $"y[{i}]");
                }
            }
        }
    }

    private static ushort[] Halves(int n, int seed) => [.. Normals(n, seed).Select(v => BitConverter.HalfToUInt16Bits((Half)v))];

    private static double Value(ushort half) => (double)BitConverter.UInt16BitsToHalf(half);

    [Theory]
    [MemberData(nameof(Runs))]
    public void Attention(string file, bool adversarial)
    {
        // Five blocks of keys: every slot of the ring is used again.
        const int T = 80, D = 16;
        ushort[] q = Halves(T * D, 4), k = Halves(T * D, 5), v = Halves(T * D, 6);
        using PtxRun run = Load(file, adversarial);
        long to = run.Room<float>(T * D);
        Clean(run.Launch("flash_attention", T / 16, 32, to, run.Put<ushort>(q), run.Put<ushort>(k), run.Put<ushort>(v), T, 0.25f));
        float[] o = run.Get<float>(to, T * D);
        for (int i = 0; i < T; i++)
        {
            double[] p = [.. Enumerable.Range(0, T).Select(j => Math.Exp(0.25 * Enumerable.Range(0, D).Sum(d => Value(q[(i * D) + d]) * Value(k[(j * D) + d]))))];
            double sum = p.Sum();
            for (int d = 0; d < D; d++)
            {
                // P is rounded to halves: 2^-11 of its size each.
                double want = Enumerable.Range(0, T).Sum(j => p[j] * Value(v[(j * D) + d])) / sum, size = Enumerable.Range(0, T).Sum(j => p[j] * Math.Abs(Value(v[(j * D) + d]))) / sum;
                Near(want, o[(i * D) + d], (size * Math.ScaleB(1, -10)) + 1e-5, $"o[{i},{d}]");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public void Convolution(string file, bool adversarial)
    {
        const int H = 7, W = 11, C = 16;
        ushort[] x = Halves(H * W * C, 7), w = Halves(C * 9 * C, 8);
        using PtxRun run = Load(file, adversarial);
        long to = run.Room<float>(H * W * C);
        Clean(run.Launch("conv_tile", ((H * W) + 31) / 32, 64, Struct(to, run.Put<ushort>(x), run.Put<ushort>(w), H, W)));
        float[] y = run.Get<float>(to, H * W * C);
        for (int i = 0; i < H * W; i++)
        {
            for (int o = 0; o < C; o++)
            {
                double want = 0, size = 0;
                for (int tap = 0; tap < 9; tap++)
                {
                    int h = (i / W) + (tap / 3) - 1, c = (i % W) + (tap % 3) - 1;
                    for (int d = 0; d < C && h is >= 0 and < H && c is >= 0 and < W; d++)
                    {
                        double one = Value(x[(((h * W) + c) * C) + d]) * Value(w[(((o * 9) + tap) * C) + d]);
                        (want, size) = (want + one, size + Math.Abs(one));
                    }
                }

                Near(want, y[(i * C) + o], size * 9 * Math.ScaleB(1, -22), $"y[{i},{o}]");
            }
        }
    }

    private static uint Philox(ulong seed, uint index)
    {
        (uint C0, uint C1, uint C2, uint C3) c = (index, 0, 0, 0);
        (uint a, uint b) = ((uint)seed, (uint)(seed >> 32));
        for (int round = 0; round < 10; round++)
        {
            ulong p = 0xD251_1F53UL * c.C0, q = 0xCD9E_8D57UL * c.C2;
            c = ((uint)(q >> 32) ^ c.C1 ^ a, (uint)q, (uint)(p >> 32) ^ c.C3 ^ b, (uint)p);
            (a, b) = (a + 0x9E37_79B9, b + 0xBB67_AE85);
        }

        return c.C0;
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public void Adam_with_philox_noise(string file, bool adversarial)
    {
        const int N = 301;
        const ulong Seed = 0x1234_5678_9ABC_DEF0;
        float[] weight = Normals(N, 9), m = Normals(N, 10), v = [.. Normals(N, 11).Select(Math.Abs)], grad = Normals(N, 12);
        using PtxRun run = Load(file, adversarial);
        long pw = run.Put<float>(weight), pm = run.Put<float>(m), pv = run.Put<float>(v);
        Clean(run.Launch("adamw", 3, 128, Struct(pw, pm, pv, run.Put<float>(grad), Seed, 0.01f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.5f, N)));
        float[] w1 = run.Get<float>(pw, N), m1 = run.Get<float>(pm, N), v1 = run.Get<float>(pv, N);
        for (int i = 0; i < N; i++)
        {
            double g = grad[i] + (0.5 * (((Philox(Seed, (uint)i) >> 8) / 16777216.0) - 0.5));
            double mean = (0.9f * (double)m[i]) + ((1 - 0.9f) * g), square = (0.999f * (double)v[i]) + ((1 - 0.999f) * g * g);
            Near(mean, m1[i], 1e-6, $"m[{i}]");
            Near(square, v1[i], 1e-6, $"v[{i}]");
            Near((weight[i] * (1 - (0.01f * 0.1f))) - (0.01f * mean / (Math.Sqrt(square) + 1e-8)), w1[i], 2e-6 * (1 + Math.Abs(mean / Math.Sqrt(square)) * 0.1) * Slack(file), $"weight[{i}]");
        }
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public void Sort_in_local_memory(string file, bool adversarial)
    {
        var random = new Random(13);
        int[] x = [.. Enumerable.Range(0, 16 * 64).Select(_ => random.Next(-50, 50))];
        using PtxRun run = Load(file, adversarial);
        long to = run.Room<int>(x.Length);
        Clean(run.Launch("local_sort", 2, 32, to, run.Put<int>(x), 13));
        Assert.Equal(x.Chunk(16).SelectMany(c => c.Take(13).Order().Concat(c.Skip(13))), run.Get<int>(to, x.Length));
    }

    [Theory]
    [MemberData(nameof(RunsWithLibrary))]
    public void Sine_of_large_arguments(string file, bool adversarial)
    {
        bool fast = file.Contains("fastmath", StringComparison.Ordinal);
        float[] x = fast
            ? [.. Enumerable.Range(0, 300).Select(i => (i - 150) * 0.04f)]
            : [.. Enumerable.Range(0, 296).Select(i => (float)(Math.Pow(1.3, i / 3.0) * (i % 2 == 0 ? 1 : -1))), 0, 1e30f, 3.3e38f, -105615.1f];
        using PtxRun run = Load(file, adversarial);
        long to = run.Room<float>(600);
        Clean(run.Launch("sincos_large", 3, 128, to, run.Put<float>(x), 300));
        float[] y = run.Get<float>(to, 600);
        for (int i = 0; i < 300; i++)
        {
            (double sin, double cos) = Exact(x[i]);
            double tolerance = fast ? 1e-6 : 2.5 * Math.ScaleB(1, -24);
            Near(sin, y[2 * i], tolerance, $"sin({x[i]})");
            Near(cos, y[(2 * i) + 1], tolerance, $"cos({x[i]})");
        }
    }

    /// <summary>Sine and cosine by exact reduction: the argument in units of 2^-300 modulo 2 pi with 500 bits of pi.</summary>
    private static (double Sin, double Cos) Exact(float x)
    {
        (BigInteger m, int p) = SoftFormat.F32.Magnitude(BitConverter.SingleToUInt32Bits(x));
        const int Fraction = 400;
        BigInteger twoPi = 2 * Pi(Fraction), value = p + Fraction >= 0 ? m << (p + Fraction) : m >> -(p + Fraction);
        double reduced = Math.ScaleB((double)(value % twoPi >> (Fraction - 60)), -60);
        return ((x < 0 ? -1 : 1) * Math.Sin(reduced), Math.Cos(reduced));
    }

    private static BigInteger Pi(int bits)
    {
        // Machin: 16 atan(1/5) - 4 atan(1/239)
        BigInteger Atan(int n)
        {
            BigInteger term = (BigInteger.One << (bits + 20)) / n, sum = 0;
            for (int k = 1; !term.IsZero; k += 2, term /= n * n)
            {
                sum += k % 4 == 1 ? term / k : -term / k;
            }

            return sum;
        }

        return ((16 * Atan(5)) - (4 * Atan(239))) >> 20;
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public void Printf(string file, bool adversarial)
    {
        using PtxRun run = Load(file, adversarial);
        LaunchReport report = run.Launch("print_some", 1, 5, run.Put<int>(1, 2, 3, 40, -5), 0.5f);
        Clean(report);
        Assert.Equal("lane 2: 3 1.500 end\nlane 3: 40 20.000 end\n", report.Output);
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public void Switch(string file, bool adversarial)
    {
        const int N = 192;
        float[] a = Normals(N, 14), b = Normals(N, 15);
        byte[] op = [.. Enumerable.Range(0, N).Select(i => (byte)(i * 7 % 13))];
        using PtxRun run = Load(file, adversarial);
        long to = run.Room<float>(N);
        Clean(run.Launch("switch_op", 2, 96, to, run.Put<float>(a), run.Put<float>(b), run.Put<byte>(op)));
        float[] y = run.Get<float>(to, N);
        for (int i = 0; i < N; i++)
        {
            double x = a[i], z = b[i];
            double want = op[i] switch
            {
                0 => x + z,
                1 => x - z,
                2 => x * z,
                3 => x / z,
                4 => Math.Min(x, z),
                5 => Math.Sqrt((x * x) + (z * z)),
                6 => (x * z) + x,
                7 => Poly(x, 3),
                8 => Poly(z, 5),
                9 => (int)(a[i] * 100f),
                10 => (int)a[i] ^ (int)b[i],
                _ => -1,
            };
            Near(want, y[i], Math.Max(1, Math.Abs(want)) * 1e-6 * Slack(file), $"y[{i}] of case {op[i]}");
        }

        static double Poly(double x, int n) => Enumerable.Range(0, n).Aggregate(1.0, (s, i) => (s * x) + i);
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public void Ticket_of_the_last_block(string file, bool adversarial)
    {
        const int N = 3000, Blocks = 9;
        float[] x = [.. Enumerable.Range(0, N).Select(i => (float)((i * 37 % 101) - 50))];
        using PtxRun run = Load(file, adversarial);
        long total = run.Room<float>(1), partial = run.Room<float>(Blocks), ticket = run.Put<uint>(0);
        Clean(run.Launch("ticket_sum", Blocks, 64, total, partial, ticket, run.Put<float>(x), N));
        Assert.Equal(x.Sum(), run.Get<float>(total, 1)[0]);
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public void Integers(string file, bool adversarial)
    {
        const int N = 64;
        var random = new Random(16);
        ulong[] x = [.. Enumerable.Range(0, N).Select(i => (ulong)random.NextInt64() >> (i % 50))];
        sbyte[] s = [.. Enumerable.Range(0, N).Select(_ => (sbyte)random.Next(-128, 128))];
        ushort[] h = [.. Enumerable.Range(0, N).Select(_ => (ushort)random.Next(65536))];
        uint[] salt = [0x9E37_79B9, 0x85EB_CA6B, 0xC2B2_AE35, 0x27D4_EB2F];
        using PtxRun run = Load(file, adversarial);
        long to = run.Room<ulong>(N);
        Clean(run.Launch("int_mix", 2, 32, to, run.Put<ulong>(x), run.Put<sbyte>(s), run.Put<ushort>(h)));
        ulong[] y = run.Get<ulong>(to, N);
        for (int i = 0; i < N; i++)
        {
            ulong a = x[i], b = x[i ^ 1] | 1;
            (uint lo, uint hi) = ((uint)a, (uint)(a >> 32));
            ulong r = unchecked((a / b) + (a % ((b >> 7) | 1) * 3));
            r ^= unchecked((ulong)((long)a / (long)(ulong)(lo | 3)) * 31);
            r += unchecked((lo / 10 * 7) + (uint)((int)hi / 13) + (hi % 1000));
            r ^= (ulong)((lo << (int)(hi & 31)) | ((lo >> 1) >> (int)(31 - (hi & 31)))) << 17;
            r += (ulong)BitOperations.PopCount(lo) << 40;
            r += unchecked((ulong)(s[i] * s[i ^ 1]) ^ ((ulong)(ushort)(h[i] * 3) >> 2));
            r ^= salt[i & 3];
            r += ((ulong)((hi >> 5) & 0x1FFF) << 20) | ((lo >> 24) & 0xFF) | (lo << 24);
            Assert.True(r == y[i], $"y[{i}] is 0x{y[i]:x}, not 0x{r:x}");
        }
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public void Histogram(string file, bool adversarial)
    {
        const int N = 2000, Bins = 23;
        byte[] x = [.. Enumerable.Range(0, N).Select(i => (byte)(i * i * 31 % 251))];
        using PtxRun run = Load(file, adversarial);
        long to = run.Put<uint>(new uint[Bins]);
        Clean(run.Launch("histogram", new LaunchShape(4, 1, 1, 96, 1, 1, 4 * Bins), to, run.Put<byte>(x), N, Bins));
        Assert.Equal(Enumerable.Range(0, Bins).Select(b => (uint)x.Count(v => v % Bins == b)), run.Get<uint>(to, Bins));
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public void Conversions(string file, bool adversarial)
    {
        const int N = 64;
        float[] x = [.. Normals(N, 17).Select(v => v * 9)];
        ushort[] h = Halves(N, 18);
        using PtxRun run = Load(file, adversarial);
        long to = run.Room<double>(N);
        Clean(run.Launch("convert_mix", 2, 32, to, run.Put<float>(x), run.Put<ushort>(h)));
        double[] y = run.Get<double>(to, N);
        for (int i = 0; i < N; i++)
        {
            double d = x[i];
            d = (d * d) + (1 / ((d * d) + 2));
            d += (long)(x[i] * 1000f) + (double)(uint)Math.Abs(x[i]);
            d -= (float)((float)Value(h[i]) + (float)(Half)(x[i] * 1.0009765f));
            d += (sbyte)(int)x[i];
            Near(d, y[i], 1e-12 * Math.Max(1, Math.Abs(d)), $"y[{i}] of {x[i]}");
        }
    }
}
