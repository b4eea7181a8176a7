using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>Mirror of SumParams in kernels/reduce.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
internal readonly record struct SumParams
{
    [field: FieldOffset(0)] public ulong X { get; init; }

    [field: FieldOffset(8)] public ulong Partial { get; init; }

    /// <summary>Elements.</summary>
    [field: FieldOffset(16)] public long N { get; init; }
}

/// <summary>Mirror of FinishParams in kernels/reduce.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
internal readonly record struct FinishParams
{
    [field: FieldOffset(0)] public ulong Partial { get; init; }

    [field: FieldOffset(8)] public ulong Sum { get; init; }

    /// <summary>Slices.</summary>
    [field: FieldOffset(16)] public long Count { get; init; }
}
