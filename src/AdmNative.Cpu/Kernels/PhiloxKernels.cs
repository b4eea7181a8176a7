using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using AdmNative.Core;

namespace AdmNative.Cpu.Kernels;

/// <summary>Philox4x32 on vectors whose every four lanes hold the words of one block: words come out in element order.</summary>
internal interface IPhilox<V>
    where V : unmanaged
{
    /// <summary>Counters [block low, block high, stream, 0] of consecutive blocks, the first in the lowest lanes.</summary>
    static abstract V PhiloxCounters(ulong block, uint stream);

    /// <summary>[k0, 0, k1, 0] in every four lanes.</summary>
    static abstract V PhiloxKey(uint k0, uint k1);

    /// <summary>[hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0)].</summary>
    static abstract V PhiloxRound(V counter, V key);

    /// <summary>The upper 24 bits of each word, as a number.</summary>
    static abstract V Upper24(V words);
}

internal readonly partial struct Simd512
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> PhiloxCounters(ulong block, uint stream) =>
        (Vector512.Create(block, stream, block, stream, block, stream, block, stream)
            + Vector512.Create(0UL, 0, 1, 0, 2, 0, 3, 0)).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> PhiloxKey(uint k0, uint k1) =>
        Vector512.Create(k0, k1, k0, k1, k0, k1, k0, (ulong)k1).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> PhiloxRound(Vector512<float> counter, Vector512<float> key)
    {
        Vector512<uint> multipliers = Vector512.Create(
            0xD2511F53UL, 0xCD9E8D57UL, 0xD2511F53UL, 0xCD9E8D57UL, 0xD2511F53UL, 0xCD9E8D57UL, 0xD2511F53UL, 0xCD9E8D57UL).AsUInt32();
        Vector512<ulong> product = Avx512F.Multiply(counter.AsUInt32(), multipliers);
        Vector512<uint> reversed = Avx512F.Shuffle(product.AsUInt32(), 0x1B);
        return (reversed.AsUInt64() ^ (counter.AsUInt64() >> 32) ^ key.AsUInt64()).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Upper24(Vector512<float> words) => Vector512.ConvertToSingle((words.AsUInt32() >> 8).AsInt32());
}

internal readonly partial struct Simd256
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> PhiloxCounters(ulong block, uint stream) =>
        (Vector256.Create(block, stream, block, stream) + Vector256.Create(0UL, 0, 1, 0)).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> PhiloxKey(uint k0, uint k1) => Vector256.Create(k0, k1, k0, (ulong)k1).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> PhiloxRound(Vector256<float> counter, Vector256<float> key)
    {
        Vector256<uint> multipliers = Vector256.Create(0xD2511F53UL, 0xCD9E8D57UL, 0xD2511F53UL, 0xCD9E8D57UL).AsUInt32();
        Vector256<ulong> product = Avx2.Multiply(counter.AsUInt32(), multipliers);
        Vector256<uint> reversed = Avx2.Shuffle(product.AsUInt32(), 0x1B);
        return (reversed.AsUInt64() ^ (counter.AsUInt64() >> 32) ^ key.AsUInt64()).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Upper24(Vector256<float> words) => Vector256.ConvertToSingle((words.AsUInt32() >> 8).AsInt32());
}

internal readonly partial struct Simd128
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> PhiloxCounters(ulong block, uint stream) => Vector128.Create(block, stream).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> PhiloxKey(uint k0, uint k1) => Vector128.Create(k0, (ulong)k1).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> PhiloxRound(Vector128<float> counter, Vector128<float> key)
    {
        Vector128<ulong> words = counter.AsUInt64();
        Vector128<ulong> product = (words & Vector128.Create(0xFFFFFFFFUL)) * Vector128.Create(0xD2511F53UL, 0xCD9E8D57UL);
        Vector128<uint> reversed = Vector128.Shuffle(product.AsUInt32(), Vector128.Create(3u, 2, 1, 0));
        return (reversed.AsUInt64() ^ (words >> 32) ^ key.AsUInt64()).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Upper24(Vector128<float> words) => Vector128.ConvertToSingle((words.AsUInt32() >> 8).AsInt32());
}

/// <summary>Dropout with masks from Philox.</summary>
internal static unsafe class DropoutKernels<S, V>
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private const int Rounds = 10;

    /// <summary>y = keep ? factor x : 0 for elements first..first+count, keep = upper 24 bits of the element's word at least threshold.</summary>
    public static void Apply(
        float* x, float* y, long first, long count, uint key0, uint key1, uint stream, uint threshold, float factor)
    {
        long i = 0;
        for (; i < count && (first + i) % 4 != 0; i++)
        {
            y[i] = Keep(first + i, key0, key1, stream, threshold) ? factor * x[i] : 0;
        }

        long whole = Vectors(x + i, y + i, (ulong)(first + i) / 4, count - i, key0, key1, stream, threshold, factor);
        for (i += whole; i < count; i++)
        {
            y[i] = Keep(first + i, key0, key1, stream, threshold) ? factor * x[i] : 0;
        }
    }

    private static bool Keep(long i, uint key0, uint key1, uint stream, uint threshold)
    {
        ulong block = (ulong)i / 4;
        Philox.Block(
            key0, key1, unchecked((uint)block), (uint)(block >> 32), stream, 0, out uint r0, out uint r1, out uint r2, out uint r3);
        uint word = (i % 4) switch
        {
            0 => r0,
            1 => r1,
            2 => r2,
            _ => r3,
        };
        return word >> 8 >= threshold;
    }

    /// <summary>The whole vectors, two at a time to hide the latency of the rounds; returns how many elements they hold.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static long Vectors(
        float* x, float* y, ulong block, long count, uint key0, uint key1, uint stream, uint threshold, float factor)
    {
        int w = S.Width;
        V* keys = stackalloc V[Rounds];
        for (int round = 0; round < Rounds; round++)
        {
            keys[round] = S.PhiloxKey(key0, key1);
            unchecked
            {
                key0 += 0x9E3779B9;
                key1 += 0xBB67AE85;
            }
        }

        V limit = S.Broadcast(threshold), f = S.Broadcast(factor);
        long i = 0;
        for (; i + (2 * w) <= count; i += 2 * w, block += (ulong)w / 2)
        {
            V a = S.PhiloxCounters(block, stream), b = S.PhiloxCounters(block + ((ulong)w / 4), stream);
            for (int round = 0; round < Rounds; round++)
            {
                V key = keys[round];
                a = S.PhiloxRound(a, key);
                b = S.PhiloxRound(b, key);
            }

            S.Store(y + i, S.Select(S.Less(S.Upper24(a), limit), S.Zero, S.Mul(f, S.Load(x + i))));
            S.Store(y + i + w, S.Select(S.Less(S.Upper24(b), limit), S.Zero, S.Mul(f, S.Load(x + i + w))));
        }

        for (; i + w <= count; i += w, block += (ulong)w / 4)
        {
            V a = S.PhiloxCounters(block, stream);
            for (int round = 0; round < Rounds; round++)
            {
                a = S.PhiloxRound(a, keys[round]);
            }

            S.Store(y + i, S.Select(S.Less(S.Upper24(a), limit), S.Zero, S.Mul(f, S.Load(x + i))));
        }

        return i;
    }
}
