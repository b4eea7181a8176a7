using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>One file inside a zip archive, as its central directory describes it.</summary>
internal sealed record ZipMember(string Name, ushort Method, uint Crc, long CompressedBytes, long Bytes, long HeaderOffset)
{
    public const ushort Stored = 0;
    public const ushort Deflated = 8;
}

/// <summary>
/// The central directory of a zip archive. Ours rather than ZipArchive because tensors are read at their offsets in the
/// file, from several threads and without passing over what lies before them.
/// </summary>
internal sealed class ZipReader
{
    private const int EndBytes = 22;
    private const int MaxDirectoryBytes = 64 << 20;     // over a million members; a checkpoint has a few thousand

    private readonly FileBytes _file;
    private readonly Dictionary<string, ZipMember> _byName;
    private readonly long _directoryOffset;

    private ZipReader(FileBytes file, Dictionary<string, ZipMember> byName, List<ZipMember> members, long directoryOffset)
    {
        _file = file;
        _byName = byName;
        _directoryOffset = directoryOffset;
        Members = members;
    }

    /// <summary>In directory order.</summary>
    public IReadOnlyList<ZipMember> Members { get; }

    public static ZipReader Open(FileBytes file)
    {
        (long offset, long bytes, long count) = FindDirectory(file);
        if (offset < 0 || bytes < 0 || offset > file.Length || bytes > file.Length - offset)
        {
            throw Damaged(file, $"its directory is said to be {bytes} bytes at {offset}, the file has {file.Length}");
        }

        if (bytes > MaxDirectoryBytes || count > bytes / 46 || count < 0)
        {
            throw Damaged(file, $"a directory of {count} members in {bytes} bytes is not plausible");
        }

        var directory = new byte[bytes];
        file.Read(offset, directory, "the zip directory");
        var members = new List<ZipMember>((int)count);
        var byName = new Dictionary<string, ZipMember>((int)count, StringComparer.Ordinal);
        ReadOnlySpan<byte> rest = directory;
        for (long i = 0; i < count; i++)
        {
            ZipMember member = ReadEntry(file, ref rest);
            if (member.HeaderOffset > offset || member.CompressedBytes > offset - member.HeaderOffset)
            {
                throw Damaged(file, $"member '{member.Name}' reaches past the data ({member.CompressedBytes} bytes at {member.HeaderOffset})");
            }

            if (!byName.TryAdd(member.Name, member))
            {
                throw Damaged(file, $"member '{member.Name}' appears twice");
            }

            members.Add(member);
        }

        return new ZipReader(file, byName, members, offset);
    }

    public ZipMember? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>Where a member's bytes begin in the file; the local header before them is checked.</summary>
    public long DataOffset(ZipMember member)
    {
        Span<byte> header = stackalloc byte[30];
        _file.Read(member.HeaderOffset, header, $"the header of zip member '{member.Name}'");
        if (BinaryPrimitives.ReadUInt32LittleEndian(header) != 0x04034b50)
        {
            throw Damaged(_file, $"member '{member.Name}' has no header at {member.HeaderOffset}");
        }

        long start = member.HeaderOffset + 30 + BinaryPrimitives.ReadUInt16LittleEndian(header[26..])
            + BinaryPrimitives.ReadUInt16LittleEndian(header[28..]);
        return start <= _directoryOffset && member.CompressedBytes <= _directoryOffset - start
            ? start
            : throw Damaged(_file, $"member '{member.Name}' ({member.CompressedBytes} bytes at {start}) runs into the directory");
    }

    /// <summary>The member's content from its beginning; length and checksum are verified when its end is reached.</summary>
    public Stream OpenStream(ZipMember member)
    {
        Stream raw = _file.Slice(DataOffset(member), member.CompressedBytes, $"zip member '{member.Name}'");
        switch (member.Method)
        {
            case ZipMember.Stored:
                return new MemberStream(_file, member, raw);
            case ZipMember.Deflated:
                return new MemberStream(_file, member, new DeflateStream(raw, CompressionMode.Decompress));
            default:
                throw new CheckpointException(
                    $"zip member '{member.Name}' uses compression method {member.Method}; only stored and deflate are read. Repack the archive", _file.Path);
        }
    }

    private static (long Offset, long Bytes, long Count) FindDirectory(FileBytes file)
    {
        int tailBytes = (int)Math.Min(file.Length, EndBytes + ushort.MaxValue);
        byte[] tail = file.ReadUpTo(file.Length - tailBytes, tailBytes);
        for (int at = tailBytes - EndBytes; at >= 0; at--)
        {
            ReadOnlySpan<byte> end = tail.AsSpan(at);
            if (BinaryPrimitives.ReadUInt32LittleEndian(end) != 0x06054b50
                || BinaryPrimitives.ReadUInt16LittleEndian(end[20..]) != end.Length - EndBytes)
            {
                continue;
            }

            long count = BinaryPrimitives.ReadUInt16LittleEndian(end[10..]);
            long bytes = BinaryPrimitives.ReadUInt32LittleEndian(end[12..]);
            long offset = BinaryPrimitives.ReadUInt32LittleEndian(end[16..]);
            long endOffset = file.Length - tailBytes + at;
            if (endOffset >= 20 && (count == ushort.MaxValue || bytes == uint.MaxValue || offset == uint.MaxValue))
            {
                Span<byte> locator = stackalloc byte[20];
                file.Read(endOffset - 20, locator, "the zip64 locator");
                if (BinaryPrimitives.ReadUInt32LittleEndian(locator) == 0x07064b50)
                {
                    return ReadZip64End(file, BinaryPrimitives.ReadInt64LittleEndian(locator[8..]));
                }
            }

            return (offset, bytes, count);
        }

        throw new CheckpointException("has no zip directory at its end: truncated (an unfinished download?) or not a zip archive; fetch it again", file.Path);
    }

