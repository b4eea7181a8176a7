using AdmNative.Core;
using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>The cuda backend with convolutions by cuDNN, over stand-ins for both libraries: what it calls and when, what it gives back, what it says when a call fails.</summary>
[Collection("fake cuda")]
public sealed class CudnnBackendTests
{
    private static readonly Graph s_graph = Model(weights: true), s_frozen = Model(weights: false);

    /// <summary>The latest run came to its end.</summary>
    private static bool s_done;

    [FakeCudaTheory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_run_calls_cudnn_once_per_convolution_and_allocates_nothing(bool replay)
    {
        using CudaBackend backend = CudaBackend.Create(FakeCuda.Fresh(), Options() with { Replay = replay });
        using IParameters parameters = backend.LoadParameters(s_graph.Parameters, new Ones());
        using IExecutable run = backend.Load(backend.Plan(s_graph), parameters);
        Assert.Equal(((ICudaExecutable)run).StepLaunches, backend.StepLaunches(run.Plan));
        Feed(run);
        int first = replay ? 6 : 0; // two of each pass, so that nothing is loaded while they are captured
        Assert.Equal(first, Convolutions());
        run.Run();
        Assert.Equal(first + 6, Convolutions());
        long calls = FakeCudnn.Total;
        long Again()
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 100; i++)
            {
                run.Run();
            }

            return GC.GetAllocatedBytesForCurrentThread() - before;
        }

