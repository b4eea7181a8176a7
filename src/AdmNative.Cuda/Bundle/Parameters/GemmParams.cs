using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>Mirror of GemmParams in kernels/gemm.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 64)]
internal readonly record struct GemmParams
{
    [field: FieldOffset(0)] public ulong A { get; init; }

    [field: FieldOffset(8)] public ulong B { get; init; }

    [field: FieldOffset(16)] public ulong C { get; init; }

    /// <summary>Elements from row to row of A.</summary>
    [field: FieldOffset(24)] public long Lda { get; init; }

    /// <summary>Elements from row to row of B.</summary>
    [field: FieldOffset(32)] public long Ldb { get; init; }

    /// <summary>Elements from row to row of C.</summary>
    [field: FieldOffset(40)] public long Ldc { get; init; }

    [field: FieldOffset(48)] public int M { get; init; }

    [field: FieldOffset(52)] public int N { get; init; }

    [field: FieldOffset(56)] public int K { get; init; }

    /// <summary>Zero.</summary>
    [field: FieldOffset(60)] public int Reserved { get; init; }
}
