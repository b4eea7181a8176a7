using AdmNative.Core;
using AdmNative.Cpu;
using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>Graphs of whole networks: names, shapes, refusals.</summary>
public class NetworkGraphTests
{
    public static TheoryData<string> GoldenModels() =>
    [
        "unet/adagn-updown-headchannels", "unet/additive-conv-resample-neworder-classcond", "unet/pool-resample-heads-upsample",
        "superres/basic", "classifier/adaptive", "classifier/attention", "classifier/spatial", "classifier/spatial_v2",
    ];

    [Theory]
    [MemberData(nameof(GoldenModels))]
    public void Parameters_are_the_reference_state_dictionary_in_its_order(string name)
    {
        NetworkConfig config = GoldenConfig.Network(GoldenConfig.Read(Repo.Path("tests", "golden", name, "config.json")));

        Graph graph = Networked(config);

        Assert.Equal(
            GoldenConfig.Keys(Repo.Path("tests", "golden", name, "model.keys.json")),
            graph.Parameters.Select(p => new ParameterSpec(p.Key, p.Value.Shape)));
    }

    [Theory]
    [InlineData(8, 24)]
    [InlineData(20, 12)]
    [InlineData(2, 2)]
    public void Sizes_need_not_be_square(int height, int width)
    {
        var graph = new Graph();
        Node x = graph.Input("x", [2, height, width, 3]);
        Node y = UNet.Build(graph, SpecNetworks.UNet('C'), x, graph.Input("t", [2]));

        Assert.Equal([2, height, width, 6], y.Shape);
    }

    [Fact]
    public void Odd_sizes_work_where_nothing_is_halved()
    {
        var graph = new Graph();
        UNetConfig config = SpecNetworks.UNet('C') with { ChannelMult = [1], AttentionRates = [1] };
        Node y = UNet.Build(graph, config, graph.Input("x", [1, 7, 5, 3]), graph.Input("t", [1]));

        Assert.Equal([1, 7, 5, 6], y.Shape);
    }

    [Theory]
    [InlineData(7, 5, 1.0)]
    [InlineData(12, 20, 1.0, 2.0)]
    public void Unusual_sizes_give_the_twins_numbers_on_the_cpu(int height, int width, params double[] mult)
    {
        UNetConfig config = SpecNetworks.UNet('C') with { ChannelMult = [.. mult], AttentionRates = [1], UseScaleShiftNorm = true };
        var graph = new Graph();
        Node x = graph.Input("x", [2, height, width, 3]);
        graph.Output("out", UNet.Build(graph, config, x, graph.Input("t", [2])));
        float[] image = [.. Enumerable.Range(0, (int)x.Shape.Elements).Select(i => MathF.Sin(0.37f * i))];
        var inputs = new Dictionary<string, HostArray<double>>
        {
            ["x"] = new(x.Shape, [.. image.Select(v => (double)v)]),
            ["t"] = new([2], [7, 500]),
        };
        Dictionary<string, HostArray<double>> weights = SpecNetworks.Weights(config);
        double[] expected = TwinEvaluator.Evaluate(graph, inputs, weights)["out"].Data;

        using var device = new CpuBackend(new CpuOptions { Threads = 1 });
        using IParameters parameters = device.LoadParameters(graph.Parameters, new GivenWeights(weights));
        using IExecutable run = device.Load(device.Plan(Passes.Optimize(graph)), parameters);
        run.SetInput("x", image);
        run.SetInput("t", [7f, 500]);
        run.Run();
        var found = new float[expected.Length];
        run.GetOutput("out", found);

        Shape shape = [2, height, width, 6];
        Agreement.Check("out", Tensor.From<float>(shape, [.. expected.Select(v => (float)v)]), Tensor.From(shape, found), 1e-4);
    }

