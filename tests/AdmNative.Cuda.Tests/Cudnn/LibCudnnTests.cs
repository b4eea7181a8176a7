using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>The binding to cuDNN over a stand-in for its library: every call arrives with its arguments in order, and every status comes back.</summary>
[Collection("fake cuda")]
public sealed class LibCudnnTests
{
    private static readonly CudnnTensor s_x = new(2, 8, 6, 5, 288, 1, 48, 9), s_y = new(2, 4, 3, 2, 24, 1, 8, 4);

    private sealed class Handles
    {
        public Handles(LibCudnn d)
        {
            Ok(d.Create(out Handle));
            Ok(d.SetStream(Handle, 77));
            Ok(d.CreateTensor(out X));
            Ok(d.SetTensor(X, CudnnDataType.Half, s_x));
            Ok(d.CreateTensor(out Y));
            Ok(d.SetTensor(Y, CudnnDataType.Half, s_y));
            Ok(d.CreateFilter(out W));
            Ok(d.SetFilter(W, CudnnDataType.Half, 4, 8, 3, 2));
            Ok(d.CreateConvolution(out Convolution));
            Ok(d.SetConvolution(Convolution, 1, 0, 2, 2));
        }

        public readonly nint Handle, X, Y, W, Convolution;

        public (nint A, nint B, nint C) Of(CudnnPass pass) => pass switch
        {
            CudnnPass.Forward => (X, W, Y),
            CudnnPass.BackwardData => (W, Y, X),
            _ => (X, Y, W),
        };
    }

    private delegate CudnnStatus Call(LibCudnn library, Handles h);

    // Every call of the interface with the name under which it must arrive, in an order in which all succeed: what destroys comes last.
    private static readonly (string Native, Call Call)[] s_calls =
    [
        ("cudnnCreate", (d, _) => Zero(d.Create(out nint h), h)),
        ("cudnnSetStream", (d, h) => d.SetStream(h.Handle, 1)),
        ("cudnnCreateTensorDescriptor", (d, _) => Zero(d.CreateTensor(out nint t), t)),
        ("cudnnSetTensor4dDescriptorEx", (d, h) => d.SetTensor(h.X, CudnnDataType.Half, s_x)),
        ("cudnnCreateFilterDescriptor", (d, _) => Zero(d.CreateFilter(out nint f), f)),
        ("cudnnSetFilter4dDescriptor", (d, h) => d.SetFilter(h.W, CudnnDataType.Half, 4, 8, 3, 2)),
        ("cudnnCreateConvolutionDescriptor", (d, _) => Zero(d.CreateConvolution(out nint c), c)),
        ("cudnnSetConvolution2dDescriptor", (d, h) => d.SetConvolution(h.Convolution, 1, 0, 2, 2)),
        ("cudnnSetConvolutionGroupCount", (d, h) => d.SetGroups(h.Convolution, 1)),
        ("cudnnSetConvolutionMathType", (d, h) => d.SetMath(h.Convolution, CudnnMath.TensorOp)),
        .. Of(CudnnPass.Forward, "Forward"),
        .. Of(CudnnPass.BackwardData, "BackwardData"),
        .. Of(CudnnPass.BackwardFilter, "BackwardFilter"),
        ("cudnnDestroyConvolutionDescriptor", (d, h) => d.DestroyConvolution(h.Convolution)),
        ("cudnnDestroyFilterDescriptor", (d, h) => d.DestroyFilter(h.W)),
        ("cudnnDestroyTensorDescriptor", (d, h) => d.DestroyTensor(h.X)),
        ("cudnnDestroy", (d, h) => d.Destroy(h.Handle)),
    ];

    public static TheoryData<string> Names => new(s_calls.Select(c => c.Native));

    [Fact]
    public void The_list_covers_every_call_of_the_interface()
    {
        int methods = typeof(ICudnn).GetMethods().Count(m => m.ReturnType == typeof(CudnnStatus)), ofPasses = 4;
        Assert.Equal(methods + (2 * ofPasses), s_calls.Select(c => c.Native).Distinct().Count());
    }

    [FakeCudaFact]
    public void Every_call_arrives_once_under_its_own_name()
    {
        LibCudnn library = FakeCudnn.Fresh();
        var handles = new Handles(library);
        foreach ((string native, Call call) in s_calls)
        {
            long before = FakeCudnn.Calls(native), all = FakeCudnn.Total;
            Assert.True(call(library, handles) == CudnnStatus.Success, native);
            Assert.True(FakeCudnn.Calls(native) == before + 1 && FakeCudnn.Total == all + 1, native);
        }
    }

