using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace AdmNative.Cpu.Kernels;

/// <summary>
/// The vector operations kernels are written in. A kernel is generic over <c>S : struct, ISimd&lt;V&gt;</c> and keeps its values in
/// plain <c>V</c> locals, so that the JIT sees nothing but Vector512/256/128. Masks are vectors of all-ones or all-zero lanes.
/// The partial forms touch the first <c>count</c> elements only (0 &lt;= count &lt;= Width).
/// </summary>
internal unsafe interface ISimd<V> : IPhilox<V> where V : unmanaged
{
    /// <summary>Lanes of a vector.</summary>
    static abstract int Width { get; }

    /// <summary>Vector registers the kernels may count on: sizes the register tiles.</summary>
    static abstract int Registers { get; }

    static abstract V Zero { get; }

    static abstract V Load(float* p);

    static abstract void Store(float* p, V v);

    /// <summary>Reads count elements; the other lanes are zero.</summary>
    static abstract V LoadPartial(float* p, int count);

    static abstract void StorePartial(float* p, V v, int count);

    static abstract V Broadcast(float value);

    static abstract V Add(V a, V b);

    static abstract V Sub(V a, V b);

    static abstract V Mul(V a, V b);

    static abstract V Div(V a, V b);

    /// <summary>a * b + c, fused where the machine can.</summary>
    static abstract V Fma(V a, V b, V c);

    /// <summary>c - a * b, fused where the machine can.</summary>
    static abstract V Fnma(V a, V b, V c);

    static abstract V Max(V a, V b);

    static abstract V Min(V a, V b);

    /// <summary>The larger, in one instruction: b if either is NaN, so that a constant a lets a NaN b through.</summary>
    static abstract V MaxNative(V a, V b);

    /// <summary>The smaller, in one instruction: b if either is NaN.</summary>
    static abstract V MinNative(V a, V b);

    /// <summary>1 / a within 2 ulp for 2^-126 &lt;= a &lt;= 2^126.</summary>
    static abstract V Reciprocal(V a);

    /// <summary>p * 2^n, where t = n + 12582912 carries the integer n in its low mantissa bits; the result must be a normal number.</summary>
    static abstract V AddExponent(V p, V t);

    static abstract V Abs(V a);

    static abstract V Sqrt(V a);

    /// <summary>Nearest integer, ties to even.</summary>
    static abstract V Round(V a);

    /// <summary>2^n for integral n in -126..127.</summary>
    static abstract V Pow2(V n);

    static abstract V Less(V a, V b);

    /// <summary>a where the mask is set, else b.</summary>
    static abstract V Select(V mask, V a, V b);

    /// <summary>Sum of the lanes, by halves: a fixed order.</summary>
    static abstract float Sum(V a);

    /// <summary>Largest lane.</summary>
    static abstract float MaxAcross(V a);

    /// <summary>
    /// dst[c * Width + r] = src[r * stride + c] for r &lt; rows, c &lt; columns; 0 for rows &lt;= r &lt; Width.
    /// At most Width rows and columns; writes columns * Width elements.
    /// </summary>
    static abstract void Transpose(float* src, long stride, int rows, int columns, float* dst);
}

