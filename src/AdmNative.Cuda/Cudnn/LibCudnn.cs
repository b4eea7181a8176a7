using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>
/// The installed cuDNN: libcudnn.so.9, then .8 (cudnn64_9.dll and _8 on Windows), or the library that the environment variable ADMNATIVE_CUDNN_LIBRARY
/// names, and then only that. Loaded when first asked for; each call goes straight through and allocates nothing.
/// </summary>
public sealed unsafe class LibCudnn : ICudnn
{
    /// <summary>Names the library to load, and then only that one.</summary>
    public const string Variable = "ADMNATIVE_CUDNN_LIBRARY";

    /// <summary>The oldest version whose calls are used, as 10000 major + 100 minor + patch: bfloat16 convolutions came with 8.1.</summary>
    public const int MinimumVersion = 80100;

    private const int ChannelsLast = 1, CrossCorrelation = 1, MostAlgorithms = 16;

    private static readonly Lazy<(LibCudnn? Library, string Why)> s_installed = new(() => Open(Names()));

    private readonly CudnnFunctions _call;
    private readonly bool _before9;

    private LibCudnn(CudnnFunctions call, int version, string name)
    {
        (_call, Version, _before9) = (call, version, version < 90000);
        Description = $"cuDNN {Text(version)} ({name})";
    }

    /// <inheritdoc/>
    public string Description { get; }

    /// <summary>10000 major + 100 minor + patch.</summary>
    public int Version { get; }

    /// <summary>The installed library, or why there is none: what was tried, in order.</summary>
    public static bool TryCreate([NotNullWhen(true)] out LibCudnn? library, [NotNullWhen(false)] out string? why)
    {
        library = s_installed.Value.Library;
        why = library is null ? s_installed.Value.Why : null;
        return library is not null;
    }

    /// <summary>The first of these names that loads, if it is new enough and whole.</summary>
    internal static (LibCudnn? Library, string Why) Open(IReadOnlyList<string> names)
    {
        (nint handle, IReadOnlyList<string> trace) = CudaLibrary.Open(names);
        string tried = $"Tried: {string.Join("; ", trace)}.";
        if (handle == 0)
        {
            return (null, $"no cuDNN: install cuDNN 9, or name its library in {Variable}. {tried}");
        }

        if (CudnnFunctions.Of(handle, out IReadOnlyList<string> missing) is not CudnnFunctions call)
        {
            return (null, $"this cuDNN lacks {string.Join(", ", missing)}; version {Text(MinimumVersion)} or newer is needed. {tried}");
        }

        // 8907 is 8.9.7, 90100 is 9.1.0.
        int native = (int)call.GetVersion(), version = native >= 10000 ? native : (native / 1000 * 10000) + (native % 1000);
        return version < MinimumVersion
            ? (null, $"this cuDNN is version {Text(version)}; {Text(MinimumVersion)} or newer is needed. {tried}")
            : (new LibCudnn(call, version, names[trace.Count - 1]), "");
    }

    /// <inheritdoc/>
    public string ErrorText(CudnnStatus status) => Marshal.PtrToStringUTF8((nint)_call.GetErrorString(status.ToNative(_before9))) ?? "";

    /// <inheritdoc/>
    public CudnnStatus Create(out nint handle) => Made(_call.Create, out handle);

    /// <inheritdoc/>
    public CudnnStatus Destroy(nint handle) => Status(_call.Destroy(handle));

    /// <inheritdoc/>
    public CudnnStatus SetStream(nint handle, nint stream) => Status(_call.SetStream(handle, stream));

    /// <inheritdoc/>
    public CudnnStatus CreateTensor(out nint descriptor) => Made(_call.CreateTensorDescriptor, out descriptor);

    /// <inheritdoc/>
    public CudnnStatus SetTensor(nint descriptor, CudnnDataType type, in CudnnTensor tensor) => Status(_call.SetTensor4dDescriptorEx(
        descriptor, (int)type, tensor.N, tensor.C, tensor.H, tensor.W, tensor.StrideN, tensor.StrideC, tensor.StrideH, tensor.StrideW));

    /// <inheritdoc/>
    public CudnnStatus DestroyTensor(nint descriptor) => Status(_call.DestroyTensorDescriptor(descriptor));

    /// <inheritdoc/>
    public CudnnStatus CreateFilter(out nint descriptor) => Made(_call.CreateFilterDescriptor, out descriptor);

    /// <inheritdoc/>
    public CudnnStatus SetFilter(nint descriptor, CudnnDataType type, int k, int c, int r, int s) =>
        Status(_call.SetFilter4dDescriptor(descriptor, (int)type, ChannelsLast, k, c, r, s));

