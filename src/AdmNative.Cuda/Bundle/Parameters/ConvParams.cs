using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>ConvParams of kernels/common/conv.cuh.</summary>
[StructLayout(LayoutKind.Explicit, Size = 168)]
internal struct ConvParams
{
    [FieldOffset(0)] public ulong X;
    [FieldOffset(8)] public ulong Weights;
    [FieldOffset(16)] public ulong Bias;
    [FieldOffset(24)] public ulong Residual;
    [FieldOffset(32)] public ulong Y;
    [FieldOffset(40)] public ulong Partial;
    [FieldOffset(48)] public ulong Tickets;
    [FieldOffset(56)] public ulong Stats;
    [FieldOffset(64)] public long Ldx;
    [FieldOffset(72)] public long Ldr;
    [FieldOffset(80)] public long Ldy;
    [FieldOffset(88)] public int N;
    [FieldOffset(92)] public int H;
    [FieldOffset(96)] public int W;
    [FieldOffset(100)] public int C;
    [FieldOffset(104)] public int K;
    [FieldOffset(108)] public int Ho;
    [FieldOffset(112)] public int Wo;
    [FieldOffset(116)] public int Side;
    [FieldOffset(120)] public int Stride;
    [FieldOffset(124)] public int Spread;
    [FieldOffset(128)] public int RowsH;
    [FieldOffset(132)] public int RowsW;
    [FieldOffset(136)] public uint MagicP;
    [FieldOffset(140)] public uint ShiftP;
    [FieldOffset(144)] public uint MagicW;
    [FieldOffset(148)] public uint ShiftW;
    [FieldOffset(152)] public uint Taps0;
    [FieldOffset(156)] public uint Taps1;
    [FieldOffset(160)] public int Slices;
    [FieldOffset(164)] public int Reserved;
}

/// <summary>ConvGradParams of kernels/common/conv_wgrad.cuh.</summary>
[StructLayout(LayoutKind.Explicit, Size = 112)]
internal struct ConvGradParams
{
    [FieldOffset(0)] public ulong X;
    [FieldOffset(8)] public ulong Dy;
    [FieldOffset(16)] public ulong Out;
    [FieldOffset(24)] public long Ldx;
    [FieldOffset(32)] public long Ldy;
    [FieldOffset(40)] public int H;
    [FieldOffset(44)] public int W;
    [FieldOffset(48)] public int C;
    [FieldOffset(52)] public int K;
    [FieldOffset(56)] public int Side;
    [FieldOffset(60)] public int Stride;
    [FieldOffset(64)] public int Up;
    [FieldOffset(68)] public int M;
    [FieldOffset(72)] public int Ho;
    [FieldOffset(76)] public int Wo;
    [FieldOffset(80)] public uint MagicP;
    [FieldOffset(84)] public uint ShiftP;
    [FieldOffset(88)] public uint MagicW;
    [FieldOffset(92)] public uint ShiftW;
    [FieldOffset(96)] public int Slices;
    [FieldOffset(100)] public int Rows;
    [FieldOffset(104)] public int Accumulate;
    [FieldOffset(108)] public int Reserved;
}

/// <summary>ConvReduceParams of kernels/conv_reduce.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 64)]
internal struct ConvReduceParams
{
    [FieldOffset(0)] public ulong Partial;
    [FieldOffset(8)] public ulong Bias;
    [FieldOffset(16)] public ulong Residual;
    [FieldOffset(24)] public ulong Y;
    [FieldOffset(32)] public long Ldr;
    [FieldOffset(40)] public long Ldy;
    [FieldOffset(48)] public int M;
    [FieldOffset(52)] public int K;
    [FieldOffset(56)] public int Slices;
    [FieldOffset(60)] public int Reserved;
}

/// <summary>ConvSumParams of kernels/conv_reduce.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
internal struct ConvSumParams
{
    [FieldOffset(0)] public ulong Partial;
    [FieldOffset(8)] public ulong Out;
    [FieldOffset(16)] public long Stride;
    [FieldOffset(24)] public int Count;
    [FieldOffset(28)] public int Slices;
    [FieldOffset(32)] public int Accumulate;
    [FieldOffset(36)] public int Reserved;
}

/// <summary>ConvColumnsParams of kernels/conv_reduce.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
internal struct ConvColumnsParams
{
    [FieldOffset(0)] public ulong Y;
    [FieldOffset(8)] public ulong Partial;
    [FieldOffset(16)] public long Ldy;
    [FieldOffset(24)] public int M;
    [FieldOffset(28)] public int K;
    [FieldOffset(32)] public int Rows;
    [FieldOffset(36)] public int Slabs;
}

/// <summary>ConvFlipParams of kernels/conv_reduce.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
internal struct ConvFlipParams
{
    [FieldOffset(0)] public ulong W;
    [FieldOffset(8)] public ulong To;
    [FieldOffset(16)] public int K;
    [FieldOffset(20)] public int C;
    [FieldOffset(24)] public int Cw;
    [FieldOffset(28)] public int Kw;
    [FieldOffset(32)] public int Taps;
    [FieldOffset(36)] public int Reserved;
}

/// <summary>ConvPlainParams of kernels/common/conv_plain.cuh.</summary>
[StructLayout(LayoutKind.Explicit, Size = 56)]
internal struct ConvPlainParams
{
    [FieldOffset(0)] public ulong X;
    [FieldOffset(8)] public ulong Weights;
    [FieldOffset(16)] public ulong Bias;
    [FieldOffset(24)] public ulong Y;
    [FieldOffset(32)] public int N;
    [FieldOffset(36)] public int H;
    [FieldOffset(40)] public int W;
    [FieldOffset(44)] public int C;
    [FieldOffset(48)] public int K;
    [FieldOffset(52)] public int Reserved;
}
