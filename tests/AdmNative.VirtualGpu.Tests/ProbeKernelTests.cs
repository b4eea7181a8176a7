using System.Runtime.InteropServices;
using AdmNative.Cuda;
using AdmNative.Tests;

namespace AdmNative.VirtualGpu.Tests;

/// <summary>Compiler-made PTX (kernels/probe.cu) under every schedule and delivery, all checks on: right results, no findings, the same bits.</summary>
public sealed class ProbeKernelTests
{
    private static readonly string s_ptx = File.ReadAllText(Repo.Path("kernels", "ptx", "probe.ptx"));

    public static TheoryData<SchedulePolicy, AsyncDelivery> Policies()
    {
        var data = new TheoryData<SchedulePolicy, AsyncDelivery>();
        foreach (SchedulePolicy policy in Enum.GetValues<SchedulePolicy>())
        {
            data.Add(policy, AsyncDelivery.Early);
            data.Add(policy, AsyncDelivery.Late);
        }

        return data;
    }

    private static PtxRun Run(SchedulePolicy policy, AsyncDelivery delivery, Func<string, string>? mutate = null) =>
        new(mutate is null ? s_ptx : mutate(s_ptx)) { Options = new LaunchOptions { Schedule = policy, Delivery = delivery, Seed = 7 } };

    private static byte[] Block(params ReadOnlySpan<object> values)
    {
        var bytes = new List<byte>();
        foreach (object v in values)
        {
            ReadOnlySpan<byte> one = v is long l ? BitConverter.GetBytes(l) : v is uint u ? BitConverter.GetBytes(u) : BitConverter.GetBytes((int)v);
            bytes.AddRange(one);
        }

        return [.. bytes, .. new byte[(8 - (bytes.Count % 8)) % 8]];
    }

    [Theory]
    [MemberData(nameof(Policies))]
    public void Sum_by_shuffles(SchedulePolicy policy, AsyncDelivery delivery)
    {
        using PtxRun run = Run(policy, delivery);
        const int N = 2500;
        float[] x = [.. Enumerable.Range(0, N).Select(i => (i % 7) - 3f)];
        long to = run.Room<float>(3);
        LaunchReport report = run.Launch("probe_sum_f32", 3, 256, Block(to, run.Put<float>(x), N));
        Assert.Empty(report.Findings);
        Assert.Equal([x[..1024].Sum(), x[1024..2048].Sum(), x[2048..].Sum()], run.Get<float>(to, 3));
        Assert.Equal(3 * 9 * 5, report.Counters.WarpOperations);
        Assert.Equal(0, report.Counters.SharedConflicts);
    }

    [Theory]
    [MemberData(nameof(Policies))]
    public void Transpose_through_shared_memory(SchedulePolicy policy, AsyncDelivery delivery)
    {
        using PtxRun run = Run(policy, delivery);
        const int Rows = 45, Columns = 70;
        float[] x = [.. Enumerable.Range(0, Rows * Columns).Select(i => (float)i)];
        long to = run.Room<float>(x.Length);
        LaunchReport report = run.Launch("probe_transpose_f32", new LaunchShape(3, 2, 1, 256, 1, 1), Block(to, run.Put<float>(x), Rows, Columns));
        Assert.Empty(report.Findings);
        float[] y = run.Get<float>(to, x.Length);
        for (int i = 0; i < x.Length; i++)
        {
            Assert.Equal(x[i], y[(i % Columns * Rows) + (i / Columns)]);
        }

        Assert.Equal(0, report.Counters.SharedConflicts);
    }

    [Theory]
    [MemberData(nameof(Policies))]
    public void Normals_from_philox(SchedulePolicy policy, AsyncDelivery delivery)
    {
        using PtxRun run = Run(policy, delivery);
        const int N = 1021;
        long to = run.Room<float>(N);
        LaunchReport report = run.Launch("probe_normal_f32", 2, 128, Block(to, 0x1234u, 0xABCDu, 5u, N));
        Assert.Empty(report.Findings);
        float[] y = run.Get<float>(to, N);
        for (int i = 0; i < N; i++)
        {
            uint[] w = Philox((uint)(i / 4), 5, 0x1234, 0xABCD);
            int h = i % 4 / 2;
            double u = ((w[2 * h] >> 8) + 1) * Math.ScaleB(1, -24), angle = Math.PI * (w[(2 * h) + 1] >> 8) * Math.ScaleB(1, -23);
            double expected = Math.Sqrt(-2 * Math.Log(u)) * (i % 2 == 0 ? Math.Cos(angle) : Math.Sin(angle));
            // logf 1 ulp, sqrtf exact, sincospif 2 ulp: 4 ulp of the radius, which is below 5.8
            Assert.InRange(y[i], expected - 2e-6, expected + 2e-6);
        }
    }

