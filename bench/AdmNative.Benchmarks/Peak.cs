using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace AdmNative.Benchmarks;

/// <summary>What one core of this machine can do at most, measured: independent chains of fused multiply-adds in registers, and a streaming read.</summary>
public static class Peak
{
    private static readonly Lazy<double> s_flops = new(MeasureFlops);
    private static readonly Lazy<double> s_bytes = new(MeasureBytes);

    /// <summary>f32 operations per second of one core (fused multiply-add = 2).</summary>
    public static double FlopsPerSecond => s_flops.Value;

    /// <summary>Bytes per second one core reads from memory.</summary>
    public static double BytesPerSecond => s_bytes.Value;

    private static double MeasureFlops()
    {
        double best = 0;
        for (int i = 0; i < 20; i++)
        {
            const int Rounds = 200_000;
            long start = Stopwatch.GetTimestamp();
            float sink = Vector512.IsHardwareAccelerated ? Chains512(Rounds) : Chains256(Rounds);
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            int lanes = Vector512.IsHardwareAccelerated ? 16 : 8;
            best = Math.Max(best, Rounds * 12.0 * lanes * 2 / seconds);
            GC.KeepAlive(sink);
        }

        return best;
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static float Chains512(int rounds)
    {
        Vector512<float> m = Vector512.Create(0.999f), c = Vector512.Create(0.001f);
        Vector512<float> a0 = c, a1 = c, a2 = c, a3 = c, a4 = c, a5 = c, a6 = c, a7 = c, a8 = c, a9 = c, aA = c, aB = c;
        for (int i = 0; i < rounds; i++)
        {
            a0 = Vector512.FusedMultiplyAdd(a0, m, c);
            a1 = Vector512.FusedMultiplyAdd(a1, m, c);
            a2 = Vector512.FusedMultiplyAdd(a2, m, c);
            a3 = Vector512.FusedMultiplyAdd(a3, m, c);
            a4 = Vector512.FusedMultiplyAdd(a4, m, c);
            a5 = Vector512.FusedMultiplyAdd(a5, m, c);
            a6 = Vector512.FusedMultiplyAdd(a6, m, c);
            a7 = Vector512.FusedMultiplyAdd(a7, m, c);
            a8 = Vector512.FusedMultiplyAdd(a8, m, c);
            a9 = Vector512.FusedMultiplyAdd(a9, m, c);
            aA = Vector512.FusedMultiplyAdd(aA, m, c);
            aB = Vector512.FusedMultiplyAdd(aB, m, c);
        }

        return Vector512.Sum(a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + aA + aB);
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static float Chains256(int rounds)
    {
        Vector256<float> m = Vector256.Create(0.999f), c = Vector256.Create(0.001f);
        Vector256<float> a0 = c, a1 = c, a2 = c, a3 = c, a4 = c, a5 = c, a6 = c, a7 = c, a8 = c, a9 = c, aA = c, aB = c;
        for (int i = 0; i < rounds; i++)
        {
            a0 = Vector256.FusedMultiplyAdd(a0, m, c);
            a1 = Vector256.FusedMultiplyAdd(a1, m, c);
            a2 = Vector256.FusedMultiplyAdd(a2, m, c);
            a3 = Vector256.FusedMultiplyAdd(a3, m, c);
            a4 = Vector256.FusedMultiplyAdd(a4, m, c);
            a5 = Vector256.FusedMultiplyAdd(a5, m, c);
            a6 = Vector256.FusedMultiplyAdd(a6, m, c);
            a7 = Vector256.FusedMultiplyAdd(a7, m, c);
            a8 = Vector256.FusedMultiplyAdd(a8, m, c);
            a9 = Vector256.FusedMultiplyAdd(a9, m, c);
            aA = Vector256.FusedMultiplyAdd(aA, m, c);
            aB = Vector256.FusedMultiplyAdd(aB, m, c);
        }

        return Vector256.Sum(a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + aA + aB);
    }

    private static double MeasureBytes()
    {
        var data = new float[96 << 20];
        Array.Fill(data, 1f);
        double best = 0;
        for (int i = 0; i < 4; i++)
        {
            long start = Stopwatch.GetTimestamp();
            float sum = Sum(data);
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            best = Math.Max(best, data.Length * 4.0 / seconds);
            GC.KeepAlive(sum);
        }

        return best;
    }

    private static float Sum(ReadOnlySpan<float> data)
    {
        Vector512<float> a = Vector512<float>.Zero, b = a, c = a, d = a;
        for (int i = 0; i + 64 <= data.Length; i += 64)
        {
            a += Vector512.Create(data[i..]);
            b += Vector512.Create(data[(i + 16)..]);
            c += Vector512.Create(data[(i + 32)..]);
            d += Vector512.Create(data[(i + 48)..]);
        }

        return Vector512.Sum(a + b + c + d);
    }
}
