using System.Buffers.Binary;

namespace AdmNative.Formats;

/// <summary>The CRC-32 of zip and PNG (reflected polynomial 0xEDB88320), eight bytes at a time.</summary>
internal static class Crc32
{
    private static readonly uint[] s_tables = BuildTables();

    /// <summary>Continues a checksum; start from 0.</summary>
    public static uint Append(uint crc, ReadOnlySpan<byte> bytes)
    {
        uint[] t = s_tables;
        crc = ~crc;
        while (bytes.Length >= 8)
        {
            uint a = BinaryPrimitives.ReadUInt32LittleEndian(bytes) ^ crc;
            uint b = BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]);
            crc = t[0x700 + (a & 255)] ^ t[0x600 + ((a >> 8) & 255)] ^ t[0x500 + ((a >> 16) & 255)] ^ t[0x400 + (a >> 24)]
                ^ t[0x300 + (b & 255)] ^ t[0x200 + ((b >> 8) & 255)] ^ t[0x100 + ((b >> 16) & 255)] ^ t[b >> 24];
            bytes = bytes[8..];
        }

        foreach (byte x in bytes)
        {
            crc = t[(crc ^ x) & 255] ^ (crc >> 8);
        }

        return ~crc;
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
