using AdmNative.Core;
using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>The cuda backend over a stand-in driver: what it calls, what it gives back, what it says when a call fails. Numbers are the virtual device's business.</summary>
[Collection("fake cuda")]
public sealed class CudaBackendTests
{
    private static readonly Graph s_graph = Model();

    /// <summary>The latest run came to its end.</summary>
    private static bool s_done;

    [FakeCudaFact]
    public void A_replayed_run_is_one_call_and_allocates_nothing()
    {
        using CudaBackend backend = CudaBackend.Create(FakeCuda.Fresh());
        using IParameters parameters = backend.LoadParameters(s_graph.Parameters, new Ones());
        using IExecutable run = backend.Load(backend.Plan(s_graph), parameters);
        run.SetInput("x", new float[8 * 8 * 4]);
        run.Run();
        long launches = FakeCuda.Calls("cuLaunchKernel"), all = FakeCuda.Total;
        Assert.True(launches > 3, $"{launches} launches were captured");
        long Replay()
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 100; i++)
            {
                run.Run();
            }

            return GC.GetAllocatedBytesForCurrentThread() - before;
        }

        Replay();
        Assert.Equal(0, Replay());
        Assert.Equal(launches, FakeCuda.Calls("cuLaunchKernel"));
        Assert.Equal(200, FakeCuda.Calls("cuGraphLaunch") - 1);
        Assert.Equal(400, FakeCuda.Total - all); // and the context made current
    }

    [FakeCudaTheory]
    [InlineData("backend parameters run")]
    [InlineData("run parameters backend")]
    [InlineData("parameters run backend")]
    [InlineData("run backend parameters")]
    [InlineData("backend run parameters")]
    public void Everything_is_given_back_in_any_order_and_once(string order)
    {
        CudaBackend backend = CudaBackend.Create(FakeCuda.Fresh());
        IParameters parameters = backend.LoadParameters(s_graph.Parameters, new Ones());
        IExecutable run = backend.Load(backend.Plan(s_graph), parameters);
        run.SetInput("x", new float[8 * 8 * 4]);
        run.Run();
        Assert.True(FakeCuda.Live > 5);
        foreach (string one in order.Split(' '))
        {
            IDisposable what = one switch { "backend" => backend, "parameters" => parameters, _ => run };
            what.Dispose();
            what.Dispose();
        }

        Assert.Equal(0, FakeCuda.Live);
        Assert.Throws<ObjectDisposedException>(run.Run);
        Assert.Throws<ObjectDisposedException>(() => backend.Plan(s_graph));
    }

    [FakeCudaFact]
    public void Any_call_that_fails_is_reported_leaks_nothing_and_leaves_the_process_usable()
    {
        string[] calls =
        [
            "cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetAttribute", "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent", "cuStreamCreate",
            "cuMemAlloc_v2", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuModuleLoadDataEx", "cuModuleGetFunction", "cuEventCreate", "cuStreamBeginCapture_v2",
            "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuLaunchKernel", "cuGraphLaunch", "cuStreamSynchronize",
        ];
        foreach (string call in calls)
        {
            for (int nth = 1; ; nth++)
            {
                LibCudaDriver driver = FakeCuda.Fresh();
                FakeCuda.Fail(call, CudaStatus.OutOfMemory, nth);
                CudaException? failed = null;
                s_done = false;
                try
                {
                    Whole(driver);
                }
                catch (CudaException e)
                {
                    failed = e;
                }

                if (FakeCuda.Calls(call) < nth)
                {
                    Assert.Null(failed);
                    Assert.True(nth > 1, $"{call} is never called");
                    break;
                }

                // What fails when all work is done and read has nobody to tell.
                Assert.True(failed is not null || s_done, $"call {nth} of {call} failed and nobody noticed");
                Assert.True(failed is null || failed.Status == CudaStatus.OutOfMemory);
                Assert.True(FakeCuda.Live == 0, $"call {nth} of {call} failed and {FakeCuda.Live} objects are left");
                Whole(driver);
                Assert.Equal(0, FakeCuda.Live);
            }
        }
    }

    [FakeCudaFact]
    public void A_launch_that_fails_names_step_op_and_shapes()
    {
        LibCudaDriver driver = FakeCuda.Fresh();
        FakeCuda.Fail("cuLaunchKernel", CudaStatus.IllegalAddress, 2);
        CudaException failed = Assert.Throws<CudaException>(() => Whole(driver, new CudaOptions { Replay = false }));
        Assert.True(failed.PoisonsContext);
        Assert.Contains("step 1", failed.Message, StringComparison.Ordinal);
        Assert.Contains("GroupNorm", failed.Message, StringComparison.Ordinal);
        Assert.Contains("[1,8,8,8]", failed.Message, StringComparison.Ordinal);
        Assert.Contains("an illegal memory access was encountered", failed.Message, StringComparison.Ordinal);
        FakeCuda.Reset();
    }

    [FakeCudaFact]
    public void Wrong_use_is_refused()
    {
        using CudaBackend backend = CudaBackend.Create(FakeCuda.Fresh()), other = CudaBackend.Create(LibCudaDriver.Create());
        using IParameters parameters = backend.LoadParameters(s_graph.Parameters, new Ones());
        Plan plan = backend.Plan(s_graph);
        Assert.Throws<ArgumentException>(() => other.Load(plan, parameters));
        Assert.Equal("no [8,4,3,3] is missing", Assert.Throws<CheckpointException>(() => backend.LoadParameters(
            new Dictionary<string, Node> { ["no"] = s_graph.Parameters["conv"] }, new Ones())).Message.Split('\n')[1].Trim());
        using IExecutable run = backend.Load(plan, parameters);
        Assert.Throws<InvalidOperationException>(run.Run);
        Assert.Throws<ShapeException>(() => run.SetInput("x", new float[3]));
        Assert.Throws<ArgumentException>(() => run.SetInput("z", new float[3]));
        Assert.Throws<ArgumentException>(() => run.GetOutput("z", new float[3]));
        Assert.Throws<ShapeException>(() => run.GetOutput("y", new float[3]));
        Assert.Equal(GpuUnavailableReason.NoDevice, Assert.Throws<GpuUnavailableException>(() => CudaBackend.Create(LibCudaDriver.Create(), new CudaOptions { Device = 1 })).Reason);
        Assert.Equal("Stand-in 80 (sm_80), CUDA driver 12.4", backend.Description);
        Assert.True(CudaBackend.TryCreate(null, out CudaBackend? third, out _));
        third.Dispose();
        FakeCuda.Machine(12040, 0);
        Assert.False(CudaBackend.TryCreate(null, out _, out string? reason));
        Assert.Contains("knows no device", reason, StringComparison.Ordinal);
    }

    private static void Whole(LibCudaDriver driver, CudaOptions? options = null)
    {
        using CudaBackend backend = CudaBackend.Create(driver, options);
        using IParameters parameters = backend.LoadParameters(s_graph.Parameters, new Ones());
        using IExecutable run = backend.Load(backend.Plan(s_graph), parameters);
        run.SetInput("x", new float[8 * 8 * 4]);
        run.Run();
        run.GetOutput("y", new float[8 * 8 * 8]);
        s_done = true;
    }

    private static Graph Model()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [1, 8, 8, 4]);
        Node h = graph.Conv2d(x, graph.Parameter("conv", [8, 4, 3, 3]), graph.Parameter("bias", [8]), null, 1, 1, 1);
        h = graph.GroupNorm(h, graph.Parameter("gamma", [8]), graph.Parameter("beta", [8]), null, groups: 2, silu: true);
        graph.Output("y", graph.Silu(graph.Linear(h, graph.Parameter("linear", [8, 8]), graph.Parameter("linear.bias", [8]))));
        return graph;
    }

    private sealed class Ones : ITensorSource
    {
        public string Description => "ones";

        public IReadOnlyDictionary<string, TensorType> Tensors { get; } = s_graph.Parameters.ToDictionary(p => p.Key, p => p.Value.Type);

        public void ReadFloats(string name, Span<float> destination) => destination.Fill(1);
    }
}
