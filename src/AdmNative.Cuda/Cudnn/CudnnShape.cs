namespace AdmNative.Cuda;

/// <summary>
/// A convolution as cuDNN is told of it: x [N, H, W, C] with filters [K, R, S, C] to y [N, Ho, Wo, K], all without gaps. C is in whole 16 bytes, as our
/// filters are; what lies beyond a checkpoint's channels is zero in both.
/// </summary>
internal readonly record struct CudnnShape(CudnnPass Pass, KernelDType Type, int N, int H, int W, int C, int K, int R, int S)
{
    public int PadH { get; init; }

    public int PadW { get; init; }

    public int Stride { get; init; }

    public int ResultH { get; init; }

    public int ResultW { get; init; }

    public long XElements => (long)N * H * W * C;

    public long YElements => (long)N * ResultH * ResultW * K;

    public long WElements => (long)K * R * S * C;

    /// <summary>cuDNN takes strides in 32 bits.</summary>
    public bool Fits => XElements <= int.MaxValue && YElements <= int.MaxValue && WElements <= int.MaxValue;

    public CudnnTensor X => Image(H, W, C);

    public CudnnTensor Y => Image(ResultH, ResultW, K);

    public CudnnDataType DataType => Type switch
    {
        KernelDType.F16 => CudnnDataType.Half,
        KernelDType.BF16 => CudnnDataType.BFloat16,
        _ => CudnnDataType.F32,
    };

    public override string ToString() =>
        $"convolution {Pass} {Type.Suffix()}, x [{N},{H},{W},{C}], w [{K},{R},{S},{C}], y [{N},{ResultH},{ResultW},{K}], stride {Stride}, padding {PadH} x {PadW}";

    private CudnnTensor Image(int h, int w, int c) => new(N, c, h, w, h * w * c, 1, w * c, c);
}

/// <summary>How cuDNN will compute a convolution; the same for all convolutions of a shape on a device.</summary>
internal readonly record struct CudnnChoice(int Algorithm, CudnnMath Math, long WorkspaceBytes);
