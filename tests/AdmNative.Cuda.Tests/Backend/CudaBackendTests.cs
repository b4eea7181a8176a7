using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using AdmNative.Core;
using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>The cuda backend over a stand-in driver: what it calls, what it gives back, what it says when a call fails. Numbers are the virtual device's business.</summary>
[Collection("fake cuda")]
public sealed partial class CudaBackendTests
{
    private static readonly Graph s_graph = Model();

    /// <summary>What the latest run was doing.</summary>
    private static string s_stage = "";

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

        Assert.Equal((0, 0), (FakeCuda.Live, backend.LeakedHandles));
        Assert.Throws<ObjectDisposedException>(run.Run);
        Assert.Throws<ObjectDisposedException>(() => backend.Plan(s_graph));
    }

    [FakeCudaTheory]
    [InlineData(CudaStatus.OutOfMemory)]
    [InlineData(CudaStatus.IllegalAddress)] // spoils the context
    public void Any_call_that_fails_is_reported_with_op_and_shapes_leaks_nothing_and_leaves_the_process_usable(CudaStatus status)
    {
        string[] calls =
        [
            "cuInit", "cuDriverGetVersion", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetAttribute", "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent", "cuStreamCreate",
            "cuMemAlloc_v2", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuModuleLoadDataEx", "cuModuleGetFunction", "cuEventCreate",
            "cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuLaunchKernel", "cuGraphLaunch", "cuStreamSynchronize", "cuEventRecord",
            "cuEventSynchronize", "cuEventElapsedTime",
        ];
        foreach (string call in calls)
        {
            for (int nth = 1; ; nth++)
            {
                ICudaDriver driver = FakeCuda.Fresh();
                FakeCuda.Fail(call, status, nth);
                CudaException? failed = null;
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
                Assert.True(failed is not null || s_stage == "end", $"call {nth} of {call} failed and nobody noticed");
                if (failed is not null)
                {
                    string what = $"call {nth} of {call}, while {s_stage}: {failed.Message}";
                    Assert.True(failed.Status == status && failed.Call.Contains(Plain(call), StringComparison.Ordinal), what);
                    Assert.True(failed.Message.Contains(failed.Call, StringComparison.Ordinal), what);
                    Assert.True(failed.Subject is null ? s_stage == "opening" : Shapes().IsMatch(failed.Subject) && failed.Message.Contains(failed.Subject, StringComparison.Ordinal), what);
                }

                Assert.True(FakeCuda.Live == 0, $"call {nth} of {call} failed and {FakeCuda.Live} objects are left");
                Whole(driver);
                Assert.Equal(0, FakeCuda.Live);
            }
        }
    }

    /// <summary>Layers of one input are stacked: their weights are copied into one block, once for weights and once for biases.</summary>
    [FakeCudaTheory]
    [InlineData(CudaStatus.OutOfMemory)]
    [InlineData(CudaStatus.IllegalAddress)]
    public void A_copy_of_stacked_weights_that_fails_names_the_first_and_leaks_nothing(CudaStatus status)
    {
        var graph = new Graph();
        Node x = graph.Input("x", [1, 8]), image = graph.Input("image", [1, 2, 2, 8]);
        foreach (string name in new[] { "conv", "linear" })
        {
            image = graph.AddPerSample(image, graph.Linear(x, graph.Parameter($"{name}.weight", [8, 8]), graph.Parameter($"{name}.bias", [8])));
        }

        graph.Output("y", image);
        for (int nth = 1; nth <= 4; nth++)
        {
            CudaBackend backend = CudaBackend.Create(FakeCuda.Fresh());
            IParameters parameters = backend.LoadParameters(graph.Parameters, new Ones(graph));
            FakeCuda.Fail("cuMemcpyDtoDAsync_v2", status, nth);
            CudaException failed = Assert.Throws<CudaException>(() => backend.Load(backend.Plan(graph), parameters));
            Assert.Equal((status, nth), (failed.Status, (int)FakeCuda.Calls("cuMemcpyDtoDAsync_v2")));
            Assert.Equal($"weight {(nth < 3 ? "conv.weight [8,8]" : "conv.bias [8]")} and 1 more in one block", failed.Subject);
            parameters.Dispose();
            backend.Dispose();
            Assert.Equal((0, 0), (FakeCuda.Live, backend.LeakedHandles));
        }
    }

    [FakeCudaTheory]
    [InlineData("cuMemFree_v2")]
    [InlineData("cuEventDestroy_v2")]
    [InlineData("cuGraphExecDestroy")]
    [InlineData("cuGraphDestroy")]
    [InlineData("cuModuleUnload")]
    [InlineData("cuStreamDestroy_v2")]
    [InlineData("cuDevicePrimaryCtxRelease_v2")]
    public void What_the_driver_does_not_take_back_is_counted_and_disposal_throws_nothing(string call)
    {
        CudaBackend backend = CudaBackend.Create(FakeCuda.Fresh());
        IParameters parameters = backend.LoadParameters(s_graph.Parameters, new Ones());
        IExecutable run = backend.Load(backend.Plan(s_graph), parameters);
        run.SetInput("x", new float[8 * 8 * 4]);
        run.Run();
        FakeCuda.Fail(call, CudaStatus.InvalidValue);
        run.Dispose();
        parameters.Dispose();
        backend.Dispose();
        Assert.Equal(1, backend.LeakedHandles);
        Assert.True(FakeCuda.Live >= 1);
    }

    [FakeCudaFact]
    public void A_lost_context_fails_fast_with_the_first_error_until_it_is_opened_anew()
    {
        ICudaDriver driver = FakeCuda.Fresh();
        CudaBackend backend = CudaBackend.Create(driver, new CudaOptions { Replay = false });
        IParameters parameters = backend.LoadParameters(s_graph.Parameters, new Ones());
        IExecutable run = backend.Load(backend.Plan(s_graph), parameters);
        run.SetInput("x", new float[8 * 8 * 4]);
        FakeCuda.Fail("cuLaunchKernel", CudaStatus.IllegalAddress, 2);
        CudaException first = Assert.Throws<CudaException>(run.Run);
        long calls = FakeCuda.Total;
        Action[] later =
        [
            run.Run, () => run.SetInput("x", new float[8 * 8 * 4]), () => run.GetOutput("y", new float[8 * 8 * 8]), () => backend.LoadParameters(s_graph.Parameters, new Ones()),
            () => backend.Load(backend.Plan(s_graph), parameters),
        ];
        foreach (Action call in later)
        {
            CudaException failed = Assert.Throws<CudaException>(call);
            Assert.Equal((first.Status, first.Call, first.Subject), (failed.Status, failed.Call, failed.Subject));
            Assert.Same(first, failed.InnerException);
            Assert.Contains("open the device anew", failed.Message, StringComparison.Ordinal);
        }

        Assert.Equal(calls, FakeCuda.Total); // the driver was not asked
        Assert.StartsWith("step 1, ", first.Subject, StringComparison.Ordinal);
        run.Dispose();
        backend.Dispose();
        parameters.Dispose();
        Assert.Equal((0, 0), (FakeCuda.Live, backend.LeakedHandles));
        Whole(driver);
    }

    [FakeCudaTheory]
    [InlineData(700)]
    [InlineData(702)]
    [InlineData(710)]
    [InlineData(714)]
    [InlineData(715)]
    [InlineData(716)]
    [InlineData(717)]
    [InlineData(718)]
    [InlineData(719)]
    public void What_spoils_a_context_while_it_is_disposed_is_kept_for_the_next_call(int status)
    {
        using CudaBackend backend = CudaBackend.Create(FakeCuda.Fresh());
        using IParameters parameters = backend.LoadParameters(s_graph.Parameters, new Ones());
        IExecutable run = backend.Load(backend.Plan(s_graph), parameters);
        FakeCuda.Fail("cuStreamSynchronize", (CudaStatus)status);
        run.Dispose();
        CudaException later = Assert.Throws<CudaException>(() => backend.LoadParameters(s_graph.Parameters, new Ones()));
        Assert.Equal(((CudaStatus)status, "cuStreamSynchronize"), (later.Status, later.Call));
        Assert.True(later.PoisonsContext);
    }

    [FakeCudaFact]
    public void What_is_forgotten_is_counted_and_given_back_at_the_next_allocation()
    {
        ICudaDriver driver = FakeCuda.Fresh();
        using CudaBackend backend = CudaBackend.Create(driver);
        IParameters parameters = backend.LoadParameters(s_graph.Parameters, new Ones());
        long live = FakeCuda.Live, calls = Forget(backend, parameters);
        Collect();
        Assert.Equal(calls, FakeCuda.Total); // the finalizer thread called nothing
        Assert.Equal(5, backend.LeakedHandles); // arena, two events, graph, executable graph
        using (backend.LoadParameters(s_graph.Parameters, new Ones()))
        {
        }

        parameters.Dispose();
        backend.Dispose();
        Assert.Equal(0, FakeCuda.Live);
        Assert.Equal(5, backend.LeakedHandles);
        Assert.True(live > 5);
    }

    [FakeCudaFact]
    public void A_device_that_is_forgotten_with_all_it_holds_is_given_back_when_one_is_opened()
    {
        ICudaDriver driver = FakeCuda.Fresh();
        ForgetAll(driver);
        long live = FakeCuda.Live, calls = FakeCuda.Total;
        Assert.True(live > 5);
        Collect();
        Assert.Equal((live, calls), (FakeCuda.Live, FakeCuda.Total));
        CudaBackend.Create(driver).Dispose();
        Assert.Equal(0, FakeCuda.Live);
    }

    [FakeCudaFact]
    public void Disposal_on_another_thread_makes_the_context_current_there()
    {
        ICudaDriver driver = FakeCuda.Fresh();
        CudaBackend backend = CudaBackend.Create(driver);
        IParameters parameters = backend.LoadParameters(s_graph.Parameters, new Ones());
        IExecutable run = backend.Load(backend.Plan(s_graph), parameters);
        var failed = new List<Exception>();
        foreach (IDisposable one in new IDisposable[] { run, backend, parameters })
        {
            var thread = new Thread(() =>
            {
                try
                {
                    one.Dispose();
                }
                catch (Exception e)
                {
                    failed.Add(e);
                }
            });
            thread.Start();
            thread.Join();
        }

        Assert.Empty(failed);
        Assert.Equal((0, 0), (FakeCuda.Live, backend.LeakedHandles));
    }

    [FakeCudaFact]
    public void An_executable_keeps_the_weights_it_runs_on()
    {
        using CudaBackend backend = CudaBackend.Create(FakeCuda.Fresh());
        IParameters parameters = backend.LoadParameters(s_graph.Parameters, new Ones());
        IExecutable run = backend.Load(backend.Plan(s_graph), parameters);
        long live = FakeCuda.Live;
        parameters.Dispose();
        Assert.Equal(live, FakeCuda.Live);
        Assert.Throws<ObjectDisposedException>(() => backend.Load(run.Plan, parameters));
        run.SetInput("x", new float[8 * 8 * 4]);
        run.Run();
        run.Dispose();
        backend.Dispose();
        Assert.Equal(0, FakeCuda.Live);
    }

    [FakeCudaFact]
    public void A_launch_that_fails_names_step_op_and_shapes()
    {
        ICudaDriver driver = FakeCuda.Fresh();
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
        using CudaBackend backend = CudaBackend.Create(FakeCuda.Fresh()), other = CudaBackend.Create(FakeCuda.Open());
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
        Assert.Equal(GpuUnavailableReason.NoDevice, Assert.Throws<GpuUnavailableException>(() => CudaBackend.Create(FakeCuda.Open(), new CudaOptions { Device = 1 })).Reason);
        Assert.StartsWith("Stand-in 80 (sm_80), CUDA driver 12.4", backend.Description, StringComparison.Ordinal);
        Assert.True(CudaBackend.TryCreate(null, out CudaBackend? third, out _));
        third.Dispose();
        FakeCuda.Machine(12040, 0);
        Assert.False(CudaBackend.TryCreate(null, out _, out string? reason));
        Assert.Contains("knows no device", reason, StringComparison.Ordinal);
    }

    [FakeCudaFact]
    public void A_device_is_opened_by_its_number_and_given_back()
    {
        ICudaDriver driver = FakeCuda.Fresh();
        FakeCuda.Machine(12040, 2);
        using CudaBackend first = CudaBackend.Create(driver), second = CudaBackend.Create(driver, new CudaOptions { Device = 1 });
        Assert.StartsWith("Stand-in 80 (sm_80)", first.Description, StringComparison.Ordinal);
        Assert.StartsWith("Stand-in 80 no. 1 (sm_80)", second.Description, StringComparison.Ordinal);
        using (IParameters parameters = second.LoadParameters(s_graph.Parameters, new Ones()))
        {
            Assert.Throws<ArgumentException>(() => first.Load(first.Plan(s_graph), parameters));
        }

        first.Dispose();
        second.Dispose();
        Assert.Equal((0, 0, 0), (FakeCuda.Live, first.LeakedHandles, second.LeakedHandles));
        foreach (int beyond in new[] { 2, -1 })
        {
            GpuUnavailableException none = Assert.Throws<GpuUnavailableException>(() => CudaBackend.Create(driver, new CudaOptions { Device = beyond }));
            Assert.Equal((GpuUnavailableReason.NoDevice, $"there is no device {beyond}: the driver knows 2."), (none.Reason, none.Message));
        }
    }

    [FakeCudaFact]
    public void A_machine_describes_itself_and_what_it_lacks()
    {
        FakeCuda.Fresh();
        FakeCuda.Machine(12060, 2);
        Assert.Equal(
            "CUDA driver 12.6, PTX 8.5 or older\ncuda:0 Stand-in 80, sm_80, 108 multiprocessors, 20.0 GiB\ncuda:1 Stand-in 80 no. 1, sm_80, 108 multiprocessors, 20.0 GiB",
            CudaBackend.Describe());
        Assert.Equal(0, FakeCuda.Live);
        FakeCuda.Fail("cuDeviceTotalMem_v2", CudaStatus.InvalidValue);
        Assert.Equal("cuDeviceTotalMem", Assert.Throws<CudaException>(() => CudaBackend.Describe()).Call);
        FakeCuda.Machine(11080, 1);
        Assert.StartsWith("the CUDA driver is version 11.8; 12.0 or newer is needed", CudaBackend.Describe(), StringComparison.Ordinal);
    }

    [FakeCudaFact]
    public void The_program_may_choose_the_driver()
    {
        FakeCuda.Fresh();
        LibCudaDriver chosen = LibCudaDriver.Create();
        FakeCuda.Machine(12060, 1);
        Assert.Equal("CUDA driver 12.4", chosen.Description);
        try
        {
            CudaDriver.Use(chosen);
            Assert.Same(chosen, CudaDriver.Open());
            using CudaBackend backend = CudaBackend.Create();
            Assert.EndsWith("CUDA driver 12.4", backend.Description, StringComparison.Ordinal);
        }
        finally
        {
            CudaDriver.Use(null);
        }

        Assert.Equal("CUDA driver 12.6", CudaDriver.Open().Description);
    }

    [FakeCudaFact]
    public void ADMNATIVE_SYNC_waits_after_every_launch_and_replays_nothing()
    {
        Environment.SetEnvironmentVariable("ADMNATIVE_SYNC", "1");
        try
        {
            ICudaDriver driver = FakeCuda.Fresh();
            using CudaBackend backend = CudaBackend.Create(driver);
            using IParameters parameters = backend.LoadParameters(s_graph.Parameters, new Ones());
            using IExecutable run = backend.Load(backend.Plan(s_graph), parameters);
            run.SetInput("x", new float[8 * 8 * 4]);
            long waits = FakeCuda.Calls("cuStreamSynchronize");
            FakeCuda.Fail("cuStreamSynchronize", CudaStatus.LaunchFailed, 2);
            CudaException failed = Assert.Throws<CudaException>(run.Run);
            Assert.StartsWith("cuStreamSynchronize for ", failed.Call, StringComparison.Ordinal);
            Assert.StartsWith("step ", failed.Subject, StringComparison.Ordinal);
            Assert.Equal((waits + 2, 2, 0), (FakeCuda.Calls("cuStreamSynchronize"), FakeCuda.Calls("cuLaunchKernel"), FakeCuda.Calls("cuGraphLaunch")));
        }
        finally
        {
            Environment.SetEnvironmentVariable("ADMNATIVE_SYNC", null);
        }
    }

    [FakeCudaFact]
    public void An_image_that_does_not_compile_comes_with_file_target_and_log()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("ptx");
        try
        {
            File.WriteAllText(Path.Combine(folder.FullName, "gemm.sm80.ptx"), ".version 7.2\n.target sm_80\n@@\n");
            using var library = new KernelLibrary(FakeCuda.Fresh(), KernelBundle.Open(folder.FullName));
            CudaException failed = Assert.Throws<CudaException>(() => library.Load("gemm_nn_f16", new LaunchShape(1, 1, 1, 128, 1, 1)));
            Assert.Equal((CudaStatus.InvalidPtx, "gemm.sm80.ptx", "sm_80"), (failed.Status, failed.Image, failed.Target));
            Assert.Equal("ptxas application ptx input, line 3; fatal : Parsing error near '@@'", failed.Log);
            Assert.Contains(failed.Log!, failed.Message, StringComparison.Ordinal);
        }
        finally
        {
            folder.Delete(true);
        }
    }

    private static void Whole(ICudaDriver driver, CudaOptions? options = null)
    {
        s_stage = "opening";
        using CudaBackend backend = CudaBackend.Create(driver, options);
        s_stage = "loading";
        using IParameters parameters = backend.LoadParameters(s_graph.Parameters, new Ones());
        using IExecutable run = backend.Load(backend.Plan(s_graph), parameters);
        s_stage = "running";
        run.SetInput("x", new float[8 * 8 * 4]);
        run.Run();
        run.GetOutput("y", new float[8 * 8 * 8]);
        run.Timing = true;
        run.Run();
        s_stage = "end";
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static long Forget(CudaBackend backend, IParameters parameters)
    {
        IExecutable run = backend.Load(backend.Plan(s_graph), parameters);
        run.SetInput("x", new float[8 * 8 * 4]);
        run.Run();
        return FakeCuda.Total;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void ForgetAll(ICudaDriver driver)
    {
        CudaBackend backend = CudaBackend.Create(driver);
        Forget(backend, backend.LoadParameters(s_graph.Parameters, new Ones()));
    }

    private static void Collect()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }

    /// <summary>The name of a call in our sources.</summary>
    private static string Plain(string call) => call[(call.StartsWith("cuDeviceP", StringComparison.Ordinal) ? 8 : 2)..]
        .Replace("_v2", "", StringComparison.Ordinal).Replace("Async", "", StringComparison.Ordinal).Replace("WithFlags", "", StringComparison.Ordinal);

    [GeneratedRegex(@"\[\d+(,\d+)*\]|^a disposal")]
    private static partial Regex Shapes();

    private static Graph Model()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [1, 8, 8, 4]);
        Node h = graph.Conv2d(x, graph.Parameter("conv", [8, 4, 3, 3]), graph.Parameter("bias", [8]), null, 1, 1, 1);
        h = graph.GroupNorm(h, graph.Parameter("gamma", [8]), graph.Parameter("beta", [8]), null, groups: 2, silu: true);
        graph.Output("y", graph.Silu(graph.Linear(h, graph.Parameter("linear", [8, 8]), graph.Parameter("linear.bias", [8]))));
        return graph;
    }

    private sealed class Ones(Graph? graph = null) : ITensorSource
    {
        public string Description => "ones";

        public IReadOnlyDictionary<string, TensorType> Tensors { get; } = (graph ?? s_graph).Parameters.ToDictionary(p => p.Key, p => p.Value.Type);

        public void ReadFloats(string name, Span<float> destination) => destination.Fill(1);
    }
}
