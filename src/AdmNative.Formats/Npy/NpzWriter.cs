using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>
/// Writes a numpy archive (.npz), uncompressed, zip64 where sizes ask for it, data at multiples of 64 bytes, equal bytes
/// for equal content. The file gets its name at <see cref="Commit"/>; disposed without, nothing is left behind.
/// </summary>
public sealed class NpzWriter : IDisposable
{
    private readonly AtomicFile _file;
    private readonly ZipWriter _zip;
    private int _elementBytes;

    private NpzWriter(AtomicFile file)
    {
        _file = file;
        _zip = new ZipWriter(file.Stream);
    }

    /// <summary>Starts an archive; the folder must exist.</summary>
    public static NpzWriter Create(string path) => new(AtomicFile.Create(path));

    /// <summary>Writes one array.</summary>
    /// <exception cref="ArgumentException">The name was used before.</exception>
    public void Add(string name, Tensor tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        Begin(name, tensor.DType, tensor.Shape);
        Append(tensor.Bytes);
    }

    /// <summary>Starts an array of a known shape whose elements follow in order by <c>Append</c>; ends the one before.</summary>
    /// <exception cref="ArgumentException">The name was used before.</exception>
    /// <exception cref="InvalidOperationException">The array before is not complete.</exception>
    public void Begin(string name, DType dtype, Shape shape)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(shape);
        byte[] header = NpyHeader.Build(dtype, shape);
        _zip.Begin(name + ".npy", checked(header.Length + (shape.Elements * dtype.SizeBytes())));
        _zip.Write(header);
        _elementBytes = dtype.SizeBytes();
    }

    /// <summary>The next raw little-endian bytes of the array begun last.</summary>
    /// <exception cref="InvalidOperationException">More bytes than the shape holds.</exception>
    public void Append(ReadOnlySpan<byte> bytes) => _zip.Write(bytes);

    /// <summary>The next elements of the array begun last.</summary>
    /// <exception cref="ShapeException">T is not as wide as the array's elements.</exception>
    /// <exception cref="InvalidOperationException">More elements than the shape holds.</exception>
    public void Append<T>(ReadOnlySpan<T> elements) where T : unmanaged
    {
        if (Unsafe.SizeOf<T>() != _elementBytes)
        {
            throw new ShapeException($"{typeof(T).Name} appended to an array of {_elementBytes}-byte elements");
        }

        _zip.Write(MemoryMarshal.AsBytes(elements));
    }

    /// <summary>Completes the archive and gives it its name.</summary>
    /// <exception cref="InvalidOperationException">The array begun last is not complete.</exception>
    public void Commit()
    {
        _zip.Finish();
        _file.Commit();
    }

    /// <summary>Abandons the archive unless it was committed.</summary>
    public void Dispose() => _file.Dispose();
}
