using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>Mirror of GnForwardParams in kernels/common/gn_forward.cuh, which says what each field is.</summary>
[StructLayout(LayoutKind.Explicit, Size = 168)]
internal readonly record struct GnForwardParams
{
    [field: FieldOffset(0)] public ulong X { get; init; }

    [field: FieldOffset(8)] public ulong Gamma { get; init; }

    [field: FieldOffset(16)] public ulong Beta { get; init; }

    [field: FieldOffset(24)] public ulong Scale { get; init; }

    [field: FieldOffset(32)] public ulong Shift { get; init; }

    [field: FieldOffset(40)] public ulong Partial { get; init; }

    [field: FieldOffset(48)] public ulong Mean { get; init; }

    [field: FieldOffset(56)] public ulong Rstd { get; init; }

    [field: FieldOffset(64)] public ulong Ab { get; init; }

    [field: FieldOffset(72)] public ulong Y { get; init; }

    [field: FieldOffset(80)] public long Ldx { get; init; }

    [field: FieldOffset(88)] public long Ldy { get; init; }

    [field: FieldOffset(96)] public long Ldm { get; init; }

    [field: FieldOffset(104)] public int N { get; init; }

    [field: FieldOffset(108)] public int P { get; init; }

    [field: FieldOffset(112)] public int C { get; init; }

    [field: FieldOffset(116)] public int G { get; init; }

    [field: FieldOffset(120)] public int W { get; init; }

    [field: FieldOffset(124)] public int Slabs { get; init; }

    [field: FieldOffset(128)] public int Cs { get; init; }

    [field: FieldOffset(132)] public int Slices { get; init; }

    [field: FieldOffset(136)] public int Rows { get; init; }

    [field: FieldOffset(140)] public int Act { get; init; }

    [field: FieldOffset(144)] public int Resample { get; init; }

    [field: FieldOffset(148)] public int Every { get; init; }

    [field: FieldOffset(152)] public float Eps { get; init; }

    [field: FieldOffset(156)] public int Cf { get; init; }

    [field: FieldOffset(160)] public ulong Tickets { get; init; }
}
