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
    [InlineData(2, 8, 8)]
    [InlineData(1, 16, 32)]
    [InlineData(3, 8, 10)] // channels that are not whole 16 bytes
    public void A_unet_agrees_with_the_twins_and_is_silent_under_all_checks(int batch, int size, int channels)
    {
        Graph graph = Passes.Optimize(TinyNetworks.UNet(batch, size, channels));
        double[] expected = Numbers.Evaluate(graph, 3)["eps"].Data;
        var options = new LaunchOptions { Checks = Checks.All & ~Checks.Numeric, Schedule = SchedulePolicy.Random, Seed = 5, Delivery = AsyncDelivery.Late };
        using var driver = new VirtualDriver(new VirtualDriverOptions { Launch = options, Streams = StreamOrder.Deferred });
        float[] watched = Run(graph, driver, new CudaOptions());
        Assert.True(driver.Findings.Count == 0, string.Join('\n', driver.Findings));
        double scale = expected.Max(Math.Abs);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.True(Math.Abs(expected[i] - watched[i]) <= Promise * scale, $"element {i} is {watched[i]:R}, expected {expected[i]:R}, largest {scale:g3}");
        }

        // The same bits compiled, launched one by one, with a wait after each.
        using var fast = new VirtualDriver(new VirtualDriverOptions { Launch = new LaunchOptions { Checks = Checks.None, Counters = false } });
        Assert.Equal(watched, Run(graph, fast, new CudaOptions { Replay = false }));
        Assert.Equal(watched, Run(graph, fast, new CudaOptions { SynchronizeEachLaunch = true }));
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
        Assert.True(parameters.Bytes >= graph.Parameters.Values.Sum(p => p.Shape.Elements * 4));
    }

    private static float[] Run(Graph graph, VirtualDriver driver, CudaOptions options)
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
