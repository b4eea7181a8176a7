using System.Runtime.CompilerServices;

namespace AdmNative.Cpu.Kernels;

/// <summary>An elementwise function of up to three vectors. Instances carry constants.</summary>
internal interface IMap<V>
    where V : unmanaged
{
    V Invoke(V a, V b, V c);
}

/// <summary>Applies an <see cref="IMap{V}"/> along rows.</summary>
internal static unsafe class MapKernels<S, V, F>
    where S : struct, ISimd<V>
    where V : unmanaged
    where F : struct, IMap<V>
{
    /// <summary>y[i] = f(a[i]).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unary(F f, float* a, float* y, long count)
    {
        int w = S.Width;
        long i = 0;
        for (; i + w <= count; i += w)
        {
            S.Store(y + i, f.Invoke(S.Load(a + i), S.Zero, S.Zero));
        }

        if (i < count)
        {
            int n = (int)(count - i);
            S.StorePartial(y + i, f.Invoke(S.LoadPartial(a + i, n), S.Zero, S.Zero), n);
        }
    }

    /// <summary>y[i] = f(a[i], b[i]).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Binary(F f, float* a, float* b, float* y, long count)
    {
        int w = S.Width;
        long i = 0;
        for (; i + w <= count; i += w)
        {
            S.Store(y + i, f.Invoke(S.Load(a + i), S.Load(b + i), S.Zero));
        }

        if (i < count)
        {
            int n = (int)(count - i);
            S.StorePartial(y + i, f.Invoke(S.LoadPartial(a + i, n), S.LoadPartial(b + i, n), S.Zero), n);
        }
    }

    /// <summary>y[i] = f(a[i], b[i], c[i]).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Ternary(F f, float* a, float* b, float* c, float* y, long count)
    {
        int w = S.Width;
        long i = 0;
        for (; i + w <= count; i += w)
        {
            S.Store(y + i, f.Invoke(S.Load(a + i), S.Load(b + i), S.Load(c + i)));
        }

        if (i < count)
        {
            int n = (int)(count - i);
            S.StorePartial(y + i, f.Invoke(S.LoadPartial(a + i, n), S.LoadPartial(b + i, n), S.LoadPartial(c + i, n)), n);
        }
    }
}

/// <summary>x sigmoid(x).</summary>
internal readonly struct SiluMap<S, V> : IMap<V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Invoke(V a, V b, V c) => MathKernels<S, V>.Silu(a);
}

/// <summary>dy silu'(x).</summary>
internal readonly struct SiluGradMap<S, V> : IMap<V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Invoke(V a, V b, V c) => S.Mul(b, MathKernels<S, V>.SiluSlope(a));
}

/// <summary>max(x, 0); NaN stays.</summary>
internal readonly struct ReluMap<S, V> : IMap<V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Invoke(V a, V b, V c) => S.MaxNative(S.Zero, a);
}

/// <summary>dy where x is above 0.</summary>
internal readonly struct ReluGradMap<S, V> : IMap<V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Invoke(V a, V b, V c) => S.Select(S.Less(S.Zero, a), b, S.Zero);
}

/// <summary>a + b.</summary>
internal readonly struct AddMap<S, V> : IMap<V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Invoke(V a, V b, V c) => S.Add(a, b);
}

/// <summary>Factor times a.</summary>
internal readonly struct ScaleMap<S, V>(float factor) : IMap<V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Invoke(V a, V b, V c) => S.Mul(S.Broadcast(factor), a);
}

/// <summary>a (1 + b) + c.</summary>
internal readonly struct ModulateMap<S, V> : IMap<V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Invoke(V a, V b, V c) => S.Fma(a, S.Add(S.Broadcast(1), b), c);
}

/// <summary>a (1 + b).</summary>
internal readonly struct ModulateGradMap<S, V> : IMap<V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Invoke(V a, V b, V c) => S.Mul(a, S.Add(S.Broadcast(1), b));
}

/// <summary>a + factor b.</summary>
internal readonly struct AddScaledMap<S, V>(float factor) : IMap<V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Invoke(V a, V b, V c) => S.Fma(S.Broadcast(factor), b, a);
}

/// <summary>factor b; a is not looked at.</summary>
internal readonly struct ScaleSecondMap<S, V>(float factor) : IMap<V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public V Invoke(V a, V b, V c) => S.Mul(S.Broadcast(factor), b);
}
