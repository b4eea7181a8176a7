using AdmNative.Core;
using AdmNative.Cpu;
using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>
/// Classifier guidance in the sampler's graph and in pieces; independence of batches; refusals. Small networks on the
/// cpu.
/// </summary>
public class GuidanceTests
{
    private static readonly DiffusionProcess s_process =
        new(new DiffusionConfig { Respacing = "4", Variance = VarianceKind.LearnedRange });

    private static readonly ReplayNetwork s_unet = Unscaled(SpecNetworks.UNet('A'));
    private static readonly ReplayNetwork s_classifier = Unscaled(SpecNetworks.Classifier(PoolKind.Adaptive));

    public static TheoryData<bool, bool> SamplerAndMean() => new() { { false, false }, { false, true }, { true, false }, { true, true } };

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Scale_zero_is_unguided_sampling_without_a_classifier(bool ddim)
    {
        using Networks guided = Load();
        using Networks plain = Load(withClassifier: false);
        using Sampler zero = Create(guided, ddim, new SamplerOptions { ClassifierScale = 0 });
        using Sampler unguided = Create(plain, ddim, new SamplerOptions());

        Assert.Equal(unguided.Sample(Batch()).ToFloats(), zero.Sample(Batch()).ToFloats());
        Assert.DoesNotContain(
            zero.PlanFor([2, 8, 8, 3])!.Graph.Nodes, n => n.Name?.StartsWith("classifier.", StringComparison.Ordinal) == true);
    }