    private static uint[] Philox(uint quad, uint stream, uint k0, uint k1)
    {
        uint[] c = [quad, stream, 0, 0];
        for (int round = 0; round < 10; round++)
        {
            ulong a = 0xD2511F53UL * c[0], b = 0xCD9E8D57UL * c[2];
            c = [(uint)(b >> 32) ^ c[1] ^ k0, (uint)b, (uint)(a >> 32) ^ c[3] ^ k1, (uint)a];
            k0 = unchecked(k0 + 0x9E3779B9);
            k1 = unchecked(k1 + 0xBB67AE85);
        }

        return c;
    }

    private static (PtxRun Run, long To, float[] Expected, LaunchReport Report) Gemm(
        int m, int n, int k, SchedulePolicy policy, AsyncDelivery delivery, Func<string, string>? mutate = null)
    {
        PtxRun run = Run(policy, delivery, mutate);
        var random = new Random(3);
        int[] a = [.. Enumerable.Range(0, m * k).Select(_ => random.Next(-5, 6))], b = [.. Enumerable.Range(0, n * k).Select(_ => random.Next(-5, 6))];
        var expected = new float[m * n];
        for (int i = 0; i < m * n; i++)
        {
            int sum = 0;
            for (int q = 0; q < k; q++)
            {
                sum += a[(i / n * k) + q] * b[(i % n * k) + q];
            }

            expected[i] = sum; // below 2^24: exact in any order
        }

        long to = run.Room<float>(m * n), pa = run.Put<Half>([.. a.Select(v => (Half)v)]), pb = run.Put<Half>([.. b.Select(v => (Half)v)]);
        LaunchReport report = run.Launch(
            "probe_gemm_f16", new LaunchShape((uint)(m + 63) / 64, (uint)(n + 63) / 64, 1, 128, 1, 1), Block(to, pa, pb, m, n, k));
        return (run, to, expected, report);
    }

    [Theory]
    [MemberData(nameof(Policies))]
    public void Tensor_core_product_with_asynchronous_copies(SchedulePolicy policy, AsyncDelivery delivery)
    {
        (PtxRun run, long to, float[] expected, LaunchReport report) = Gemm(70, 65, 160, policy, delivery);
        using (run)
        {
            Assert.Empty(report.Findings);
            Assert.Equal(expected, run.Get<float>(to, expected.Length));
            // 2x2 tiles of 64x64, 4 warps of 32x32: 8 products per 16 of k
            Assert.Equal(4 * 4 * 8 * 160 / 16, report.Counters.MmaInstructions);
            Assert.Equal(4 * 4 * 5, report.Counters.Barriers);
            Assert.Equal(0, report.Counters.SharedConflicts);
        }
    }

    [Theory]
    [InlineData("bar.sync \t0;", Checks.SharedRaces | Checks.AsyncCopies)]
    [InlineData("cp.async.wait_group 1;", Checks.AsyncCopies)]
    public void Tensor_core_product_without_its_synchronisation_is_caught(string statement, Checks expected)
    {
        static string CutLast(string ptx, string statement)
        {
            int start = ptx.IndexOf(".entry probe_gemm_f16", StringComparison.Ordinal);
            int at = ptx.IndexOf(statement, start, StringComparison.Ordinal);
            Assert.True(at > 0, $"no '{statement}' to remove");
            return ptx.Remove(at, statement.Length);
        }

        (PtxRun run, _, _, LaunchReport report) = Gemm(64, 64, 160, SchedulePolicy.InOrder, AsyncDelivery.Late, p => CutLast(p, statement));
        using (run)
        {
            Assert.Contains(report.Findings, f => (f.Check & expected) != 0 && f.SourceFile.EndsWith("probe.cu", StringComparison.Ordinal) && f.SourceLine > 0);
        }
    }

    [Fact]
    public void One_row_too_few_is_out_of_bounds_at_the_copy()
    {
        using PtxRun run = Run(SchedulePolicy.InOrder, AsyncDelivery.Early);
        long a = run.Put<Half>(new Half[63 * 32]), b = run.Put<Half>(new Half[64 * 32]), c = run.Room<float>(64 * 64);
        LaunchReport report = run.Launch("probe_gemm_f16", 1, 128, Block(c, a, b, 64, 64, 32));
        Finding finding = Assert.Single(report.Findings, f => f.Check == Checks.Bounds);
        Assert.Equal("cp.async.cg.shared.global [%0], [%1], 16, %2;", Source(finding).Split('"')[1]);
    }

    private static string Source(Finding f) => File.ReadAllLines(Repo.Path("kernels", "probe.cu"))[f.SourceLine - 1];
}
