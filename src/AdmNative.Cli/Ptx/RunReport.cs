using System.Globalization;
using System.Reflection;
using AdmNative.VirtualGpu;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>What a run says: the kernel's own output and the profile on stdout, findings and notes on stderr.</summary>
internal static class RunReport
{
    private static readonly PropertyInfo[] s_counts = [.. typeof(Counters).GetProperties().Where(p => p.PropertyType == typeof(long))];

    /// <summary>Prints it all.</summary>
    /// <param name="host">Where to.</param>
    /// <param name="result">What happened.</param>
    /// <param name="written">Whether the output file was written.</param>
    /// <returns>The exit code.</returns>
    public static int Print(Host host, RunResult result, bool written)
    {
        PtxRunOptions options = result.Options;
        LaunchReport report = result.Runs[0].Report;
        if (options.Profile == "json")
        {
            host.Out.WriteLine(Document(result));
        }
        else
        {
            host.Out.Write(report.Output);
            if (options.Profile == "text")
            {
                Text(host.Out, result);
            }
        }

        foreach (Finding finding in result.Findings)
        {
            host.Error.WriteLine(finding);
        }

        long dropped = result.Runs.Max(r => r.Report.FindingsDropped);
        if (result.Difference is not null)
        {
            host.Error.WriteLine(result.Difference);
        }

        bool completed = result.Runs.All(r => r.Report.Completed);
        bool clean = result.Findings.Count == 0 && dropped == 0 && result.Difference is null && completed;
        if (!clean || !options.Quiet)
        {
            host.Error.WriteLine(Verdict(result, dropped, completed, written));
        }

        return clean ? ExitCode.Done : ExitCode.Failed;
    }

    private static string Verdict(RunResult result, long dropped, bool completed, bool written)
    {
        string count = result.Findings.Count == 0 ? result.Options.Launch.Checks == Checks.None ? "not checked" : "no findings" : PtxList.Count(result.Findings.Count, "finding", "findings");
        string more = dropped > 0 ? $" and {dropped} more (--max_findings)" : "";
        string runs = result.Runs.Count > 1 ? $" in {result.Runs.Count} schedules" : "";
        string end = completed ? "" : "; the launch did not complete";
        string file = result.Options.Output is null ? "" : written ? $"; results in {result.Options.Output}" : $"; {result.Options.Output} is not written";
        return $"{result.Entry.Name}: {count}{more}{runs}{end}{file}";
    }

    private static JObject Document(RunResult result)
    {
        LaunchReport report = result.Runs[0].Report;
        Cuda.LaunchShape s = result.Options.Shape;
        return new JObject
        {
            ["file"] = result.Options.File,
            ["entry"] = result.Entry.Name,
            ["grid"] = new JArray(s.GridX, s.GridY, s.GridZ),
            ["block"] = new JArray(s.BlockX, s.BlockY, s.BlockZ),
            ["dynamic_shared_bytes"] = s.SharedBytes,
            ["device"] = result.Device.Target,
            ["launches"] = result.Runs.Count,
            ["completed"] = result.Runs.All(r => r.Report.Completed),
            ["schedule_difference"] = result.Difference,
            ["findings"] = new JArray(result.Findings.Select(Document)),
            ["findings_dropped"] = result.Runs.Max(r => r.Report.FindingsDropped),
            ["spin_rotations"] = report.SpinRotations,
            ["output"] = report.Output,
            ["counters"] = Document(report.Counters, all: true),
            ["lines"] = new JArray(report.Lines.Select(l => new JObject
            {
                ["file"] = l.File,
                ["line"] = l.Line,
                ["counters"] = Document(l.Counters, all: false),
            })),
            ["lower_bounds"] = Bounds(result),
        };
    }

    private static JObject Document(Finding f) => new()
    {
        ["check"] = LaunchWords.Snake(f.Check.ToString()),
        ["message"] = f.Message,
        ["kernel"] = f.Kernel,
        ["file"] = f.SourceFile,
        ["line"] = f.SourceLine,
        ["ptx_line"] = f.PtxLine,
        ["block"] = new JArray(f.Cta.X, f.Cta.Y, f.Cta.Z),
        ["warp"] = f.Warp,
        ["lane"] = f.Lane,
        ["count"] = f.Count,
    };

    // Lines give only what is not zero.
    private static JObject Document(Counters counters, bool all)
    {
        var document = new JObject();
        foreach (PropertyInfo p in s_counts)
        {
            long value = (long)p.GetValue(counters)!;
            if (all || value != 0)
            {
                document[LaunchWords.Snake(p.Name)] = value;
            }
        }

        if (all || counters.MmaByShape.Count > 0)
        {
            var shapes = new JObject();
            foreach ((string shape, long count) in counters.MmaByShape.OrderBy(m => m.Key, StringComparer.Ordinal))
            {
                shapes[shape] = count;
            }

            document["mma_by_shape"] = shapes;
        }

        return document;
    }

    private static JToken Bounds(RunResult result)
    {
        Counters counters = result.Runs[0].Report.Counters;
        if (counters.WarpInstructions == 0)
        {
            return JValue.CreateNull();
        }

        Bounds bounds = VirtualGpu.Bounds.Of(counters, result.Device);
        return new JObject
        {
            ["note"] = "no device of this profile can be faster; most kernels are slower",
            ["device"] = bounds.Profile.Name,
            ["seconds"] = bounds.Seconds,
            ["bound_by"] = bounds.Binding,
            ["terms"] = new JArray(bounds.Terms.Select(t => new JObject { ["name"] = t.Name, ["seconds"] = t.Seconds, ["basis"] = t.Basis })),
        };
    }

