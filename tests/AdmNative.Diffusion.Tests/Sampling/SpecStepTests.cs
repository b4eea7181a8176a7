using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>
/// Specification, appendices C.2 and C.3: one step of every sampler and the hybrid loss, on one grey image of two
/// pixels with a network that always gives the listed values. 1e-4 relative or absolute per element, the accuracy the
/// tables ask of float32 code.
/// </summary>
public class SpecStepTests
{
    private static readonly Shape s_output = [1, 1, 2, 2];
    private static readonly DiffusionProcess s_process = new(new DiffusionConfig { Respacing = "250", Variance = VarianceKind.LearnedRange });

    // Row-major [1,1,2 pixels,eps then v].
    private static readonly FixedDenoiser s_network = new(1, s_output, 0.25f, 0.2f, -0.9f, -0.6f);
    private static readonly Tensor s_xt = Pair(0.4, -1.3);
    private static readonly double[] s_gradient = [1.5, -2.0];

    [Theory]
    [InlineData(100, 0.40001071, -1.12053908)]
    [InlineData(0, 0.39751988, -1.29106455)]
    [InlineData(249, 23.6123627, -62.9670417)]
    public void XStart_before_clipping(int t, double a, double b) => Near(a, b, First(t, clip: false).PredXStart);

    [Theory]
    [InlineData(100, 0.39752401, -1.28668700, -3.45002835, -3.45316712)]
    [InlineData(0, 0.39751988, -1, -9.27205549, -9.33377060)]
    [InlineData(249, 0.38469488, -1.24910466, -2.55722912, -2.55723047)]
    public void Mean_and_log_variance(int t, double meanA, double meanB, double logA, double logB)
    {
        using Networks networks = Load(s_network);
        using var distribution = new ReverseDistribution(networks, s_process);

        ReverseMoments moments = distribution.Evaluate(s_xt, [t]);

        Near(meanA, meanB, moments.Mean);
        Near(logA, logB, moments.LogVariance);
        Near(Math.Exp(logA), Math.Exp(logB), moments.Variance);
    }

    [Theory]
    [InlineData(100, 0.52224338, -1.34005434)]
    [InlineData(0, 0.39751988, -1)]
    [InlineData(249, 0.57959082, -1.33263144)]
    public void Ancestral_step(int t, double a, double b) => Near(a, b, First(t).Sample);

    [Theory]
    [InlineData(100, 0.44514112, -1.34997751)]
    [InlineData(0, 0.39766090, -1.00017678)]
    [InlineData(249, 0.50097374, -1.40414293)]
    public void Guided_mean(int t, double a, double b) => Near(a, b, First(t, guided: true, noise: [0, 0]).Sample);

    [Theory]
    [InlineData(100, 0.56986049, -1.40334485)]
    [InlineData(0, 0.39766090, -1.00017678)]
    [InlineData(249, 0.69586968, -1.48766971)]
    public void Guided_ancestral_step(int t, double a, double b) => Near(a, b, First(t, guided: true).Sample);

    [Theory]
    [InlineData(100, 0, 0.40197935, -1.30377341)]
    [InlineData(0, 0, 0.39751988, -1)]
    [InlineData(249, 0, 0.40026087, -1.30025935)]
    [InlineData(100, 1, 0.52195013, -1.34001248)]
    [InlineData(0, 1, 0.39751988, -1)]
    [InlineData(249, 1, 0.57959063, -1.33263141)]
    public void Ddim_step(int t, double eta, double a, double b) => Near(a, b, First(t, eta).Sample);

    [Theory]
    [InlineData(100, 3.16594140, -4.68790758, 0.42649635, -1.33646274)]
    [InlineData(0, 0.39766988, -1.00020001, 0.39766988, -1.00020001)]
    [InlineData(249, 237.106157, -315.808209, 0.46201492, -1.38259807)]
    public void Guided_ddim_step(int t, double x0A, double x0B, double a, double b)
    {
        SamplerStep step = First(t, eta: 0, guided: true);

        Near(x0A, x0B, step.PredXStart);
        Near(a, b, step.Sample);
    }

    [Theory]
    [InlineData(100, 0.39801582, -1.29618379)]
    [InlineData(0, 0.40399060, -1.79294409)]
    [InlineData(249, 0.39365513, -1.29367329)]
    public void Ddim_reverse_step(int t, double a, double b)
    {
        using Networks networks = Load(s_network);
        Shape shape = [1, 1, 2, 1];
        using IExecutable run = networks.Load(DdimInverter.Build(s_network, s_process, shape, clip: true));
        var state = new StepState(s_process, new Coefficients(s_process.Schedule, s_process.Config.Variance), shape, null, null);
        s_xt.ToFloats().CopyTo(state.X, 0);
        state.At(t);
        state.Feed(run);

        run.Run();
        run.GetOutput(StepGraphs.Sample, state.Sample);

        Near(a, b, ChannelsLast.ToTensor(state.Sample, shape));
    }

