using System.Runtime.InteropServices;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>Elements at strides, gathered into place.</summary>
internal static class Strided
{
    /// <summary>Row-major strides, in elements.</summary>
    public static long[] RowMajor(Shape shape)
    {
        var strides = new long[shape.Rank];
        long stride = 1;
        for (int i = shape.Rank - 1; i >= 0; i--)
        {
            strides[i] = stride;
            stride = unchecked(stride * Math.Max(shape.Dim(i), 1));     // wraps only where there are no elements
        }

        return strides;
    }

    /// <summary>Column-major ("fortran order") strides, in elements.</summary>
    public static long[] ColumnMajor(Shape shape)
    {
        var strides = new long[shape.Rank];
        long stride = 1;
        for (int i = 0; i < shape.Rank; i++)
        {
            strides[i] = stride;
            stride = unchecked(stride * Math.Max(shape.Dim(i), 1));     // wraps only where there are no elements
        }

        return strides;
    }

    /// <summary>True if walking the shape at these strides visits elements one after the other.</summary>
    public static bool IsRowMajor(Shape shape, ReadOnlySpan<long> strides)
    {
        long[] expected = RowMajor(shape);
        for (int i = 0; i < strides.Length; i++)
        {
            if (shape.Dim(i) > 1 && strides[i] != expected[i])
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>
    /// destination[sum(i_k * to_k)] = source[sum(i_k * from_k)] for every index of the shape. Indices outside either
    /// span throw; callers check them beforehand with names the user knows.
    /// </summary>
    public static void Copy(
        ReadOnlySpan<byte> source, ReadOnlySpan<long> from, Span<byte> destination, ReadOnlySpan<long> to, Shape shape, int elementBytes)
    {
        switch (elementBytes)
        {
            case 1: Copy(source, from, destination, to, shape); break;
            case 2: Copy(Cast<ushort>(source), from, MemoryMarshal.Cast<byte, ushort>(destination), to, shape); break;
            case 4: Copy(Cast<uint>(source), from, MemoryMarshal.Cast<byte, uint>(destination), to, shape); break;
            case 8: Copy(Cast<ulong>(source), from, MemoryMarshal.Cast<byte, ulong>(destination), to, shape); break;
            default: throw new ArgumentOutOfRangeException(nameof(elementBytes), elementBytes, "elements are 1, 2, 4 or 8 bytes");
        }
    }

    private static ReadOnlySpan<T> Cast<T>(ReadOnlySpan<byte> bytes) where T : unmanaged => MemoryMarshal.Cast<byte, T>(bytes);

    private static void Copy<T>(ReadOnlySpan<T> source, ReadOnlySpan<long> from, Span<T> destination, ReadOnlySpan<long> to, Shape shape)
        where T : unmanaged
    {
        if (shape.Elements == 0)
        {
            return;
        }

        int last = shape.Rank - 1;
        long inner = last < 0 ? 1 : shape.Dim(last);
        long fromStep = last < 0 ? 0 : from[last];
        long toStep = last < 0 ? 0 : to[last];
        var index = new long[shape.Rank];
        long fromRow = 0;
        long toRow = 0;
        while (true)
        {
            for (long i = 0; i < inner; i++)
            {
                destination[checked((int)(toRow + (i * toStep)))] = source[checked((int)(fromRow + (i * fromStep)))];
            }

            // Odometer over the outer dimensions.
            int d = last - 1;
            for (; d >= 0; d--)
            {
                fromRow += from[d];
                toRow += to[d];
                if (++index[d] < shape.Dim(d))
                {
                    break;
                }

                fromRow -= from[d] * index[d];
                toRow -= to[d] * index[d];
                index[d] = 0;
            }

            if (d < 0)
            {
                return;
            }
        }
    }
}
