using System.CommandLine;
using AdmNative.VirtualGpu;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>adm ptx list: entries, their parameters and limits.</summary>
internal static class PtxList
{
    public static Command Create(Host host)
    {
        var file = new Argument<string>("file") { Description = "PTX text, as nvcc --ptx, NVRTC or clang write it." };
        var json = CommonFlags.Json();
        var command = new Verb(
            "list",
            "List the kernels of a PTX file: parameters with offsets and sizes, limits, shared memory.",
            "adm ptx list kernels.ptx",
            "adm ptx list kernels.ptx --json")
        { file, json };
        command.SetAction(p => Run(host, p.GetValue(file)!, p.GetValue(json)));
        return command;
    }

    private static int Run(Host host, string path, bool json)
    {
        PtxSummary summary = PtxSummary.Read(PtxVerb.Read(path));
        if (summary.Target.Length == 0)
        {
            throw new PtxFileException($"{path}:{summary.Errors[0].Line}: {summary.Errors[0].Message}");
        }

        if (json)
        {
            host.Out.WriteLine(new JObject
            {
                ["file"] = path,
                ["version"] = Version(summary),
                ["target"] = summary.Target,
                ["functions"] = summary.Functions,
                ["errors"] = summary.Errors.Count,
                ["entries"] = new JArray(summary.Entries.Select(Document)),
            });
            return ExitCode.Done;
        }

        host.Out.WriteLine($"{path}: PTX {Version(summary)} for {summary.Target}, {Count(summary.Entries.Count, "entry", "entries")}");
        foreach (EntrySummary entry in summary.Entries)
        {
            Print(host.Out, entry);
        }

        if (summary.Errors.Count > 0)
        {
            host.Error.WriteLine($"{path}: {Count(summary.Errors.Count, "error", "errors")}; 'adm ptx check {path}' lists them");
        }

        return ExitCode.Done;
    }

    /// <summary>E.g. "1 entry", "2 entries".</summary>
    public static string Count(long n, string one, string many) => $"{n} {(n == 1 ? one : many)}";

    private static string Version(PtxSummary summary) => $"{summary.Version.Major}.{summary.Version.Minor}";

    private static void Print(TextWriter output, EntrySummary entry)
    {
        output.WriteLine();
        output.WriteLine(entry.CanRun ? entry.Name : $"{entry.Name}  (has errors)");
        output.WriteLine($"  parameters    {entry.Parameters.Count}, {entry.ParameterBytes} bytes");
        foreach (ParameterSummary p in entry.Parameters)
        {
            output.WriteLine($"    {$"+{p.Offset}",-6} {Count(p.Bytes, "byte", "bytes"),-10} {p.Type,-10} {p.Name}");
        }

        string threads = entry.RequiredThreads is { } required ? $"exactly {Triple(required)} threads"
            : entry.MaxThreads is { } most ? $"at most {Triple(most)} threads" : "any number of threads";
        output.WriteLine($"  block         {threads}{(entry.MinBlocksPerSm > 0 ? $", at least {entry.MinBlocksPerSm} per SM" : "")}");
        string shared = entry.StaticSharedBytes is { } bytes ? $"{bytes} bytes" : "unknown";
        output.WriteLine($"  shared        {shared}{(entry.UsesDynamicShared ? ", plus --shared" : "")}");
        output.WriteLine($"  local         {(entry.LocalBytes is { } local ? $"{local} bytes per thread" : "unknown")}");
        if (entry.MaxRegisters > 0)
        {
            output.WriteLine($"  registers     at most {entry.MaxRegisters}");
        }

        output.WriteLine($"  instructions  {entry.Instructions}");
    }

    private static string Triple((int X, int Y, int Z) t) => $"{t.X}x{t.Y}x{t.Z}";

    private static JObject Document(EntrySummary entry) => new()
    {
        ["name"] = entry.Name,
        ["line"] = entry.Line,
        ["can_run"] = entry.CanRun,
        ["parameter_bytes"] = entry.ParameterBytes,
        ["parameters"] = new JArray(entry.Parameters.Select(p => new JObject
        {
            ["name"] = p.Name,
            ["type"] = p.Type,
            ["offset"] = p.Offset,
            ["bytes"] = p.Bytes,
            ["align"] = p.Align,
        })),
        ["required_threads"] = Json(entry.RequiredThreads),
        ["max_threads"] = Json(entry.MaxThreads),
        ["min_blocks_per_sm"] = entry.MinBlocksPerSm,
        ["max_registers"] = entry.MaxRegisters,
        ["static_shared_bytes"] = entry.StaticSharedBytes,
        ["dynamic_shared"] = entry.UsesDynamicShared,
        ["local_bytes"] = entry.LocalBytes,
        ["instructions"] = entry.Instructions,
    };

    private static JToken Json((int X, int Y, int Z)? t) => t is var (x, y, z) ? new JArray(x, y, z) : JValue.CreateNull();
}
