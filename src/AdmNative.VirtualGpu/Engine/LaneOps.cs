using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace AdmNative.VirtualGpu.Engine;

/// <summary>A 32-bit operation on one vector of lanes; V and S agree bit for bit.</summary>
internal interface IBinary32
{
    static abstract Vector512<uint> V(Vector512<uint> a, Vector512<uint> b);
}

internal interface IUnary32
{
    static abstract Vector512<uint> V(Vector512<uint> a);
}

internal interface ITernary32
{
    static abstract Vector512<uint> V(Vector512<uint> a, Vector512<uint> b, Vector512<uint> c);
}

internal interface IBinary64
{
    static abstract Vector512<ulong> V(Vector512<ulong> a, Vector512<ulong> b);
}

/// <summary>An operation without a vector form, lane by lane.</summary>
internal interface ILane32
{
    static abstract uint S(uint a, uint b, uint c);
}

internal interface ILane64
{
    static abstract ulong S(ulong a, ulong b, ulong c);
}

/// <summary>
/// Applies operations to rows of 32 lanes under a mask: lanes outside it keep what they had. Rows are 128 bytes; a 64-bit value takes two rows
/// read as 32 ulongs. One definition serves AVX-512 and, through the runtime's own fallback, narrower machines.
/// </summary>
internal static unsafe class LaneOps
{
    public const uint Full = 0xFFFF_FFFF;

    private static readonly Vector512<uint> s_bits = Vector512.Create(1u, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768);
    private static readonly Vector512<ulong> s_bits64 = Vector512.Create(1ul, 2, 4, 8, 16, 32, 64, 128);

    /// <summary>All ones in the lanes of the mask's low 16 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Expand(uint mask16) => ~Vector512.Equals(Vector512.Create(mask16) & s_bits, Vector512<uint>.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> Expand64(uint mask8) => ~Vector512.Equals(Vector512.Create((ulong)mask8) & s_bits64, Vector512<ulong>.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(uint* d, Vector512<uint> low, Vector512<uint> high, uint mask)
    {
        if (mask == Full)
        {
            low.Store(d);
            high.Store(d + 16);
            return;
        }

        Vector512.ConditionalSelect(Expand(mask), low, Vector512.Load(d)).Store(d);
        Vector512.ConditionalSelect(Expand(mask >> 16), high, Vector512.Load(d + 16)).Store(d + 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unary<TOp>(uint* d, uint* a, uint mask) where TOp : struct, IUnary32 =>
        Store(d, TOp.V(Vector512.Load(a)), TOp.V(Vector512.Load(a + 16)), mask);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Binary<TOp>(uint* d, uint* a, uint* b, uint mask) where TOp : struct, IBinary32 =>
        Store(d, TOp.V(Vector512.Load(a), Vector512.Load(b)), TOp.V(Vector512.Load(a + 16), Vector512.Load(b + 16)), mask);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Ternary<TOp>(uint* d, uint* a, uint* b, uint* c, uint mask) where TOp : struct, ITernary32 => Store(
        d,
        TOp.V(Vector512.Load(a), Vector512.Load(b), Vector512.Load(c)),
        TOp.V(Vector512.Load(a + 16), Vector512.Load(b + 16), Vector512.Load(c + 16)),
        mask);

    public static void Binary64<TOp>(uint* d, uint* a, uint* b, uint mask) where TOp : struct, IBinary64
    {
        for (int i = 0; i < 4; i++)
        {
            Vector512<ulong> r = TOp.V(Vector512.Load((ulong*)a + (8 * i)), Vector512.Load((ulong*)b + (8 * i)));
            ulong* to = (ulong*)d + (8 * i);
            uint m = (mask >> (8 * i)) & 0xFF;
            if (m != 0xFF)
            {
                r = Vector512.ConditionalSelect(Expand64(m), r, Vector512.Load(to));
            }

            r.Store(to);
        }
    }

    /// <summary>Copies 32-bit lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy(uint* d, uint* a, uint mask) => Store(d, Vector512.Load(a), Vector512.Load(a + 16), mask);

    /// <summary>Copies 64-bit lanes.</summary>
    public static void Copy64(uint* d, uint* a, uint mask)
    {
        for (int i = 0; i < 4; i++)
        {
            Vector512<ulong> r = Vector512.Load((ulong*)a + (8 * i));
            ulong* to = (ulong*)d + (8 * i);
            uint m = (mask >> (8 * i)) & 0xFF;
            if (m != 0xFF)
            {
                r = Vector512.ConditionalSelect(Expand64(m), r, Vector512.Load(to));
            }

            r.Store(to);
        }
    }

    /// <summary>Lane by lane, 32-bit in and out. Absent operands may be null.</summary>
    public static void Lanes32<TOp>(uint* d, uint* a, uint* b, uint* c, uint mask) where TOp : struct, ILane32
    {
        for (uint m = mask; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            d[i] = TOp.S(a[i], b is null ? 0 : b[i], c is null ? 0 : c[i]);
        }
    }

    /// <summary>Lane by lane, 64-bit in and out.</summary>
    public static void Lanes64<TOp>(uint* d, uint* a, uint* b, uint* c, uint mask) where TOp : struct, ILane64
    {
        ulong* d64 = (ulong*)d, a64 = (ulong*)a, b64 = (ulong*)b, c64 = (ulong*)c;
        for (uint m = mask; m != 0; m &= m - 1)
        {
            int i = BitOperations.TrailingZeroCount(m);
            d64[i] = TOp.S(a64[i], b64 is null ? 0 : b64[i], c64 is null ? 0 : c64[i]);
        }
    }

    /// <summary>Bits of the lanes where the comparison of two rows holds.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Bits(Vector512<uint> low, Vector512<uint> high) =>
        (uint)low.ExtractMostSignificantBits() | ((uint)high.ExtractMostSignificantBits() << 16);
}
