using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>What the driver must be given back, and who gives it back: whoever disposes it, or, if it was forgotten, the finalizer thread.</summary>
internal abstract class CuObject() : SafeHandle(0, ownsHandle: true)
{
    [ThreadStatic]
    private static bool s_forgotten;

    /// <inheritdoc/>
    public sealed override bool IsInvalid => handle == 0;

    /// <summary>True inside <see cref="SafeHandle.ReleaseHandle"/> when nobody disposed the object: no context is current then, and nothing may wait for a device.</summary>
    protected static bool Forgotten => s_forgotten;

    /// <inheritdoc/>
    protected sealed override void Dispose(bool disposing)
    {
        bool outer = s_forgotten;
        s_forgotten |= !disposing;
        try
        {
            base.Dispose(disposing);
        }
        finally
        {
            s_forgotten = outer;
        }
    }
}

/// <summary>An object of the driver and how it is given back.</summary>
/// <param name="Call">The driver's name of the call that destroys it.</param>
/// <param name="Handle">Handle or address.</param>
/// <param name="Destroy">The call.</param>
internal readonly record struct Held(string Call, nint Handle, Func<ICudaDriver, nint, CudaStatus> Destroy);

/// <summary>
/// A stream's event, a graph, memory: an object of a context, which it keeps alive. May be disposed on any thread, in any order, twice. Hot paths take
/// <see cref="Handle"/> or <see cref="Address"/> from an owner that outlives them.
/// </summary>
internal sealed class CuHandle : CuObject
{
    private readonly CudaContext _context;
    private readonly Held _held;

    /// <param name="context">Where it lives.</param>
    /// <param name="held">The object.</param>
    /// <param name="bytes">Of memory.</param>
    public CuHandle(CudaContext context, in Held held, long bytes = 0)
    {
        bool counted = false;
        context.DangerousAddRef(ref counted);
        (_context, _held, Bytes) = (context, held, bytes);
        SetHandle(held.Handle);
    }

    public nint Handle => handle;

    /// <summary>The handle, as the device address it is for memory.</summary>
    public ulong Address => (ulong)handle;

    public long Bytes { get; }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        _context.GiveBack(_held, Forgotten);
        _context.DangerousRelease();
        return true;
    }
}
