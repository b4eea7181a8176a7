using AdmNative.Core;
using AdmNative.Core.Tests;

namespace AdmNative.Cpu.Tests;

/// <summary>Weights, errors and options of the cpu device.</summary>
public sealed class BackendTests
{
    [Fact]
    public void A_missing_or_misshapen_weight_is_named_with_both_shapes()
    {
        var graph = new Graph();
        graph.Parameter("there", [2, 3]);
        graph.Parameter("absent.weight", [4, 5]);
        graph.Parameter("wrong.weight", [6, 7]);
        var source = new NumberSource(new() { ["there"] = new([2, 3]), ["wrong.weight"] = new([7, 6]), ["more"] = new([1]) });
        var error = Assert.Throws<CheckpointException>(() => Backends.Get(Isa.Auto, 1).LoadParameters(graph.Parameters, source));
        Assert.Contains("absent.weight [4,5] is missing", error.Message, StringComparison.Ordinal);
        Assert.Contains("wrong.weight is [7,6], the model wants [6,7]", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("there", error.Message.Split('\n')[1], StringComparison.Ordinal);
    }

    [Fact]
    public void Packed_weights_are_shared_between_batch_sizes_and_replace_the_plain_ones()
    {
        CpuBackend backend = Backends.Get(Isa.Auto, 2);
        Graph first = Conv(2, gradient: false);
        Dictionary<string, HostArray<double>> weights = Numbers.Parameters(first, 1);
        using IParameters parameters = backend.LoadParameters(first.Parameters, new NumberSource(weights));
        long plain = first.Parameters.Values.Sum(p => p.Shape.Elements * sizeof(float));
        Assert.Equal(plain, parameters.Bytes);

        using IExecutable one = backend.Load(backend.Plan(first), parameters);
        long packed = parameters.Bytes;
        Assert.True(packed <= plain, $"{packed} bytes of weights for a network that has {plain}");
        using IExecutable two = backend.Load(backend.Plan(Conv(5, gradient: false)), parameters);
        Assert.Equal(packed, parameters.Bytes);

        // The gradient wants another form, which must come from the packed one: the plain weights are gone.
        Graph backward = Conv(3, gradient: true);
        using IExecutable three = backend.Load(backend.Plan(backward), parameters);
        Assert.True(parameters.Bytes > packed);
        var x = new float[backward.Inputs["x"].Shape.Elements];
        for (int i = 0; i < x.Length; i++)
        {
            x[i] = (float)Math.Sin(i);
        }

        three.SetInput("x", x);
        three.Run();
        Dictionary<string, HostArray<double>> expected = TwinEvaluator.Evaluate(
            backward, new Dictionary<string, HostArray<double>> { ["x"] = new(backward.Inputs["x"].Shape, Array.ConvertAll(x, v => (double)v)) }, weights);
        foreach ((string name, HostArray<double> value) in expected)
        {
            var actual = new float[value.Data.Length];
            three.GetOutput(name, actual);
            SingleOp.AssertClose(name, value.Data, actual, 1e-4);
        }
    }

    [Fact]
    public void Inputs_and_outputs_are_checked()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [2, 3]);
        Node y = graph.Input("y", new TensorType(DType.I32, [2]));
        graph.Output("row", graph.Plus(graph.Embedding(graph.Parameter("table", [4, 3]), y), x));
        CpuBackend backend = Backends.Get(Isa.Auto, 1);
        using IParameters parameters = backend.LoadParameters(graph.Parameters, new NumberSource(Numbers.Parameters(graph, 1)));
        using IExecutable run = backend.Load(backend.Plan(graph), parameters);
        Assert.Contains("input x", Assert.Throws<InvalidOperationException>(run.Run).Message, StringComparison.Ordinal);
        Assert.Contains("there is no input z", Assert.Throws<ArgumentException>(() => run.SetInput("z", new float[6])).Message, StringComparison.Ordinal);
        Assert.Contains("got 5 values", Assert.Throws<ShapeException>(() => run.SetInput("x", new float[5])).Message, StringComparison.Ordinal);
        Assert.Contains("i32", Assert.Throws<ShapeException>(() => run.SetInput("y", new float[2])).Message, StringComparison.Ordinal);
        run.SetInput("x", new float[6]);
        run.SetInput("y", [1, 4]);
        Assert.Contains("sample 1 is 4, not one of 0..3", Assert.Throws<ArgumentOutOfRangeException>(run.Run).Message, StringComparison.Ordinal);
        run.SetInput("y", [1, 3]);
        run.Run();
        Assert.Throws<ArgumentException>(() => run.GetOutput("z", new float[6]));
        Assert.Throws<ShapeException>(() => run.GetOutput("row", new float[5]));
        run.Dispose();
        Assert.Throws<ObjectDisposedException>(run.Run);
    }

    [Fact]
    public void Weights_of_another_device_are_refused()
    {
        var graph = new Graph();
        graph.Output("y", graph.Silu(graph.Input("x", [3])));
        using var twins = new TwinBackend();
        CpuBackend backend = Backends.Get(Isa.Auto, 1);
        using IParameters parameters = twins.LoadParameters(graph.Parameters, new NumberSource([]));
        Assert.Throws<ArgumentException>(() => backend.Load(backend.Plan(graph), parameters));
    }

    [Fact]
    public void The_description_says_what_runs()
    {
        using var backend = new CpuBackend(new CpuOptions { Isa = Isa.Portable, Threads = 1 });
        Assert.Equal("cpu, 128-bit vectors, 1 thread", backend.Description);
        Assert.Equal(Isa.Portable, backend.Isa);
    }

    [Fact]
    public void Values_beyond_counting_and_beyond_the_memory_are_refused()
    {
        CpuBackend backend = Backends.Get(Isa.Auto, 1);
        var error = Assert.Throws<ShapeException>(() => backend.Plan(Conv(int.MaxValue / (8 * 8 * 32) + 1, gradient: false)));
        Assert.Contains("at most 2147483647", error.Message, StringComparison.Ordinal);

        // More values than any machine has memory for, each of a size that can be counted.
        var graph = new Graph();
        Shape large = [1 << 20, 2047];
        Node x = graph.Input("x0", large);
        for (int i = 1; i < 1 << 10; i++)
        {
            x = graph.Plus(graph.Input($"x{i}", large), x);
        }

        graph.Output("y", x);
        Plan plan = backend.Plan(graph);
        using IParameters parameters = backend.LoadParameters(graph.Parameters, new NumberSource([]));
        var memory = Assert.Throws<InsufficientMemoryException>(() => backend.Load(plan, parameters));
        Assert.Contains("MiB, this machine has", memory.Message, StringComparison.Ordinal);
    }

    private static Graph Conv(int batch, bool gradient)
    {
        var graph = new Graph();
        Node x = graph.Input("x", [batch, 8, 8, 16]);
        Node h = graph.Conv2d(x, graph.Parameter("a", [32, 16, 3, 3]), null, null, 1, 1, 1);
        h = graph.Conv2d(h, graph.Parameter("b", [32, 32, 3, 3]), null, null, 2, 1, 1);
        h = graph.Linear(h, graph.Parameter("c", [48, 32, 1, 1]));
        graph.Output("y", h);
        if (gradient)
        {
            TinyNetworks.AddGradients(graph, "y", [x]);
        }

        return Passes.Optimize(graph);
    }
}
