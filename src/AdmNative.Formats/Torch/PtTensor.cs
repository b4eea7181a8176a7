using System.Runtime.InteropServices;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>
/// A tensor of a torch file: a view (offset and strides, in elements) of a storage whose bytes are read when asked for.
/// Reading from several threads is fine while the file is open.
/// </summary>
public sealed class PtTensor
{
    private const long WindowBytes = 64L << 20;     // what a strided read holds at once

    private readonly PtStorage _storage;
    private readonly long _offset;
    private readonly long[] _strides;

    internal PtTensor(PtStorage storage, long offset, Shape shape, long[] strides)
    {
        _storage = storage;
        _offset = offset;
        _strides = strides;
        Type = new TensorType(storage.DType, shape);
    }

    /// <summary>Element type and dimensions.</summary>
    public TensorType Type { get; }

    /// <summary>Distance between neighbours along each dimension, in elements, as stored.</summary>
    public IReadOnlyList<long> Strides => _strides;

    private Shape Shape => Type.Shape;

    private bool IsRowMajor => Strided.IsRowMajor(Shape, _strides);

    /// <summary>Reads the elements row-major, as f32.</summary>
    /// <exception cref="CheckpointException">The data is damaged.</exception>
    /// <exception cref="ShapeException">The destination is not as long as the tensor.</exception>
    public void ReadFloats(Span<float> destination)
    {
        TensorBytes.CheckLength(_storage.Name, Type, destination.Length);
        if (IsRowMajor)
        {
            // A tensor that is its whole storage, the usual case, is checked against the archive's checksum on the way.
            bool whole = _storage.Crc is not null && _offset == 0 && Shape.Elements == _storage.Elements;
            uint crc = TensorBytes.ReadFloats(_storage.File, _storage.ByteOffset(_offset), Type.DType, destination, _storage.Name, whole);
            if (whole)
            {
                _storage.Check(crc);
            }
        }
        else if (Type.DType == DType.F32)
        {
            CheckFits();
            ReadStrided(MemoryMarshal.AsBytes(destination));
        }
        else
        {
            Read().ToFloats().CopyTo(destination);
        }
    }

    /// <summary>Reads the elements row-major in their own type.</summary>
    /// <exception cref="CheckpointException">The data is damaged, or over 2 GiB.</exception>
    public Tensor Read()
    {
        CheckFits();
        var tensor = new Tensor(Type.DType, Shape);
        if (IsRowMajor)
        {
            _storage.File.Read(_storage.ByteOffset(_offset), tensor.Bytes, _storage.Name);
            if (_storage.Crc is not null && _offset == 0 && Shape.Elements == _storage.Elements)
            {
                _storage.Check(Crc32.Append(0, tensor.Bytes));
            }
        }
        else
        {
            ReadStrided(tensor.Bytes);
        }

        return tensor;
    }

    /// <summary>This tensor as an entry for a writer, in its own type.</summary>
    public TensorEntry ToEntry(string name) => new(name, Type, stream =>
    {
        if (IsRowMajor)
        {
            long bytes = Shape.Elements * Type.DType.SizeBytes();
            TensorBytes.CopyTo(_storage.File, _storage.ByteOffset(_offset), bytes, stream, _storage.Name);
        }
        else
        {
            stream.Write(Read().Bytes);
        }
    });

    private void CheckFits()
    {
        if (Shape.Elements > Array.MaxLength / Type.DType.SizeBytes())
        {
            throw new CheckpointException($"{_storage.Name}: {Type} is over 2 GiB, which is read only as floats and row-major", _storage.File.Path);
        }
    }

    private void ReadStrided(Span<byte> destination)
    {
        if (Shape.Elements > 0)
        {
            ReadStrided(Shape.ToArray(), _offset, destination, Strided.RowMajor(Shape), 0);
        }
    }

    /// <summary>Gathers a block; one that spans more of the file than the window is halved along its longest extent.</summary>
    private void ReadStrided(long[] dims, long offset, Span<byte> destination, long[] to, long toOffset)
    {
        int elementBytes = Type.DType.SizeBytes();
        long span = 1;
        int longest = 0;
        for (int d = 0; d < dims.Length; d++)
        {
            span += (dims[d] - 1) * _strides[d];
            longest = (dims[d] - 1) * _strides[d] > (dims[longest] - 1) * _strides[longest] ? d : longest;
        }

        if (span * elementBytes > WindowBytes)
        {
            long[] half = [.. dims];
            half[longest] = dims[longest] / 2;
            ReadStrided(half, offset, destination, to, toOffset);
            long skip = half[longest];
            half[longest] = dims[longest] - skip;
            ReadStrided(half, offset + (skip * _strides[longest]), destination, to, toOffset + (skip * to[longest]));
            return;
        }

        var window = new byte[span * elementBytes];
        _storage.File.Read(_storage.ByteOffset(offset), window, _storage.Name);
        Strided.Copy(window, _strides, destination[(int)(toOffset * elementBytes)..], to, Shape.Create(dims), elementBytes);
    }
}
