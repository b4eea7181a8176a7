using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>
/// The graph that training runs: gradients of the weighted loss, dropout included, against finite differences in
/// double.
/// </summary>
public class TrainingLossTests
{
    private static readonly UNetConfig s_config = SpecNetworks.UNet('C') with { Dropout = 0.2, UseScaleShiftNorm = true, RescaleResidual = true };
    private static readonly Shape s_shape = [2, 8, 8, 3];

    [Fact]
    public void Gradients_are_those_of_the_weighted_loss_with_its_dropout_masks()
    {
        // The bound alone: the hybrid loss has a stop-gradient, which differences cannot see.
        var process = new DiffusionProcess(new DiffusionConfig { Variance = VarianceKind.LearnedRange, Loss = LossKind.Kl });
        var denoiser = new UNetDenoiser(s_config);
        Graph graph = TrainingLosses.Build(denoiser, process, s_shape, gradients: true, dropout: true);
        Dictionary<string, HostArray<double>> weights = SpecNetworks.Weights(s_config);
        Dictionary<string, HostArray<double>> inputs = Inputs(process);
        Graph lossOnly = TrainingLosses.Build(denoiser, process, s_shape, gradients: false, dropout: true);

        double Objective()
        {
            double[] loss = TwinEvaluator.Evaluate(lossOnly, inputs, weights)[TrainingLosses.Loss].Data;
            return loss.Zip(inputs[TrainingLosses.Weight].Data, (l, w) => l * w).Sum();
        }

        Dictionary<string, HostArray<double>> found = TwinEvaluator.Evaluate(Passes.Optimize(graph), inputs, weights);

        foreach ((string name, int i) in new[] { ("time_embed.0.weight", 5), ("input_blocks.1.0.out_layers.3.weight", 77), ("out.2.bias", 4) })
        {
            double[] values = weights[name].Data;
            double saved = values[i];
            const double Step = 1e-4; // truncation 1e-8, rounding 1e-12, of gradients around 1e-2
            values[i] = saved + Step;
            double above = Objective();
            values[i] = saved - Step;
            double below = Objective();
            values[i] = saved;
            double expected = (above - below) / (2 * Step);
            double actual = found[TrainingLosses.GradientPrefix + name].Data[i];

            Assert.True(Math.Abs(expected) > 1e-6, $"{name}: the difference {expected} tells nothing");
            Assert.True(Math.Abs(actual - expected) <= 1e-5 * Math.Max(Math.Abs(expected), 1e-2), $"{name}[{i}]: {actual}, by differences {expected}");
        }
    }

    [Fact]
    public void Every_parameter_has_a_gradient_of_its_shape_and_dropout_masks_are_made_twice_from_one_stream()
    {
        var process = new DiffusionProcess(new DiffusionConfig { Variance = VarianceKind.LearnedRange });
        Graph graph = TrainingLosses.Build(new UNetDenoiser(s_config), process, s_shape, gradients: true, dropout: true);

        Dictionary<string, Node> outputs = graph.Outputs.ToDictionary(o => o.Name, o => o.Node);

        foreach (ParameterSpec p in ParameterList.Of(s_config))
        {
            Assert.Equal(p.Shape, outputs[TrainingLosses.GradientPrefix + p.Name].Shape);
        }

        Assert.All(graph.Nodes.Select(n => n.Op).OfType<Dropout>().GroupBy(d => d.Stream), g => Assert.Equal(2, g.Count()));
        Assert.Equal([2], outputs[TrainingLosses.Loss].Shape);
        Assert.Equal([2], outputs[TrainingLosses.Mse].Shape);
        Assert.Equal([2], outputs[TrainingLosses.Vb].Shape);
    }

    [Theory]
    [InlineData(LossKind.Kl, VarianceKind.LearnedRange, "loss")]
    [InlineData(LossKind.Mse, VarianceKind.Learned, "loss,mse,vb")]
    public void Terms_are_those_of_the_reference(LossKind loss, VarianceKind variance, string expected)
    {
        var process = new DiffusionProcess(new DiffusionConfig { Variance = variance, Loss = loss });

        Graph graph = TrainingLosses.Build(new UNetDenoiser(s_config), process, s_shape, gradients: false);

        Assert.Equal(expected, string.Join(",", graph.Outputs.Select(o => o.Name)));
        Assert.DoesNotContain(graph.Nodes, n => n.Op is Dropout);
    }

    private static Dictionary<string, HostArray<double>> Inputs(DiffusionProcess process)
    {
        var random = new Random(9);
        HostArray<double> Fill() => new(s_shape, [.. Enumerable.Range(0, (int)s_shape.Elements).Select(_ => (2 * random.NextDouble()) - 1)]);
        int[] t = [3, 700];
        var coefficients = new float[2 * Coef.Columns];
        new Coefficients(process.Schedule, process.Config.Variance).Fill(t, coefficients);
        HostArray<double> x0 = Fill();
        HostArray<double> noise = Fill();
        var xt = new HostArray<double>(s_shape);
        int perImage = xt.Data.Length / 2;
        for (int i = 0; i < xt.Data.Length; i++)
        {
            xt.Data[i] = Posterior.Sample(process.Schedule, t[i / perImage], x0.Data[i], noise.Data[i]);
        }

        return new Dictionary<string, HostArray<double>>
        {
            [InputNames.X] = xt,
            [TrainingLosses.X0] = x0,
            [InputNames.Noise] = noise,
            [InputNames.T] = new([2], [3, 700]),
            [InputNames.Coefficients] = new([2, Coef.Columns], [.. coefficients.Select(c => (double)c)]),
            [InputNames.DropoutSeed] = new([2], [12345, 678]),
            [TrainingLosses.Weight] = new([2], [0.7, 1.6]),
        };
    }
}