    [FakeCudaTheory]
    [MemberData(nameof(Names))]
    public void A_failure_comes_back_and_leaves_zero_behind(string native)
    {
        LibCudnn library = FakeCudnn.Fresh();
        var handles = new Handles(library);
        Call call = s_calls.Single(c => c.Native == native).Call;
        FakeCudnn.Fail(native, 4003);
        Assert.Equal(CudnnStatus.AllocationFailed, call(library, handles));
        Assert.Equal(CudnnStatus.Success, call(library, handles));
    }

    [FakeCudaFact]
    public void Descriptors_are_told_everything_in_order()
    {
        LibCudnn library = FakeCudnn.Fresh();
        var h = new Handles(library);
        Ok(library.SetMath(h.Convolution, CudnnMath.Fma));
        Assert.Equal([2, 2, 8, 6, 5, 288, 1, 48, 9], FakeCudnn.Told(h.X)[..9]);
        Assert.Equal([2, 1, 4, 8, 3, 2], FakeCudnn.Told(h.W)[..6]); // half, channels last
        Assert.Equal([1, 0, 2, 2, 1, 1, 1, 0, 0, 1, 3], FakeCudnn.Told(h.Convolution)); // cross-correlation, sums in f32, one group, multiply-adds
        Assert.Equal(5, FakeCudnn.Live);
    }

    [FakeCudaTheory]
    [InlineData(CudnnPass.Forward)]
    [InlineData(CudnnPass.BackwardData)]
    [InlineData(CudnnPass.BackwardFilter)]
    public void A_convolution_arrives_whole(CudnnPass pass)
    {
        LibCudnn library = FakeCudnn.Fresh();
        var h = new Handles(library);
        (nint a, nint b, nint c) = h.Of(pass);
        Ok(library.Convolve(h.Handle, pass, a, 1001, b, 1002, h.Convolution, 2, 4000, 5000, 0.5f, c, 1003));
        FakeCudnn.LastCall last = FakeCudnn.Last();
        Assert.Equal((pass, 2, h.Handle, (nint)77), (last.Pass, last.Algorithm, last.Handle, last.Stream));
        Assert.Equal((a, b, h.Convolution, c), (last.A, last.B, last.Convolution, last.C));
        Assert.Equal((1001ul, 1002ul, 1003ul, 4000ul, (nuint)5000), (last.DataA, last.DataB, last.DataC, last.Workspace, last.Bytes));
        Assert.Equal((1f, 0.5f), (last.Alpha, last.Beta));

        // What the stand-in refuses: operands of another pass, too little workspace, an algorithm nobody offered.
        Assert.Equal(CudnnStatus.BadParameter, library.Convolve(h.Handle, pass, b, 1001, c, 1002, h.Convolution, 2, 4000, 5000, 0, a, 1003));
        Assert.Equal(CudnnStatus.BadParameter, library.Convolve(h.Handle, pass, a, 1001, b, 1002, h.Convolution, 2, 4000, 4095, 0, c, 1003));
        Assert.Equal(CudnnStatus.NotSupported, library.Convolve(h.Handle, pass, a, 1001, b, 1002, h.Convolution, 6, 4000, 5000, 0, c, 1003));
        Ok(library.GetWorkspaceSize(h.Handle, pass, a, b, h.Convolution, c, 2, out nuint bytes));
        Assert.Equal((nuint)4096, bytes);
    }

    [FakeCudaFact]
    public void Searches_give_every_field()
    {
        LibCudnn library = FakeCudnn.Fresh();
        var h = new Handles(library);
        CudnnAlgorithm[] expected =
        [
            new(1, CudnnStatus.Success, 0.5f, 1 << 20, false, CudnnMath.TensorOp), new(6, CudnnStatus.NotSupported, -1, 0, true, CudnnMath.Default),
            new(2, CudnnStatus.Success, 1, 4096, true, CudnnMath.TensorOp),
        ];
        Span<CudnnAlgorithm> found = new CudnnAlgorithm[3];
        foreach (CudnnPass pass in Enum.GetValues<CudnnPass>())
        {
            (nint a, nint b, nint c) = h.Of(pass);
            found.Clear();
            Ok(library.GetAlgorithms(h.Handle, pass, a, b, h.Convolution, c, found, out int count));
            Assert.Equal(3, count);
            Assert.Equal(expected, found);
            found.Clear();
            Ok(library.FindAlgorithms(h.Handle, pass, a, 1, b, 2, h.Convolution, c, 3, found, out count, 4, 5));
            Assert.Equal(3, count);
            Assert.Equal(expected, found);
        }
    }

