using System.Runtime.InteropServices;

namespace AdmNative.VirtualGpu.Tests.Numerics;

/// <summary>Aligned rows of 32 lanes, as the engine's row file holds them.</summary>
internal sealed unsafe class Rows : IDisposable
{
    private readonly uint* _memory;

    public Rows(int count)
    {
        _memory = (uint*)NativeMemory.AlignedAlloc((nuint)count * 128, 64);
        new Span<uint>(_memory, count * 32).Fill(0xDEAD_BEEF);
    }

    public uint* this[int row] => _memory + (32 * row);

    /// <summary>A table of row pointers starting at a row.</summary>
    public nint[] Table(int first, int count) => [.. Enumerable.Range(first, count).Select(i => (nint)this[i])];

    public Span<uint> Lanes(int row) => new(this[row], 32);

    public Span<ulong> Lanes64(int row) => new(this[row], 32);

    public void Dispose() => NativeMemory.AlignedFree(_memory);
}

/// <summary>Bit patterns that break things, and random ones.</summary>
internal static class Patterns
{
    public static readonly uint[] Single =
    [
        0, 0x8000_0000, 1, 0x8000_0001, 0x007F_FFFF, 0x807F_FFFF, 0x0080_0000, 0x3F80_0000, 0xBF80_0000, 0x3F00_0000, 0x3FC0_0000, 0xBFC0_0000, 0x4020_0000, 0xC020_0000,
        0x7F7F_FFFF, 0xFF7F_FFFF, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0xFFC0_0001, 0x7F80_0001, 0x4F00_0000, 0xCF00_0000, 0x4F7F_FFFF, 0x4F80_0000, 0x4EFF_FFFF,
        0x477F_E000, 0x477F_F000, 0x477F_EFFF, 0x3300_0000, 0x3300_0001, 0x3380_0000, 0x387F_C000, 0x387F_E000, 0x3F80_1000, 0x3F80_3000, 0x3F80_8000, 0x3F81_8000, 0x5F00_0000, 0x5F80_0000,
        0x7EFF_FFFF, 0x7F00_0000, 0x7E80_0000, 0x7E80_0001, 0x0040_0000, 0x4B00_0000, 0x4B00_0001, 0x3EFF_FFFF, 0x3F7F_FFFF, 0xC300_0000, 0x437F_0000, 0x437F_8000,
    ];

    public static readonly ushort[] Half =
    [
        0, 0x8000, 1, 0x8001, 0x3FF, 0x83FF, 0x400, 0x8400, 0x3C00, 0xBC00, 0x3800, 0x3E00, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0x7FFF, 0xFE00, 0x3C01, 0x3555, 0x7F80, 0xFF80, 0x007F, 0x0080,
        0x3F80, 0xBF80, 0x7F7F, 0xFF7F, 0x4000, 0x1000, 0x0600,
    ];

    public static readonly ulong[] Double =
    [
        0, 0x8000_0000_0000_0000, 1, 0x8000_0000_0000_0001, 0x000F_FFFF_FFFF_FFFF, 0x0010_0000_0000_0000, 0x3FF0_0000_0000_0000, 0xBFF0_0000_0000_0000, 0x3FF0_0000_0000_0001, 0x3FF8_0000_0000_0000,
        0x7FEF_FFFF_FFFF_FFFF, 0xFFEF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000, 0xFFF0_0000_0000_0000, 0x7FF8_0000_0000_0000, 0x43E0_0000_0000_0000, 0x43F0_0000_0000_0000, 0x41E0_0000_0000_0000,
        0x41DF_FFFF_FFC0_0000, 0x3810_0000_0000_0000, 0x36A0_0000_0000_0000, 0x3690_0000_0000_0000, 0x3690_0000_0000_0001, 0x47EF_FFFF_F000_0000, 0x47EF_FFFF_E000_0000, 0x3FE0_0000_0000_0000, 0x4330_0000_0000_0001,
    ];

    /// <summary>The table, then random patterns with random exponents.</summary>
    public static uint NextSingle(Random random) => random.Next(4) == 0 ? Single[random.Next(Single.Length)] : (uint)random.NextInt64(1L << 32);

    /// <summary>Neither NaN nor infinite, exponent within +-range of 1.</summary>
    public static float NextSingle(Random random, int range) => (float)((random.NextDouble() + 1) * Math.ScaleB(random.Next(2) == 0 ? 1 : -1, random.Next(-range, range + 1)));

    public static ushort NextHalf(Random random) => random.Next(4) == 0 ? Half[random.Next(Half.Length)] : (ushort)random.Next(65536);

    public static ulong NextDouble(Random random) => random.Next(4) == 0 ? Double[random.Next(Double.Length)] : (ulong)random.NextInt64();
}
