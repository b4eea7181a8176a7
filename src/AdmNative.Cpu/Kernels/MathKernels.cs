using System.Runtime.CompilerServices;

namespace AdmNative.Cpu.Kernels;

/// <summary>Exponential and what is made of it, on whole vectors. NaN in, NaN out; every other input gives a finite result.</summary>
internal static class MathKernels<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    /// <summary>Beyond this the sigmoid is 0 or 1 in f32, and 1 + exp(Edge) still has a normal reciprocal.</summary>
    private const float Edge = 87f;

    // exp(r) = 1 + r (1 + r (C2 + r (C3 + ...))) on |r| <= ln(2)/2: weighted minimax fit, relative error 3.1e-9.
    private const float C2 = 0.49999994f;
    private const float C3 = 0.16666521f;
    private const float C4 = 0.04166839f;
    private const float C5 = 0.0083687454f;
    private const float C6 = 0.001381454f;

    private const float Log2E = 1.44269504f;

    // ln 2 in two parts; the first has 9 bits, so n * Ln2High is exact without a fused multiply.
    private const float Ln2High = 0.693359375f;
    private const float Ln2Low = -2.12194440e-4f;

    /// <summary>Adding it rounds to the nearest integer and leaves that integer in the low mantissa bits.</summary>
    private const float Magic = 12582912f;

    /// <summary>exp(x) for x clamped to [-87.33, 88.37], within 2 ulp: never 0, never infinite.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Exp(V x) => ExpCore(S.MinNative(S.Broadcast(88.37f), S.MaxNative(S.Broadcast(-87.33f), x)));

    /// <summary>exp(x) for x that is at most 88.37 or NaN; a larger one gives nonsense.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V ExpNonPositive(V x) => ExpCore(S.MaxNative(S.Broadcast(-87.33f), x));

    /// <summary>1 / (1 + exp(-x)).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Sigmoid(V x) => SigmoidCore(Clamp(x));

    /// <summary>x / (1 + exp(-x)).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Silu(V x)
    {
        V c = S.MaxNative(S.Broadcast(-Edge), x);
        return S.Mul(c, SigmoidCore(S.MinNative(S.Broadcast(Edge), c)));
    }

    /// <summary>d silu(x) / dx = s (1 + x (1 - s)).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V SiluSlope(V x)
    {
        V c = Clamp(x);
        V s = SigmoidCore(c);
        return S.Mul(s, S.Fma(c, S.Sub(S.Broadcast(1), s), S.Broadcast(1)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Clamp(V x) => S.MinNative(S.Broadcast(Edge), S.MaxNative(S.Broadcast(-Edge), x));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V ExpCore(V x)
    {
        V magic = S.Broadcast(Magic);
        V t = S.Fma(x, S.Broadcast(Log2E), magic);
        V n = S.Sub(t, magic);
        V r = S.Fnma(n, S.Broadcast(Ln2Low), S.Fnma(n, S.Broadcast(Ln2High), x));
        V p = S.Fma(S.Broadcast(C6), r, S.Broadcast(C5));
        p = S.Fma(p, r, S.Broadcast(C4));
        p = S.Fma(p, r, S.Broadcast(C3));
        p = S.Fma(p, r, S.Broadcast(C2));
        p = S.Fma(p, r, S.Broadcast(1));
        p = S.Fma(p, r, S.Broadcast(1));
        return S.AddExponent(p, t);
    }

    /// <summary>For |x| at most Edge. Works with -r, which saves the negation of x.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V SigmoidCore(V x)
    {
        V magic = S.Broadcast(Magic);
        V t = S.Fnma(x, S.Broadcast(Log2E), magic);
        V n = S.Sub(t, magic);
        V q = S.Fma(n, S.Broadcast(Ln2Low), S.Fma(n, S.Broadcast(Ln2High), x));
        V p = S.Fnma(S.Broadcast(C6), q, S.Broadcast(C5));
        p = S.Fnma(p, q, S.Broadcast(C4));
        p = S.Fnma(p, q, S.Broadcast(C3));
        p = S.Fnma(p, q, S.Broadcast(C2));
        p = S.Fnma(p, q, S.Broadcast(1));
        p = S.Fnma(p, q, S.Broadcast(1));
        return S.Reciprocal(S.Add(S.Broadcast(1), S.AddExponent(p, t)));
    }
}
