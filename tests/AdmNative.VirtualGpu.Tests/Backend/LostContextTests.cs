using AdmNative.Core;
using AdmNative.Core.Tests;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;

namespace AdmNative.Tests.Backend;

/// <summary>A kernel that really touches memory it does not own: who says so, what works afterwards.</summary>
public sealed class LostContextTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_fault_is_kept_until_the_device_is_opened_anew(bool wait)
    {
        var graph = new Graph();
        graph.Output("y", graph.Silu(graph.Embedding(graph.Parameter("table", [10, 16]), graph.Input("labels", new TensorType(DType.I32, [2])))));
        var weights = new NumberSource(Numbers.Parameters(graph, 3));
        using var driver = new VirtualDriver(new VirtualDriverOptions { Launch = new LaunchOptions { Checks = Checks.None, Counters = false }, Streams = StreamOrder.Deferred });
        CudaBackend backend = CudaBackend.Create(driver, new CudaOptions { SynchronizeEachLaunch = wait });
        IParameters parameters = backend.LoadParameters(graph.Parameters, weights);
        IExecutable run = backend.Load(backend.Plan(graph), parameters);
        run.SetInput("labels", (ReadOnlySpan<int>)[3, 4]);
        Assert.Equal(CudaStatus.Success, driver.MemFree(((CudaParameters)parameters).Get("table", [10, 16], WeightForm.Plain, KernelDType.F32))); // behind the library's back
        float[] y = new float[32];
        CudaException first = Assert.Throws<CudaException>(() =>
        {
            run.Run();
            run.GetOutput("y", y);
        });
        Assert.True(first.PoisonsContext, first.Message);
        Assert.Contains(wait ? "step 0, " : "reading output y f32[2,16]", first.Subject, StringComparison.Ordinal);
        Assert.Contains(wait ? "Embedding" : "ADMNATIVE_SYNC=1", first.Subject, StringComparison.Ordinal);

        CudaException later = Assert.Throws<CudaException>(() => run.SetInput("labels", (ReadOnlySpan<int>)[3, 4]));
        Assert.Equal((first.Status, first.Call, first.Subject), (later.Status, later.Call, later.Subject));
        backend.Dispose();
        run.Dispose();
        parameters.Dispose();
        Assert.Equal(0, backend.LeakedHandles);

        using CudaBackend again = CudaBackend.Create(driver);
        using IParameters loaded = again.LoadParameters(graph.Parameters, weights);
        using IExecutable works = again.Load(again.Plan(graph), loaded);
        works.SetInput("labels", (ReadOnlySpan<int>)[3, 4]);
        works.Run();
        works.GetOutput("y", y);
        Assert.Contains(y, v => v != 0);
    }
}
