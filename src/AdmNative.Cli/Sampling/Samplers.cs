using AdmNative.Diffusion;

namespace AdmNative.Cli;

/// <summary>The sampler behind the flags.</summary>
internal static class Samplers
{
    public static Sampler Create(Networks networks, DiffusionFlags flags, SamplingOptions options, double classifierScale, bool guidanceAtMean)
    {
        if (options.Eta != 0 && !options.UseDdim)
        {
            throw new UsageException("--eta belongs to DDIM: add --use_ddim True");
        }

        var process = new DiffusionProcess(flags.ToConfig());
        var how = new SamplerOptions
        {
            ClipDenoised = options.ClipDenoised,
            ClassifierScale = classifierScale,
            GuidanceAtMean = guidanceAtMean,
        };
        return options.UseDdim ? new DdimSampler(networks, process, how, options.Eta) : new DdpmSampler(networks, process, how);
    }

    /// <summary>One line on stderr: what is about to run.</summary>
    public static void Announce(Host host, SamplingOptions options, Sampler sampler, Networks networks, int count)
    {
        if (!options.Quiet)
        {
            string kind = options.UseDdim ? "DDIM" : "ancestral";
            host.Error.WriteLine(
                $"{count} images in batches of {Math.Min(options.BatchSize, count)}, {sampler.Process.Steps} {kind} steps on {networks.Backend.Description}");
        }
    }
}
