using System.Buffers.Binary;
using System.Runtime.InteropServices;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>
/// One numpy array, read forward in rows along its first dimension, so an array larger than memory can be passed over.
/// Big-endian elements and fortran order are converted; fortran order needs the whole array in memory. One thread at a time.
/// </summary>
public sealed class NpyReader : IDisposable
{
    private readonly Stream _stream;
    private readonly NpyHeader _header;
    private readonly string _path;
    private readonly string _what;
    private readonly IDisposable? _owned;
    private byte[]? _reordered;

    internal NpyReader(Stream stream, string path, string what, IDisposable? owned = null)
    {
        _stream = stream;
        _path = path;
        _what = what;
        _owned = owned;
        (_header, long headerBytes) = NpyHeader.Read(stream, path, what);
        if (_header.DataBytes != stream.Length - headerBytes)
        {
            throw new CheckpointException(
                $"{what} should hold {_header.DataBytes} bytes of {_header.DType} {_header.Shape}, it has {stream.Length - headerBytes}: truncated or damaged; write it again",
                path);
        }

        Rows = Shape.Rank == 0 ? 1 : Shape.Dim(0);
        RowBytes = Rows == 0 ? 0 : _header.DataBytes / Rows;
        RowsLeft = Rows;
    }

    /// <summary>Element type.</summary>
    public DType DType => _header.DType;

    /// <summary>Dimensions of the whole array.</summary>
    public Shape Shape => _header.Shape;

    /// <summary>The first dimension; 1 for a scalar.</summary>
    public long Rows { get; }

    /// <summary>Bytes of one row.</summary>
    public long RowBytes { get; }

    /// <summary>Rows not yet read.</summary>
    public long RowsLeft { get; private set; }

    /// <summary>Reads as many whole rows as fit and are left, row-major and little-endian. 0 at the end.</summary>
    /// <exception cref="ArgumentException">The destination is shorter than one row.</exception>
    /// <exception cref="CheckpointException">The data is truncated or damaged.</exception>
    public int ReadRows(Span<byte> destination)
    {
        if (RowsLeft == 0)
        {
            return 0;
        }

        int rows = RowBytes == 0 ? (int)Math.Min(RowsLeft, int.MaxValue) : (int)Math.Min(RowsLeft, destination.Length / RowBytes);
        if (rows == 0)
        {
            throw new ArgumentException($"a row takes {RowBytes} bytes, the destination has {destination.Length}", nameof(destination));
        }

        Span<byte> bytes = destination[..(int)(rows * RowBytes)];
        if (_header.FortranOrder && Shape.Rank > 1)
        {
            _reordered ??= ReadFortran();
            _reordered.AsSpan((int)((Rows - RowsLeft) * RowBytes), bytes.Length).CopyTo(bytes);
        }
        else
        {
            Fill(bytes);
        }

        RowsLeft -= rows;
        return rows;
    }

    /// <summary>The next rows as a tensor [rows, ...]; at most <paramref name="rows"/>, fewer at the end.</summary>
    /// <exception cref="CheckpointException">The data is damaged, or the rows are over 2 GiB.</exception>
    public Tensor ReadRows(int rows)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        if (Shape.Rank == 0)
        {
            throw new InvalidOperationException("a scalar has no rows; use ReadAll");
        }

        int count = (int)Math.Min(rows, RowsLeft);
        return ReadTensor(Shape.Create([count, .. Shape.ToArray().AsSpan(1)]));
    }

    /// <summary>Everything; nothing may have been read before.</summary>
    /// <exception cref="CheckpointException">The data is damaged, or over 2 GiB: read it in rows.</exception>
    public Tensor ReadAll() => RowsLeft == Rows ? ReadTensor(Shape) : throw new InvalidOperationException("rows were already read");

    /// <inheritdoc/>
    public void Dispose()
    {
        _stream.Dispose();
        _owned?.Dispose();
    }

    private Tensor ReadTensor(Shape shape)
    {
        CheckFits(checked(shape.Elements * DType.SizeBytes()));
        var tensor = new Tensor(DType, shape);
        if (tensor.Bytes.Length > 0)
        {
            ReadRows(tensor.Bytes);
        }

        return tensor;
    }

    private byte[] ReadFortran()
    {
        CheckFits(_header.DataBytes);
        var columns = new byte[_header.DataBytes];
        Fill(columns);
        var rows = new byte[columns.Length];
        Strided.Copy(columns, Strided.ColumnMajor(Shape), rows, Strided.RowMajor(Shape), Shape, DType.SizeBytes());
        return rows;
    }

    private void CheckFits(long bytes)
    {
        if (bytes > Array.MaxLength)
        {
            throw new CheckpointException(
                $"{_what} takes {bytes} bytes ({DType} {Shape}); more than 2 GiB is read in rows, from a row-major array", _path);
        }
    }

    private void Fill(Span<byte> bytes)
    {
        int got = _stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        if (got < bytes.Length)
        {
            throw new CheckpointException($"{_what} ends early; truncated", _path);
        }

        if (!_header.BigEndian)
        {
            return;
        }

        switch (DType.SizeBytes())
        {
            case 2: Swap(MemoryMarshal.Cast<byte, ushort>(bytes)); break;
            case 4: Swap(MemoryMarshal.Cast<byte, uint>(bytes)); break;
            case 8: Swap(MemoryMarshal.Cast<byte, ulong>(bytes)); break;
            default: break;
        }
    }

    private static void Swap(Span<ushort> values) => BinaryPrimitives.ReverseEndianness(values, values);

    private static void Swap(Span<uint> values) => BinaryPrimitives.ReverseEndianness(values, values);

    private static void Swap(Span<ulong> values) => BinaryPrimitives.ReverseEndianness(values, values);
}
