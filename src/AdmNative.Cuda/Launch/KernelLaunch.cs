using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>One launch with everything a driver needs.</summary>
/// <param name="Entry">Entry name; the catalogue knows the file it lies in.</param>
/// <param name="Shape">Grid, block, dynamic shared bytes.</param>
/// <param name="Parameters">The parameter block: the entry's one struct, byte for byte.</param>
public readonly record struct KernelLaunch(string Entry, LaunchShape Shape, ReadOnlyMemory<byte> Parameters)
{
    /// <summary>A planned launch with its parameter struct.</summary>
    public static KernelLaunch Of<T>(PlannedLaunch planned, in T parameters) where T : unmanaged
    {
        ArgumentNullException.ThrowIfNull(planned);
        var bytes = new byte[Unsafe.SizeOf<T>()];
        MemoryMarshal.Write(bytes, in parameters);
        return new KernelLaunch(planned.Entry, planned.Shape, bytes);
    }
}