    private static void Text(TextWriter output, RunResult result)
    {
        LaunchReport report = result.Runs[0].Report;
        Counters c = report.Counters;
        Cuda.LaunchShape s = result.Options.Shape;
        Line($"{result.Entry.Name}: {s.GridX}x{s.GridY}x{s.GridZ} blocks of {s.BlockX}x{s.BlockY}x{s.BlockZ} threads, {s.SharedBytes} bytes of dynamic shared memory");
        Line($"instructions   {c.WarpInstructions} of warps, {c.LaneInstructions} of threads: {Percent(c.LaneInstructions, 32 * c.WarpInstructions)} of lanes busy");
        string mix = string.Join(", ", Mix(c).Where(m => m.Count > 0).Select(m => $"{m.Name} {m.Count}"));
        Line($"  mix          {mix}");
        Line($"global reads   {c.GlobalReadRequests} requests, {c.GlobalReadSectors} sectors, {c.GlobalReadUniqueBytes} bytes used: {Percent(c.GlobalReadUniqueBytes, 32 * c.GlobalReadSectors)}");
        Line($"global writes  {c.GlobalWriteRequests} requests, {c.GlobalWriteSectors} sectors, {c.GlobalWriteUniqueBytes} bytes used: {Percent(c.GlobalWriteUniqueBytes, 32 * c.GlobalWriteSectors)}");
        Line($"shared         {c.SharedRequests} requests, {c.SharedPasses} passes, {c.SharedConflicts} of them by bank conflicts");
        Line($"loads, stores  global {c.GlobalLoads}, {c.GlobalStores}; shared {c.SharedLoads}, {c.SharedStores}; local {c.LocalLoads}, {c.LocalStores}; constant {c.ConstantLoads}");
        Line($"control        {c.Barriers} barrier arrivals, {c.Fences} fences, {c.DivergentBranches} divergent branches, {c.Atomics} atomics, {c.AtomicClashes} of them on one address");
        Line($"arithmetic     {c.Flops} floating-point operations, {c.MmaFlops} in tensor cores");
        if (c.WarpInstructions > 0)
        {
            output.WriteLine(VirtualGpu.Bounds.Of(c, result.Device));
        }

        output.WriteLine();
        Line($"{"line",-24} {"warp instr",10} {"lanes",7} {"read sect",9} {"write sect",10} {"passes",7} {"conflicts",9} {"flops",9}");
        var sources = new SourceLines(result.Options.File);
        foreach (LineCounters l in report.Lines)
        {
            Counters n = l.Counters;
            string place = l.File.Length == 0 ? $"ptx:{l.Line}" : $"{Path.GetFileName(l.File)}:{l.Line}";
            Line($"{place,-24} {n.WarpInstructions,10} {Percent(n.LaneInstructions, 32 * n.WarpInstructions),7} {n.GlobalReadSectors,9} {n.GlobalWriteSectors,10} {n.SharedPasses,7} {n.SharedConflicts,9} {n.Flops + n.MmaFlops,9}  {sources.Of(l.File, l.Line)}");
        }

        void Line(FormattableString text) => output.WriteLine(text.ToString(CultureInfo.InvariantCulture).TrimEnd());
    }

    private static string Percent(long part, long whole) => whole == 0 ? "-" : string.Create(CultureInfo.InvariantCulture, $"{100.0 * part / whole:0.0} %");

    private static IEnumerable<(string Name, long Count)> Mix(Counters c) =>
    [
        ("integer", c.IntegerInstructions), ("move", c.MoveInstructions), ("f32", c.F32Instructions), ("f16", c.F16Instructions), ("f64", c.F64Instructions),
        ("special", c.SpecialFunctionInstructions), ("convert", c.ConversionInstructions), ("global", c.GlobalInstructions),
        ("shared", c.SharedInstructions), ("local", c.LocalInstructions), ("parameter", c.ParameterInstructions), ("control", c.ControlInstructions),
        ("warp", c.WarpOperations), ("mma", c.MmaInstructions),
    ];
}

/// <summary>
/// Lines of the source files that .loc directives name, where they are found beside the PTX file, or under the current folder as named. A name
/// that leads elsewhere is not followed: PTX may come from anybody.
/// </summary>
internal sealed class SourceLines(string ptxPath)
{
    private const long MaxBytes = 1 << 24;

    private readonly Dictionary<string, string[]> _files = [];

    /// <summary>The line without its indentation; "" when there is none.</summary>
    public string Of(string file, int line)
    {
        string path = file.Length == 0 ? ptxPath : file;
        if (!_files.TryGetValue(path, out string[]? lines))
        {
            string beside = Path.Combine(Path.GetDirectoryName(ptxPath) ?? "", Path.GetFileName(path));
            bool inside = file.Length == 0 || (!Path.IsPathRooted(path) && !path.Split('/', '\\').Contains(".."));
            string? found = (inside ? (string[])[path, beside] : [beside]).FirstOrDefault(IsReadable);
            _files[path] = lines = found is null ? [] : File.ReadAllLines(found);
        }

        return line >= 1 && line <= lines.Length ? lines[line - 1].Trim() : "";
    }

    // Of pipes and devices the system says that they have no bytes.
    private static bool IsReadable(string path) => new FileInfo(path) is { Exists: true, LinkTarget: null, Length: > 0 and < MaxBytes };
}
