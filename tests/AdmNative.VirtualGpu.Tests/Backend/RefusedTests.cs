using AdmNative.Core;
using AdmNative.Core.Tests;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;

namespace AdmNative.Tests.Backend;

/// <summary>Graphs that the cuda device has no kernel for, and weights it cannot hold: refused before anything runs, by name, with what there is.</summary>
public sealed class RefusedTests
{
    [Theory]
    [InlineData(5, 1, 2)]
    [InlineData(3, 1, 0)]
    [InlineData(1, 2, 0)]
    public void A_filter_that_no_kernel_covers_is_refused_when_it_is_planned(int side, int stride, int padding)
    {
        using var driver = new VirtualDriver();
        using CudaBackend backend = CudaBackend.Create(driver);
        var graph = new Graph();
        Node x = graph.Input("x", TensorType.F32([1, 8, 8, 16])), w = graph.Parameter("w", [32, 16, side, side]);
        graph.Output("y", graph.Conv2d(x, w, stride: stride, padH: padding, padW: padding));
        string message = Assert.Throws<NotSupportedException>(() => backend.Plan(graph)).Message;
        Assert.Contains("Conv2d on a cuda device is 3x3 with padding 1", message, StringComparison.Ordinal);
        Assert.Contains($"Stride={stride}", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Weights_that_are_computed_are_refused_when_the_plan_is_loaded()
    {
        using var driver = new VirtualDriver();
        using CudaBackend backend = CudaBackend.Create(driver);
        var graph = new Graph();
        graph.Output("y", graph.Linear(graph.Input("x", TensorType.F32([4, 16])), graph.Input("w", TensorType.F32([8, 16]))));
        using IParameters none = backend.LoadParameters(graph.Parameters, new NumberSource([]));
        Plan plan = backend.Plan(graph);
        string message = Assert.Throws<NotSupportedException>(() => backend.Load(plan, none)).Message;
        Assert.Contains("Linear with weights that are computed, not loaded, has no kernel", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_weight_beyond_f16_is_refused_by_name_and_bf16_takes_it()
    {
        var graph = new Graph();
        Node h = graph.Input("x", [1, 4, 4, 8]);
        foreach (string name in new[] { "first", "last" }) // the last is the network's head, which stays f32
        {
            h = graph.Plus(h, graph.Silu(graph.Conv2d(h, graph.Parameter(name, [8, 8, 3, 3]), padH: 1, padW: 1)));
        }

        graph.Output("y", h);
        Dictionary<string, HostArray<double>> weights = Numbers.Parameters(graph, 3);
        weights["first"].Data[7] = -70000;
        weights["last"].Data[7] = 70000;
        using var driver = new VirtualDriver();
        void Load(KernelDType precision)
        {
            using CudaBackend backend = CudaBackend.Create(driver, new CudaOptions { Precision = precision });
            using IParameters parameters = backend.LoadParameters(graph.Parameters, new NumberSource(weights));
            backend.Load(backend.Plan(graph), parameters).Dispose();
        }

        string message = Assert.Throws<CheckpointException>(() => Load(KernelDType.F16)).Message;
        Assert.Equal("parameter first holds -70000, beyond f16 (65504); compute in bf16 or f32", message);
        Load(KernelDType.BF16);
        Load(KernelDType.F32);
    }
}
