using AdmNative.Core;

namespace AdmNative.Cuda;

/// <summary>Why there is no GPU to work on.</summary>
public enum GpuUnavailableReason
{
    /// <summary>The driver library was not found or could not be loaded.</summary>
    NoDriver,

    /// <summary>The driver is older than CUDA 12.0 or lacks a call that 12.0 has.</summary>
    DriverTooOld,

    /// <summary>The driver answers and knows no device.</summary>
    NoDevice,

    /// <summary>The driver does not start: library and kernel module differ, the device is lost, no permission.</summary>
    DriverFailed,

    /// <summary>The device is older than compute capability 8.0, or no shipped image suits it.</summary>
    DeviceTooOld,

    /// <summary>Convolutions by cuDNN were asked for, and it is not installed, or too old.</summary>
    NoCudnn,
}

/// <summary>There is no driver, it is too old, or it has no device that the kernels run on.</summary>
public sealed class GpuUnavailableException : DeviceUnavailableException
{
    /// <summary>What is missing, how it was looked for, and what helps.</summary>
    /// <param name="reason">What is missing.</param>
    /// <param name="message">One sentence with the values and the fix.</param>
    /// <param name="trace">Every attempt, in order.</param>
    /// <param name="inner">What the runtime said, if it did.</param>
    public GpuUnavailableException(GpuUnavailableReason reason, string message, IReadOnlyList<string>? trace = null, Exception? inner = null)
        : base(trace is { Count: > 0 } ? $"{message} Tried: {string.Join("; ", trace)}." : message, inner)
    {
        Reason = reason;
        Trace = trace ?? [];
    }

    /// <summary>What is missing.</summary>
    public GpuUnavailableReason Reason { get; }

    /// <summary>Every attempt to load the driver, in order.</summary>
    public IReadOnlyList<string> Trace { get; }
}
