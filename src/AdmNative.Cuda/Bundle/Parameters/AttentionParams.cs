using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>AttnFwdParams of kernels/common/attention.cuh.</summary>
[StructLayout(LayoutKind.Explicit, Size = 136)]
internal struct AttnFwdParams
{
    [FieldOffset(0)] public ulong Q;
    [FieldOffset(8)] public ulong K;
    [FieldOffset(16)] public ulong V;
    [FieldOffset(24)] public ulong O;
    [FieldOffset(32)] public ulong Lse;
    [FieldOffset(40)] public AttentionStrides QStrides;
    [FieldOffset(64)] public AttentionStrides KvStrides;
    [FieldOffset(88)] public AttentionStrides OStrides;
    [FieldOffset(112)] public int Queries;
    [FieldOffset(116)] public int Keys;
    [FieldOffset(120)] public int Heads;
    [FieldOffset(124)] public int D;
    [FieldOffset(128)] public float ScaleLog2;
    [FieldOffset(132)] public int Reserved;
}

/// <summary>AttnDeltaParams of kernels/attn_delta.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 96)]
internal struct AttnDeltaParams
{
    [FieldOffset(0)] public ulong O;
    [FieldOffset(8)] public ulong DO;
    [FieldOffset(16)] public ulong Lse;
    [FieldOffset(24)] public ulong Stats;
    [FieldOffset(32)] public AttentionStrides OStrides;
    [FieldOffset(56)] public AttentionStrides DoStrides;
    [FieldOffset(80)] public int Queries;
    [FieldOffset(84)] public int Heads;
    [FieldOffset(88)] public int D;
    [FieldOffset(92)] public int Reserved;
}

/// <summary>AttnBwdParams of kernels/common/attention.cuh.</summary>
[StructLayout(LayoutKind.Explicit, Size = 208)]
internal struct AttnBwdParams
{
    [FieldOffset(0)] public ulong Q;
    [FieldOffset(8)] public ulong K;
    [FieldOffset(16)] public ulong V;
    [FieldOffset(24)] public ulong DO;
    [FieldOffset(32)] public ulong Dq;
    [FieldOffset(40)] public ulong Dk;
    [FieldOffset(48)] public ulong Dv;
    [FieldOffset(56)] public ulong Stats;
    [FieldOffset(64)] public AttentionStrides QStrides;
    [FieldOffset(88)] public AttentionStrides KvStrides;
    [FieldOffset(112)] public AttentionStrides DoStrides;
    [FieldOffset(136)] public AttentionStrides DqStrides;
    [FieldOffset(160)] public AttentionStrides DkvStrides;
    [FieldOffset(184)] public int Queries;
    [FieldOffset(188)] public int Keys;
    [FieldOffset(192)] public int Heads;
    [FieldOffset(196)] public float ScaleLog2;
    [FieldOffset(200)] public float Scale;
    [FieldOffset(204)] public int D;
}

/// <summary>AttnProductParams of kernels/attn_plain.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 120)]
internal struct AttnProductParams
{
    [FieldOffset(0)] public ulong A;
    [FieldOffset(8)] public ulong B;
    [FieldOffset(16)] public ulong Out;
    [FieldOffset(24)] public AttentionStrides AStrides;
    [FieldOffset(48)] public AttentionStrides BStrides;
    [FieldOffset(72)] public AttentionStrides OutStrides;
    [FieldOffset(96)] public int Rows;
    [FieldOffset(100)] public int Columns;
    [FieldOffset(104)] public int Heads;
    [FieldOffset(108)] public int D;
    [FieldOffset(112)] public float Scale;
    [FieldOffset(116)] public int Transposed;
}

/// <summary>AttnRowsParams of kernels/attn_plain.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
internal struct AttnRowsParams
{
    [FieldOffset(0)] public ulong P;
    [FieldOffset(8)] public ulong Dp;
    [FieldOffset(16)] public ulong Lse;
    [FieldOffset(24)] public long Rows;
    [FieldOffset(32)] public int Columns;
    [FieldOffset(36)] public int Reserved;
}

/// <summary>PoolTokensParams of kernels/attn_pool.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 56)]
internal struct PoolTokensParams
{
    [FieldOffset(0)] public ulong X;
    [FieldOffset(8)] public ulong Position;
    [FieldOffset(16)] public ulong Y;
    [FieldOffset(24)] public long Ldx;
    [FieldOffset(32)] public long Ldy;
    [FieldOffset(40)] public int N;
    [FieldOffset(44)] public int L;
    [FieldOffset(48)] public int C;
    [FieldOffset(52)] public int Reserved;
}

/// <summary>PoolTokensBwdParams of kernels/attn_pool.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 48)]
internal struct PoolTokensBwdParams
{
    [FieldOffset(0)] public ulong Dy;
    [FieldOffset(8)] public ulong Dx;
    [FieldOffset(16)] public long Lddy;
    [FieldOffset(24)] public long Lddx;
    [FieldOffset(32)] public int N;
    [FieldOffset(36)] public int L;
    [FieldOffset(40)] public int C;
    [FieldOffset(44)] public int Reserved;
}

/// <summary>PoolPositionGradParams of kernels/attn_pool.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
internal struct PoolPositionGradParams
{
    [FieldOffset(0)] public ulong Dy;
    [FieldOffset(8)] public ulong DPosition;
    [FieldOffset(16)] public long Lddy;
    [FieldOffset(24)] public int N;
    [FieldOffset(28)] public int L;
    [FieldOffset(32)] public int C;
    [FieldOffset(36)] public int Accumulate;
}
