namespace AdmNative.Cuda;

/// <summary>A parameter of an entry: a struct by value.</summary>
/// <param name="Name">Name in the PTX.</param>
/// <param name="Type">The struct's name in the source.</param>
/// <param name="Offset">Byte in the parameter block.</param>
/// <param name="Bytes">Size.</param>
/// <param name="Align">Alignment in bytes.</param>
/// <param name="Fields">Its members.</param>
public sealed record KernelParameter(string Name, string Type, int Offset, int Bytes, int Align, IReadOnlyList<KernelField> Fields);
