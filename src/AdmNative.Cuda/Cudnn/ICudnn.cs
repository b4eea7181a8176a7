namespace AdmNative.Cuda;

/// <summary>cudnnDataType_t, as far as we use it.</summary>
public enum CudnnDataType
{
    /// <summary>IEEE binary32.</summary>
    F32 = 0,

    /// <summary>IEEE binary16.</summary>
    Half = 2,

    /// <summary>bfloat16.</summary>
    BFloat16 = 9,
}

/// <summary>cudnnMathType_t.</summary>
public enum CudnnMath
{
    /// <summary>Whatever is exact for halves; for f32 it may round operands to TF32.</summary>
    Default = 0,

    /// <summary>Tensor cores on operands as they are.</summary>
    TensorOp = 1,

    /// <summary>Tensor cores, with operands rounded to make them fit.</summary>
    TensorOpAllowConversion = 2,

    /// <summary>Multiply-adds of the operands' own type only.</summary>
    Fma = 3,
}

/// <summary>Which product of a convolution: y, dx or dw.</summary>
public enum CudnnPass
{
    /// <summary>y from x and w: cudnnConvolutionForward.</summary>
    Forward,

    /// <summary>dx from w and dy: cudnnConvolutionBackwardData.</summary>
    BackwardData,

    /// <summary>dw from x and dy: cudnnConvolutionBackwardFilter.</summary>
    BackwardFilter,
}

/// <summary>Sizes and strides in elements of a tensor [N, C, H, W], in whatever order it lies.</summary>
public readonly record struct CudnnTensor(int N, int C, int H, int W, int StrideN, int StrideC, int StrideH, int StrideW);

/// <summary>A way to compute a convolution (cudnnConvolution{Fwd,BwdData,BwdFilter}AlgoPerf_t).</summary>
/// <param name="Algorithm">cudnnConvolution*Algo_t of the pass.</param>
/// <param name="Status">Whether it can be used.</param>
/// <param name="Milliseconds">Measured, or expected, or -1.</param>
/// <param name="WorkspaceBytes">Scratch memory.</param>
/// <param name="Deterministic">The same bits every time.</param>
/// <param name="Math">What it multiplies with.</param>
public readonly record struct CudnnAlgorithm(int Algorithm, CudnnStatus Status, float Milliseconds, long WorkspaceBytes, bool Deterministic, CudnnMath Math);

/// <summary>
/// The calls of cuDNN that the library uses, over handles and device addresses only. Implementations: the installed library, and stand-ins in tests. Every
/// method returns a status and never throws for a failure of the library.
/// </summary>
/// <remarks>
/// The three passes have the same arguments in the same order, so each call takes the pass: operands a and b are (x, w), (w, dy) or (x, dy), the
/// result c is y, dx or dw. A handle is used by one thread at a time.
/// </remarks>
public interface ICudnn
{
    /// <summary>Name and version.</summary>
    string Description { get; }

    /// <summary>cudnnGetErrorString.</summary>
    string ErrorText(CudnnStatus status);

    /// <summary>cudnnCreate, on the current context.</summary>
    CudnnStatus Create(out nint handle);

    /// <summary>cudnnDestroy; waits for the device.</summary>
    CudnnStatus Destroy(nint handle);

    /// <summary>cudnnSetStream.</summary>
    CudnnStatus SetStream(nint handle, nint stream);

    /// <summary>cudnnCreateTensorDescriptor.</summary>
    CudnnStatus CreateTensor(out nint descriptor);

    /// <summary>cudnnSetTensor4dDescriptorEx.</summary>
    CudnnStatus SetTensor(nint descriptor, CudnnDataType type, in CudnnTensor tensor);

    /// <summary>cudnnDestroyTensorDescriptor.</summary>
    CudnnStatus DestroyTensor(nint descriptor);

    /// <summary>cudnnCreateFilterDescriptor.</summary>
    CudnnStatus CreateFilter(out nint descriptor);

    /// <summary>cudnnSetFilter4dDescriptor with filters [K, R, S, C] (CUDNN_TENSOR_NHWC).</summary>
    CudnnStatus SetFilter(nint descriptor, CudnnDataType type, int k, int c, int r, int s);

    /// <summary>cudnnDestroyFilterDescriptor.</summary>
    CudnnStatus DestroyFilter(nint descriptor);

    /// <summary>cudnnCreateConvolutionDescriptor.</summary>
    CudnnStatus CreateConvolution(out nint descriptor);

    /// <summary>cudnnSetConvolution2dDescriptor: cross-correlation without dilation, sums in f32.</summary>
    CudnnStatus SetConvolution(nint descriptor, int padH, int padW, int strideH, int strideW);

    /// <summary>cudnnSetConvolutionGroupCount.</summary>
    CudnnStatus SetGroups(nint descriptor, int groups);

    /// <summary>cudnnSetConvolutionMathType.</summary>
    CudnnStatus SetMath(nint descriptor, CudnnMath math);

    /// <summary>cudnnDestroyConvolutionDescriptor.</summary>
    CudnnStatus DestroyConvolution(nint descriptor);

    /// <summary>cudnnGetConvolution*Algorithm_v7: what the library expects to be fastest, best first; runs nothing.</summary>
    CudnnStatus GetAlgorithms(nint handle, CudnnPass pass, nint a, nint b, nint convolution, nint c, Span<CudnnAlgorithm> found, out int count);

    /// <summary>cudnnFindConvolution*AlgorithmEx: what it measures to be fastest, best first; runs every algorithm that the workspace allows, and overwrites c.</summary>
    CudnnStatus FindAlgorithms(
        nint handle, CudnnPass pass, nint a, ulong aData, nint b, ulong bData, nint convolution, nint c, ulong cData, Span<CudnnAlgorithm> found, out int count,
        ulong workspace, nuint workspaceBytes);

    /// <summary>cudnnGetConvolution*WorkspaceSize.</summary>
    CudnnStatus GetWorkspaceSize(nint handle, CudnnPass pass, nint a, nint b, nint convolution, nint c, int algorithm, out nuint bytes);

    /// <summary>cudnnConvolution{Forward,BackwardData,BackwardFilter}: c = a * b + beta c, on the handle's stream.</summary>
    CudnnStatus Convolve(
        nint handle, CudnnPass pass, nint a, ulong aData, nint b, ulong bData, nint convolution, int algorithm, ulong workspace, nuint workspaceBytes, float beta,
        nint c, ulong cData);
}
