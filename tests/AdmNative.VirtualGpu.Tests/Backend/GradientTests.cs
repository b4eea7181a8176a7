using AdmNative.Core;
using AdmNative.Core.Tests;
using AdmNative.Cuda;
using AdmNative.Diffusion;
using AdmNative.VirtualGpu;

namespace AdmNative.Tests.Backend;

/// <summary>Gradients of small networks, by images and by parameters, and whole guided steps on the virtual device.</summary>
public sealed class GradientTests
{
    /// <summary>What the project promises for one network evaluation, relative to the largest value.</summary>
    private const double Promise = 1e-4;

    /// <summary>d(sum of eps * seed) by the image and by every parameter.</summary>
    [Theory]
    [InlineData(KernelDType.F32)]
    [InlineData(KernelDType.F16)]
    public void Gradients_of_a_unet_agree_with_the_twins(KernelDType precision) => AgreesWithTwins(
        WithGradients(TinyNetworks.UNet(2, 8, 8), "eps", g => g.Parameters.Values.Prepend(g.Inputs["x"])), precision: precision);

    /// <summary>As guidance has it: by the image alone, so that no weight gradient is made.</summary>
    [Theory]
    [Trait("Category", "Slow")]
    [InlineData(1, true)]
    [InlineData(2, false)]
    public void The_input_gradient_of_a_classifier_agrees_with_the_twins(int batch, bool scaleShift)
    {
        Graph graph = WithGradients(Classifier(batch, scaleShift), "logits", g => [g.Inputs["x"]]);
        Assert.DoesNotContain(graph.Nodes, n => n.Op is Conv2dWeightGrad or LinearWeightGrad or GroupNormParamGrad);
        AgreesWithTwins(graph);
    }

    [Fact]
    [Trait("Category", "Slow")]
    public void Parameter_gradients_of_a_classifier_agree_with_the_twins() =>
        AgreesWithTwins(WithGradients(Classifier(2, scaleShift: true), "logits", g => g.Parameters.Values));

    /// <summary>A denoiser, a classifier's gradient and the update of a sampler in one graph, replayed twice.</summary>
    [Theory]
    [Trait("Category", "Slow")]
    [InlineData(false, KernelDType.F32)]
    [InlineData(false, KernelDType.F16)]
    [InlineData(true, KernelDType.BF16)]
    public void Every_guided_step_agrees_with_the_twins(bool ddim, KernelDType precision) => A_guided_step_agrees_with_the_twins(ddim, precision);

    [Theory]
    [InlineData(true, KernelDType.F32)]
    public void A_guided_step_agrees_with_the_twins(bool ddim, KernelDType precision)
    {
        const int Batch = 2, Step = 2;
        var process = new DiffusionProcess(new DiffusionConfig { Respacing = "4", Variance = VarianceKind.LearnedRange });
        var denoiser = new UNetDenoiser(new UNetConfig
        {
            ImageSize = 8,
            ModelChannels = 32,
            OutChannels = 6,
            ResBlocks = 1,
            AttentionRates = [2],
            ChannelMult = [1, 2],
            NumClasses = 4,
            NumHeads = 2,
            UseScaleShiftNorm = true,
            ResblockUpdown = true,
        });
        var options = new SamplerOptions { ClassifierScale = 2.5 };
        Graph graph = Passes.Optimize(ddim
            ? SamplerGraph.Ddim(denoiser, process, [Batch, 8, 8, 3], options, Config(PoolKind.Attention, scaleShift: true))
            : SamplerGraph.Ddpm(denoiser, process, [Batch, 8, 8, 3], options, Config(PoolKind.Attention, scaleShift: true)));
        float[] rows = new float[Batch * Coef.Columns];
        new Coefficients(process.Schedule, VarianceKind.LearnedRange, eta: ddim ? 0.5 : 0).Fill(Step, rows);
        Dictionary<string, HostArray<double>> inputs = Numbers.Inputs(graph, 3);
        Array.ConvertAll(rows, v => (double)v).CopyTo(inputs[InputNames.Coefficients].Data, 0);
        Array.Fill(inputs[InputNames.T].Data, process.Time(Step));
        Array.Fill(inputs[InputNames.ClassifierT].Data, process.Time(Step));
        AgreesWithTwins(graph, inputs, precision);
    }

    private static Graph Classifier(int batch, bool scaleShift)
    {
        var graph = new Graph();
        EncoderUNetConfig config = Config(PoolKind.Adaptive, scaleShift);
        graph.Output("logits", EncoderUNet.Build(graph, config, graph.Input("x", [batch, 8, 8, 3]), graph.Input("t", [batch])));
        return graph;
    }

