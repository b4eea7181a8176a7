namespace AdmNative.Cuda;

/// <summary>A call of cuDNN failed. <see cref="CudaException.Status"/> is Unknown: what the driver would say, cuDNN keeps to itself.</summary>
public sealed class CudnnException : CudaException
{
    /// <summary>Builds the message from call, status, the library's own text, and what was computed.</summary>
    /// <param name="status">What cuDNN returned.</param>
    /// <param name="call">The entry point.</param>
    /// <param name="detail">The library's words; op and shapes.</param>
    /// <param name="subject">The step it was for; null when it was for none.</param>
    public CudnnException(CudnnStatus status, string call, string detail, string? subject = null)
        : base(CudaStatus.Unknown, $"{status} ({(int)status})", call, detail, subject, inner: null)
    {
        CudnnStatus = status;
    }

    /// <summary>What cuDNN returned.</summary>
    public CudnnStatus CudnnStatus { get; }

    internal override CudaException For(string subject) => new CudnnException(CudnnStatus, Call, Detail!, subject);
}
