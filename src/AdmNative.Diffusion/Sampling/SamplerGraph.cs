using AdmNative.Core;

namespace AdmNative.Diffusion;

/// <summary>
/// The graph that a sampler runs for one step, described without weights or device: for printing and planning.
/// </summary>
public static class SamplerGraph
{
    /// <summary>A step of <see cref="DdpmSampler"/>.</summary>
    /// <param name="denoiser">The network.</param>
    /// <param name="process">The process.</param>
    /// <param name="images">Batch shape, [N,H,W,C].</param>
    /// <param name="options">Clipping and guidance.</param>
    /// <param name="classifier">The classifier; needed when the options guide.</param>
    /// <param name="fused">Whether the forward part is optimised before its gradients are taken, as samplers do; without, the graph is as models describe it.</param>
    public static Graph Ddpm(
        IDenoiser denoiser,
        DiffusionProcess process,
        Shape images,
        SamplerOptions? options = null,
        EncoderUNetConfig? classifier = null,
        bool fused = true) =>
        Step(denoiser, process, DdpmSampler.Step, images, options, classifier, fused);

    /// <summary>A step of <see cref="DdimSampler"/>.</summary>
    /// <param name="denoiser">The network.</param>
    /// <param name="process">The process.</param>
    /// <param name="images">Batch shape, [N,H,W,C].</param>
    /// <param name="options">Clipping and guidance.</param>
    /// <param name="classifier">The classifier; needed when the options guide.</param>
    /// <param name="fused">Whether the forward part is optimised before its gradients are taken, as samplers do; without, the graph is as models describe it.</param>
    public static Graph Ddim(
        IDenoiser denoiser,
        DiffusionProcess process,
        Shape images,
        SamplerOptions? options = null,
        EncoderUNetConfig? classifier = null,
        bool fused = true) =>
        Step(denoiser, process, DdimSampler.Step, images, options, classifier, fused);

    private static Graph Step(
        IDenoiser denoiser,
        DiffusionProcess process,
        StepRule rule,
        Shape images,
        SamplerOptions? options,
        EncoderUNetConfig? classifier,
        bool fused)
    {
        options ??= new SamplerOptions();
        Guidance? guidance = options.ClassifierScale == 0 ? null : new Guidance(
            classifier ?? throw new ConfigException($"classifier_scale {options.ClassifierScale} needs a classifier"),
            options.ClassifierScale, options.GuidanceAtMean);
        return StepGraphs.Step(denoiser, process, rule, images, options.ClipDenoised, guidance, fused);
    }
}
