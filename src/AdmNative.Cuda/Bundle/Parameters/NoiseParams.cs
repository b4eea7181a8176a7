using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>Mirror of NormalParams in kernels/noise.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 48)]
internal readonly record struct NormalParams
{
    [field: FieldOffset(0)] public ulong Y { get; init; }

    /// <summary>Elements from row to row of y.</summary>
    [field: FieldOffset(8)] public long Ld { get; init; }

    [field: FieldOffset(16)] public ulong Seed { get; init; }

    /// <summary>Number in the run of row 0's sample.</summary>
    [field: FieldOffset(24)] public long FirstSample { get; init; }

    [field: FieldOffset(32)] public int Step { get; init; }

    /// <summary>Rows.</summary>
    [field: FieldOffset(36)] public int Samples { get; init; }

    /// <summary>Elements of a row.</summary>
    [field: FieldOffset(40)] public int Elements { get; init; }

    /// <summary>Zero.</summary>
    [field: FieldOffset(44)] public int Reserved { get; init; }
}
