using System.Runtime.InteropServices;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>Elements at strides, gathered into row-major order.</summary>
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
            stride *= Math.Max(shape.Dim(i), 1);
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
            stride *= Math.Max(shape.Dim(i), 1);
        }

        return strides;
    }

    /// <summary>
    /// destination[i0,i1,...] = source[sum(i_k * strides_k)], row-major destination. Indices outside the source throw
    /// (the callers check them beforehand with names the user knows).
    /// </summary>
    public static void Gather(ReadOnlySpan<byte> source, Shape shape, ReadOnlySpan<long> strides, int elementBytes, Span<byte> destination)
    {
        switch (elementBytes)
        {
            case 1: Gather(source, shape, strides, destination); break;
            case 2: Gather(MemoryMarshal.Cast<byte, ushort>(source), shape, strides, MemoryMarshal.Cast<byte, ushort>(destination)); break;
            case 4: Gather(MemoryMarshal.Cast<byte, uint>(source), shape, strides, MemoryMarshal.Cast<byte, uint>(destination)); break;
            case 8: Gather(MemoryMarshal.Cast<byte, ulong>(source), shape, strides, MemoryMarshal.Cast<byte, ulong>(destination)); break;
            default: throw new ArgumentOutOfRangeException(nameof(elementBytes), elementBytes, "elements are 1, 2, 4 or 8 bytes");
        }
    }

    private static void Gather<T>(ReadOnlySpan<T> source, Shape shape, ReadOnlySpan<long> strides, Span<T> destination) where T : unmanaged
    {
        if (shape.Elements == 0)
        {
            return;
        }

        int rank = shape.Rank;
        long inner = rank == 0 ? 1 : shape.Dim(rank - 1);
        long innerStride = rank == 0 ? 0 : strides[rank - 1];
        var index = new long[rank];
        long row = 0;
        for (int at = 0; ;)
        {
            for (long i = 0, from = row; i < inner; i++, from += innerStride)
            {
                destination[at++] = source[checked((int)from)];
            }

            int d = rank - 2;
            for (; d >= 0; d--)
            {
                row += strides[d];
                if (++index[d] < shape.Dim(d))
                {
                    break;
                }

                row -= strides[d] * index[d];
                index[d] = 0;
            }

            if (d < 0)
            {
                return;
            }
        }
    }
}
