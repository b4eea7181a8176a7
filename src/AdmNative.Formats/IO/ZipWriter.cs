using System.Buffers.Binary;
using System.Text;

namespace AdmNative.Formats;

/// <summary>
/// Writes a zip archive of uncompressed members whose data begins at multiples of 64 bytes. Ours rather than ZipArchive
/// because of that alignment (readers map tensors in place) and because equal content must give equal bytes: every
/// date is 1980-01-01. Sizes are known when a member begins, so only the checksum is written later.
/// </summary>
internal sealed class ZipWriter(Stream stream)
{
    private const int Alignment = 64;
    private const ushort Zip64Field = 1;
    private const ushort PaddingField = 0x4246;     // "FB", what PyTorch pads with
    private const ushort Utf8Names = 0x0800;
    private const ushort DosDate1980 = 0x0021;

    private readonly List<Entry> _entries = [];
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private Entry? _open;
    private long _left;

    /// <summary>Bytes still owed to the open member.</summary>
    public long Left => _left;

    public void Begin(string name, long bytes)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        End();
        byte[] nameBytes = Encoding.UTF8.GetBytes(name);
        if (nameBytes.Length > 4096)
        {
            throw new ArgumentException($"a member name of {nameBytes.Length} bytes; at most 4096 are written", nameof(name));
        }

        if (!_names.Add(name))
        {
            throw new ArgumentException($"'{name}' was already written to this archive", nameof(name));
        }

