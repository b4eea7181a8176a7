using System.Runtime.InteropServices;

namespace AdmNative.Cpu;

/// <summary>Native floats at a 64-byte boundary. The owner frees them; addresses stay valid until then.</summary>
internal sealed unsafe class AlignedMemory : IDisposable
{
    /// <summary>One cache line, and the widest vector.</summary>
    public const int Alignment = 64;

    private void* _address;

    public AlignedMemory(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        Bytes = bytes;
        _address = NativeMemory.AlignedAlloc((nuint)Math.Max(bytes, Alignment), Alignment);
    }

    ~AlignedMemory() => Free();

    /// <summary>Size in bytes, as asked for.</summary>
    public long Bytes { get; }

    public bool IsDisposed => _address is null;

    /// <summary>First byte.</summary>
    public byte* Address
    {
        get
        {
            ObjectDisposedException.ThrowIf(_address is null, this);
            return (byte*)_address;
        }
    }

    /// <summary>First float.</summary>
    public float* Floats => (float*)Address;

    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        if (_address is not null)
        {
            NativeMemory.AlignedFree(_address);
            _address = null;
        }
    }
}
