namespace AdmNative.Cuda;

/// <summary>A call of cuDNN failed. <see cref="CudaException.Status"/> is Unknown: what the driver would say, cuDNN keeps to itself.</summary>
public sealed class CudnnException : CudaException
{
    /// <summary>Builds the message from call, status, the library's own text, and what was computed.</summary>
    /// <param name="status">What cuDNN returned.</param>
    /// <param name="call">The entry point.</param>
    /// <param name="detail">The library's words; op and shapes.</param>
    public CudnnException(CudnnStatus status, string call, string detail)
        : base(CudaStatus.Unknown, call, $"{call} failed: {status} ({(int)status}); {detail}", inner: null)
    {
        CudnnStatus = status;
    }

    private CudnnException(CudnnException inner, string where)
        : base(inner.Status, inner.Call, $"{where}: {inner.Message}", inner)
    {
        CudnnStatus = inner.CudnnStatus;
    }

    /// <summary>What cuDNN returned.</summary>
    public CudnnStatus CudnnStatus { get; }

    internal override CudaException At(string where) => new CudnnException(this, where);
}
