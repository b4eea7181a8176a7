using System.Runtime.InteropServices;

namespace AdmNative.Core;

/// <summary>A dense row-major host tensor that owns its bytes (little-endian). At most 2 GiB.</summary>
public sealed class Tensor
{
    private readonly byte[] _bytes;

    /// <summary>A zero-filled tensor.</summary>
    /// <exception cref="ShapeException">More than 2 GiB.</exception>
    public Tensor(DType dtype, Shape shape)
        : this(dtype, shape, new byte[ByteCount(dtype, shape)])
    {
    }

    /// <summary>Wraps bytes without copying.</summary>
    /// <exception cref="ShapeException">The byte count is not shape times element size.</exception>
    public Tensor(DType dtype, Shape shape, byte[] bytes)
    {
        ArgumentNullException.ThrowIfNull(bytes);
        if (bytes.LongLength != ByteCount(dtype, shape))
        {
            throw new ShapeException($"{dtype} {shape} takes {ByteCount(dtype, shape)} bytes, got {bytes.LongLength}");
        }

        DType = dtype;
        Shape = shape;
        _bytes = bytes;
    }

    /// <summary>Element type.</summary>
    public DType DType { get; }

    /// <summary>Dimensions.</summary>
    public Shape Shape { get; }

    /// <summary>The raw storage.</summary>
    public Span<byte> Bytes => _bytes;

    /// <summary>Copies values into a new tensor of the matching element type.</summary>
    public static Tensor From<T>(Shape shape, ReadOnlySpan<T> values) where T : unmanaged =>
        new(DTypeOf<T>(), shape, MemoryMarshal.AsBytes(values).ToArray());

    /// <summary>Copies values into a new tensor of the matching element type.</summary>
    public static Tensor From<T>(Shape shape, T[] values) where T : unmanaged => From(shape, (ReadOnlySpan<T>)values);

    /// <summary>The storage as elements; T must be the element type's own CLR type (ushort is accepted for f16 and bf16).</summary>
    /// <exception cref="ShapeException">T is not the tensor's element type.</exception>
    public Span<T> AsSpan<T>() where T : unmanaged
    {
        bool ok = typeof(T) == typeof(ushort) ? DType is DType.F16 or DType.BF16 : DTypeOf<T>() == DType
            || (typeof(T) == typeof(byte) && DType is DType.Bool);
        return ok ? MemoryMarshal.Cast<byte, T>(_bytes.AsSpan()) : throw new ShapeException($"a {DType} tensor read as {typeof(T).Name}");
    }

    /// <summary>The same bytes under another shape with as many elements.</summary>
    public Tensor Reshape(Shape shape) => new(DType, shape, _bytes);

    /// <summary>All values as float, converted if need be (f64 and i64 round to nearest).</summary>
    public float[] ToFloats()
    {
        var result = new float[Shape.Elements];
        ConvertToFloats(DType, _bytes, result);
        return result;
    }

    /// <summary>Converts little-endian elements to float.</summary>
    public static void ConvertToFloats(DType dtype, ReadOnlySpan<byte> bytes, Span<float> destination)
    {
        int n = destination.Length;
        if (bytes.Length != n * (long)dtype.SizeBytes())
        {
            throw new ShapeException($"{n} {dtype} elements need {n * (long)dtype.SizeBytes()} bytes, got {bytes.Length}");
        }

        switch (dtype)
        {
            case DType.F32: bytes.CopyTo(MemoryMarshal.AsBytes(destination)); break;
            case DType.F64: Each<double>(bytes, destination, static v => (float)v); break;
            case DType.F16: Each<Half>(bytes, destination, static v => (float)v); break;
            case DType.BF16: Each<ushort>(bytes, destination, static v => BitConverter.UInt32BitsToSingle((uint)v << 16)); break;
            case DType.I64: Each<long>(bytes, destination, static v => v); break;
            case DType.I32: Each<int>(bytes, destination, static v => v); break;
            case DType.I16: Each<short>(bytes, destination, static v => v); break;
            case DType.I8: Each<sbyte>(bytes, destination, static v => v); break;
            case DType.U8: Each<byte>(bytes, destination, static v => v); break;
            case DType.Bool: Each<byte>(bytes, destination, static v => v != 0 ? 1 : 0); break;
            default: throw new ArgumentOutOfRangeException(nameof(dtype));
        }
    }

    /// <summary>The element type of a CLR type.</summary>
    public static DType DTypeOf<T>() where T : unmanaged =>
        typeof(T) == typeof(float) ? DType.F32
        : typeof(T) == typeof(double) ? DType.F64
        : typeof(T) == typeof(Half) ? DType.F16
        : typeof(T) == typeof(long) ? DType.I64
        : typeof(T) == typeof(int) ? DType.I32
        : typeof(T) == typeof(short) ? DType.I16
        : typeof(T) == typeof(sbyte) ? DType.I8
        : typeof(T) == typeof(byte) ? DType.U8
        : typeof(T) == typeof(bool) ? DType.Bool
        : throw new ShapeException($"no element type for {typeof(T).Name}");

    private static void Each<T>(ReadOnlySpan<byte> bytes, Span<float> destination, Func<T, float> convert) where T : unmanaged
    {
        ReadOnlySpan<T> source = MemoryMarshal.Cast<byte, T>(bytes);
        for (int i = 0; i < destination.Length; i++)
        {
            destination[i] = convert(source[i]);
        }
    }

    private static long ByteCount(DType dtype, Shape shape)
    {
        ArgumentNullException.ThrowIfNull(shape);
        long limit = Array.MaxLength / dtype.SizeBytes();
        return shape.Elements <= limit
            ? shape.Elements * dtype.SizeBytes()
            : throw new ShapeException($"{dtype} {shape} is over 2 GiB; read it in parts");
    }
}
