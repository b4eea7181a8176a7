using System.Buffers;
using System.Runtime.InteropServices;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>Row-major elements at a place in a file, converted while they are read.</summary>
internal static class TensorBytes
{
    private const int ChunkBytes = 256 << 10;     // stays in the second-level cache between read, checksum and conversion

    /// <summary>Reads elements as f32; returns the checksum of the bytes that passed if it was asked for.</summary>
    public static uint ReadFloats(FileBytes file, long at, DType dtype, Span<float> destination, string what, bool checksum = false)
    {
        uint crc = 0;
        int elementBytes = dtype.SizeBytes();
        int step = ChunkBytes / elementBytes;
        byte[]? raw = dtype == DType.F32 ? null : ArrayPool<byte>.Shared.Rent(ChunkBytes);
        try
        {
            while (destination.Length > 0)
            {
                Span<float> part = destination[..Math.Min(step, destination.Length)];
                Span<byte> bytes = raw is null ? MemoryMarshal.AsBytes(part) : raw.AsSpan(0, part.Length * elementBytes);
                file.Read(at, bytes, what);
                if (checksum)
                {
                    crc = Crc32.Append(crc, bytes);
                }

                if (raw is not null)
                {
                    Tensor.ConvertToFloats(dtype, bytes, part);
                }

                at += bytes.Length;
                destination = destination[part.Length..];
            }
        }
        finally
        {
            if (raw is not null)
            {
                ArrayPool<byte>.Shared.Return(raw);
            }
        }

        return crc;
    }

    /// <summary>Copies bytes from a file to a stream.</summary>
    public static void CopyTo(FileBytes file, long at, long count, Stream destination, string what)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(ChunkBytes);
        try
        {
            while (count > 0)
            {
                Span<byte> part = buffer.AsSpan(0, (int)Math.Min(count, ChunkBytes));
                file.Read(at, part, what);
                destination.Write(part);
                at += part.Length;
                count -= part.Length;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Checks a caller's buffer against a tensor.</summary>
    public static void CheckLength(string name, TensorType type, int length)
    {
        if (length != type.Shape.Elements)
        {
            throw new ShapeException($"tensor '{name}' is {type} with {type.Shape.Elements} elements, the destination has room for {length}");
        }
    }
}
