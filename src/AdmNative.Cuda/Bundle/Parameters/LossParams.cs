using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>LossHybridParams of kernels/loss.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 136)]
internal struct LossHybridParams
{
    [FieldOffset(0)] public ulong Out;
    [FieldOffset(8)] public ulong Target;
    [FieldOffset(16)] public ulong X0;
    [FieldOffset(24)] public ulong Xt;
    [FieldOffset(32)] public ulong Coef;
    [FieldOffset(40)] public ulong Weight;
    [FieldOffset(48)] public ulong Scale;
    [FieldOffset(56)] public ulong Partial;
    [FieldOffset(64)] public ulong DOut;
    [FieldOffset(72)] public long LdOut;
    [FieldOffset(80)] public long LdD;
    [FieldOffset(88)] public int Pixels;
    [FieldOffset(92)] public int Channels;
    [FieldOffset(96)] public int Chunks;
    [FieldOffset(100)] public int Mean;
    [FieldOffset(104)] public int Variance;
    [FieldOffset(108)] public int Clip;
    [FieldOffset(112)] public int Error;
    [FieldOffset(116)] public int Bound;
    [FieldOffset(120)] public int Through;
    [FieldOffset(124)] public float PerElement;
    [FieldOffset(128)] public float PerBound;
    [FieldOffset(132)] public int Reserved;
}

/// <summary>LossFinishParams of kernels/loss.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 48)]
internal struct LossFinishParams
{
    [FieldOffset(0)] public ulong Partial;
    [FieldOffset(8)] public ulong Loss;
    [FieldOffset(16)] public ulong Mse;
    [FieldOffset(24)] public ulong Vb;
    [FieldOffset(32)] public int Chunks;
    [FieldOffset(36)] public float PerElement;
    [FieldOffset(40)] public float PerBound;
    [FieldOffset(44)] public int Reserved;
}

/// <summary>LossSelectParams of kernels/loss_select.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 72)]
internal struct LossSelectParams
{
    [FieldOffset(0)] public ulong Logits;
    [FieldOffset(8)] public ulong Labels;
    [FieldOffset(16)] public ulong Weight;
    [FieldOffset(24)] public ulong Scale;
    [FieldOffset(32)] public ulong Value;
    [FieldOffset(40)] public ulong Dlogits;
    [FieldOffset(48)] public long Ld;
    [FieldOffset(56)] public long LdD;
    [FieldOffset(64)] public int K;
    [FieldOffset(68)] public float Sign;
}
