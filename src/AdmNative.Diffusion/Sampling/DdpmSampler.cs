using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// Ancestral sampling (Algorithm 1): mean = c1 x_0 + c2 x_t;
/// x_{t-1} = mean + variance * gradient + [t != 0] sqrt(variance) * noise.
/// The reported x_0 is the unguided prediction.
/// </summary>
public sealed class DdpmSampler : Sampler
{
    /// <summary>A sampler over loaded networks.</summary>
    /// <exception cref="ConfigException">The options do not fit the networks.</exception>
    public DdpmSampler(Networks networks, DiffusionProcess process, SamplerOptions? options = null)
        : base(networks, process, Step, options, eta: 0)
    {
    }

    internal static (Node Sample, Node PredXStart) Step(Graph graph, DiffusionProcess process, StepNodes s)
    {
        (MeanKind mean, VarianceKind variance) = (process.Config.Mean, process.Config.Variance);
        return (graph.DdpmStep(s.X, s.Output, s.X0, s.Coef, s.Noise, s.Gradient, mean, variance), s.X0);
    }
}
