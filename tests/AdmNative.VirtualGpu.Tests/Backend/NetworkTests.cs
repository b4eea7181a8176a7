using AdmNative.Core;
using AdmNative.Core.Tests;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;

namespace AdmNative.Tests.Backend;

/// <summary>A whole small network through passes, planner and shipped kernels on the virtual device.</summary>
public sealed class NetworkTests
{
    /// <summary>What the project promises for one network evaluation, relative to the largest value.</summary>
    private const double Promise = 1e-4;

    [Theory]
    [Trait("Category", "Slow")]
    [InlineData(2, 8, 8)]
    [InlineData(1, 16, 32)]
    public void Larger_unets_agree_with_the_twins_and_are_silent_under_all_checks(int batch, int size, int channels) =>
        A_unet_agrees_with_the_twins_and_is_silent_under_all_checks(batch, size, channels);

    [Theory]
    [InlineData(3, 8, 10)] // channels that are not whole 16 bytes
    public void A_unet_agrees_with_the_twins_and_is_silent_under_all_checks(int batch, int size, int channels)
    {
        Graph graph = Passes.Optimize(TinyNetworks.UNet(batch, size, channels));
        var options = new LaunchOptions { Checks = Checks.All & ~Checks.Numeric, Schedule = SchedulePolicy.Random, Seed = 5, Delivery = AsyncDelivery.Late };
        using var driver = new VirtualDriver(new VirtualDriverOptions { Launch = options, Streams = StreamOrder.Deferred });
        float[] watched = Run(graph, driver, new CudaOptions());
        Assert.True(driver.Findings.Count == 0, string.Join('\n', driver.Findings));
        AssertAgrees(graph, watched);

        // The same bits compiled, launched one by one, with a wait after each.
        using var fast = new VirtualDriver(new VirtualDriverOptions { Launch = new LaunchOptions { Checks = Checks.None, Counters = false } });
        Assert.Equal(watched, Run(graph, fast, new CudaOptions { Replay = false }));
        Assert.Equal(watched, Run(graph, fast, new CudaOptions { SynchronizeEachLaunch = true }));
    }

    [Theory]
    [Trait("Category", "Slow")]
    [InlineData(KernelDType.F16, 2, 8, 8)]
    [InlineData(KernelDType.BF16, 1, 8, 10)] // channels that are not whole 16 bytes
    public void In_half_precision_a_unet_is_as_far_off_as_rounding_what_is_stored_makes_it(KernelDType type, int batch, int size, int channels)
    {
        Graph graph = Passes.Optimize(TinyNetworks.UNet(batch, size, channels));
        double[] expected = Numbers.Evaluate(graph, 3)["eps"].Data;
        var options = new LaunchOptions { Checks = Checks.All & ~Checks.Numeric, Schedule = SchedulePolicy.Random, Seed = 5, Delivery = AsyncDelivery.Late };
        using var driver = new VirtualDriver(new VirtualDriverOptions { Launch = options, Streams = StreamOrder.Deferred });
        float[] watched = Run(graph, driver, new CudaOptions { Precision = type });
        Assert.True(driver.Findings.Count == 0, string.Join('\n', driver.Findings));

        using CudaBackend backend = CudaBackend.Create(driver, new CudaOptions { Precision = type });
        double[] rounded = RoundedTwins.Evaluate(backend.Plan(graph), type, Numbers.Inputs(graph, 3), Numbers.Parameters(graph, 3))["eps"].Data;
        double scale = expected.Max(Math.Abs), allowed = RoundedTwins.Factor * expected.Zip(rounded, (e, r) => Math.Abs(e - r)).Max();
        Assert.InRange(allowed, Promise * scale, 0.3 * scale); // it loses something, and not everything
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.True(Math.Abs(expected[i] - watched[i]) <= allowed, $"element {i} is {watched[i]:R}, expected {expected[i]:R} within {allowed:g3}");
        }

