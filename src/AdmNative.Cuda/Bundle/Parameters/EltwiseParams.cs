using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>Mirror of AddParams in kernels/eltwise.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
internal readonly record struct AddParams
{
    [field: FieldOffset(0)] public ulong A { get; init; }

    [field: FieldOffset(8)] public ulong B { get; init; }

    [field: FieldOffset(16)] public ulong Y { get; init; }

    /// <summary>Elements.</summary>
    [field: FieldOffset(24)] public long N { get; init; }
}
