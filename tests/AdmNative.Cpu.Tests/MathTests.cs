using System.Runtime.Intrinsics;
using AdmNative.Cpu.Kernels;

namespace AdmNative.Cpu.Tests;

/// <summary>The vector exponential and sigmoid, lane by lane against double.</summary>
public sealed unsafe class MathTests
{
    public static TheoryData<Isa> Sets() => [.. IsaSupport.Available];

    [Theory]
    [MemberData(nameof(Sets))]
    public void Exp_is_within_two_ulp(Isa isa)
    {
        float[] x = Sweep(-87.3f, 88.3f, 20011);
        float[] y = Apply(isa, Function.Exp, x);
        for (int i = 0; i < x.Length; i++)
        {
            double expected = Math.Exp(x[i]);
            double ulp = MathF.BitIncrement((float)expected) - (float)expected;
            Assert.True(Math.Abs(y[i] - expected) <= 2 * ulp, $"exp({x[i]:R}) = {y[i]:R}, not {expected:R}: {(y[i] - expected) / ulp:f2} ulp");
        }
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void Silu_and_its_slope_follow_the_formula(Isa isa)
    {
        // exp within 2 ulp, one addition, a reciprocal within 2 ulp, one product: 6 ulp of the sigmoid; the slope adds two more steps, whose
        // errors are relative to a sum that may cancel, so its bound is absolute.
        float[] x = [.. Sweep(-20, 20, 9001), .. Sweep(-0.01f, 0.01f, 101)];
        float[] silu = Apply(isa, Function.Silu, x), slope = Apply(isa, Function.Slope, x);
        double ulp = Math.ScaleB(1, -23);
        for (int i = 0; i < x.Length; i++)
        {
            double s = 1 / (1 + Math.Exp(-(double)x[i])), expected = x[i] * s;
            Assert.True(Math.Abs(silu[i] - expected) <= (6 * ulp * Math.Abs(expected)) + 1e-38, $"silu({x[i]:R}) = {silu[i]:R}, not {expected:R}");
            double d = s * (1 + (x[i] * (1 - s)));
            Assert.True(Math.Abs(slope[i] - d) <= 8 * ulp * s * (1 + Math.Abs(x[i])), $"silu'({x[i]:R}) = {slope[i]:R}, not {d:R}");
        }
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void Extremes_are_finite_and_nan_stays(Isa isa)
    {
        float[] x = [-1e38f, -1e9f, -1e4f, -100, -88, -87, 87, 88, 89, 100, 1e4f, 1e9f, 1e38f, 0, -0f, 1e-40f, float.NaN];
        foreach (Function function in Enum.GetValues<Function>())
        {
            float[] y = Apply(isa, function, x);
            for (int i = 0; i < x.Length; i++)
            {
                Assert.True(float.IsNaN(x[i]) ? float.IsNaN(y[i]) : float.IsFinite(y[i]), $"{function}({x[i]:R}) = {y[i]}");
            }

            // Far from zero only the limits are left.
            Assert.True(Math.Abs(y[0]) < 1e-30, $"{function}(-1e38) = {y[0]}");
            Assert.True(function switch
            {
                Function.Exp => y[12] > 1e38f,
                Function.Silu => y[12] == 1e38f,
                _ => y[12] == 1,
            }, $"{function}(1e38) = {y[12]}");
        }
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void Every_length_up_to_130_is_mapped_and_nothing_beyond(Isa isa)
    {
        for (int length = 0; length <= 130; length++)
        {
            float[] x = Sweep(-3, 3, length + 3);
            float[] y = Apply(isa, Function.Silu, x, length);
            for (int i = 0; i < x.Length; i++)
            {
                double expected = i < length ? x[i] / (1 + Math.Exp(-(double)x[i])) : 12345;
                Assert.True(Math.Abs(y[i] - expected) <= 1e-6, $"length {length}, element {i}: {y[i]}, not {expected}");
            }
        }
    }

    private static float[] Sweep(float from, float to, int count)
    {
        var x = new float[count];
        for (int i = 0; i < count; i++)
        {
            x[i] = from + ((to - from) * i / Math.Max(1, count - 1));
        }

        return x;
    }

    private static float[] Apply(Isa isa, Function function, float[] x, int count = -1) => isa switch
    {
        Isa.Avx512 => Apply<Simd512, Vector512<float>>(function, x, count),
        Isa.Avx2 => Apply<Simd256, Vector256<float>>(function, x, count),
        _ => Apply<Simd128, Vector128<float>>(function, x, count),
    };

    private static float[] Apply<S, V>(Function function, float[] x, int count)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        var y = new float[x.Length];
        Array.Fill(y, 12345);
        fixed (float* from = x, to = y)
        {
            count = count < 0 ? x.Length : count;
            switch (function)
            {
                case Function.Exp: MapKernels<S, V, ExpMap<S, V>>.Unary(default, from, to, count); break;
                case Function.Silu: MapKernels<S, V, SiluMap<S, V>>.Unary(default, from, to, count); break;
                default: MapKernels<S, V, SlopeMap<S, V>>.Unary(default, from, to, count); break;
            }
        }

        return y;
    }

    private enum Function
    {
        Exp,
        Silu,
        Slope,
    }

    private readonly struct ExpMap<S, V> : IMap<V>
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        public V Invoke(V a, V b, V c) => MathKernels<S, V>.Exp(a);
    }

    private readonly struct SlopeMap<S, V> : IMap<V>
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        public V Invoke(V a, V b, V c) => MathKernels<S, V>.SiluSlope(a);
    }
}
