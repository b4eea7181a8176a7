using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>ConvertLayoutParams of kernels/convert.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
internal struct ConvertLayoutParams
{
    [FieldOffset(0)] public ulong X;
    [FieldOffset(8)] public ulong Y;
    [FieldOffset(16)] public long Ld;
    [FieldOffset(24)] public int N;
    [FieldOffset(28)] public int P;
    [FieldOffset(32)] public int C;
    [FieldOffset(36)] public int Width;
}

/// <summary>ConvertBytesParams of kernels/convert.cu.</summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
internal struct ConvertBytesParams
{
    [FieldOffset(0)] public ulong X;
    [FieldOffset(8)] public ulong Y;
    [FieldOffset(16)] public int N;
    [FieldOffset(20)] public int P;
    [FieldOffset(24)] public int C;
    [FieldOffset(28)] public int Round;
}