    private static EncoderUNetConfig Config(PoolKind pool, bool scaleShift) => new()
    {
        ImageSize = 8,
        ModelChannels = 32,
        OutChannels = 5,
        ResBlocks = 1,
        AttentionRates = [2],
        ChannelMult = [1, 2],
        NumHeadChannels = 32,
        UseScaleShiftNorm = scaleShift,
        ResblockUpdown = scaleShift,
        Pool = pool,
    };

    /// <summary>Outputs grad.NAME of the sum of an output times the input "seed", for what is wanted of the fused graph.</summary>
    private static Graph WithGradients(Graph forward, string of, Func<Graph, IEnumerable<Node>> wanted)
    {
        Graph graph = Passes.Optimize(forward);
        Node value = graph.Outputs.Single(o => o.Name == of).Node;
        Node[] wrt = [.. wanted(graph)];
        Node[] gradients = Gradients.Add(graph, [(value, graph.Input("seed", value.Shape))], wrt);
        for (int i = 0; i < wrt.Length; i++)
        {
            graph.Output($"grad.{wrt[i].Name}", gradients[i]);
        }

        return Passes.Optimize(graph);
    }

    private static void AgreesWithTwins(Graph graph, Dictionary<string, HostArray<double>>? inputs = null, KernelDType precision = KernelDType.F32)
    {
        inputs ??= Numbers.Inputs(graph, 3);
        Dictionary<string, HostArray<double>> weights = precision == KernelDType.F32 ? Numbers.Parameters(graph, 3) : Tame(Numbers.Parameters(graph, 3));
        Dictionary<string, HostArray<double>> expected = TwinEvaluator.Evaluate(graph, inputs, weights);
        var options = new LaunchOptions { Checks = Checks.All & ~Checks.Numeric, Schedule = SchedulePolicy.Random, Seed = 5, Delivery = AsyncDelivery.Late };
        using var driver = new VirtualDriver(new VirtualDriverOptions { Launch = options, Streams = StreamOrder.Deferred });
        using CudaBackend backend = CudaBackend.Create(driver, new CudaOptions { Precision = precision });
        using IParameters parameters = backend.LoadParameters(graph.Parameters, new NumberSource(weights));
        Plan plan = backend.Plan(graph);
        Dictionary<string, HostArray<double>>? rounded = precision == KernelDType.F32 ? null
            : RoundedTwins.Evaluate(plan, precision, inputs, weights);
        using IExecutable run = backend.Load(plan, parameters);
        SetInputs(run, inputs);
        run.Run();
        run.Run(); // again over old results
        double largest = expected.Values.Max(v => v.Data.Max(Math.Abs));
        foreach ((string name, HostArray<double> value) in expected)
        {
            float[] actual = new float[value.Data.Length];
            run.GetOutput(name, actual);
            double scale = value.Data.Max(Math.Abs);

            // A bias in front of a norm with one channel to a group changes nothing: what is left of its gradient is rounding, even in double.
            scale = scale < 1e-12 * largest ? largest : scale;
            double lost = rounded is null ? 0 : value.Data.Zip(rounded[name].Data, (e, r) => Math.Abs(e - r)).Max();
            double allowed = (Promise * scale) + (RoundedTwins.Factor * lost);
            Assert.True(allowed < 0.5 * scale, $"{name}: {allowed:g3} of {scale:g3} proves nothing");
            for (int i = 0; i < actual.Length; i++)
            {
                Assert.True(Math.Abs(value.Data[i] - actual[i]) <= allowed, $"{name}: element {i} is {actual[i]:R}, expected {value.Data[i]:R}, largest {scale:g3}, allowed {allowed:g3}");
            }
        }

        Assert.True(driver.Findings.Count == 0, string.Join('\n', driver.Findings));
    }

    /// <summary>Products of the size a fresh layer makes: sums of weights from [-1, 1) would leave the range of f16.</summary>
    private static Dictionary<string, HostArray<double>> Tame(Dictionary<string, HostArray<double>> weights) => weights.ToDictionary(w => w.Key, w =>
    {
        Shape shape = w.Value.Shape;
        double factor = shape.Rank < 2 ? 1 : 1 / Math.Sqrt(shape.Elements / (double)shape[0]);
        return new HostArray<double>(shape, Array.ConvertAll(w.Value.Data, v => (double)(float)(factor * v)));
    });

    private static void SetInputs(IExecutable run, Dictionary<string, HostArray<double>> inputs)
    {
        foreach ((string name, HostArray<double> value) in inputs)
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