        long at = stream.Position;
        bool zip64 = bytes >= uint.MaxValue;
        int before = 30 + nameBytes.Length + (zip64 ? 20 : 0) + 4;
        int padding = (int)(-(at + before) & (Alignment - 1));
        var header = new byte[before + padding];
        Span<byte> h = header;
        BinaryPrimitives.WriteUInt32LittleEndian(h, 0x04034b50);
        BinaryPrimitives.WriteUInt16LittleEndian(h[4..], (ushort)(zip64 ? 45 : 20));
        BinaryPrimitives.WriteUInt16LittleEndian(h[6..], Utf8Names);
        BinaryPrimitives.WriteUInt16LittleEndian(h[12..], DosDate1980);
        BinaryPrimitives.WriteUInt32LittleEndian(h[18..], zip64 ? uint.MaxValue : (uint)bytes);
        BinaryPrimitives.WriteUInt32LittleEndian(h[22..], zip64 ? uint.MaxValue : (uint)bytes);
        BinaryPrimitives.WriteUInt16LittleEndian(h[26..], (ushort)nameBytes.Length);
        BinaryPrimitives.WriteUInt16LittleEndian(h[28..], (ushort)(header.Length - 30 - nameBytes.Length));
        nameBytes.CopyTo(h[30..]);
        Span<byte> extra = h[(30 + nameBytes.Length)..];
        if (zip64)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(extra, Zip64Field);
            BinaryPrimitives.WriteUInt16LittleEndian(extra[2..], 16);
            BinaryPrimitives.WriteInt64LittleEndian(extra[4..], bytes);
            BinaryPrimitives.WriteInt64LittleEndian(extra[12..], bytes);
            extra = extra[20..];
        }

        BinaryPrimitives.WriteUInt16LittleEndian(extra, PaddingField);
        BinaryPrimitives.WriteUInt16LittleEndian(extra[2..], (ushort)padding);
        extra[4..].Fill((byte)'Z');
        stream.Write(header);
        _open = new Entry(nameBytes, at, bytes);
        _entries.Add(_open);
        _left = bytes;
    }

    public void Write(ReadOnlySpan<byte> bytes)
    {
        if (_open is null || bytes.Length > _left)
        {
            throw new InvalidOperationException($"{bytes.Length} bytes written to a member that has room for {_left}");
        }

        stream.Write(bytes);
        _open.Crc = Crc32.Append(_open.Crc, bytes);
        _left -= bytes.Length;
    }

    /// <summary>Closes the open member, if any; it must be complete.</summary>
    public void End()
    {
        if (_open is null)
        {
            return;
        }

        if (_left != 0)
        {
            throw new InvalidOperationException($"member '{Encoding.UTF8.GetString(_open.Name)}' lacks {_left} of its {_open.Bytes} bytes");
        }

        if (_open.Crc != 0)
        {
            long at = stream.Position;
            Span<byte> crc = stackalloc byte[4];
            BinaryPrimitives.WriteUInt32LittleEndian(crc, _open.Crc);
            stream.Position = _open.Offset + 14;
            stream.Write(crc);
            stream.Position = at;
        }

        _open = null;
    }

    /// <summary>Writes the directory; nothing may follow.</summary>
    public void Finish()
    {
        End();
        long start = stream.Position;
        foreach (Entry e in _entries)
        {
            WriteDirectoryEntry(e);
        }

        long end = stream.Position;
        bool zip64 = _entries.Count >= ushort.MaxValue || end >= uint.MaxValue;
        var record = new byte[(zip64 ? 76 : 0) + 22];
        Span<byte> r = record;
        if (zip64)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(r, 0x06064b50);
            BinaryPrimitives.WriteInt64LittleEndian(r[4..], 44);
            BinaryPrimitives.WriteUInt16LittleEndian(r[12..], 45);
            BinaryPrimitives.WriteUInt16LittleEndian(r[14..], 45);
            BinaryPrimitives.WriteInt64LittleEndian(r[24..], _entries.Count);
            BinaryPrimitives.WriteInt64LittleEndian(r[32..], _entries.Count);
            BinaryPrimitives.WriteInt64LittleEndian(r[40..], end - start);
            BinaryPrimitives.WriteInt64LittleEndian(r[48..], start);
            BinaryPrimitives.WriteUInt32LittleEndian(r[56..], 0x07064b50);
            BinaryPrimitives.WriteInt64LittleEndian(r[64..], end);
            BinaryPrimitives.WriteInt32LittleEndian(r[72..], 1);
            r = r[76..];
        }

        ushort count = (ushort)Math.Min(_entries.Count, ushort.MaxValue);
        BinaryPrimitives.WriteUInt32LittleEndian(r, 0x06054b50);
        BinaryPrimitives.WriteUInt16LittleEndian(r[8..], count);
        BinaryPrimitives.WriteUInt16LittleEndian(r[10..], count);
        BinaryPrimitives.WriteUInt32LittleEndian(r[12..], (uint)Math.Min(end - start, uint.MaxValue));
        BinaryPrimitives.WriteUInt32LittleEndian(r[16..], (uint)Math.Min(start, uint.MaxValue));
        stream.Write(record);
    }

    private void WriteDirectoryEntry(Entry e)
    {
        bool wideSize = e.Bytes >= uint.MaxValue;
        bool wideOffset = e.Offset >= uint.MaxValue;
        int extraBytes = wideSize || wideOffset ? 4 + (wideSize ? 16 : 0) + (wideOffset ? 8 : 0) : 0;
        var entry = new byte[46 + e.Name.Length + extraBytes];
        Span<byte> d = entry;
        BinaryPrimitives.WriteUInt32LittleEndian(d, 0x02014b50);
        BinaryPrimitives.WriteUInt16LittleEndian(d[4..], (ushort)(extraBytes > 0 ? 45 : 20));
        BinaryPrimitives.WriteUInt16LittleEndian(d[6..], (ushort)(extraBytes > 0 ? 45 : 20));
        BinaryPrimitives.WriteUInt16LittleEndian(d[8..], Utf8Names);
        BinaryPrimitives.WriteUInt16LittleEndian(d[14..], DosDate1980);
        BinaryPrimitives.WriteUInt32LittleEndian(d[16..], e.Crc);
        BinaryPrimitives.WriteUInt32LittleEndian(d[20..], wideSize ? uint.MaxValue : (uint)e.Bytes);
        BinaryPrimitives.WriteUInt32LittleEndian(d[24..], wideSize ? uint.MaxValue : (uint)e.Bytes);
        BinaryPrimitives.WriteUInt16LittleEndian(d[28..], (ushort)e.Name.Length);
        BinaryPrimitives.WriteUInt16LittleEndian(d[30..], (ushort)extraBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(d[42..], wideOffset ? uint.MaxValue : (uint)e.Offset);
        e.Name.CopyTo(d[46..]);
        if (extraBytes > 0)
        {
            Span<byte> x = d[(46 + e.Name.Length)..];
            BinaryPrimitives.WriteUInt16LittleEndian(x, Zip64Field);
            BinaryPrimitives.WriteUInt16LittleEndian(x[2..], (ushort)(extraBytes - 4));
            x = x[4..];
            if (wideSize)
            {
                BinaryPrimitives.WriteInt64LittleEndian(x, e.Bytes);
                BinaryPrimitives.WriteInt64LittleEndian(x[8..], e.Bytes);
                x = x[16..];
            }

            if (wideOffset)
            {
                BinaryPrimitives.WriteInt64LittleEndian(x, e.Offset);
            }
        }

        stream.Write(entry);
    }

    private sealed class Entry(byte[] name, long offset, long bytes)
    {
        public byte[] Name => name;

        public long Offset => offset;

        public long Bytes => bytes;

        public uint Crc { get; set; }
    }
}
