namespace AdmNative.Cuda;

/// <summary>The four descriptors of a convolution, and which of them are a pass's operands and result.</summary>
internal sealed class CudnnDescriptors : IDisposable
{
    private readonly ICudnn _library;
    private nint _x, _w, _y, _convolution;

    /// <exception cref="CudnnException">cuDNN would not make or take one.</exception>
    public CudnnDescriptors(ICudnn library, CudnnShape shape, CudnnMath math)
    {
        (_library, Shape) = (library, shape);
        void Ok(CudnnStatus status, string call) => CudnnSession.Ok(library, status, call, shape);
        try
        {
            Ok(library.CreateTensor(out _x), "cudnnCreateTensorDescriptor");
            Ok(library.SetTensor(_x, shape.DataType, shape.X), "cudnnSetTensor4dDescriptorEx");
            Ok(library.CreateFilter(out _w), "cudnnCreateFilterDescriptor");
            Ok(library.SetFilter(_w, shape.DataType, shape.K, shape.C, shape.R, shape.S), "cudnnSetFilter4dDescriptor");
            Ok(library.CreateTensor(out _y), "cudnnCreateTensorDescriptor");
            Ok(library.SetTensor(_y, shape.DataType, shape.Y), "cudnnSetTensor4dDescriptorEx");
            Ok(library.CreateConvolution(out _convolution), "cudnnCreateConvolutionDescriptor");
            Ok(library.SetConvolution(_convolution, shape.PadH, shape.PadW, shape.Stride, shape.Stride), "cudnnSetConvolution2dDescriptor");
            Ok(library.SetGroups(_convolution, 1), "cudnnSetConvolutionGroupCount");
            SetMath(math);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public CudnnShape Shape { get; }

    public nint Convolution => _convolution;

    /// <summary>x, w or x.</summary>
    public nint A => Shape.Pass == CudnnPass.BackwardData ? _w : _x;

    /// <summary>w, dy or dy.</summary>
    public nint B => Shape.Pass == CudnnPass.Forward ? _w : _y;

    /// <summary>y, dx or dw.</summary>
    public nint C => Shape.Pass switch { CudnnPass.Forward => _y, CudnnPass.BackwardData => _x, _ => _w };

    /// <exception cref="CudnnException">cuDNN would not take it.</exception>
    public void SetMath(CudnnMath math) => CudnnSession.Ok(_library, _library.SetMath(_convolution, math), "cudnnSetConvolutionMathType", Shape);

    /// <summary>Descriptors are host memory of the library: they need no context, and may be given back on any thread.</summary>
    ~CudnnDescriptors() => Dispose();

    /// <summary>Idempotent; what fails here has nobody to tell.</summary>
    public void Dispose()
    {
        GC.SuppressFinalize(this);
        Destroy(ref _convolution, _library.DestroyConvolution);
        Destroy(ref _y, _library.DestroyTensor);
        Destroy(ref _w, _library.DestroyFilter);
        Destroy(ref _x, _library.DestroyTensor);
    }

    private static void Destroy(ref nint descriptor, Func<nint, CudnnStatus> destroy)
    {
        if (descriptor != 0)
        {
            destroy(descriptor);
            descriptor = 0;
        }
    }
}
