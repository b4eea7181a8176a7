using AdmNative.Core;
using AdmNative.Core.Tests;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;

namespace AdmNative.Tests.Backend;

/// <summary>
/// The backend with convolutions by cuDNN, on the virtual device and a cuDNN of plain loops: which calls it makes, in which order, with which descriptors,
/// addresses and workspaces. Nothing here says anything about the real library.
/// </summary>
public sealed class CudnnBackendTests
{
    /// <summary>What the project promises for one network evaluation and its gradients, relative to the largest value.</summary>
    private const double Promise = 1e-4;

    [Theory]
    [InlineData(2, 8, 8)]
    [InlineData(3, 8, 10)] // channels that are not whole 16 bytes
    public void A_unet_agrees_with_the_twins(int batch, int size, int channels)
    {
        Graph graph = Passes.Optimize(TinyNetworks.UNet(batch, size, channels));
        using VirtualDriver driver = Watched();
        var cudnn = new TwinCudnn(driver);
        Compare(graph, driver, cudnn, Promise);
        Assert.Equal([graph.Nodes.Count(n => n.Op is Conv2d) * 2, 0, 0], cudnn.Convolved);
        Assert.Equal([(CudnnDataType.Float, CudnnMath.Fma)], cudnn.Maths);
    }

    [Fact]
    public void Gradients_agree_with_the_twins()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [2, 6, 7, 3]);
        Node h = Conv(graph, "in", x, 10, 3, 1, null);
        h = Conv(graph, "same", graph.Silu(h), 10, 3, 1, h); // a residual
        h = Conv(graph, "down", graph.Silu(h), 8, 3, 2, null);
        h = Conv(graph, "mix", h, 6, 1, 1, null);
        graph.Output("y", h);
        Node seed = graph.Input("seed", h.Shape);
        Node[] wanted = [x, .. graph.Parameters.Values];
        Node[] gradients = Gradients.Add(graph, [(h, seed)], wanted);
        for (int i = 0; i < wanted.Length; i++)
        {
            graph.Output($"grad.{wanted[i].Name}", gradients[i]);
        }

        using VirtualDriver driver = Watched();
        var cudnn = new TwinCudnn(driver);
        Compare(Passes.Optimize(graph), driver, cudnn, Promise);
        Assert.Equal([8, 8, 8], cudnn.Convolved);
    }

    [Theory]
    [InlineData("Conv2d")]
    [InlineData("Conv2dInputGrad")]
    [InlineData("Conv2dWeightGrad")]
    public void Every_case_of_an_op_matches_its_twin(string name)
    {
        using VirtualDriver driver = Watched();
        foreach (OpCase sample in OpTable.Prototype(name).Cases())
        {
            var graph = new Graph();
            Node[] operands =
            [
                .. sample.Inputs.Select((type, i) => i == 1 && name != "Conv2dWeightGrad" ? graph.Parameter("w", type.Shape) : graph.Input($"in{i}", type)),
            ];
            graph.Output("y", graph.Add(sample.Op, (ReadOnlySpan<Node?>)operands));
            var cudnn = new TwinCudnn(driver);

            // One sum per element in double, rounded once or (where something is added) twice.
            Compare(graph, driver, cudnn, 4 * Math.ScaleB(1, -24));
            Assert.Equal(2, cudnn.Convolved.Sum());
        }
    }

    [Fact]
    public void What_cudnn_refuses_our_kernels_compute_and_a_line_says_so()
    {
        Graph graph = Passes.Optimize(TinyNetworks.UNet(1, 8, 8));
        using var driver = new VirtualDriver(new VirtualDriverOptions { Launch = new LaunchOptions { Checks = Checks.None, Counters = false } });
        var cudnn = new TwinCudnn(driver) { Refuse = (_, x) => x.H < 8 };
        List<string> log = [];
        Compare(graph, driver, cudnn, Promise, log);
        int all = 2 * graph.Nodes.Count(n => n.Op is Conv2d);
        Assert.InRange(cudnn.Convolved[0], 2, all - 2);
        Assert.Equal("convolutions: a cuDNN of plain loops", log[0]);
        Assert.All(log.Skip(1), line => Assert.Contains("our kernel", line, StringComparison.Ordinal));
        Assert.Contains("x [1,4,4,16]", string.Join('\n', log), StringComparison.Ordinal);
        Assert.Equal(log.Distinct().Count(), log.Count);
    }

    [Fact]
    public void A_virtual_device_has_no_cudnn_of_its_own()
    {
        using VirtualDriver driver = Watched();
        List<string> log = [];
        using (CudaBackend backend = CudaBackend.Create(driver, new CudaOptions { Log = log.Add }))
        {
            Assert.Equal("our kernels", backend.Convolutions);
        }

        Assert.Empty(log);
        GpuUnavailableException refused = Assert.Throws<GpuUnavailableException>(
            () => CudaBackend.Create(driver, new CudaOptions { Convolutions = ConvolutionChoice.Cudnn }));
        Assert.Equal(GpuUnavailableReason.NoCudnn, refused.Reason);
        Assert.Contains("virtual device", refused.Message, StringComparison.Ordinal);
        using CudaBackend native = CudaBackend.Create(
            driver, new CudaOptions { Convolutions = ConvolutionChoice.Native, Cudnn = new CudnnOptions { Library = new TwinCudnn(driver) } });
        Assert.Equal("our kernels", native.Convolutions);
    }

    private static Node Conv(Graph graph, string name, Node x, int channels, int side, int stride, Node? residual) => graph.Conv2d(
        x, graph.Parameter($"{name}.weight", [channels, x.Shape.Last, side, side]), graph.Parameter($"{name}.bias", [channels]), residual, stride, side / 2, side / 2);

    private static VirtualDriver Watched() => new(new VirtualDriverOptions
    {
        Launch = new LaunchOptions { Checks = Checks.All & ~Checks.Numeric, Schedule = SchedulePolicy.Random, Seed = 5, Delivery = AsyncDelivery.Late },
        Streams = StreamOrder.Deferred,
    });

    /// <summary>Two runs, the second over old results, against the twins in double; nothing found, nothing left.</summary>
    private static void Compare(Graph graph, VirtualDriver driver, TwinCudnn cudnn, double tolerance, List<string>? log = null)
    {
        Dictionary<string, HostArray<double>> expected = Numbers.Evaluate(graph, 3);
        var options = new CudaOptions { Replay = false, Cudnn = new CudnnOptions { Library = cudnn }, Log = log is null ? null : log.Add };
        using (CudaBackend backend = CudaBackend.Create(driver, options))
        using (IParameters parameters = backend.LoadParameters(graph.Parameters, new NumberSource(Numbers.Parameters(graph, 3))))
        using (IExecutable run = backend.Load(backend.Plan(graph), parameters))
        {
            Assert.Equal(cudnn.Description, backend.Convolutions);
            for (int i = 0; i < 2; i++)
            {
                Feed(run);
                run.Run();
                foreach ((string name, Node node) in graph.Outputs)
                {
                    float[] y = new float[node.Shape.Elements];
                    run.GetOutput(name, y);
                    double scale = expected[name].Data.Max(Math.Abs);
                    for (int e = 0; e < y.Length; e++)
                    {
                        double error = Math.Abs(expected[name].Data[e] - y[e]);
                        Assert.True(error <= tolerance * scale, $"run {i}, {name}, element {e} is {y[e]:R}, expected {expected[name].Data[e]:R}, largest {scale:g3}");
                    }
                }
            }
        }

        Assert.True(driver.Findings.Count == 0, string.Join('\n', driver.Findings));
        Assert.Equal(0, cudnn.Live);
    }

    private static void Feed(IExecutable run)
    {
        foreach ((string name, HostArray<double> value) in Numbers.Inputs(run.Plan.Graph, 3))
        {
            if (run.Plan.Graph.Inputs[name].Type.DType == DType.I32)
            {
                run.SetInput(name, Array.ConvertAll(value.Data, v => (int)v));
            }
            else
            {
                run.SetInput(name, Array.ConvertAll(value.Data, v => (float)v));
            }
        }
    }
}
