using System.Runtime.InteropServices;
using AdmNative.Cuda;

namespace AdmNative.VirtualGpu.Tests.Kernels;

/// <summary>Approximation noise reaches the results of kernels that use approximate instructions, stays within what those document, and depends on the seed only.</summary>
public sealed class ApproximationNoiseTests
{
    private const int Pixels = 24, Channels = 16, Groups = 2;

    private static float[] Silu(LaunchOptions options)
    {
        var random = new Random(8);
        float[] x = [.. Enumerable.Range(0, Pixels * Channels).Select(_ => (float)((random.NextDouble() * 6) - 3))];
        using var run = new KernelRun("gn_small", options) { CompareEngines = false };
        ulong y = run.Room(4 * x.Length);
        var p = new GnForwardParams
        {
            X = run.Put([.. MemoryMarshal.AsBytes<float>(x)]),
            Gamma = run.Put([.. MemoryMarshal.AsBytes<float>([.. Enumerable.Range(0, Channels).Select(c => 1 + (0.1f * c))])]),
            Beta = run.Put([.. MemoryMarshal.AsBytes<float>([.. Enumerable.Range(0, Channels).Select(c => 0.05f * c)])]),
            Mean = run.Room(4 * Groups),
            Rstd = run.Room(4 * Groups),
            Ab = run.Room(8 * Channels),
            Y = y,
            Ldx = Channels,
            Ldy = Channels,
            N = 1,
            P = Pixels,
            C = Channels,
            G = Groups,
            Every = 1,
            Slabs = 1,
            Cs = Channels,
            Slices = 1,
            Eps = 1e-5f,
        };
        run.Launch("gn_small_silu_f32", 1, p, sharedBytes: 4 * Pixels * Channels);
        KernelResult result = run.Result(y, 4 * x.Length);
        Assert.Empty(result.Findings);
        return MemoryMarshal.Cast<byte, float>(result.Output).ToArray();
    }

    /// <summary>
    /// silu(v) = v / (1 + exp(-v)). Relative errors with noise: ex2.approx 2 ulp, at most 2^-22, which enters 1 + exp with a weight below 1; the sum and the product 2^-24
    /// each; rcp.approx 1 ulp, at most 2^-23. Together 2^-21; without noise half of that at most. The two are less than 2^-20 apart.
    /// </summary>
    [Fact]
    public void Noise_moves_some_results_and_none_far()
    {
        var options = new LaunchOptions();
        float[] plain = Silu(options), noisy = Silu(options with { ApproxNoise = true, Seed = 1 }), again = Silu(options with { ApproxNoise = true, Seed = 1 }), other = Silu(options with { ApproxNoise = true, Seed = 2 });
        int moved = plain.Zip(noisy).Count(p => p.First != p.Second);
        Assert.InRange(moved, plain.Length / 10, plain.Length);
        Assert.Equal(noisy, again);
        Assert.NotEqual(noisy, other);
        Assert.All(plain.Zip(noisy).Concat(plain.Zip(other)), p => Assert.InRange(Math.Abs(p.Second - p.First), 0, Math.Abs(p.First) * Math.ScaleB(1, -20)));
        Assert.Equal(plain, Silu(options with { Seed = 1 }));
    }

    /// <summary>The same in a kernel of one approximate instruction each: the error is within the bound of the PTX manual and reaches a fair part of it.</summary>
    [Theory]
    [InlineData("ex2.approx.f32", -22.0)]
    [InlineData("lg2.approx.f32", -22.0)]
    [InlineData("rcp.approx.f32", -23.0)]
    [InlineData("rsqrt.approx.f32", -22.9)]
    [InlineData("sqrt.approx.f32", -23.0)]
    public void Noise_of_one_instruction_stays_within_its_bound(string instruction, double bound)
    {
        using var run = new PtxRun(PtxRun.Entry($$"""
            .reg .b32 %r<4>; .reg .b64 %rd<8>; .reg .f32 %f<4>;
            ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [a]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd3, %r1, 4; add.s64 %rd4, %rd1, %rd3; add.s64 %rd5, %rd2, %rd3;
            ld.global.f32 %f1, [%rd5]; {{instruction}} %f2, %f1; st.global.f32 [%rd4], %f2; ret;
            """)) { CompareEngines = false };
        float[] x = [.. Enumerable.Range(0, 1024).Select(i => 2.05f + (0.0071f * i))];
        long a = run.Put<float>(x), to = run.Room<float>(1024), noisyTo = run.Room<float>(1024);
        run.Launch("k", 1, 1024, to, a, 0L, 0L, 0);
        run.Options = run.Options with { ApproxNoise = true, Seed = 4 };
        run.Launch("k", 1, 1024, noisyTo, a, 0L, 0L, 0);
        float[] plain = run.Get<float>(to, 1024), noisy = run.Get<float>(noisyTo, 1024);
        Assert.InRange(plain.Zip(noisy).Count(p => p.First != p.Second), 100, 1024);

        // Rounding adds half an ulp, at most 2^-24, to each of the two.
        double worst = plain.Zip(noisy).Max(p => Math.Abs((p.Second / (double)p.First) - 1));
        Assert.InRange(worst, Math.ScaleB(1, -25), Math.Pow(2, bound) + Math.ScaleB(1, -23));
    }
}
