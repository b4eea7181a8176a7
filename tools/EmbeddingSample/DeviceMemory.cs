using AdmNative.Cuda;

namespace EmbeddingSample;

#region memory
/// <summary>Memory of this program's own, not the library's: kernels take addresses and do not care whose they are.</summary>
internal sealed class DeviceMemory(ICudaDriver driver, nint stream) : IDisposable
{
    private readonly List<ulong> _blocks = [];

    /// <summary>At least 256-byte aligned, as the driver gives it; 0 for no bytes.</summary>
    public ulong New(long bytes)
    {
        if (bytes == 0)
        {
            return 0;
        }

        driver.Check(driver.MemAlloc(out ulong address, (nuint)bytes));
        _blocks.Add(address);
        return address;
    }

    public ulong Put<T>(T[] values) where T : unmanaged
    {
        ulong address = New(values.Length * (long)System.Runtime.CompilerServices.Unsafe.SizeOf<T>());
        if (address != 0)
        {
            driver.CopyToDevice<T>(values, address, stream);
        }

        return address;
    }

    public T[] Get<T>(ulong address, int count) where T : unmanaged
    {
        var values = new T[count];
        driver.CopyToHost<T>(address, values, stream);
        return values;
    }

    public void Dispose() => _blocks.ForEach(address => driver.Check(driver.MemFree(address)));
}
#endregion
