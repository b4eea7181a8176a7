namespace AdmNative.VirtualGpu.Ir;

/// <summary>Where the windows of the generic address space lie. Global memory is everything below.</summary>
internal static class AddressWindows
{
    /// <summary>First global address that can be allocated; lower ones are null pointers with an offset.</summary>
    public const long GlobalBase = 0x1_0000;

    /// <summary>Generic address of parameter offset 0.</summary>
    public const long Param = 0x7D00_0000_0000;

    /// <summary>Generic address of local offset 0 of the executing thread.</summary>
    public const long Local = 0x7E00_0000_0000;

    /// <summary>Generic address of shared offset 0 of the executing CTA.</summary>
    public const long Shared = 0x7F00_0000_0000;

    /// <summary>
    /// Offset in the parameter space from which call parameters lie: those of inlined functions live in the thread's local memory, at this
    /// distance, so that one parameter address tells which of the two it means.
    /// </summary>
    public const long CallParam = 0x4000_0000;

    /// <summary>Size of each window.</summary>
    public const long WindowBytes = 1L << 32;
}
