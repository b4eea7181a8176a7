using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>Mirror of TransposeParams in kernels/transpose.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
internal readonly record struct TransposeParams
{
    [field: FieldOffset(0)] public ulong X { get; init; }

    [field: FieldOffset(8)] public ulong Y { get; init; }

    /// <summary>Elements from row to row of x.</summary>
    [field: FieldOffset(16)] public long Ldx { get; init; }

    /// <summary>Elements from row to row of y.</summary>
    [field: FieldOffset(24)] public long Ldy { get; init; }

    [field: FieldOffset(32)] public int Rows { get; init; }

    [field: FieldOffset(36)] public int Cols { get; init; }
}
