namespace AdmNative.Cuda;

/// <summary>A member of a parameter struct.</summary>
/// <param name="Name">Name in the source.</param>
/// <param name="Type">Type in the source; u64 and i64 have 64 bits, u32 has 32.</param>
/// <param name="Offset">Byte in the struct.</param>
/// <param name="Bytes">Size.</param>
/// <param name="What">Shape, layout or unit.</param>
public sealed record KernelField(string Name, string Type, int Offset, int Bytes, string What);
