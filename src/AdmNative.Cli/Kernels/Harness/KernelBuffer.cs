using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>
/// A device buffer of a case: rows of <see cref="Columns"/> elements, <see cref="Stride"/> apart. What lies between the rows is filled with
/// 0xFF, NaN in every type: a kernel that reads it shows, and one that writes it is caught.
/// </summary>
internal sealed class KernelBuffer
{
    internal KernelBuffer(string name, KernelDType dtype, long rows, long columns, long stride, byte[]? initial, long bytes)
    {
        (Name, DType, Rows, Columns, Stride, Initial, Bytes) = (name, dtype, rows, columns, stride, initial, bytes);
    }

    /// <summary>As in messages.</summary>
    public string Name { get; }

    /// <summary>Element type.</summary>
    public KernelDType DType { get; }

    /// <summary>Rows.</summary>
    public long Rows { get; }

    /// <summary>Elements of a row that count.</summary>
    public long Columns { get; }

    /// <summary>Elements from row to row.</summary>
    public long Stride { get; }

    /// <summary>Contents before the launches, or null: 0xFF, and not written as far as the checks are concerned.</summary>
    public byte[]? Initial { get; }

    /// <summary>Size.</summary>
    public long Bytes { get; }

    /// <summary>Where it lies; set for each run.</summary>
    public ulong Address { get; internal set; }
}
