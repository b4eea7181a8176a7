using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>Mirror of GnBackwardParams in kernels/common/gn_backward.cuh, which says what each field is.</summary>
[StructLayout(LayoutKind.Explicit, Size = 256)]
internal readonly record struct GnBackwardParams
{
    [field: FieldOffset(0)] public ulong X { get; init; }

    [field: FieldOffset(8)] public ulong Dy { get; init; }

    [field: FieldOffset(16)] public ulong DxIn { get; init; }

    [field: FieldOffset(24)] public ulong Gamma { get; init; }

    [field: FieldOffset(32)] public ulong Beta { get; init; }

    [field: FieldOffset(40)] public ulong Scale { get; init; }

    [field: FieldOffset(48)] public ulong Shift { get; init; }

    [field: FieldOffset(56)] public ulong Mean { get; init; }

    [field: FieldOffset(64)] public ulong Rstd { get; init; }

    [field: FieldOffset(72)] public ulong Ab { get; init; }

    [field: FieldOffset(80)] public ulong Partial { get; init; }

    [field: FieldOffset(88)] public ulong Sums { get; init; }

    [field: FieldOffset(96)] public ulong K1 { get; init; }

    [field: FieldOffset(104)] public ulong K23 { get; init; }

    [field: FieldOffset(112)] public ulong Dx { get; init; }

    [field: FieldOffset(120)] public ulong Dscale { get; init; }

    [field: FieldOffset(128)] public ulong Dshift { get; init; }

    [field: FieldOffset(136)] public ulong Dgamma { get; init; }

    [field: FieldOffset(144)] public ulong Dbeta { get; init; }

    [field: FieldOffset(152)] public long Ldx { get; init; }

    [field: FieldOffset(160)] public long Lddy { get; init; }

    [field: FieldOffset(168)] public long LddxIn { get; init; }

    [field: FieldOffset(176)] public long Lddx { get; init; }

    [field: FieldOffset(184)] public long Ldm { get; init; }

    [field: FieldOffset(192)] public long Lddm { get; init; }

    [field: FieldOffset(200)] public int N { get; init; }

    [field: FieldOffset(204)] public int P { get; init; }

    [field: FieldOffset(208)] public int C { get; init; }

    [field: FieldOffset(212)] public int G { get; init; }

    [field: FieldOffset(216)] public int W { get; init; }

    [field: FieldOffset(220)] public int Slabs { get; init; }

    [field: FieldOffset(224)] public int Cs { get; init; }

    [field: FieldOffset(228)] public int Slices { get; init; }

    [field: FieldOffset(232)] public int Rows { get; init; }

    [field: FieldOffset(236)] public int Act { get; init; }

    [field: FieldOffset(240)] public int Resample { get; init; }

    [field: FieldOffset(244)] public int Every { get; init; }

    [field: FieldOffset(248)] public ulong Tickets { get; init; }
}
