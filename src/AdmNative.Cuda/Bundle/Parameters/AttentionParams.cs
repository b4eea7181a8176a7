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