        // The same bits compiled, launched one by one.
        using var fast = new VirtualDriver(new VirtualDriverOptions { Launch = new LaunchOptions { Checks = Checks.None, Counters = false } });
        Assert.Equal(watched, Run(graph, fast, new CudaOptions { Precision = type, Replay = false }));
        Assert.Equal(2 * 2, fast.Reports.Count(r => r.Kernel.Contains("cast", StringComparison.Ordinal))); // two runs: images in, the last map into the head
    }

    [Fact]
    public void A_timed_run_gives_the_same_and_times_every_step()
    {
        Graph graph = Passes.Optimize(TinyNetworks.UNet());
        using var driver = new VirtualDriver(new VirtualDriverOptions { Launch = new LaunchOptions { Checks = Checks.None, Counters = false } });
        using CudaBackend backend = CudaBackend.Create(driver);
        using IParameters parameters = backend.LoadParameters(graph.Parameters, new NumberSource(Numbers.Parameters(graph, 3)));
        using IExecutable run = backend.Load(backend.Plan(graph), parameters);
        float[] replayed = Run(run), timed;
        run.Timing = true;
        timed = Run(run);
        Assert.Equal(replayed, timed);
        Assert.Equal(run.Plan.Steps.Count, run.StepSeconds.Count);
        Assert.All(run.StepSeconds, s => Assert.True(s >= 0));
        Assert.Equal(((ICudaExecutable)run).StepLaunches, backend.StepLaunches(run.Plan)); // told from the plan alone
        Assert.True(parameters.Bytes >= graph.Parameters.Values.Sum(p => p.Shape.Elements * 4));
    }

    [Theory]
    [InlineData(1, 12)]
    [InlineData(5, 12)]
    [InlineData(70, 12)] // rows enough for a convolution
    [InlineData(3, 9)] // weights in rows that are not whole 16 bytes
    public void Weights_that_are_stacked_are_there_once_and_other_graphs_find_them(int rows, int width)
    {
        var stacked = new Graph();
        Node x = stacked.Input("x", [rows, width]);
        Node image = stacked.Input("image", [rows, 2, 2, 8]);
        Node[] layers = [.. new[] { "a", "b" }.Select(n => stacked.Linear(x, stacked.Parameter($"{n}.weight", [8, width]), stacked.Parameter($"{n}.bias", [8])))];
        stacked.Output("eps", layers.Aggregate(image, stacked.AddPerSample));

        var single = new Graph();
        Node dy = single.Input("dy", [rows, 8]);
        Node dx = single.Add(new LinearInputGrad(), dy, single.Parameter("b.weight", [8, width]));
        single.Output("eps", single.Linear(dx, single.Parameter("b.weight", [8, width]), single.Parameter("b.bias", [8])));

        using var driver = new VirtualDriver(new VirtualDriverOptions { Launch = new LaunchOptions { Checks = Checks.All & ~Checks.Numeric } });
        using CudaBackend backend = CudaBackend.Create(driver);
        using IParameters parameters = backend.LoadParameters(stacked.Parameters, new NumberSource(Numbers.Parameters(stacked, 3)));
        Plan plan = backend.Plan(stacked);
        Assert.Equal(["StackedLinear", "AddPerSample", "AddPerSample"], plan.Steps.Select(s => s.Node.Op!.Name));
        using IExecutable first = backend.Load(plan, parameters);
        long padded = (width + 3) / 4 * 4;
        Assert.Equal(4 * 2 * ((8 * padded) + 8), parameters.Bytes);
        using IExecutable second = backend.Load(backend.Plan(single), parameters);
        long flipped = width % 4 == 0 ? 0 : 8 * width; // rows of whole 16 bytes take the filters as they are
        Assert.Equal(4 * ((2 * ((8 * padded) + 8)) + flipped), parameters.Bytes);
        foreach ((IExecutable run, Graph graph) in new[] { (first, stacked), (second, single), (first, stacked) })
        {
            Dictionary<string, HostArray<double>> weights = Numbers.Parameters(stacked, 3).Where(w => graph.Parameters.ContainsKey(w.Key)).ToDictionary();
            double[] expected = TwinEvaluator.Evaluate(graph, Numbers.Inputs(graph, 3), weights)["eps"].Data;
            double scale = expected.Max(Math.Abs);
            Assert.All(Run(run).Zip(expected), v => Assert.InRange(v.First - v.Second, -Promise * scale, Promise * scale));
        }

        Assert.True(driver.Findings.Count == 0, string.Join('\n', driver.Findings));
    }

    /// <summary>As close to the twins in double as the project promises.</summary>
    internal static void AssertAgrees(Graph graph, float[] actual)
    {
        double[] expected = Numbers.Evaluate(graph, 3)["eps"].Data;
        double scale = expected.Max(Math.Abs);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.True(Math.Abs(expected[i] - actual[i]) <= Promise * scale, $"element {i} is {actual[i]:R}, expected {expected[i]:R}, largest {scale:g3}");
        }
    }

    /// <summary>The network on a device of a driver, twice.</summary>
    internal static float[] Run(Graph graph, ICudaDriver driver, CudaOptions options)
    {
        using CudaBackend backend = CudaBackend.Create(driver, options);
        using IParameters parameters = backend.LoadParameters(graph.Parameters, new NumberSource(Numbers.Parameters(graph, 3)));
        using IExecutable run = backend.Load(backend.Plan(graph), parameters);
        float[] first = Run(run);
        Assert.Equal(first, Run(run)); // again over old results
        return first;
    }

    private static float[] Run(IExecutable run)
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
        float[] y = new float[run.Plan.Graph.Outputs.Single().Node.Shape.Elements];
        run.GetOutput("eps", y);
        return y;
    }
}
