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
        Assert.Equal([(CudnnDataType.F32, CudnnMath.Fma)], cudnn.Maths);
    }

    [Theory]
    [InlineData(KernelDType.F16, CudnnDataType.Half, 2, 8)]
    [InlineData(KernelDType.BF16, CudnnDataType.BFloat16, 1, 10)] // channels that are not whole 16 bytes
    public void In_half_precision_a_unet_is_as_far_off_as_rounding_what_is_stored_makes_it(KernelDType type, CudnnDataType told, int batch, int channels)
    {
        Graph graph = Passes.Optimize(TinyNetworks.UNet(batch, 8, channels));
        double[] expected = Numbers.Evaluate(graph, 3)["eps"].Data;
        using VirtualDriver driver = Watched();
        var cudnn = new TwinCudnn(driver);
        CudaOptions options = Options(cudnn) with { Precision = type };
        using CudaBackend backend = CudaBackend.Create(driver, options);
        double[] rounded = RoundedTwins.Evaluate(backend.Plan(graph), type, Numbers.Inputs(graph, 3), Numbers.Parameters(graph, 3))["eps"].Data;

        // Three times what storage alone must lose, as with our kernels; and as much again, because what a product is added to is rounded before it too.
        double allowed = 2 * 3 * expected.Zip(rounded, (e, r) => Math.Abs(e - r)).Max();
        Assert.True(allowed < 0.3 * expected.Max(Math.Abs));
        float[] y = Run(graph, driver, options)["eps"];
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.True(Math.Abs(expected[i] - y[i]) <= allowed, $"element {i} is {y[i]:R}, expected {expected[i]:R} within {allowed:g3}");
        }

        Assert.True(driver.Findings.Count == 0, string.Join('\n', driver.Findings));
        Assert.Equal(new HashSet<(CudnnDataType, CudnnMath)> { (told, CudnnMath.TensorOp), (CudnnDataType.F32, CudnnMath.Fma) }, cudnn.Maths); // the head is f32
        Assert.Equal(2 * graph.Nodes.Count(n => n.Op is Conv2d), cudnn.Convolved[0]);
    }

    [Fact]
    public void Gradients_agree_with_the_twins()
    {
        Graph graph = WithGradients();
        using VirtualDriver driver = Watched();
        var cudnn = new TwinCudnn(driver);
        Compare(graph, driver, cudnn, Promise);
        Assert.Equal([8, 8, 8], cudnn.Convolved);
    }

    [Fact]
    public void A_unet_and_all_its_gradients_agree_with_the_twins()
    {
        Graph graph = TinyNetworks.UNet(1, 4, 4);
        TinyNetworks.AddGradients(graph, "eps", [graph.Inputs["x"], .. graph.Parameters.Values]);
        graph = Passes.Optimize(graph);
        using VirtualDriver driver = Watched();
        var cudnn = new TwinCudnn(driver);
        Compare(graph, driver, cudnn, Promise);
        int Twice<T>() => 2 * graph.Nodes.Count(n => n.Op is T);
        Assert.Equal([Twice<Conv2d>(), Twice<Conv2dInputGrad>(), Twice<Conv2dWeightGrad>()], cudnn.Convolved);
        Assert.All(cudnn.Convolved, n => Assert.True(n >= 10));
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
        using VirtualDriver driver = Watched();
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

    /// <summary>Four convolutions with a residual, a stride of 2 and 1x1, and the gradients of the input and of all parameters.</summary>
    internal static Graph WithGradients()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [2, 6, 7, 3]);
        Node h = Conv(graph, "in", x, 10, 3, 1, null);
        h = Conv(graph, "same", graph.Silu(h), 10, 3, 1, h);
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

        return Passes.Optimize(graph);
    }

    /// <summary>The outputs of a run over the results of another; both are the same, with everything given back.</summary>
    internal static Dictionary<string, float[]> Run(Graph graph, ICudaDriver driver, CudaOptions options)
    {
        using CudaBackend backend = CudaBackend.Create(driver, options);
        using IParameters parameters = backend.LoadParameters(graph.Parameters, new NumberSource(Numbers.Parameters(graph, 3)));
        using IExecutable run = backend.Load(backend.Plan(graph), parameters);
        Assert.NotEqual("our kernels", backend.Convolutions);
        Dictionary<string, float[]> once = Outputs(run), again = Outputs(run);
        Assert.Equal(once, again);
        return again;
    }

    internal static void AssertAgree(Graph graph, Dictionary<string, float[]> outputs, double tolerance)
    {
        foreach ((string name, HostArray<double> expected) in Numbers.Evaluate(graph, 3))
        {
            double scale = expected.Data.Max(Math.Abs);
            for (int i = 0; i < expected.Data.Length; i++)
            {
                (double e, float y) = (expected.Data[i], outputs[name][i]);
                Assert.True(Math.Abs(e - y) <= tolerance * scale, $"{name}, element {i} is {y:R}, expected {e:R}, largest {scale:g3}");
            }
        }
    }

    private static CudaOptions Options(TwinCudnn cudnn) => new() { Replay = false, Cudnn = new CudnnOptions { Library = cudnn } };

    private static Node Conv(Graph graph, string name, Node x, int channels, int side, int stride, Node? residual) => graph.Conv2d(
        x, graph.Parameter($"{name}.weight", [channels, x.Shape.Last, side, side]), graph.Parameter($"{name}.bias", [channels]), residual, stride, side / 2, side / 2);

    private static VirtualDriver Watched() => new(new VirtualDriverOptions
    {
        Launch = new LaunchOptions { Checks = Checks.All & ~Checks.Numeric, Schedule = SchedulePolicy.Random, Seed = 5, Delivery = AsyncDelivery.Late },
        Streams = StreamOrder.Deferred,
    });

    private static void Compare(Graph graph, VirtualDriver driver, TwinCudnn cudnn, double tolerance, List<string>? log = null)
    {
        AssertAgree(graph, Run(graph, driver, Options(cudnn) with { Log = log is null ? null : log.Add }), tolerance);
        Assert.True(driver.Findings.Count == 0, string.Join('\n', driver.Findings));
        Assert.Equal(0, cudnn.Live);
    }

    private static Dictionary<string, float[]> Outputs(IExecutable run)
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

        run.Run();
        Dictionary<string, float[]> outputs = [];
        foreach ((string name, Node node) in run.Plan.Graph.Outputs)
        {
            outputs.Add(name, new float[node.Shape.Elements]);
            run.GetOutput(name, outputs[name]);
        }

        return outputs;
    }
}
