using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>
/// The entry points of one cuDNN library under its own names, each with the signature of cudnn.h (8 and 9 agree). Pointers and not imports: which
/// library it is, and whether there is one, is known only at run time, and a process may hold more than one. Arrays are indexed by pass.
/// </summary>
internal sealed unsafe class CudnnFunctions
{
    private static readonly string[] s_passes = ["Forward", "BackwardData", "BackwardFilter"];
    private readonly nint[] _algorithms = new nint[3], _find = new nint[3], _workspace = new nint[3], _convolve = new nint[3];

    private CudnnFunctions(nint library, List<string> missing)
    {
        nint Find(string name)
        {
            if (!NativeLibrary.TryGetExport(library, name, out nint address))
            {
                missing.Add(name);
            }

            return address;
        }

        GetVersion = (delegate* unmanaged<nuint>)Find("cudnnGetVersion");
        GetErrorString = (delegate* unmanaged<int, byte*>)Find("cudnnGetErrorString");
        Create = (delegate* unmanaged<nint*, int>)Find("cudnnCreate");
        Destroy = (delegate* unmanaged<nint, int>)Find("cudnnDestroy");
        SetStream = (delegate* unmanaged<nint, nint, int>)Find("cudnnSetStream");
        CreateTensorDescriptor = (delegate* unmanaged<nint*, int>)Find("cudnnCreateTensorDescriptor");
        SetTensor4dDescriptorEx = (delegate* unmanaged<nint, int, int, int, int, int, int, int, int, int, int>)Find("cudnnSetTensor4dDescriptorEx");
        DestroyTensorDescriptor = (delegate* unmanaged<nint, int>)Find("cudnnDestroyTensorDescriptor");
        CreateFilterDescriptor = (delegate* unmanaged<nint*, int>)Find("cudnnCreateFilterDescriptor");
        SetFilter4dDescriptor = (delegate* unmanaged<nint, int, int, int, int, int, int, int>)Find("cudnnSetFilter4dDescriptor");
        DestroyFilterDescriptor = (delegate* unmanaged<nint, int>)Find("cudnnDestroyFilterDescriptor");
        CreateConvolutionDescriptor = (delegate* unmanaged<nint*, int>)Find("cudnnCreateConvolutionDescriptor");
        SetConvolution2dDescriptor = (delegate* unmanaged<nint, int, int, int, int, int, int, int, int, int>)Find("cudnnSetConvolution2dDescriptor");
        SetConvolutionGroupCount = (delegate* unmanaged<nint, int, int>)Find("cudnnSetConvolutionGroupCount");
        SetConvolutionMathType = (delegate* unmanaged<nint, int, int>)Find("cudnnSetConvolutionMathType");
        DestroyConvolutionDescriptor = (delegate* unmanaged<nint, int>)Find("cudnnDestroyConvolutionDescriptor");
        for (int i = 0; i < s_passes.Length; i++)
        {
            _algorithms[i] = Find($"cudnnGetConvolution{s_passes[i]}Algorithm_v7");
            _find[i] = Find($"cudnnFindConvolution{s_passes[i]}AlgorithmEx");
            _workspace[i] = Find($"cudnnGetConvolution{s_passes[i]}WorkspaceSize");
            _convolve[i] = Find($"cudnnConvolution{s_passes[i]}");
        }
    }

    public readonly delegate* unmanaged<nuint> GetVersion;
    public readonly delegate* unmanaged<int, byte*> GetErrorString;
    public readonly delegate* unmanaged<nint*, int> Create;
    public readonly delegate* unmanaged<nint, int> Destroy;
    public readonly delegate* unmanaged<nint, nint, int> SetStream;

    public readonly delegate* unmanaged<nint*, int> CreateTensorDescriptor;

    /// <summary>descriptor, type, n, c, h, w, strides of n, c, h, w.</summary>
    public readonly delegate* unmanaged<nint, int, int, int, int, int, int, int, int, int, int> SetTensor4dDescriptorEx;
    public readonly delegate* unmanaged<nint, int> DestroyTensorDescriptor;

    public readonly delegate* unmanaged<nint*, int> CreateFilterDescriptor;

    /// <summary>descriptor, type, format, k, c, h, w.</summary>
    public readonly delegate* unmanaged<nint, int, int, int, int, int, int, int> SetFilter4dDescriptor;
    public readonly delegate* unmanaged<nint, int> DestroyFilterDescriptor;

    public readonly delegate* unmanaged<nint*, int> CreateConvolutionDescriptor;

    /// <summary>descriptor, padding of h, w, strides of h, w, dilations of h, w, mode, type of sums.</summary>
    public readonly delegate* unmanaged<nint, int, int, int, int, int, int, int, int, int> SetConvolution2dDescriptor;
    public readonly delegate* unmanaged<nint, int, int> SetConvolutionGroupCount;
    public readonly delegate* unmanaged<nint, int, int> SetConvolutionMathType;
    public readonly delegate* unmanaged<nint, int> DestroyConvolutionDescriptor;

    /// <summary>All entry points, or the names of those that the library lacks.</summary>
    public static CudnnFunctions? Of(nint library, out IReadOnlyList<string> missing)
    {
        var lacking = new List<string>();
        var functions = new CudnnFunctions(library, lacking);
        missing = lacking;
        return lacking.Count == 0 ? functions : null;
    }

    /// <summary>cudnnGetConvolution*Algorithm_v7: handle, a, b, convolution, c, wanted, returned, results.</summary>
    public delegate* unmanaged<nint, nint, nint, nint, nint, int, int*, Performance*, int> GetAlgorithm(CudnnPass pass) =>
        (delegate* unmanaged<nint, nint, nint, nint, nint, int, int*, Performance*, int>)_algorithms[(int)pass];

    /// <summary>cudnnFindConvolution*AlgorithmEx: handle, a and its data, b and its data, convolution, c and its data, wanted, returned, results, workspace, bytes.</summary>
    public delegate* unmanaged<nint, nint, ulong, nint, ulong, nint, nint, ulong, int, int*, Performance*, ulong, nuint, int> FindAlgorithm(CudnnPass pass) =>
        (delegate* unmanaged<nint, nint, ulong, nint, ulong, nint, nint, ulong, int, int*, Performance*, ulong, nuint, int>)_find[(int)pass];

    /// <summary>cudnnGetConvolution*WorkspaceSize: handle, a, b, convolution, c, algorithm, bytes.</summary>
    public delegate* unmanaged<nint, nint, nint, nint, nint, int, nuint*, int> WorkspaceSize(CudnnPass pass) =>
        (delegate* unmanaged<nint, nint, nint, nint, nint, int, nuint*, int>)_workspace[(int)pass];

    /// <summary>cudnnConvolution*: handle, alpha, a and its data, b and its data, convolution, algorithm, workspace, bytes, beta, c and its data.</summary>
    public delegate* unmanaged<nint, float*, nint, ulong, nint, ulong, nint, int, ulong, nuint, float*, nint, ulong, int> Convolve(CudnnPass pass) =>
        (delegate* unmanaged<nint, float*, nint, ulong, nint, ulong, nint, int, ulong, nuint, float*, nint, ulong, int>)_convolve[(int)pass];

    /// <summary>cudnnConvolutionFwdAlgoPerf_t and its two sisters.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 48)]
    internal struct Performance
    {
        [FieldOffset(0)] public int Algorithm;
        [FieldOffset(4)] public int Status;
        [FieldOffset(8)] public float Milliseconds;
        [FieldOffset(16)] public nuint Memory;
        [FieldOffset(24)] public int Determinism;
        [FieldOffset(28)] public int Math;
    }
}
