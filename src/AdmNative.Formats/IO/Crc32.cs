using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace AdmNative.Formats;

/// <summary>
/// The CRC-32 of zip and PNG (reflected polynomial 0xEDB88320). Long runs are folded with carry-less multiplication,
/// several bytes per cycle, because a 2 GB checkpoint is checked on its way to memory; the rest goes through tables.
/// </summary>
internal static class Crc32
{
    private const int FoldBytes = 64;

    // x^(512+32), x^(512-32) and x^(128+32), x^(128-32) modulo the polynomial, bits reflected and shifted by one: what a
    // 64-bit half is worth 512 or 128 bits further on (Gopal et al., Intel 2009).
    private static readonly Vector128<long> s_by512 = Vector128.Create(0x154442bd4, 0x1c6e41596);
    private static readonly Vector128<long> s_by128 = Vector128.Create(0x1751997d0, 0x0ccaa009e);

    private static readonly uint[] s_tables = BuildTables();

    /// <summary>Continues a checksum; start from 0.</summary>
    public static uint Append(uint crc, ReadOnlySpan<byte> bytes)
    {
        uint state = ~crc;
        if (Pclmulqdq.IsSupported && bytes.Length >= 2 * FoldBytes)
        {
            int folded = bytes.Length / FoldBytes * FoldBytes;
            state = Fold(state, bytes[..folded]);
            bytes = bytes[folded..];
        }

        return ~ByTable(state, bytes);
    }

    /// <summary>The slow twin of <see cref="Append"/>.</summary>
    internal static uint AppendByTable(uint crc, ReadOnlySpan<byte> bytes) => ~ByTable(~crc, bytes);

    private static uint ByTable(uint state, ReadOnlySpan<byte> bytes)
    {
        uint[] t = s_tables;
        while (bytes.Length >= 8)
        {
            uint a = BinaryPrimitives.ReadUInt32LittleEndian(bytes) ^ state;
            uint b = BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]);
            state = t[0x700 + (a & 255)] ^ t[0x600 + ((a >> 8) & 255)] ^ t[0x500 + ((a >> 16) & 255)] ^ t[0x400 + (a >> 24)]
                ^ t[0x300 + (b & 255)] ^ t[0x200 + ((b >> 8) & 255)] ^ t[0x100 + ((b >> 16) & 255)] ^ t[b >> 24];
            bytes = bytes[8..];
        }

        foreach (byte x in bytes)
        {
            state = t[(state ^ x) & 255] ^ (state >> 8);
        }

        return state;
    }

    /// <summary>Replaces the bytes, a multiple of 64, by 16 with the same checksum, and takes that.</summary>
    private static uint Fold(uint state, ReadOnlySpan<byte> bytes)
    {
        ReadOnlySpan<Vector128<long>> blocks = MemoryMarshal.Cast<byte, Vector128<long>>(bytes);
        Vector128<long> a = blocks[0] ^ Vector128.CreateScalar((long)state);
        Vector128<long> b = blocks[1];
        Vector128<long> c = blocks[2];
        Vector128<long> d = blocks[3];
        for (int i = 4; i + 3 < blocks.Length; i += 4)
        {
            a = Advance(a, s_by512) ^ blocks[i];
            b = Advance(b, s_by512) ^ blocks[i + 1];
            c = Advance(c, s_by512) ^ blocks[i + 2];
            d = Advance(d, s_by512) ^ blocks[i + 3];
        }

        b ^= Advance(a, s_by128);
        c ^= Advance(b, s_by128);
        d ^= Advance(c, s_by128);
        Span<byte> rest = stackalloc byte[16];
        d.AsByte().CopyTo(rest);
        return ByTable(0, rest);

        static Vector128<long> Advance(Vector128<long> x, Vector128<long> by) =>
            Pclmulqdq.CarrylessMultiply(x, by, 0x00) ^ Pclmulqdq.CarrylessMultiply(x, by, 0x11);
    }

    private static uint[] BuildTables()
    {
        // Table k maps a byte to its checksum followed by k zero bytes.
        var t = new uint[8 * 256];
        for (uint i = 0; i < 256; i++)
        {
            uint c = i;
            for (int bit = 0; bit < 8; bit++)
            {
                c = (c & 1) != 0 ? (c >> 1) ^ 0xEDB88320u : c >> 1;
            }

            t[i] = c;
        }

        for (int i = 256; i < t.Length; i++)
        {
            t[i] = t[t[i - 256] & 255] ^ (t[i - 256] >> 8);
        }

        return t;
    }
}
