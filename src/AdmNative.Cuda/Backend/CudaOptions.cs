namespace AdmNative.Cuda;

/// <summary>How a cuda or virtual device computes.</summary>
public sealed record CudaOptions
{
    /// <summary>Which device of the driver.</summary>
    public int Device { get; init; }

    /// <summary>
    /// Replay a run as one CUDA graph; without, every kernel is launched by itself. Launches are the same either way. Runs that are timed are not replayed.
    /// </summary>
    public bool Replay { get; init; } = true;

    /// <summary>Wait after every launch, so that a fault is reported by the step that caused it; turns replay off. ADMNATIVE_SYNC=1 does the same.</summary>
    public bool SynchronizeEachLaunch { get; init; } = Environment.GetEnvironmentVariable("ADMNATIVE_SYNC") == "1";
}
