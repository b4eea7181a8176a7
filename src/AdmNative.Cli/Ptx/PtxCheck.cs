using System.CommandLine;
using AdmNative.VirtualGpu;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>adm ptx check: whether the virtual device knows everything in a file.</summary>
internal static class PtxCheck
{
    public static Command Create(Host host)
    {
        var file = new Argument<string>("file") { Description = "PTX text, as nvcc --ptx, NVRTC or clang write it." };
        var json = CommonFlags.Json();
        var command = new Verb(
            "check",
            "Parse and lower everything in a PTX file and report each unknown spelling with its line; exit code 1 if there is any.",
            "adm ptx check kernels.ptx",
            "adm ptx check kernels.ptx --json")
        { file, json };
        command.SetAction(p => Run(host, p.GetValue(file)!, p.GetValue(json)));
        return command;
    }

    private static int Run(Host host, string path, bool json)
    {
        PtxSummary summary = PtxSummary.Read(PtxVerb.Read(path));
        if (json)
        {
            host.Out.WriteLine(new JObject
            {
                ["file"] = path,
                ["entries"] = summary.Entries.Count,
                ["functions"] = summary.Functions,
                ["errors"] = new JArray(summary.Errors.Select(e => new JObject { ["line"] = e.Line, ["message"] = e.Message })),
            });
            return summary.Errors.Count > 0 ? ExitCode.Failed : ExitCode.Done;
        }

        string content = PtxList.Count(summary.Entries.Count, "entry", "entries")
            + (summary.Functions > 0 ? ", " + PtxList.Count(summary.Functions, "device function", "device functions") : "");
        if (summary.Errors.Count == 0)
        {
            host.Out.WriteLine($"{path}: {content}: every instruction is known");
            return ExitCode.Done;
        }

        foreach (PtxError error in summary.Errors)
        {
            host.Error.WriteLine($"{path}:{error.Line}: {error.Message}");
        }

        host.Error.WriteLine($"{path}: {content}, {PtxList.Count(summary.Errors.Count, "error", "errors")}");
        return ExitCode.Failed;
    }
}