    [Theory]
    [InlineData(1000, 0, LossKind.Mse, 0.20699000, -1.00295000, 0.95923037, 0.98048037)]
    [InlineData(1000, 1, LossKind.Mse, 0.21035851, -1.00433883, 0.05435466, 0.07560466)]
    [InlineData(1000, 100, LossKind.Mse, 0.41589678, -1.04326477, 0.00033423, 0.02158423)]
    [InlineData(1000, 999, LossKind.Mse, 0.70125644, -0.30634676, 0.00031284, 0.02156284)]
    [InlineData(1000, 100, LossKind.RescaledMse, 0.41589678, -1.04326477, 0.00033423, 0.02158423)]
    [InlineData(4000, 100, LossKind.Mse, null, null, 0.00028554, 0.02153554)]
    [InlineData(4000, 100, LossKind.RescaledMse, null, null, 4 * 0.00028554, 0.02125 + (4 * 0.00028554))]
    [InlineData(4000, 100, LossKind.RescaledKl, null, null, null, 1.14217573)]
    [InlineData(4000, 100, LossKind.Kl, null, null, null, 0.00028554)]
    public void Hybrid_loss(int steps, int t, LossKind kind, double? xtA, double? xtB, double? vb, double loss)
    {
        var process = new DiffusionProcess(new DiffusionConfig { Steps = steps, Variance = VarianceKind.LearnedRange, Loss = kind });
        var network = new FixedDenoiser(1, s_output, 0.65f, 0.2f, -0.1f, -0.6f);
        using Networks networks = Load(network);
        Shape shape = [1, 1, 2, 1];
        using IExecutable run = networks.Load(TrainingLosses.Build(network, process, shape, gradients: false));
        var state = new StepState(process, new Coefficients(process.Schedule, process.Config.Variance), shape, null, null);
        float[] x0 = [0.2f, -1];
        new[] { 0.7f, -0.3f }.CopyTo(state.Noise, 0);
        state.At(t);
        process.Diffuse(x0, state.Noise, state.Steps, state.X);
        state.Feed(run);
        run.SetInput(TrainingLosses.X0, x0);

        run.Run();

        if (xtA is not null)
        {
            Near(xtA.Value, xtB!.Value, Tensor.From<float>([1, 1, 1, 2], state.X));
        }

        Near(loss, Value(run, TrainingLosses.Loss));
        if (vb is not null)
        {
            Near(vb.Value, Value(run, TrainingLosses.Vb));
            Near(0.02125, Value(run, TrainingLosses.Mse));
        }
    }

    [Fact]
    public void Prior_bits_per_dimension()
    {
        var process = new DiffusionProcess(new DiffusionConfig { Variance = VarianceKind.LearnedRange });
        using Networks networks = Load(s_network);
        using var evaluation = new BitsPerDimension(networks, process);

        BpdResult result = evaluation.Evaluate(Pair(0.2, -1), new SameNoise(0.7f, -0.3f));

        Assert.Equal(1.5139014e-5, result.Prior.ToFloats()[0], 1.5139014e-5 * 1e-4);
        Assert.Equal(result.Vb.ToFloats().Sum(v => (double)v) + result.Prior.ToFloats()[0], result.Total.ToFloats()[0], 1e-4);
    }

    private static SamplerStep First(int t, double? eta = null, bool guided = false, bool clip = true, float[]? noise = null)
    {
        using Networks networks = Load(s_network);
        var options = new SamplerOptions
        {
            ClipDenoised = clip,
            Condition = guided ? (_, _, _) => Pair(s_gradient[0], s_gradient[1]) : null,
        };
        using Sampler sampler = eta is double e
            ? new DdimSampler(networks, s_process, options, e)
            : new DdpmSampler(networks, s_process, options);
        var batch = new SampleBatch
        {
            Count = 1,
            Height = 1,
            Width = 2,
            Noise = new SameNoise(noise ?? [0.7f, -0.3f]),
            Start = s_xt,
            StartStep = t,
        };
        return sampler.Progressive(batch).First();
    }

    private static Networks Load(FixedDenoiser network) => new(new TwinBackend(DType.F64), network, network);

    private static Tensor Pair(double a, double b) => Tensor.From<float>([1, 1, 1, 2], [(float)a, (float)b]);

    private static float Value(IExecutable run, string name)
    {
        var value = new float[1];
        run.GetOutput(name, value);
        return value[0];
    }

    private static void Near(double a, double b, Tensor found)
    {
        Assert.Equal([1, 1, 1, 2], found.Shape);
        Near(a, found.ToFloats()[0]);
        Near(b, found.ToFloats()[1]);
    }

    private static void Near(double expected, double found) =>
        Assert.True(Math.Abs(found - expected) <= 1e-4 * Math.Max(1, Math.Abs(expected)), $"{found}, expected {expected}");
}