/// <summary>AVX-512.</summary>
internal readonly unsafe partial struct Simd512 : ISimd<Vector512<float>>
{
    public static int Width => 16;

    public static int Registers => 32;

    public static Vector512<float> Zero => Vector512<float>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(float* p) => Vector512.Load(p);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* p, Vector512<float> v) => v.Store(p);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> LoadPartial(float* p, int count) =>
        Avx512F.MaskLoad(p, Mask(count), Vector512<float>.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePartial(float* p, Vector512<float> v, int count) => Avx512F.MaskStore(p, Mask(count), v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Broadcast(float value) => Vector512.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Add(Vector512<float> a, Vector512<float> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Sub(Vector512<float> a, Vector512<float> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Mul(Vector512<float> a, Vector512<float> b) => a * b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Div(Vector512<float> a, Vector512<float> b) => a / b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Fma(Vector512<float> a, Vector512<float> b, Vector512<float> c) =>
        Avx512F.FusedMultiplyAdd(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Fnma(Vector512<float> a, Vector512<float> b, Vector512<float> c) =>
        Avx512F.FusedMultiplyAddNegated(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Max(Vector512<float> a, Vector512<float> b) => Vector512.Max(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Min(Vector512<float> a, Vector512<float> b) => Vector512.Min(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> MaxNative(Vector512<float> a, Vector512<float> b) => Vector512.MaxNative(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> MinNative(Vector512<float> a, Vector512<float> b) => Vector512.MinNative(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Reciprocal(Vector512<float> a)
    {
        Vector512<float> r = Avx512F.Reciprocal14(a);
        return Avx512F.FusedMultiplyAdd(r, Avx512F.FusedMultiplyAddNegated(a, r, Vector512<float>.One), r);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> AddExponent(Vector512<float> p, Vector512<float> t) =>
        (p.AsInt32() + Vector512.ShiftLeft(t.AsInt32(), 23)).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Abs(Vector512<float> a) => Vector512.Abs(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Sqrt(Vector512<float> a) => Vector512.Sqrt(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Round(Vector512<float> a) => Vector512.Round(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Pow2(Vector512<float> n) =>
        Vector512.ShiftLeft(Vector512.ConvertToInt32Native(n) + Vector512.Create(127), 23).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Less(Vector512<float> a, Vector512<float> b) => Vector512.LessThan(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Select(Vector512<float> mask, Vector512<float> a, Vector512<float> b) =>
        Vector512.ConditionalSelect(mask, a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector512<float> a) => Simd256.Sum(a.GetLower() + a.GetUpper());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxAcross(Vector512<float> a) => Simd256.MaxAcross(Vector256.Max(a.GetLower(), a.GetUpper()));

    public static void Transpose(float* src, long stride, int rows, int columns, float* dst)
    {
        // Four 4x4 block columns: rows r, r+4, r+8, r+12 meet in one register, so the in-lane 4x4 transpose finishes the job.
        for (int c = 0; c < columns; c += 4)
        {
            int n = Math.Min(4, columns - c);
            Vector512<float> r0 = Gather(src + c, stride, 0, rows, n);
            Vector512<float> r1 = Gather(src + c, stride, 1, rows, n);
            Vector512<float> r2 = Gather(src + c, stride, 2, rows, n);
            Vector512<float> r3 = Gather(src + c, stride, 3, rows, n);
            Vector512<float> t0 = Avx512F.UnpackLow(r0, r1);
            Vector512<float> t1 = Avx512F.UnpackHigh(r0, r1);
            Vector512<float> t2 = Avx512F.UnpackLow(r2, r3);
            Vector512<float> t3 = Avx512F.UnpackHigh(r2, r3);
            float* d = dst + (c * 16);
            Store(d, Avx512F.Shuffle(t0, t2, 0x44));
            if (n > 1)
            {
                Store(d + 16, Avx512F.Shuffle(t0, t2, 0xEE));
            }

            if (n > 2)
            {
                Store(d + 32, Avx512F.Shuffle(t1, t3, 0x44));
            }

            if (n > 3)
            {
                Store(d + 48, Avx512F.Shuffle(t1, t3, 0xEE));
            }
        }
    }

    /// <summary>Four elements each of rows r, r+4, r+8, r+12; rows past the end read as zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Gather(float* src, long stride, int r, int rows, int n)
    {
        Vector128<float> a = r < rows ? Simd128.LoadPartial(src + (r * stride), n) : default;
        Vector128<float> b = r + 4 < rows ? Simd128.LoadPartial(src + ((r + 4) * stride), n) : default;
        Vector128<float> c = r + 8 < rows ? Simd128.LoadPartial(src + ((r + 8) * stride), n) : default;
        Vector128<float> d = r + 12 < rows ? Simd128.LoadPartial(src + ((r + 12) * stride), n) : default;
        return Vector512.Create(Vector256.Create(a, b), Vector256.Create(c, d));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Mask(int count) =>
        Vector512.LessThan(Vector512<int>.Indices, Vector512.Create(count)).AsSingle();
}

/// <summary>AVX2 with FMA.</summary>
internal readonly unsafe partial struct Simd256 : ISimd<Vector256<float>>
{
    public static int Width => 8;

    public static int Registers => 16;

    public static Vector256<float> Zero => Vector256<float>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(float* p) => Vector256.Load(p);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* p, Vector256<float> v) => v.Store(p);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> LoadPartial(float* p, int count) => Avx.MaskLoad(p, Mask(count));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePartial(float* p, Vector256<float> v, int count) => Avx.MaskStore(p, Mask(count), v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Broadcast(float value) => Vector256.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Add(Vector256<float> a, Vector256<float> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Sub(Vector256<float> a, Vector256<float> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Mul(Vector256<float> a, Vector256<float> b) => a * b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Div(Vector256<float> a, Vector256<float> b) => a / b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Fma(Vector256<float> a, Vector256<float> b, Vector256<float> c) =>
        System.Runtime.Intrinsics.X86.Fma.MultiplyAdd(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Fnma(Vector256<float> a, Vector256<float> b, Vector256<float> c) =>
        System.Runtime.Intrinsics.X86.Fma.MultiplyAddNegated(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Max(Vector256<float> a, Vector256<float> b) => Vector256.Max(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Min(Vector256<float> a, Vector256<float> b) => Vector256.Min(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> MaxNative(Vector256<float> a, Vector256<float> b) => Vector256.MaxNative(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> MinNative(Vector256<float> a, Vector256<float> b) => Vector256.MinNative(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Reciprocal(Vector256<float> a) => Vector256<float>.One / a;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> AddExponent(Vector256<float> p, Vector256<float> t) =>
        (p.AsInt32() + Vector256.ShiftLeft(t.AsInt32(), 23)).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Abs(Vector256<float> a) => Vector256.Abs(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Sqrt(Vector256<float> a) => Vector256.Sqrt(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Round(Vector256<float> a) => Vector256.Round(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Pow2(Vector256<float> n) =>
        Vector256.ShiftLeft(Vector256.ConvertToInt32Native(n) + Vector256.Create(127), 23).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Less(Vector256<float> a, Vector256<float> b) => Vector256.LessThan(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Select(Vector256<float> mask, Vector256<float> a, Vector256<float> b) =>
        Vector256.ConditionalSelect(mask, a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector256<float> a) => Simd128.Sum(a.GetLower() + a.GetUpper());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxAcross(Vector256<float> a) => Simd128.MaxAcross(Vector128.Max(a.GetLower(), a.GetUpper()));

    public static void Transpose(float* src, long stride, int rows, int columns, float* dst)
    {
        for (int c = 0; c < columns; c += 4)
        {
            int n = Math.Min(4, columns - c);
            Vector256<float> r0 = Gather(src + c, stride, 0, rows, n);
            Vector256<float> r1 = Gather(src + c, stride, 1, rows, n);
            Vector256<float> r2 = Gather(src + c, stride, 2, rows, n);
            Vector256<float> r3 = Gather(src + c, stride, 3, rows, n);
            Vector256<float> t0 = Avx.UnpackLow(r0, r1);
            Vector256<float> t1 = Avx.UnpackHigh(r0, r1);
            Vector256<float> t2 = Avx.UnpackLow(r2, r3);
            Vector256<float> t3 = Avx.UnpackHigh(r2, r3);
            float* d = dst + (c * 8);
            Store(d, Avx.Shuffle(t0, t2, 0x44));
            if (n > 1)
            {
                Store(d + 8, Avx.Shuffle(t0, t2, 0xEE));
            }

            if (n > 2)
            {
                Store(d + 16, Avx.Shuffle(t1, t3, 0x44));
            }

            if (n > 3)
            {
                Store(d + 24, Avx.Shuffle(t1, t3, 0xEE));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Gather(float* src, long stride, int r, int rows, int n)
    {
        Vector128<float> a = r < rows ? Simd128.LoadPartial(src + (r * stride), n) : default;
        Vector128<float> b = r + 4 < rows ? Simd128.LoadPartial(src + ((r + 4) * stride), n) : default;
        return Vector256.Create(a, b);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Mask(int count) =>
        Vector256.LessThan(Vector256<int>.Indices, Vector256.Create(count)).AsSingle();
}

/// <summary>128-bit vectors through the portable API alone.</summary>
internal readonly unsafe partial struct Simd128 : ISimd<Vector128<float>>
{
    public static int Width => 4;

    public static int Registers => 16;

    public static Vector128<float> Zero => Vector128<float>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Load(float* p) => Vector128.Load(p);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* p, Vector128<float> v) => v.Store(p);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> LoadPartial(float* p, int count) => count switch
    {
        >= 4 => Vector128.Load(p),
        3 => Vector128.Create(p[0], p[1], p[2], 0),
        2 => Vector128.Create(p[0], p[1], 0, 0),
        1 => Vector128.CreateScalar(p[0]),
        _ => default,
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePartial(float* p, Vector128<float> v, int count)
    {
        if (count >= 4)
        {
            v.Store(p);
            return;
        }

        if (count > 0)
        {
            p[0] = v.GetElement(0);
        }

        if (count > 1)
        {
            p[1] = v.GetElement(1);
        }

        if (count > 2)
        {
            p[2] = v.GetElement(2);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Broadcast(float value) => Vector128.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Add(Vector128<float> a, Vector128<float> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Sub(Vector128<float> a, Vector128<float> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Mul(Vector128<float> a, Vector128<float> b) => a * b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Div(Vector128<float> a, Vector128<float> b) => a / b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Fma(Vector128<float> a, Vector128<float> b, Vector128<float> c) =>
        Vector128.MultiplyAddEstimate(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Fnma(Vector128<float> a, Vector128<float> b, Vector128<float> c) =>
        Vector128.MultiplyAddEstimate(-a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Max(Vector128<float> a, Vector128<float> b) => Vector128.Max(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Min(Vector128<float> a, Vector128<float> b) => Vector128.Min(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> MaxNative(Vector128<float> a, Vector128<float> b) => Vector128.MaxNative(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> MinNative(Vector128<float> a, Vector128<float> b) => Vector128.MinNative(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Reciprocal(Vector128<float> a) => Vector128<float>.One / a;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> AddExponent(Vector128<float> p, Vector128<float> t) =>
        (p.AsInt32() + Vector128.ShiftLeft(t.AsInt32(), 23)).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Abs(Vector128<float> a) => Vector128.Abs(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Sqrt(Vector128<float> a) => Vector128.Sqrt(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Round(Vector128<float> a) => Vector128.Round(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Pow2(Vector128<float> n) =>
        Vector128.ShiftLeft(Vector128.ConvertToInt32Native(n) + Vector128.Create(127), 23).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Less(Vector128<float> a, Vector128<float> b) => Vector128.LessThan(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Select(Vector128<float> mask, Vector128<float> a, Vector128<float> b) =>
        Vector128.ConditionalSelect(mask, a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector128<float> a) =>
        (a.GetElement(0) + a.GetElement(2)) + (a.GetElement(1) + a.GetElement(3));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxAcross(Vector128<float> a) =>
        MathF.Max(MathF.Max(a.GetElement(0), a.GetElement(2)), MathF.Max(a.GetElement(1), a.GetElement(3)));

    public static void Transpose(float* src, long stride, int rows, int columns, float* dst)
    {
        for (int c = 0; c < columns; c++)
        {
            for (int r = 0; r < 4; r++)
            {
                dst[(c * 4) + r] = r < rows ? src[(r * stride) + c] : 0;
            }
        }
    }
}