    private static (long Offset, long Bytes, long Count) ReadZip64End(FileBytes file, long at)
    {
        Span<byte> end = stackalloc byte[56];
        file.Read(at, end, "the zip64 end record");
        if (BinaryPrimitives.ReadUInt32LittleEndian(end) != 0x06064b50)
        {
            throw Damaged(file, $"there is no zip64 end record at {at}");
        }

        long count = BinaryPrimitives.ReadInt64LittleEndian(end[32..]);
        long bytes = BinaryPrimitives.ReadInt64LittleEndian(end[40..]);
        long offset = BinaryPrimitives.ReadInt64LittleEndian(end[48..]);
        return (offset, bytes, count);
    }

    private static ZipMember ReadEntry(FileBytes file, ref ReadOnlySpan<byte> rest)
    {
        if (rest.Length < 46 || BinaryPrimitives.ReadUInt32LittleEndian(rest) != 0x02014b50)
        {
            throw Damaged(file, "its directory is cut short");
        }

        int flags = BinaryPrimitives.ReadUInt16LittleEndian(rest[8..]);
        ushort method = BinaryPrimitives.ReadUInt16LittleEndian(rest[10..]);
        uint crc = BinaryPrimitives.ReadUInt32LittleEndian(rest[16..]);
        long compressed = BinaryPrimitives.ReadUInt32LittleEndian(rest[20..]);
        long bytes = BinaryPrimitives.ReadUInt32LittleEndian(rest[24..]);
        int nameBytes = BinaryPrimitives.ReadUInt16LittleEndian(rest[28..]);
        int extraBytes = BinaryPrimitives.ReadUInt16LittleEndian(rest[30..]);
        int commentBytes = BinaryPrimitives.ReadUInt16LittleEndian(rest[32..]);
        long header = BinaryPrimitives.ReadUInt32LittleEndian(rest[42..]);
        if (rest.Length - 46 < nameBytes + extraBytes + commentBytes)
        {
            throw Damaged(file, "its directory is cut short");
        }

        string name = Encoding.UTF8.GetString(rest.Slice(46, nameBytes));
        ReadOnlySpan<byte> extra = rest.Slice(46 + nameBytes, extraBytes);
        rest = rest[(46 + nameBytes + extraBytes + commentBytes)..];
        if ((flags & 1) != 0)
        {
            throw new CheckpointException($"zip member '{name}' is encrypted; encrypted archives are not read", file.Path);
        }

        ReadZip64Extra(extra, ref bytes, ref compressed, ref header);
        bool possible = method == ZipMember.Stored ? bytes == compressed : Inflate.CanHold(compressed, bytes);
        if (bytes < 0 || compressed < 0 || header < 0 || !possible)
        {
            throw Damaged(file, $"member '{name}' claims {bytes} bytes from {compressed} compressed ones at {header}");
        }

        return new ZipMember(name, method, crc, compressed, bytes, header);
    }

    private static void ReadZip64Extra(ReadOnlySpan<byte> extra, ref long bytes, ref long compressed, ref long header)
    {
        while (extra.Length >= 4)
        {
            int id = BinaryPrimitives.ReadUInt16LittleEndian(extra);
            int length = Math.Min(BinaryPrimitives.ReadUInt16LittleEndian(extra[2..]), extra.Length - 4);
            ReadOnlySpan<byte> field = extra.Slice(4, length);
            extra = extra[(4 + length)..];
            if (id == 1)
            {
                Widen(ref bytes, ref field);
                Widen(ref compressed, ref field);
                Widen(ref header, ref field);
            }
        }

        static void Widen(ref long value, ref ReadOnlySpan<byte> field)
        {
            if (value == uint.MaxValue && field.Length >= 8)
            {
                value = BinaryPrimitives.ReadInt64LittleEndian(field);
                field = field[8..];
            }
        }
    }

    private static CheckpointException Damaged(FileBytes file, string what) =>
        new($"damaged zip archive: {what}; fetch it again", file.Path);

    /// <summary>Counts and checksums what passes; says so when a member is shorter, longer or other than recorded.</summary>
    private sealed class MemberStream(FileBytes file, ZipMember member, Stream inner) : ReadOnlyStream
    {
        private long _position;
        private uint _crc;

        public override long Length => member.Bytes;

        public override long Position { get => _position; set => throw new NotSupportedException(); }

        public override int Read(Span<byte> buffer)
        {
            if (buffer.Length == 0)
            {
                return 0;
            }

            int got;
            try
            {
                got = inner.Read(buffer);
            }
            catch (InvalidDataException e)
            {
                throw new CheckpointException($"zip member '{member.Name}' does not decompress after {_position} bytes; fetch the file again", file.Path, e);
            }

            _position += got;
            _crc = Crc32.Append(_crc, buffer[..got]);
            if (_position > member.Bytes || (got == 0 && _position < member.Bytes))
            {
                throw Damaged(file, $"member '{member.Name}' holds {(got == 0 ? "fewer" : "more")} bytes than the {member.Bytes} recorded");
            }

            // A recorded 0 means "not computed": torch can be told to skip it.
            if (_position == member.Bytes && _crc != member.Crc && member.Crc != 0)
            {
                throw Damaged(file, $"member '{member.Name}' has checksum {_crc:x8}, recorded is {member.Crc:x8}");
            }

            return got;
        }

        protected override void Dispose(bool disposing)
        {
            inner.Dispose();
            base.Dispose(disposing);
        }
    }
}
