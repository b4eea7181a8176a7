namespace AdmNative.Cuda;

/// <summary>A driver call failed.</summary>
public class CudaException : Exception
{
    /// <summary>Builds the message from call, status, subject and the driver's own text.</summary>
    /// <param name="status">What the driver returned.</param>
    /// <param name="call">The call as written in the source.</param>
    /// <param name="detail">Native text, PTX compiler log, findings: whatever helps.</param>
    /// <param name="subject">What the call was for: an op with its shapes, a weight, an input.</param>
    /// <param name="inner">The failure that made this one inevitable.</param>
    public CudaException(CudaStatus status, string call, string? detail = null, string? subject = null, Exception? inner = null)
        : this(status, $"{status} ({(int)status})", call, detail, subject, inner)
    {
    }

    /// <summary>Also for a library beside the driver, whose status has other words.</summary>
    private protected CudaException(CudaStatus status, string words, string call, string? detail, string? subject, Exception? inner)
        : base($"{call} failed: {words}{After(" in ", subject)}{After("; ", detail)}", inner)
    {
        (Status, Call, Subject, Detail) = (status, call, subject, detail);
    }

    /// <summary>The driver's words for a status, with what it adds about the calling thread's last failed call.</summary>
    internal static string Explain(ICudaDriver driver, CudaStatus status)
    {
        ArgumentNullException.ThrowIfNull(driver);
        return driver.LastErrorDetail is { Length: > 0 } said ? $"{driver.ErrorText(status)}; {said}" : driver.ErrorText(status);
    }

    /// <summary>What the driver returned.</summary>
    public CudaStatus Status { get; }

    /// <summary>The call that failed.</summary>
    public string Call { get; }

    /// <summary>What the call was for: an op with its shapes, a weight, an input; null when it was for none of them, as while a device is opened.</summary>
    public string? Subject { get; }

    /// <summary>The PTX file that was being loaded; null for other calls.</summary>
    public string? Image { get; init; }

    /// <summary>What the file was compiled for, such as sm_80; null for other calls.</summary>
    public string? Target { get; init; }

    /// <summary>What the driver's PTX compiler said of the file; null for other calls.</summary>
    public string? Log { get; init; }

    /// <summary>True when the context can no longer be used (status 700, 702, 710, 714 to 719).</summary>
    public bool PoisonsContext => Poisons(Status);

    /// <summary>True for statuses after which every later call in the context fails.</summary>
    public static bool Poisons(CudaStatus status) => (int)status is 700 or 702 or 710 or (>= 714 and <= 719);

    /// <summary>Native text, PTX compiler log, findings.</summary>
    internal string? Detail { get; }

    /// <summary>The same failure, with what it was for.</summary>
    internal virtual CudaException For(string subject) => new(Status, Call, Detail, subject, InnerException) { Image = Image, Target = Target, Log = Log };

    /// <summary>What a later call in a context that this failure spoiled says.</summary>
    internal CudaException Later() => new(
        Status, Call,
        $"{(string.IsNullOrEmpty(Detail) ? "" : Detail + "; ")}that was an earlier call, and nothing runs in its context any more: dispose all that this device's backend made, then open the device anew",
        Subject, this);

    private static string After(string prefix, string? text) => string.IsNullOrEmpty(text) ? "" : prefix + text;
}