    [Fact]
    public void A_size_that_cannot_be_halved_is_refused_with_the_multiple_it_needs()
    {
        var graph = new Graph();
        ShapeException e = Assert.Throws<ShapeException>(() =>
            UNet.Build(graph, SpecNetworks.UNet('C'), graph.Input("x", [1, 9, 8, 3]), graph.Input("t", [1])));

        Assert.Contains("9x8", e.Message, StringComparison.Ordinal);
        Assert.Contains("multiples of 2", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Labels_are_needed_exactly_when_there_are_classes()
    {
        var graph = new Graph();
        Node x = graph.Input("x", [1, 8, 8, 3]);
        Node t = graph.Input("t", [1]);
        Node y = graph.Input("y", new TensorType(DType.I32, [1]));

        ShapeException missing = Assert.Throws<ShapeException>(() => UNet.Build(graph, SpecNetworks.UNet('A'), x, t));
        ShapeException extra = Assert.Throws<ShapeException>(() => UNet.Build(graph, SpecNetworks.UNet('C'), x, t, y));

        Assert.Contains("4 classes", missing.Message, StringComparison.Ordinal);
        Assert.Contains("unconditional", extra.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_attention_classifier_names_the_only_size_it_takes()
    {
        var graph = new Graph();
        ShapeException e = Assert.Throws<ShapeException>(() => EncoderUNet.Build(
            graph, SpecNetworks.Classifier(PoolKind.Attention), graph.Input("x", [1, 16, 16, 3]), graph.Input("t", [1])));

        Assert.Contains("8x8 images only", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Dropout_appears_in_training_builds_only_one_stream_per_block()
    {
        UNetConfig config = SpecNetworks.UNet('C') with { Dropout = 0.1 };
        Graph evaluation = Networked(config);
        Graph training = Networked(config, g => new BuildOptions { DropoutSeed = g.Input("seed", new TensorType(DType.I32, [2])) });

        Assert.DoesNotContain(evaluation.Nodes, n => n.Op is Dropout);
        Dropout[] drops = [.. training.Nodes.Select(n => n.Op).OfType<Dropout>()];
        int blocks = training.Parameters.Keys.Count(k => k.EndsWith("in_layers.0.weight", StringComparison.Ordinal));
        Assert.Equal(Enumerable.Range(0, blocks), drops.Select(d => d.Stream));
        Assert.All(drops, d => Assert.Equal(0.1, d.Probability));
    }

    [Fact]
    public void Nodes_carry_checkpoint_paths()
    {
        Graph graph = Networked(SpecNetworks.UNet('A'), _ => new BuildOptions { Prefix = "unet." });

        Assert.All(graph.Nodes.Where(n => n.Kind != NodeKind.Input), n => Assert.StartsWith("unet.", n.Name, StringComparison.Ordinal));
        Assert.Contains(graph.Nodes, n => n is { Op: Conv2d, Name: "unet.input_blocks.1.0.out_layers.3" });
        Assert.Contains(graph.Nodes, n => n is { Op: Attention, Name: "unet.middle_block.1.attention" });
    }

    [Fact]
    public void Rescaled_residuals_divide_each_residual_sum_by_the_square_root_of_two()
    {
        // Linear in the block's two terms: with every weight but the skip's and the last convolution's bias left as
        // they are, the rescaled block is the plain one times sqrt(1/2), whatever the terms are.
        var plain = ResidualBlock(rescale: false);
        var rescaled = ResidualBlock(rescale: true);

        for (int i = 0; i < plain.Length; i++)
        {
            Assert.Equal(plain[i] / Math.Sqrt(2), rescaled[i], 12);
        }

        Assert.Contains(plain, v => Math.Abs(v) > 0.1);
    }

    private static double[] ResidualBlock(bool rescale)
    {
        UNetConfig config = SpecNetworks.UNet('C') with { RescaleResidual = rescale };
        var graph = new Graph();
        var network = new NetworkBuilder(graph, config, null);
        Node x = graph.Input("x", [1, 8, 8, 32]);
        Node emb = graph.Input("emb", [1, 128]);
        graph.Output("y", ResBlock.Build(network, new ResSpec("input_blocks.3.0", 32, 64), x, emb));
        var random = new Random(5);
        HostArray<double> Fill(Shape shape) => new(shape, [.. Enumerable.Range(0, (int)shape.Elements).Select(_ => random.NextDouble() - 0.5)]);
        var inputs = new Dictionary<string, HostArray<double>> { ["x"] = Fill(x.Shape), ["emb"] = Fill(emb.Shape) };
        return TwinEvaluator.Evaluate(graph, inputs, SpecNetworks.Weights(config))["y"].Data;
    }

    private static Graph Networked(NetworkConfig config, Func<Graph, BuildOptions>? options = null)
    {
        var graph = new Graph();
        Node x = graph.Input("x", [2, config.ImageSize, config.ImageSize, config.InChannels]);
        Node t = graph.Input("t", [2]);
        Node? y = config is UNetConfig { NumClasses: not null } ? graph.Input("y", new TensorType(DType.I32, [2])) : null;
        BuildOptions? o = options?.Invoke(graph);
        Node result = config switch
        {
            EncoderUNetConfig c => EncoderUNet.Build(graph, c, x, t, o),
            SuperResConfig c => SuperRes.Build(graph, c, x, graph.Input("low_res", [2, 8, 8, c.InChannels]), t, y, o),
            UNetConfig c => UNet.Build(graph, c, x, t, y, o),
            _ => throw new InvalidOperationException($"{config}"),
        };
        graph.Output("out", result);
        return graph;
    }
}
