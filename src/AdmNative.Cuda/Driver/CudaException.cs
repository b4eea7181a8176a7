namespace AdmNative.Cuda;

/// <summary>A driver call failed.</summary>
public class CudaException : Exception
{
    /// <summary>Builds the message from call, status and the driver's own text.</summary>
    /// <param name="status">What the driver returned.</param>
    /// <param name="call">The call as written in the source.</param>
    /// <param name="detail">Native text, PTX compiler log, findings, op and shapes: whatever helps.</param>
    public CudaException(CudaStatus status, string call, string? detail = null)
        : base($"{call} failed: {status} ({(int)status}){(string.IsNullOrEmpty(detail) ? "" : $"; {detail}")}")
    {
        Status = status;
        Call = call;
    }

    /// <summary>An error of a library beside the driver, or one that says more about where.</summary>
    private protected CudaException(CudaStatus status, string call, string message, Exception? inner)
        : base(message, inner)
    {
        Status = status;
        Call = call;
    }

    /// <summary>The driver's words for a status, with what it adds about the calling thread's last failed call.</summary>
    public static string Explain(ICudaDriver driver, CudaStatus status)
    {
        ArgumentNullException.ThrowIfNull(driver);
        return driver.LastErrorDetail is { Length: > 0 } said ? $"{driver.ErrorText(status)}; {said}" : driver.ErrorText(status);
    }

    /// <summary>What the driver returned.</summary>
    public CudaStatus Status { get; }

    /// <summary>The call that failed.</summary>
    public string Call { get; }

    /// <summary>True when the context can no longer be used (status 700, 702, 710, 714 to 719).</summary>
    public bool PoisonsContext => Poisons(Status);

    /// <summary>The same error, saying where it happened.</summary>
    internal virtual CudaException At(string where) => new(Status, Call, $"{where}: {Message}", this);

    /// <summary>True for statuses after which every later call in the context fails.</summary>
    public static bool Poisons(CudaStatus status) => (int)status is 700 or 702 or 710 or (>= 714 and <= 719);
}
