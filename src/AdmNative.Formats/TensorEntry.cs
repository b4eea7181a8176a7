using System.Runtime.InteropServices;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>
/// A tensor about to be written to a file: its name, type, and a function that writes its elements (row-major,
/// little-endian) to a stream when their turn comes, so that no more than one needs to be in memory.
/// </summary>
public sealed record TensorEntry(string Name, TensorType Type, Action<Stream> Write)
{
    /// <summary>A tensor in memory.</summary>
    public static TensorEntry From(string name, Tensor tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        return new TensorEntry(name, new TensorType(tensor.DType, tensor.Shape), stream => stream.Write(tensor.Bytes));
    }

    /// <summary>A tensor of another source, as f32.</summary>
    /// <exception cref="CheckpointException">The source has no tensor of this name.</exception>
    public static TensorEntry From(string name, ITensorSource source)
    {
        ArgumentNullException.ThrowIfNull(source);
        if (!source.Tensors.TryGetValue(name, out TensorType? type))
        {
            throw new CheckpointException($"{source.Description} has no tensor '{name}'");
        }

        return new TensorEntry(name, TensorType.F32(type.Shape), stream =>
        {
            var values = new float[type.Shape.Elements];
            source.ReadFloats(name, values);
            stream.Write(MemoryMarshal.AsBytes(values.AsSpan()));
        });
    }

    /// <summary>Bytes the elements take.</summary>
    internal long Bytes => checked(Type.Shape.Elements * Type.DType.SizeBytes());

    /// <summary>Writes the elements and checks that they were as many as announced.</summary>
    internal void WriteTo(Action<ReadOnlySpan<byte>> sink)
    {
        using var exact = new ExactStream(sink, Bytes, Name);
        Write(exact);
        exact.CheckComplete();
    }

    private sealed class ExactStream(Action<ReadOnlySpan<byte>> sink, long bytes, string name) : Stream
    {
        private long _written;

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => _written; set => throw new NotSupportedException(); }

        public void CheckComplete()
        {
            if (_written != bytes)
            {
                throw new InvalidOperationException($"tensor '{name}' takes {bytes} bytes, only {_written} were written");
            }
        }

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            if (buffer.Length > bytes - _written)
            {
                throw new InvalidOperationException($"tensor '{name}' takes {bytes} bytes, at least {_written + buffer.Length} were written");
            }

            sink(buffer);
            _written += buffer.Length;
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
