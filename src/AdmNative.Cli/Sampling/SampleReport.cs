using AdmNative.Diffusion;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>The result of a sampling verb on stdout: paths, one per line, or one JSON document.</summary>
internal static class SampleReport
{
    public static int Write(Host host, SamplingOptions options, SampleFiles files, Networks networks)
    {
        if (options.Json)
        {
            var document = new JObject
            {
                ["samples"] = files.Samples,
                ["count"] = files.Count,
                ["seconds"] = Math.Round(files.Seconds, 3),
                ["device"] = networks.Backend.Description,
            };
            Add(document, "grid", files.Grid);
            Add(document, "png_dir", files.PngDir);
            Add(document, "frames", files.Frames);
            host.Out.WriteLine(document);
            return ExitCode.Done;
        }

        if (!options.Quiet)
        {
            host.Error.WriteLine($"done in {files.Seconds:0.0} s");
        }

        foreach (string? path in new[] { files.Samples, files.Frames, files.PngDir, files.Grid })
        {
            if (path is not null)
            {
                host.Out.WriteLine(path);
            }
        }

        return ExitCode.Done;
    }

    private static void Add(JObject document, string name, string? value)
    {
        if (value is not null)
        {
            document[name] = value;
        }
    }
}