    [FakeCudaFact]
    public void Statuses_of_cudnn_8_mean_the_same()
    {
        LibCudnn library = FakeCudnn.Fresh(8907);
        Assert.Equal("cuDNN 8.9.7", library.Description[..11]);
        Assert.Equal(80907, library.Version);
        CudnnStatus[] expected =
        [
            CudnnStatus.NotInitialized, CudnnStatus.AllocationFailed, CudnnStatus.BadParameter, CudnnStatus.InternalError, CudnnStatus.InvalidValue,
            CudnnStatus.ArchMismatch, CudnnStatus.MappingError, CudnnStatus.ExecutionFailed, CudnnStatus.NotSupported,
        ];
        for (int i = 0; i < expected.Length; i++)
        {
            FakeCudnn.Fail("cudnnCreate", i + 1);
            Assert.Equal(expected[i], library.Create(out _));
        }

        Assert.Equal("CUDNN_STATUS_NOT_SUPPORTED", library.ErrorText(CudnnStatus.NotSupported));
        Assert.Equal(CudnnStatus.BadParameter, library.SetTensor(0, CudnnDataType.F32, s_x));
        library = FakeCudnn.Fresh();
        Assert.Equal("CUDNN_STATUS_NOT_SUPPORTED", library.ErrorText(CudnnStatus.NotSupported));
        FakeCudnn.Fail("cudnnCreate", 3004);
        CudnnStatus status = library.Create(out _);
        Assert.Equal(3004, (int)status);
        Assert.True(status.Refuses());
        Assert.False(CudnnStatus.ExecutionFailed.Refuses() || CudnnStatus.AllocationFailed.Refuses() || CudnnStatus.NotInitialized.Refuses());
    }

    [FakeCudaFact]
    public void No_library_an_old_one_and_another_one_are_told_apart()
    {
        FakeCudnn.Fresh();
        (LibCudnn? library, string why) = LibCudnn.Open(["libnosuchcudnn.so.9", "libnosuchcudnn.so.8"]);
        Assert.Null(library);
        Assert.Contains(LibCudnn.Variable, why, StringComparison.Ordinal);
        Assert.Contains("libnosuchcudnn.so.9: ", why, StringComparison.Ordinal);
        Assert.Contains("libnosuchcudnn.so.8: ", why, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', why);

        FakeCudnn.Reset(8005);
        (library, why) = LibCudnn.Open([FakeCudnn.File]);
        Assert.Null(library);
        Assert.Contains("is version 8.0.5; 8.1.0 or newer is needed", why, StringComparison.Ordinal);

        FakeCuda.Reset(); // builds it
        (library, why) = LibCudnn.Open([Environment.GetEnvironmentVariable("ADMNATIVE_CUDA_LIBRARY")!]);
        Assert.Null(library);
        Assert.Contains("lacks cudnnGetVersion, ", why, StringComparison.Ordinal);
        Assert.Contains("cudnnConvolutionBackwardFilter", why, StringComparison.Ordinal);

        // The names of the environment variable: this assembly's names none that exists.
        Assert.False(LibCudnn.TryCreate(out _, out string? reason));
        Assert.Contains("libnosuchcudnn.so.9", reason, StringComparison.Ordinal);
        FakeCudnn.Reset();
    }

    private static (string, Call)[] Of(CudnnPass pass, string name) =>
    [
        ($"cudnnGetConvolution{name}Algorithm_v7", (d, h) =>
        {
            (nint a, nint b, nint c) = h.Of(pass);
            return Zero(d.GetAlgorithms(h.Handle, pass, a, b, h.Convolution, c, new CudnnAlgorithm[4], out int n), n);
        }),
        ($"cudnnFindConvolution{name}AlgorithmEx", (d, h) =>
        {
            (nint a, nint b, nint c) = h.Of(pass);
            return Zero(d.FindAlgorithms(h.Handle, pass, a, 1, b, 2, h.Convolution, c, 3, new CudnnAlgorithm[4], out int n, 4, 5), n);
        }),
        ($"cudnnGetConvolution{name}WorkspaceSize", (d, h) =>
        {
            (nint a, nint b, nint c) = h.Of(pass);
            return Zero(d.GetWorkspaceSize(h.Handle, pass, a, b, h.Convolution, c, 2, out nuint bytes), (long)bytes);
        }),
        ($"cudnnConvolution{name}", (d, h) =>
        {
            (nint a, nint b, nint c) = h.Of(pass);
            return d.Convolve(h.Handle, pass, a, 1, b, 2, h.Convolution, 2, 3, 5000, 0, c, 4);
        }),
    ];

    // A call's status, after a look at its output: something on success, zero on failure.
    private static CudnnStatus Zero(CudnnStatus status, long output)
    {
        Assert.True(status == CudnnStatus.Success == (output != 0), $"{status} with output {output}");
        return status;
    }

    private static void Ok(CudnnStatus status) => Assert.Equal(CudnnStatus.Success, status);
}
