using System.Buffers.Binary;
using System.IO.Compression;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>
/// The idx files of MNIST: two zero bytes, element type, number of dimensions, dimensions (big-endian), data. Unsigned
/// bytes only, which is what pictures ([n, rows, columns]) and labels ([n]) are. Plain or gzip-compressed.
/// </summary>
public static class Idx
{
    private const int MaxRank = 4;
    private const byte UnsignedByte = 8;

    /// <summary>Reads a file as a u8 tensor.</summary>
    /// <exception cref="CheckpointException">Not such a file, or damaged.</exception>
    public static Tensor Read(string path)
    {
        using FileBytes file = FileBytes.Open(path);
        bool zipped = FileKinds.Of(file) == FileKind.Gzip;
        using Stream raw = file.Slice(0, file.Length, "the file");
        try
        {
            using Stream stream = zipped ? new GZipStream(raw, CompressionMode.Decompress) : raw;
            return Read(stream, bytes => zipped ? Inflate.CanHold(file.Length, bytes) : bytes <= file.Length, path);
        }
        catch (InvalidDataException e)
        {
            throw new CheckpointException("is a gzip file that does not decompress: damaged; fetch it again", path, e);
        }
    }

    private static Tensor Read(Stream stream, Func<long, bool> canHold, string path)
    {
        var head = new byte[4];
        Fill(stream, head, path);
        if (head is not [0, 0, UnsignedByte, >= 1 and <= MaxRank])
        {
            throw new CheckpointException(
                $"is not an idx file of unsigned bytes (it begins with {Convert.ToHexStringLower(head)}, expected 000008 and 1 to {MaxRank} dimensions)", path);
        }

        var sizes = new byte[4 * head[3]];
        Fill(stream, sizes, path);
        var dims = new long[head[3]];
        for (int i = 0; i < dims.Length; i++)
        {
            dims[i] = BinaryPrimitives.ReadUInt32BigEndian(sizes.AsSpan(4 * i));
        }

        Shape shape = ShapeOf(dims, path);
        if (shape.Elements > Array.MaxLength || !canHold(shape.Elements))
        {
            throw Implausible(dims, path);
        }

        var tensor = new Tensor(DType.U8, shape);
        Fill(stream, tensor.Bytes, path);
        return stream.ReadByte() < 0
            ? tensor
            : throw new CheckpointException($"holds more than the {shape.Elements} bytes of {shape}: damaged", path);
    }

    private static Shape ShapeOf(long[] dims, string path)
    {
        try
        {
            return Shape.Create(dims);
        }
        catch (ShapeException)
        {
            throw Implausible(dims, path);
        }
    }

    private static CheckpointException Implausible(long[] dims, string path) =>
        new($"claims [{string.Join(",", dims)}] bytes, which the file cannot hold: truncated or damaged; fetch it again", path);

    private static void Fill(Stream stream, Span<byte> bytes, string path)
    {
        if (stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false) < bytes.Length)
        {
            throw new CheckpointException("is an idx file that ends early: truncated; fetch it again", path);
        }
    }
}
