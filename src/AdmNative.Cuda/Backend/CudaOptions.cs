namespace AdmNative.Cuda;

/// <summary>How a cuda or virtual device computes.</summary>
public sealed record CudaOptions
{
    /// <summary>Which device of the driver.</summary>
    public int Device { get; init; }

    /// <summary>
    /// How activations are stored: f32, f16 or bf16. In half precision convolutions run on tensor cores over half copies of their weights, and every kernel
    /// still computes in f32 and rounds what it stores; weights have f32 masters, and embeddings, statistics, losses, sampler states, the network's last
    /// layers and everything that goes in and out stay f32.
    /// </summary>
    public KernelDType Precision { get; init; } = KernelDType.F32;

    /// <summary>
    /// In half precision: parameters, by name, whose products stay f32, and with them what is made of those alone. For graphs that hold two networks of which
    /// one is to compute in f32. Null: none.
    /// </summary>
    public Func<string, bool>? IsSinglePrecision { get; init; }

    /// <summary>
    /// Replay a run as one CUDA graph; without, every kernel is launched by itself. Launches are the same either way. Runs that are timed are not replayed.
    /// </summary>
    public bool Replay { get; init; } = true;

    /// <summary>Whose kernels compute convolutions. A virtual device has no cuDNN but one that is given in <see cref="Cudnn"/>.</summary>
    public ConvolutionChoice Convolutions { get; init; }

    /// <summary>How cuDNN is used, where it is.</summary>
    public CudnnOptions Cudnn { get; init; } = new();

    /// <summary>Takes lines for a person: which convolutions, and why not cuDNN's.</summary>
    public Action<string>? Log { get; init; }

    /// <summary>Wait after every launch, so that a fault is reported by the step that caused it; turns replay off. ADMNATIVE_SYNC=1 does the same.</summary>
    public bool SynchronizeEachLaunch { get; init; } = Environment.GetEnvironmentVariable("ADMNATIVE_SYNC") == "1";
}
