using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// DDIM (Algorithm 2): eps = (sqrt(1/alphaBar_t) x_t - x_0) / sqrt(1/alphaBar_t - 1);
/// guided: eps' = eps - sqrt(1 - alphaBar_t) * gradient;
/// x_{t-1} = sqrt(alphaBar_{t-1}) x_0' + sqrt(1 - alphaBar_{t-1} - sigma^2) eps' + [t != 0] sigma * noise.
/// eps comes from the clipped x_0; the guided x_0', which is reported, is not clipped again.
/// </summary>
public sealed class DdimSampler : Sampler
{
    /// <summary>A sampler over loaded networks.</summary>
    /// <param name="networks">Denoiser and classifier.</param>
    /// <param name="process">The process to walk back.</param>
    /// <param name="options">Clipping and guidance.</param>
    /// <param name="eta">0 is deterministic, 1 as noisy as ancestral sampling.</param>
    /// <exception cref="ConfigException">The options do not fit the networks.</exception>
    public DdimSampler(Networks networks, DiffusionProcess process, SamplerOptions? options = null, double eta = 0)
        : base(networks, process, Step, options, eta)
    {
    }

    internal static (Node Sample, Node PredXStart) Step(Graph graph, DiffusionProcess process, StepNodes s)
    {
        Node x0 = s.Gradient is null ? s.X0 : graph.DdimXStart(s.X, s.X0, s.Coef, s.Gradient);
        return (graph.DdimStep(s.X, x0, s.Coef, s.Noise), x0);
    }
}
