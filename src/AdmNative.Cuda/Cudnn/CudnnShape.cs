namespace AdmNative.Cuda;

/// <summary>A convolution as cuDNN is told of it: x [N, H, W, C] by filters [K, R, S, C] to y [N, Ho, Wo, K]. Rows are pixels.</summary>
internal readonly record struct CudnnShape(CudnnPass Pass, KernelDType Type, int N, int H, int W, int C, int K, int R, int S)
{
    public int PadH { get; init; }

    public int PadW { get; init; }

    public int Stride { get; init; }

    public int ResultH { get; init; }

    public int ResultW { get; init; }

    /// <summary>Elements between pixels of x or dx.</summary>
    public long StrideX { get; init; }

    /// <summary>Elements between pixels of y or dy.</summary>
    public long StrideY { get; init; }

    /// <summary>Are strides and sizes within the 32 bits that cuDNN takes them in?</summary>
    public bool Fits => (long)N * H * W * StrideX <= int.MaxValue && (long)N * ResultH * ResultW * StrideY <= int.MaxValue;

    public CudnnTensor X => Image(H, W, C, StrideX);

    public CudnnTensor Y => Image(ResultH, ResultW, K, StrideY);

    public CudnnDataType DataType => Type switch
    {
        KernelDType.F16 => CudnnDataType.Half,
        KernelDType.BF16 => CudnnDataType.BFloat16,
        _ => CudnnDataType.Float,
    };

    public override string ToString() =>
        $"{Pass} {Type.Suffix()}: x [{N},{H},{W},{C}] rows of {StrideX}, w [{K},{R},{S},{C}], y [{N},{ResultH},{ResultW},{K}] rows of {StrideY}, stride {Stride}, padding {PadH} x {PadW}";

    private CudnnTensor Image(int h, int w, int c, long stride) => new(N, c, h, w, checked((int)(h * w * stride)), 1, checked((int)(w * stride)), checked((int)stride));
}

/// <summary>How cuDNN will compute a convolution; the same for all convolutions of a shape on a device.</summary>
internal readonly record struct CudnnChoice(int Algorithm, CudnnMath Math, long WorkspaceBytes);
