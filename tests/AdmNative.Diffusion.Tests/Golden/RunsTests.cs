using AdmNative.Core;
using AdmNative.Diffusion;
using AdmNative.Formats;

namespace AdmNative.Tests;

/// <summary>
/// Whole guided runs of the reference's program with the bundled digits model, from its seed: labels, x_T and the noise
/// of every step come from our copy of its generator, in its order. The bytes must be equal or off by one in 99.9 % of
/// places.
/// </summary>
public class RunsTests
{
    private static readonly UNetConfig s_unet = new()
    {
        ImageSize = 16,
        ModelChannels = 32,
        OutChannels = 6,
        ResBlocks = 1,
        AttentionRates = [2],
        ChannelMult = [1, 2],
        NumHeadChannels = 32,
        UseScaleShiftNorm = true,
        ResblockUpdown = true,
    };

    private static readonly EncoderUNetConfig s_classifier = new()
    {
        ImageSize = 16,
        ModelChannels = 32,
        OutChannels = 10,
        ResBlocks = 1,
        AttentionRates = [2],
        ChannelMult = [1, 2],
        NumHeadChannels = 32,
        UseScaleShiftNorm = true,
        ResblockUpdown = true,
        Pool = PoolKind.Attention,
    };

    [Theory]
    [GoldenRuns(Backends.Avx512)]
    [GoldenRuns(Backends.Avx2)]
    [GoldenRuns(Backends.Portable)]
    public void Reproduces_the_run(string name, string respacing, bool ddim, double scale, int seed, string backend) =>
        Check(name, respacing, ddim, scale, seed, backend);

    [Theory]
    [GoldenRuns(Backends.Virtual)]
    [Trait("Category", "Slow")]
    public void Reproduces_the_run_on_the_virtual_device(string name, string respacing, bool ddim, double scale, int seed, string backend) =>
        Check(name, respacing, ddim, scale, seed, backend);

    private static void Check(string name, string respacing, bool ddim, double scale, int seed, string backend)
    {
        using NpzFile recorded = NpzFile.Open(Repo.Path("tests", "golden", "runs", name));
        Tensor bytes = recorded.Read("arr_0");
        using IBackend device = Backends.Create(backend);
        using var networks = new Networks(device, new UNetDenoiser(s_unet), Open("diffusion"), s_classifier, Open("classifier"));
        var process = new DiffusionProcess(new DiffusionConfig
        {
            NoiseSchedule = NoiseSchedule.Cosine,
            Respacing = respacing,
            Variance = VarianceKind.LearnedRange,
        });
        var options = new SamplerOptions { ClassifierScale = scale };
        using Sampler sampler = ddim ? new DdimSampler(networks, process, options) : new DdpmSampler(networks, process, options);
        var noise = new TorchNoise((ulong)seed);
        var labels = new int[bytes.Shape[0]];
        noise.Labels(0, 10, labels);

        Tensor sample = sampler.Sample(new SampleBatch { Count = 16, Height = 16, Width = 16, Noise = noise, Labels = labels });

        Assert.Equal(recorded.Read("arr_1").AsSpan<long>().ToArray(), labels.Select(l => (long)l));
        byte[] expected = bytes.AsSpan<byte>().ToArray();
        byte[] found = SampleBytes.From(sample).AsSpan<byte>().ToArray();
        Assert.Equal(expected.Length, found.Length);
        int off = expected.Zip(found).Count(p => Math.Abs(p.First - p.Second) > 1);
        Assert.True(off <= expected.Length / 1000, $"{off} of {expected.Length} bytes differ by more than one");
        // 25 or 50 steps, each feeding back its own rounding.
        Agreement.Check("sample", recorded.Read("sample"), sample, 2e-3);
    }

    private static TensorFile Open(string name) => Checkpoints.Open(Repo.Path("models", "mnist16", name + ".safetensors"));
}

/// <summary>The recorded runs on a device, skipped with the reason where it is missing.</summary>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
internal sealed class GoldenRunsAttribute : Xunit.Sdk.DataAttribute
{
    private readonly string _device;

    public GoldenRunsAttribute(string device)
    {
        _device = device;
        Skip = Backends.Missing(device);
    }

    public override IEnumerable<object[]> GetData(System.Reflection.MethodInfo testMethod) =>
    [
        ["ddim25-scale2-seed7.npz", "ddim25", true, 2.0, 7, _device],
        ["ddpm50-scale3-seed0.npz", "50", false, 3.0, 0, _device],
    ];
}