        Again();
        Assert.Equal(0, Again());
        Assert.Equal(replay ? 0 : 1200, FakeCudnn.Total - calls); // a captured call is not made again
        Assert.Equal(replay ? 12 : 1206, Convolutions());
    }

    [FakeCudaFact]
    public void Planning_and_loading_agree_on_one_search_per_shape()
    {
        using CudaBackend backend = CudaBackend.Create(FakeCuda.Fresh(), Options());
        using IParameters parameters = backend.LoadParameters(s_graph.Parameters, new Ones());
        Plan plan = backend.Plan(s_graph);
        using IExecutable one = backend.Load(plan, parameters), two = backend.Load(backend.Plan(s_graph), parameters);
        Assert.Equal(2, FakeCudnn.Calls("cudnnGetConvolutionForwardAlgorithm_v7"));
        Assert.Equal(2, FakeCudnn.Calls("cudnnGetConvolutionBackwardDataAlgorithm_v7"));
        Assert.Equal(2, FakeCudnn.Calls("cudnnGetConvolutionBackwardFilterAlgorithm_v7"));
        Assert.Equal(0, FakeCudnn.Calls("cudnnFindConvolutionForwardAlgorithmEx"));
        Feed(one);
        one.Run();
        FakeCudnn.LastCall last = FakeCudnn.Last();
        Assert.Equal(2, last.Algorithm); // the first that is deterministic and supported
        Assert.Equal((nuint)4096, last.Bytes);
        Assert.NotEqual(0ul, last.Workspace);
        Assert.NotEqual(0, last.Stream);
        Assert.Equal([0, 0, 1, 1, 1, 1, 1, 0, 0, 1, (int)CudnnMath.Fma], [.. FakeCudnn.Told(last.Convolution)[..2].Select(p => p - 1), .. FakeCudnn.Told(last.Convolution)[2..]]);
        Assert.All(plan.Steps.Where(s => s.Node.Op is Conv2d or Conv2dInputGrad or Conv2dWeightGrad), s => Assert.True(s.WorkspaceBytes >= 4096, $"{s.Node}"));
    }

    [FakeCudaFact]
    public void Options_choose_the_algorithm()
    {
        (int Algorithm, CudnnMath Math)? Choice(CudnnOptions options)
        {
            FakeCuda.Reset();
            List<string> log = [];
            var library = (LibCudnn)options.Library!;
            using CudaBackend backend = CudaBackend.Create(FakeCuda.Open(), new CudaOptions { Cudnn = options, Log = log.Add, Replay = false });
            using IParameters parameters = backend.LoadParameters(s_frozen.Parameters, new Ones());
            using IExecutable run = backend.Load(backend.Plan(s_frozen), parameters);
            Feed(run);
            run.Run();
            Assert.Equal($"convolutions: {library.Description}", log[0]);
            if (FakeCudnn.Last().Handle == 0)
            {
                Assert.Equal(5, log.Count); // four shapes for which nothing is on offer
                return null;
            }

            Assert.Single(log);
            return (FakeCudnn.Last().Algorithm, (CudnnMath)FakeCudnn.Told(FakeCudnn.Last().Convolution)[10]);
        }

        var usual = new CudnnOptions { Library = FakeCudnn.Fresh() };
        Assert.Equal((2, CudnnMath.Fma), Choice(usual));
        Assert.Equal((2, CudnnMath.Default), Choice(usual with { AllowTf32 = true }));
        Assert.Equal((0, CudnnMath.Fma), Choice(usual with { WorkspaceBytes = 4095 }));
        Assert.Equal(0, FakeCudnn.Calls("cudnnFindConvolutionForwardAlgorithmEx"));
        Assert.Equal((2, CudnnMath.Fma), Choice(usual with { Measure = true }));
        Assert.Equal(2, FakeCudnn.Calls("cudnnFindConvolutionForwardAlgorithmEx"));
        Assert.Equal(2, FakeCudnn.Calls("cudnnFindConvolutionBackwardDataAlgorithmEx"));

        FakeCudnn.Reset();
        FakeCudnn.Algorithms(new CudnnFunctions.Performance { Algorithm = 1, Memory = 64 });
        Assert.Null(Choice(usual));
        Assert.Equal((1, CudnnMath.Fma), Choice(usual with { AllowNondeterministic = true }));
        FakeCudnn.Reset();
        FakeCudnn.Algorithms();
        Assert.Null(Choice(usual));
    }

    [FakeCudaTheory]
    [InlineData("backend parameters run")]
    [InlineData("run parameters backend")]
    [InlineData("parameters run backend")]
    [InlineData("backend run parameters")]
    public void Everything_is_given_back_in_any_order_and_once(string order)
    {
        CudaBackend backend = CudaBackend.Create(FakeCuda.Fresh(), Options());
        IParameters parameters = backend.LoadParameters(s_graph.Parameters, new Ones());
        IExecutable run = backend.Load(backend.Plan(s_graph), parameters);
        Feed(run);
        run.Run();
        Assert.Equal(1 + (4 * 6), FakeCudnn.Live); // a handle, four descriptors of each convolution
        foreach (string one in order.Split(' '))
        {
            IDisposable what = one switch { "backend" => backend, "parameters" => parameters, _ => run };
            what.Dispose();
            what.Dispose();
        }

        Assert.Equal(0, FakeCudnn.Live);
        Assert.Equal(0, FakeCuda.Live);
    }

    [FakeCudaFact]
    public void Any_call_that_fails_is_reported_leaks_nothing_and_leaves_the_process_usable()
    {
        string[] calls =
        [
            "cudnnCreate", "cudnnSetStream", "cudnnCreateTensorDescriptor", "cudnnSetTensor4dDescriptorEx", "cudnnCreateFilterDescriptor", "cudnnSetFilter4dDescriptor",
            "cudnnCreateConvolutionDescriptor", "cudnnSetConvolution2dDescriptor", "cudnnSetConvolutionGroupCount", "cudnnSetConvolutionMathType",
            .. new[] { "Forward", "BackwardData", "BackwardFilter" }.SelectMany(
                p => new[] { $"cudnnGetConvolution{p}Algorithm_v7", $"cudnnGetConvolution{p}WorkspaceSize", $"cudnnConvolution{p}" }),
        ];
        CudaOptions options = Options() with { Convolutions = ConvolutionChoice.Cudnn };
        foreach (string call in calls)
        {
            for (int nth = 1; ; nth++)
            {
                ICudaDriver driver = FakeCuda.Fresh();
                FakeCudnn.Reset();
                FakeCudnn.Fail(call, 4000, nth);
                s_done = false;
                CudnnException? failed = null;
                try
                {
                    Whole(driver, options);
                }
                catch (CudnnException e)
                {
                    failed = e;
                }

                if (FakeCudnn.Calls(call) < nth)
                {
                    Assert.True(failed is null && s_done && nth > 1, $"{call} is never called");
                    break;
                }

                Assert.True(failed is not null && !s_done, $"call {nth} of {call} failed and nobody noticed");
                Assert.Equal((CudnnStatus.InternalError, call), (failed.CudnnStatus, failed.Call));
                Assert.Contains(call is "cudnnCreate" or "cudnnSetStream" ? "Stand-in 80" : "convolution ", failed.Message, StringComparison.Ordinal);
                Assert.True(FakeCuda.Live == 0 && FakeCudnn.Live == 0, $"call {nth} of {call} failed and {FakeCuda.Live} and {FakeCudnn.Live} objects are left");
                Whole(driver, options);
                Assert.Equal((0, 0), (FakeCuda.Live, FakeCudnn.Live));
            }
        }
    }

    [FakeCudaFact]
    public void A_convolution_that_fails_names_call_step_op_and_shapes()
    {
        ICudaDriver driver = FakeCuda.Fresh();
        CudaOptions options = Options();
        FakeCudnn.Fail("cudnnConvolutionForward", 5000, 2);
        CudnnException failed = Assert.Throws<CudnnException>(() => Whole(driver, options));
        Assert.Equal(CudnnStatus.ExecutionFailed, failed.CudnnStatus);
        driver = FakeCuda.Fresh();
        FakeCudnn.Reset();
        FakeCudnn.Fail("cudnnConvolutionForward", 5000, 4); // loading calls each once
        Assert.Contains("Conv2d", Assert.Throws<CudnnException>(() => Whole(driver, options)).Message, StringComparison.Ordinal);
        foreach (string words in (string[])["cudnnConvolutionForward", "ExecutionFailed (5000)", "step ", "Conv2d", "x [1,8,8,8], w [8,3,3,8], y [1,4,4,8], stride 2", "cuDNN 9.1.0"])
        {
            Assert.Contains(words, failed.Message, StringComparison.Ordinal);
        }
    }

    [FakeCudaFact]
    public void What_cudnn_does_not_support_our_kernels_compute()
    {
        ICudaDriver driver = FakeCuda.Fresh();
        List<string> log = [];
        CudaOptions options = Options() with { Convolutions = ConvolutionChoice.Cudnn, Log = log.Add, Replay = false };
        FakeCudnn.Fail("cudnnGetConvolutionForwardAlgorithm_v7", 3004);
        Whole(driver, options);
        Assert.Equal(2, log.Count);
        Assert.Contains("convolution Forward f32, x [1,8,8,4]", log[1], StringComparison.Ordinal);
        Assert.Contains("our kernel", log[1], StringComparison.Ordinal);
        Assert.Equal(5, Convolutions());

        // No workspace size for the best algorithm: the next is taken.
        driver = FakeCuda.Fresh();
        FakeCudnn.Reset();
        FakeCudnn.Fail("cudnnGetConvolutionForwardWorkspaceSize", 3000);
        Whole(driver, options);
        Assert.Equal(6, Convolutions());
    }

    [FakeCudaFact]
    public void Without_cudnn_ours_run_after_a_line_or_there_is_no_device()
    {
        ICudaDriver driver = FakeCuda.Fresh();
        FakeCudnn.Reset();
        List<string> log = [];
        Whole(driver, new CudaOptions { Log = log.Add }, s_frozen); // this assembly's environment names a library that does not exist
        Assert.StartsWith("convolutions: our kernels; no cuDNN: ", Assert.Single(log), StringComparison.Ordinal);
        Assert.Contains("libnosuchcudnn.so.9: ", log[0], StringComparison.Ordinal);
        Assert.DoesNotContain('\n', log[0]);

        GpuUnavailableException refused = Assert.Throws<GpuUnavailableException>(
            () => CudaBackend.Create(driver, new CudaOptions { Convolutions = ConvolutionChoice.Cudnn, Log = log.Add }));
        Assert.Equal(GpuUnavailableReason.NoCudnn, refused.Reason);
        Assert.Contains(LibCudnn.Variable, refused.Message, StringComparison.Ordinal);

        // One that does not start on this device.
        CudaOptions options = Options();
        FakeCudnn.Fail("cudnnCreate", 3007);
        log.Clear();
        Whole(driver, options with { Log = log.Add }, s_frozen);
        Assert.StartsWith("convolutions: our kernels; cudnnCreate failed: ArchMismatch (3007)", Assert.Single(log), StringComparison.Ordinal);

        log.Clear();
        Whole(driver, options with { Convolutions = ConvolutionChoice.Native, Log = log.Add }, s_frozen);
        Assert.Empty(log);
        Assert.Equal(0, Convolutions());
        Assert.Equal((0, 0), (FakeCuda.Live, FakeCudnn.Live));
    }

    [FakeCudaFact]
    public void A_forgotten_run_gives_its_descriptors_back()
    {
        using CudaBackend backend = CudaBackend.Create(FakeCuda.Fresh(), Options());
        using IParameters parameters = backend.LoadParameters(s_graph.Parameters, new Ones());
        Forget(backend, parameters);
        for (int i = 0; i < 10 && FakeCudnn.Live > 1; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.Equal(1, FakeCudnn.Live);

        [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
        static void Forget(CudaBackend backend, IParameters parameters) => Assert.NotNull(backend.Load(backend.Plan(s_graph), parameters));
    }

    private static long Convolutions() =>
        FakeCudnn.Calls("cudnnConvolutionForward") + FakeCudnn.Calls("cudnnConvolutionBackwardData") + FakeCudnn.Calls("cudnnConvolutionBackwardFilter");

    private static CudaOptions Options() => new() { Cudnn = new CudnnOptions { Library = FakeCudnn.Fresh() } };

    private static void Feed(IExecutable run)
    {
        run.SetInput("x", new float[8 * 8 * 4]);
        run.SetInput("seed", new float[4 * 4 * 8]);
    }

    private static void Whole(ICudaDriver driver, CudaOptions options, Graph? graph = null)
    {
        graph ??= s_graph;
        using CudaBackend backend = CudaBackend.Create(driver, options);
        using IParameters parameters = backend.LoadParameters(graph.Parameters, new Ones());
        using IExecutable run = backend.Load(backend.Plan(graph), parameters);
        Feed(run);
        run.Run();
        run.GetOutput("y", new float[4 * 4 * 8]);
        s_done = true;
    }

    /// <summary>Two convolutions, the second with stride 2, and the gradients of the input and perhaps of all weights.</summary>
    private static Graph Model(bool weights)
    {
        var graph = new Graph();
        Node x = graph.Input("x", [1, 8, 8, 4]);
        Node h = graph.Conv2d(x, graph.Parameter("first", [8, 4, 3, 3]), graph.Parameter("bias", [8]), null, 1, 1, 1);
        Node y = graph.Conv2d(graph.Silu(h), graph.Parameter("second", [8, 8, 3, 3]), null, null, 2, 1, 1);
        graph.Output("y", y);
        Node[] wanted = weights ? [x, .. graph.Parameters.Values] : [x];
        Node[] gradients = Gradients.Add(graph, [(y, graph.Input("seed", y.Shape))], wanted);
        for (int i = 0; i < wanted.Length; i++)
        {
            graph.Output($"grad.{wanted[i].Name}", gradients[i]);
        }

        return graph;
    }

    private sealed class Ones : ITensorSource
    {
        public string Description => "ones";

        public IReadOnlyDictionary<string, TensorType> Tensors { get; } = s_graph.Parameters.ToDictionary(p => p.Key, p => p.Value.Type);

        public void ReadFloats(string name, Span<float> destination) => destination.Fill(1);
    }
}