    [Theory]
    [MemberData(nameof(SamplerAndMean))]
    public void One_graph_and_pieces_give_the_same_images(bool ddim, bool atMean)
    {
        using Networks networks = Load();
        var options = new SamplerOptions { ClassifierScale = 2.5, GuidanceAtMean = atMean };
        using Sampler whole = Create(networks, ddim, options);
        using Sampler pieces = Create(networks, ddim, options with { Denoised = x0 => x0 });

        // The same ops on the same numbers; fusion may round differently.
        Agreement.Check("sample", whole.Sample(Batch()), pieces.Sample(Batch()), 1e-5);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_condition_function_can_be_the_classifier(bool ddim)
    {
        using Networks networks = Load();
        using IExecutable gradient = networks.Load(
            StepGraphs.ClassifierGradient((EncoderUNetConfig)s_classifier.Config, [2, 8, 8, 3], 2.5, Networks.ClassifierPrefix));
        Tensor Condition(Tensor x, IReadOnlyList<float> times, IReadOnlyList<int>? labels)
        {
            var result = new float[x.Shape.Elements];
            gradient.SetInput(InputNames.X, ChannelsLast.From(x));
            gradient.SetInput(InputNames.ClassifierT, [.. times]);
            gradient.SetInput(InputNames.Labels, [.. labels!]);
            gradient.Run();
            gradient.GetOutput(StepGraphs.Gradient, result);
            return ChannelsLast.ToTensor(result, [2, 8, 8, 3]);
        }

        using Sampler built = Create(networks, ddim, new SamplerOptions { ClassifierScale = 2.5 });
        using Sampler given = Create(networks, ddim, new SamplerOptions { Condition = Condition });
        using Sampler unguided = Create(networks, ddim, new SamplerOptions());

        Tensor expected = built.Sample(Batch());
        Agreement.Check("sample", expected, given.Sample(Batch()), 1e-5);
        Assert.True(Distance(expected, unguided.Sample(Batch())) > 1e-2, "guidance changes nothing");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Condition_functions_see_x_t_or_the_mean_and_its_step(bool atMean)
    {
        using Networks networks = Load(withClassifier: false);
        using var distribution = new ReverseDistribution(networks, s_process);
        var seen = new List<(Tensor X, float Time)>();
        Tensor Condition(Tensor x, IReadOnlyList<float> times, IReadOnlyList<int>? labels)
        {
            Assert.All(times, t => Assert.Equal(times[0], t));
            seen.Add((x, times[0]));
            return new Tensor(DType.F32, x.Shape);
        }

        using Sampler sampler = Create(networks, ddim: false, new SamplerOptions { Condition = Condition, GuidanceAtMean = atMean });
        Tensor start = Images(2, 8, 8, seed: 3);

        SamplerStep[] steps = [.. sampler.Progressive(Batch() with { Start = start })];

        Assert.Equal(4, seen.Count);
        for (int k = 0; k < 4; k++)
        {
            int t = 3 - k;
            Tensor x = k == 0 ? start : steps[k - 1].Sample;
            if (atMean)
            {
                x = distribution.Evaluate(x, [t, t], Batch().Labels).Mean;
            }

            Agreement.Check($"x at step {t}", x, seen[k].X, 1e-5);
            Assert.Equal(s_process.Time(atMean ? Math.Max(t - 1, 0) : t), seen[k].Time);
        }
    }

    [Fact]
    public void Denoised_functions_see_the_unclipped_prediction_and_their_result_is_clipped()
    {
        using Networks networks = Load(withClassifier: false);
        bool beyond = false;
        Tensor Denoised(Tensor x0)
        {
            beyond |= x0.ToFloats().Any(v => Math.Abs(v) > 1);
            return Tensor.From<float>(x0.Shape, [.. x0.ToFloats().Select(v => v * 3)]);
        }

        using Sampler sampler = Create(networks, ddim: true, new SamplerOptions { Denoised = Denoised });

        SamplerStep first = sampler.Progressive(Batch()).First();

        Assert.True(beyond);
        Assert.All(first.PredXStart.ToFloats(), v => Assert.InRange(v, -1, 1));
    }

    [Theory]
    [MemberData(nameof(SamplerAndMean))]
    public void Guidance_needs_no_weight_gradients(bool ddim, bool atMean)
    {
        using Networks networks = Load();
        using Sampler sampler = Create(networks, ddim, new SamplerOptions { ClassifierScale = 1, GuidanceAtMean = atMean });

        Plan plan = sampler.PlanFor([2, 8, 8, 3])!;

        PlanStep[] gradients = [.. plan.Steps.Where(s => s.Node.Op!.Name.Contains("Grad", StringComparison.Ordinal))];
        Assert.NotEmpty(gradients);
        Assert.DoesNotContain(gradients, s => s.Node.Op is Conv2dWeightGrad or LinearWeightGrad or EmbeddingGrad or PositionalGrad);
        Assert.DoesNotContain(plan.Steps, s => s.Node.Op is ChannelSum);
        Assert.DoesNotContain(gradients, s => s.Node.Op is GroupNormParamGrad { Which: not GroupNormParam.Modulation });
        // Nor does the time embedding, on which the image has no influence, get a gradient; nor the denoiser.
        Assert.DoesNotContain(gradients, s => s.Node.Op is GroupNormParamGrad);
        Assert.All(gradients, s => Assert.StartsWith("classifier.", s.Node.Name, StringComparison.Ordinal));
        Assert.Equal(["sample", "pred_xstart"], plan.Graph.Outputs.Select(o => o.Name));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void An_image_does_not_depend_on_its_batch(bool ddim)
    {
        using Networks networks = Load();
        using Sampler sampler = Create(networks, ddim, new SamplerOptions { ClassifierScale = 2 }, eta: 0.5);
        SampleBatch Part(long first, params int[] labels) => new()
        {
            Count = labels.Length,
            Height = 8,
            Width = 8,
            Noise = new PhiloxNoise(11),
            First = first,
            Labels = labels,
        };

        // Bit for bit: a kernel that works differently for another batch size would show here.
        float[] together = sampler.Sample(Part(5, 0, 3, 1)).ToFloats();
        float[] apart = [.. sampler.Sample(Part(5, 0)).ToFloats(), .. sampler.Sample(Part(6, 3, 1)).ToFloats()];

        Assert.Equal(together, apart);
    }

    [Fact]
    public void Images_need_not_be_square()
    {
        using Networks networks = Load();
        using Sampler sampler = Create(networks, ddim: false, new SamplerOptions { ClassifierScale = 1 });

        Tensor wide = sampler.Sample(Batch() with { Height = 4, Width = 10 });

        Assert.Equal([2, 3, 4, 10], wide.Shape);
        Assert.All(wide.ToFloats(), v => Assert.True(float.IsFinite(v)));
    }

    [Fact]
    public void An_upsampler_takes_small_images_of_its_size()
    {
        var config = new SuperResConfig
        {
            ImageSize = 8,
            SmallSize = 4,
            ModelChannels = 32,
            OutChannels = 6,
            ResBlocks = 1,
            AttentionRates = [],
            ChannelMult = [1, 2],
            UseScaleShiftNorm = true,
            ResblockUpdown = true,
        };
        using var device = new CpuBackend(new CpuOptions { Threads = 1 });
        using var networks = new Networks(
            device, new SuperResDenoiser(config, 4, 4), new ComputedWeights(Unscaled(config), 1));
        using Sampler sampler = Create(networks, ddim: true, new SamplerOptions());
        SampleBatch batch = Batch() with { Labels = null };

        Tensor a = sampler.Sample(batch with { LowRes = Images(2, 4, 4, seed: 1) });
        Tensor b = sampler.Sample(batch with { LowRes = Images(2, 4, 4, seed: 2) });

        Assert.True(Distance(a, b) > 1e-2, "the small image changes nothing");
        SampleBatch large = batch with { LowRes = Images(2, 8, 8, seed: 1) };
        Refused<ShapeException>("must be [2,3,4,4], got [2,3,8,8]", () => sampler.Sample(large));
        Refused<ArgumentException>("low_res", () => sampler.Sample(batch));
    }

    [Fact]
    public void The_last_progressive_step_is_the_sample()
    {
        using Networks networks = Load();
        using Sampler sampler = Create(networks, ddim: true, new SamplerOptions { ClassifierScale = 1 });

        SamplerStep[] steps = [.. sampler.Progressive(Batch())];

        Assert.Equal([3, 2, 1, 0], steps.Select(s => s.T));
        Assert.Equal(sampler.Sample(Batch()).ToFloats(), steps[^1].Sample.ToFloats());
    }

    [Fact]
    public void Inversion_and_sampling_undo_each_other()
    {
        // With a constant noise estimate both directions are exact, except that the last sampling step also removes the
        // noise of level 0.
        var network = new FixedDenoiser(1, [1, 1, 2, 1], 0.3f, -0.8f);
        var process = new DiffusionProcess(new DiffusionConfig { Respacing = "ddim50" });
        using var networks = new Networks(new TwinBackend(DType.F64), network, network);
        using var inverter = new DdimInverter(networks, process, clipDenoised: false);
        using var sampler = new DdimSampler(networks, process, new SamplerOptions { ClipDenoised = false });
        Tensor image = Tensor.From<float>([1, 1, 1, 2], [0.6f, -0.2f]);

        Tensor latent = inverter.Encode(image);
        var batch = new SampleBatch { Count = 1, Height = 1, Width = 2, Noise = new SameNoise(0, 0), Start = latent };
        Tensor back = sampler.Progressive(batch).Single(s => s.T == 1).Sample;

        Assert.True(Distance(image, latent) > 0.1);
        Agreement.Check("image", image, back, 1e-3); // 49 steps of f32 rounding, magnified by 1/sqrt(alphaBar) = 150
        Tensor noise = inverter.Progressive(image).Last().Sample;
        Agreement.Check("the last step gives the estimate itself", Tensor.From<float>([1, 1, 1, 2], [0.3f, -0.8f]), noise, 1e-3);
    }

    [Fact]
    public void A_non_finite_sample_stops_the_run_and_names_the_step()
    {
        var network = new FixedDenoiser(1, [2, 1, 2, 1], 0, 0, 0, float.NaN);
        using var networks = new Networks(new TwinBackend(DType.F32), network, network);
        using var sampler = new DdpmSampler(networks, new DiffusionProcess(new DiffusionConfig { Respacing = "10" }));

        NumericException e = Assert.Throws<NumericException>(() =>
            sampler.Sample(new SampleBatch { Count = 2, Height = 1, Width = 2, Noise = new PhiloxNoise(0) }));

        Assert.Contains("step 9 (original step 999)", e.Message, StringComparison.Ordinal);
        Assert.Contains("image 1", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Bad_requests_are_refused_with_their_reason()
    {
        using Networks networks = Load();
        using Networks plain = Load(withClassifier: false);
        using Sampler guided = Create(networks, ddim: false, new SamplerOptions { ClassifierScale = 1 });

        Refused<ShapeException>("labels (y) are needed", () => guided.Sample(Batch() with { Labels = null }));
        Refused<ShapeException>("label 4 of image 1", () => guided.Sample(Batch() with { Labels = [0, 4] }));
        Refused<ShapeException>("2 images need 2 labels", () => guided.Sample(Batch() with { Labels = [0] }));
        Refused<ShapeException>("must be [2,3,8,8]", () => guided.Sample(Batch() with { Start = Images(1, 8, 8, 0) }));
        Refused<ShapeException>("cannot draw 0 images", () => guided.Sample(Batch() with { Count = 0 }));
        Refused<ArgumentException>("starting at step 2", () => guided.Sample(Batch() with { StartStep = 2 }));
        var options = new SamplerOptions { ClassifierScale = 1 };
        Refused<ConfigException>("needs a classifier", () => Create(plain, false, options));
        Refused<ConfigException>("finite", () => Create(networks, false, options with { ClassifierScale = double.NaN }));
        Refused<ConfigException>("not both", () => Create(networks, false, options with { Condition = (x, _, _) => x }));
        using Sampler wrong = Create(plain, false, new SamplerOptions { Condition = (_, _, _) => Images(1, 8, 8, 0) });
        Refused<ShapeException>("cond_fn must give [2,3,8,8]", () => wrong.Sample(Batch()));
        using var unfit = new DdpmSampler(plain, new DiffusionProcess(new DiffusionConfig { Respacing = "4" }));
        Refused<ShapeException>("learn_sigma", () => unfit.Sample(Batch()));
    }

    private static ReplayNetwork Unscaled(NetworkConfig config) => new(config, new Dictionary<string, double>());

    private static void Refused<T>(string reason, Action action) where T : Exception =>
        Assert.Contains(reason, Assert.Throws<T>(action).Message, StringComparison.Ordinal);

    private static Networks Load(bool withClassifier = true)
    {
        var denoiser = new UNetDenoiser((UNetConfig)s_unet.Config);
        var weights = new ComputedWeights(s_unet, 1);
        var device = new CpuBackend(new CpuOptions { Threads = 1 });
        return withClassifier
            ? new Networks(device, denoiser, weights, (EncoderUNetConfig)s_classifier.Config, new ComputedWeights(s_classifier, 2))
            : new Networks(device, denoiser, weights);
    }

    private static Sampler Create(Networks networks, bool ddim, SamplerOptions options, double eta = 0) => ddim
        ? new DdimSampler(networks, s_process, options, eta)
        : new DdpmSampler(networks, s_process, options);

    private static SampleBatch Batch() => new() { Count = 2, Height = 8, Width = 8, Noise = new PhiloxNoise(7), Labels = [2, 0] };

    private static Tensor Images(int n, int height, int width, int seed)
    {
        var random = new Random(seed);
        float[] values = [.. Enumerable.Range(0, n * 3 * height * width).Select(_ => (float)(random.NextDouble() - 0.5))];
        return Tensor.From([n, 3, height, width], values);
    }

    private static double Distance(Tensor a, Tensor b) => a.ToFloats().Zip(b.ToFloats(), (x, y) => Math.Abs(x - y)).Max();
}