    /// <inheritdoc/>
    public CudnnStatus DestroyFilter(nint descriptor) => Status(_call.DestroyFilterDescriptor(descriptor));

    /// <inheritdoc/>
    public CudnnStatus CreateConvolution(out nint descriptor) => Made(_call.CreateConvolutionDescriptor, out descriptor);

    /// <inheritdoc/>
    public CudnnStatus SetConvolution(nint descriptor, int padH, int padW, int strideH, int strideW) =>
        Status(_call.SetConvolution2dDescriptor(descriptor, padH, padW, strideH, strideW, 1, 1, CrossCorrelation, (int)CudnnDataType.F32));

    /// <inheritdoc/>
    public CudnnStatus SetGroups(nint descriptor, int groups) => Status(_call.SetConvolutionGroupCount(descriptor, groups));

    /// <inheritdoc/>
    public CudnnStatus SetMath(nint descriptor, CudnnMath math) => Status(_call.SetConvolutionMathType(descriptor, (int)math));

    /// <inheritdoc/>
    public CudnnStatus DestroyConvolution(nint descriptor) => Status(_call.DestroyConvolutionDescriptor(descriptor));

    /// <inheritdoc/>
    public CudnnStatus GetAlgorithms(nint handle, CudnnPass pass, nint a, nint b, nint convolution, nint c, Span<CudnnAlgorithm> found, out int count)
    {
        CudnnFunctions.Performance* results = stackalloc CudnnFunctions.Performance[MostAlgorithms];
        int returned = 0;
        CudnnStatus status = Status(_call.GetAlgorithm(pass)(handle, a, b, convolution, c, Math.Min(found.Length, MostAlgorithms), &returned, results));
        count = status == CudnnStatus.Success ? Take(results, returned, found) : 0;
        return status;
    }

    /// <inheritdoc/>
    public CudnnStatus FindAlgorithms(
        nint handle, CudnnPass pass, nint a, ulong aData, nint b, ulong bData, nint convolution, nint c, ulong cData, Span<CudnnAlgorithm> found, out int count,
        ulong workspace, nuint workspaceBytes)
    {
        CudnnFunctions.Performance* results = stackalloc CudnnFunctions.Performance[MostAlgorithms];
        int returned = 0, wanted = Math.Min(found.Length, MostAlgorithms);
        CudnnStatus status = Status(_call.FindAlgorithm(pass)(
            handle, a, aData, b, bData, convolution, c, cData, wanted, &returned, results, workspace, workspaceBytes));
        count = status == CudnnStatus.Success ? Take(results, returned, found) : 0;
        return status;
    }

    /// <inheritdoc/>
    public CudnnStatus GetWorkspaceSize(nint handle, CudnnPass pass, nint a, nint b, nint convolution, nint c, int algorithm, out nuint bytes)
    {
        nuint size = 0;
        CudnnStatus status = Status(_call.WorkspaceSize(pass)(handle, a, b, convolution, c, algorithm, &size));
        bytes = size;
        return status;
    }

    /// <inheritdoc/>
    public CudnnStatus Convolve(
        nint handle, CudnnPass pass, nint a, ulong aData, nint b, ulong bData, nint convolution, int algorithm, ulong workspace, nuint workspaceBytes, float beta,
        nint c, ulong cData)
    {
        float one = 1;
        return Status(_call.Convolve(pass)(handle, &one, a, aData, b, bData, convolution, algorithm, workspace, workspaceBytes, &beta, c, cData));
    }

    private static string[] Names() =>
        Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } only ? [only]
        : OperatingSystem.IsWindows() ? ["cudnn64_9.dll", "cudnn64_8.dll"]
        : ["libcudnn.so.9", "libcudnn.so.8"];

    private static string Text(int version) => $"{version / 10000}.{version % 10000 / 100}.{version % 100}";

    private CudnnStatus Made(delegate* unmanaged<nint*, int> create, out nint made)
    {
        nint handle = 0;
        CudnnStatus status = Status(create(&handle));
        made = status == CudnnStatus.Success ? handle : 0;
        return status;
    }

    private int Take(CudnnFunctions.Performance* results, int returned, Span<CudnnAlgorithm> found)
    {
        for (int i = 0; i < returned; i++)
        {
            CudnnFunctions.Performance p = results[i];
            found[i] = new CudnnAlgorithm(
                p.Algorithm, Status(p.Status), p.Milliseconds, checked((long)p.Memory), p.Determinism == 1, (CudnnMath)p.Math);
        }

        return returned;
    }

    private CudnnStatus Status(int number) => CudnnStatuses.FromNative(number, _before9);
}
