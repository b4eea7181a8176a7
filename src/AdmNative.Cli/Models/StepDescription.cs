using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Cli;

/// <summary>A sampler's step as a graph, without weights or device.</summary>
internal static class StepDescription
{
    /// <summary>The step, before the passes that a sampler runs over the whole of it.</summary>
    /// <param name="sampler">ddpm or ddim.</param>
    /// <param name="denoiser">The network.</param>
    /// <param name="process">The process.</param>
    /// <param name="images">Batch shape, [N,H,W,C].</param>
    /// <param name="classifier">What guides; null for nothing.</param>
    /// <param name="scale">Of the guidance.</param>
    /// <param name="fused">Whether the forward part is fused before its gradients are taken, as samplers do; without, all is as models describe it.</param>
    /// <exception cref="UsageException">No such sampler.</exception>
    public static Graph Of(string sampler, IDenoiser denoiser, DiffusionConfig process, Shape images, EncoderUNetConfig? classifier, double scale, bool fused)
    {
        (var steps, var how) = (new DiffusionProcess(process), new SamplerOptions { ClassifierScale = classifier is null ? 0 : scale });
        return sampler switch
        {
            "ddpm" => SamplerGraph.Ddpm(denoiser, steps, images, how, classifier, fused),
            "ddim" => SamplerGraph.Ddim(denoiser, steps, images, how, classifier, fused),
            _ => throw new UsageException($"--of: '{sampler}' is not one of model, ddpm, ddim"),
        };
    }

    /// <summary>Ops of a graph.</summary>
    public static int Ops(Graph graph) => graph.Nodes.Count(n => n.Kind == NodeKind.Op);
}
