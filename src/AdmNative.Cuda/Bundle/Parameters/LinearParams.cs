using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>LinearParams of kernels/common/linear.cuh.</summary>
[StructLayout(LayoutKind.Explicit, Size = 80)]
internal struct LinearParams
{
    [FieldOffset(0)] public ulong X;
    [FieldOffset(8)] public ulong W;
    [FieldOffset(16)] public ulong Bias;
    [FieldOffset(24)] public ulong Residual;
    [FieldOffset(32)] public ulong Y;
    [FieldOffset(40)] public long Ldx;
    [FieldOffset(48)] public long Ldr;
    [FieldOffset(56)] public long Ldy;
    [FieldOffset(64)] public int N;
    [FieldOffset(68)] public int M;
    [FieldOffset(72)] public int K;
    [FieldOffset(76)] public int Silu;
}

/// <summary>LinearInputParams of kernels/common/linear.cuh.</summary>
[StructLayout(LayoutKind.Explicit, Size = 80)]
internal struct LinearInputParams
{
    [FieldOffset(0)] public ulong Dy;
    [FieldOffset(8)] public ulong W;
    [FieldOffset(16)] public ulong Addend;
    [FieldOffset(24)] public ulong Dx;
    [FieldOffset(32)] public ulong Partial;
    [FieldOffset(40)] public long Lddy;
    [FieldOffset(48)] public long Lda;
    [FieldOffset(56)] public long Lddx;
    [FieldOffset(64)] public int N;
    [FieldOffset(68)] public int M;
    [FieldOffset(72)] public int K;
    [FieldOffset(76)] public int Rows;
}

/// <summary>LinearWeightParams of kernels/common/linear.cuh.</summary>
[StructLayout(LayoutKind.Explicit, Size = 56)]
internal struct LinearWeightParams
{
    [FieldOffset(0)] public ulong X;
    [FieldOffset(8)] public ulong Dy;
    [FieldOffset(16)] public ulong Dw;
    [FieldOffset(24)] public long Ldx;
    [FieldOffset(32)] public long Lddy;
    [FieldOffset(40)] public int N;
    [FieldOffset(44)] public int M;
    [FieldOffset(48)] public int K;
    [FieldOffset(52)] public int Accumulate;
}
