namespace AdmNative.Cuda;

/// <summary>Whose kernels compute convolutions.</summary>
public enum ConvolutionChoice
{
    /// <summary>cuDNN's where it is installed and new enough, else ours; a line says which and why.</summary>
    Auto,

    /// <summary>Ours.</summary>
    Native,

    /// <summary>cuDNN's; without it there is no device.</summary>
    Cudnn,
}

/// <summary>How cuDNN is used.</summary>
public sealed record CudnnOptions
{
    /// <summary>The library; null = the installed one. A virtual device has none but what is given here.</summary>
    public ICudnn? Library { get; init; }

    /// <summary>Time the algorithms when a plan is made, on memory of its own, instead of asking which cuDNN expects to be fastest.</summary>
    public bool Measure { get; init; }

    /// <summary>Let f32 operands be rounded to TF32 (10 bits) for tensor cores.</summary>
    public bool AllowTf32 { get; init; }

    /// <summary>Take an algorithm whose sums come in any order where no other is offered; without, our kernel is taken there.</summary>
    public bool AllowNondeterministic { get; init; }

    /// <summary>Most scratch memory of one convolution, bytes; it is a part of a plan's arena.</summary>
    public long WorkspaceBytes { get; init; } = 256L << 20;
}
