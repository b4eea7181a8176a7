using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>Checked and typed forms of <see cref="ICudaDriver"/>'s calls, for programs that bring their own memory and streams.</summary>
public static class CudaDriverExtensions
{
    /// <summary>Throws unless a call succeeded.</summary>
    /// <param name="driver">Asked for its words about the failure.</param>
    /// <param name="status">What the call returned.</param>
    /// <param name="call">The call, for the message; the argument as written if not given.</param>
    /// <exception cref="CudaException">The status is not <see cref="CudaStatus.Success"/>.</exception>
    public static void Check(this ICudaDriver driver, CudaStatus status, [CallerArgumentExpression(nameof(status))] string call = "")
    {
        if (status != CudaStatus.Success)
        {
            Throw(driver, status, call);
        }
    }

    /// <summary>Copies host memory to the device and waits for the stream.</summary>
    /// <param name="driver">Its context must be current.</param>
    /// <param name="source">Any host memory; it need not be page-locked.</param>
    /// <param name="destination">Device address with room for all of it.</param>
    /// <param name="stream">0 = the null stream.</param>
    /// <exception cref="CudaException">The driver refused, or earlier work of the stream failed.</exception>
    public static unsafe void CopyToDevice<T>(this ICudaDriver driver, ReadOnlySpan<T> source, ulong destination, nint stream = 0) where T : unmanaged
    {
        ArgumentNullException.ThrowIfNull(driver);
        fixed (byte* p = MemoryMarshal.AsBytes(source))
        {
            driver.Check(driver.MemcpyHtoD(destination, (nint)p, (nuint)source.Length * (nuint)sizeof(T), stream), "cuMemcpyHtoD");
            driver.Check(driver.StreamSynchronize(stream), "cuStreamSynchronize");
        }
    }

    /// <summary>Waits for the stream's earlier work, copies device memory to the host and waits for the copy.</summary>
    /// <param name="driver">Its context must be current.</param>
    /// <param name="source">Device address.</param>
    /// <param name="destination">Filled.</param>
    /// <param name="stream">0 = the null stream.</param>
    /// <exception cref="CudaException">The driver refused, or earlier work of the stream failed.</exception>
    public static unsafe void CopyToHost<T>(this ICudaDriver driver, ulong source, Span<T> destination, nint stream = 0) where T : unmanaged
    {
        ArgumentNullException.ThrowIfNull(driver);
        fixed (byte* p = MemoryMarshal.AsBytes(destination))
        {
            driver.Check(driver.MemcpyDtoH((nint)p, source, (nuint)destination.Length * (nuint)sizeof(T), stream), "cuMemcpyDtoH");
            driver.Check(driver.StreamSynchronize(stream), "cuStreamSynchronize");
        }
    }

    [DoesNotReturn]
    private static void Throw(ICudaDriver driver, CudaStatus status, string call) => throw new CudaException(status, call, CudaException.Explain(driver, status));
}
