using System.CommandLine;
using System.Globalization;
using AdmNative.Core;
using AdmNative.Cuda;
using AdmNative.Formats;
using AdmNative.VirtualGpu;
using AdmNative.VirtualGpu.Ptx;

namespace AdmNative.Cli;

/// <summary>What to launch, how, and what to say about it.</summary>
internal sealed record PtxRunOptions(
    string File, string? Entry, LaunchShape Shape, string? Args, string? Input, string? Output, LaunchOptions Launch, DeviceProfile? Device,
    bool AllPolicies, string Profile, bool Quiet);

/// <summary>adm ptx run: one launch of one kernel on arrays of an .npz file.</summary>
internal static class PtxRun
{
    private const string LaunchGroup = "Launch";
    private const string WatchGroup = "Checks and counters";

    public static Command Create(Host host)
    {
        var file = new Argument<string>("file") { Description = "PTX text, as nvcc --ptx, NVRTC or clang write it." };
        var entry = Flag.Text("entry", LaunchGroup, null, "name", "Kernel to launch; may be left out where the file has one only.");
        var grid = Flag.Text("grid", LaunchGroup, "1", "x,y,z", "Blocks.");
        var block = Flag.Text("block", LaunchGroup, null, "x,y,z", "Threads of a block. Needed.");
        var shared = Flag.Int("shared", LaunchGroup, 0, "Bytes of dynamic shared memory.", min: 0);
        var args = Flag.Text("args", LaunchGroup, null, "spec.json", "Arguments, a JSON list with one object per parameter; the list itself is taken too.");
        var input = Flag.Text("input", LaunchGroup, null, "in.npz", "Arrays for {\"buffer\":\"name\"}.");
        var output = Flag.Text("output", LaunchGroup, null, "out.npz", "Where all arrays of the arguments go after the launch.");
        var device = Flag.Text("device", LaunchGroup, "auto", "sm_80|sm_86|sm_89|sm_90", "GPU to stand for; auto takes the one the file is made for.");
        var engine = Flag.Text("engine", LaunchGroup, "auto", "interpreter|jit", "jit is faster, but neither checks nor counts; auto takes it when nothing asks for either.");
        var mma = Flag.Text("mma", LaunchGroup, "ieee", "ieee|sm80|sm90", "How tensor cores round.");
        var noise = Flag.Bool("approx_noise", LaunchGroup, false, "Add an error within the documented bound to every approximate function.");
        var schedule = Flag.Text(
            "schedule", LaunchGroup, "in_order", "in_order|reverse|random|adversarial|all", "Order of warps and blocks; all runs under each and compares the bits.");
        var delivery = Flag.Text("delivery", LaunchGroup, "early", "early|late", "When asynchronous copies land: at once, or at their wait.");
        var seed = Flag.Seed("seed", LaunchGroup, 0, "Seed of --schedule random and of --approx_noise.");
        var threads = Flag.Int("threads", LaunchGroup, 0, "Host threads over blocks; 0 means all cores. The check between blocks takes one.", min: 0, max: 1024);
        var steps = new Flag<long?>(
            "max_steps", LaunchGroup, "n", "2^34", "Thread instructions after which a launch is stopped as endless.",
            text => long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long v) && v > 0 ? (true, v) : (false, null),
            "a positive whole number")
        { DefaultValueFactory = _ => null };
        var checks = Flag.Text("checks", WatchGroup, "all", "all|none|names", $"Bugs to look for: {string.Join(", ", LaunchWords.Checks.Select(c => c.Name))}. all leaves out numeric; a minus takes one out: all,-inter_cta.");
        var findings = Flag.Int("max_findings", WatchGroup, 100, "Findings printed; further ones are counted.", min: 1, max: 1_000_000);
        var profile = Flag.Text("profile", WatchGroup, "none", "none|text|json", "Print counters per launch and source line, and lower bounds of the time. json is one document with the findings and what the kernel printed.");
        var quiet = CommonFlags.Quiet();
        var command = new Verb(
            "run",
            "Launch a kernel on a virtual CUDA device that looks for bugs; exit code 1 if it has any.",
            "adm ptx run axpy.ptx --entry axpy --grid 4 --block 256 --args spec.json --input in.npz --output out.npz",
            "adm ptx run gemm.ptx --entry gemm --grid 8,8 --block 128 --args spec.json --input in.npz --checks none --mma sm80 --output out.npz",
            "adm ptx run axpy.ptx --grid 4 --block 256 --args spec.json --input in.npz --schedule all --profile json")
        {
            file, entry, grid, block, shared, args, input, output, device, engine, mma, noise, schedule, delivery, seed, threads, steps, checks, findings, profile, quiet,
        };
        command.SetAction(p =>
        {
            (uint gx, uint gy, uint gz) = LaunchWords.Triple("--grid", p.GetValue(grid)!);
            (uint bx, uint by, uint bz) = LaunchWords.Triple("--block", p.GetValue(block) ?? throw new UsageException("--block is needed: threads of a block, such as 256 or 16,16"));
            string profileKind = p.GetValue(profile)!;
            if (profileKind is not ("none" or "text" or "json"))
            {
                throw new UsageException($"--profile: '{profileKind}' is not one of none, text, json");
            }

            string policy = p.GetValue(schedule)!;
            bool all = policy == "all";
            var launch = new LaunchOptions
            {
                Checks = LaunchWords.ParseChecks(p.GetValue(checks)!),
                Engine = LaunchWords.Parse<EngineKind>("--engine", p.GetValue(engine)!),
                Schedule = all ? SchedulePolicy.InOrder : LaunchWords.Parse<SchedulePolicy>("--schedule", policy),
                Seed = p.GetValue(seed)!.Value,
                Delivery = LaunchWords.Parse<AsyncDelivery>("--delivery", p.GetValue(delivery)!),
                Mma = LaunchWords.Parse<MmaRounding>("--mma", p.GetValue(mma)!),
                ApproxNoise = p.GetValue(noise),
                Counters = profileKind != "none",
                Threads = p.GetValue(threads)!.Value,
                MaxFindings = p.GetValue(findings)!.Value,
                Stop = host.Stop,
            };
            launch = p.GetValue(steps) is { } budget ? launch with { StepBudget = budget } : launch;
            return Run(host, new PtxRunOptions(
                p.GetValue(file)!, p.GetValue(entry), new LaunchShape(gx, gy, gz, bx, by, bz, (uint)p.GetValue(shared)!.Value), p.GetValue(args),
                p.GetValue(input), p.GetValue(output), launch, Profile(p.GetValue(device)!), all, profileKind, p.GetValue(quiet)));
        });
        return command;
    }

    private static DeviceProfile? Profile(string name) => name == "auto" ? null
        : DeviceProfile.TryParse(name, out DeviceProfile? profile) ? profile
        : throw new UsageException($"--device: '{name}' is not one of auto, {string.Join(", ", DeviceProfile.All.Select(d => $"{d.Target} ({d.Alias})"))}");

    private static int Run(Host host, PtxRunOptions options)
    {
        if (options.Launch.Engine == EngineKind.Jit && (options.Launch.Checks != Checks.None || options.Launch.Counters))
        {
            throw new UsageException($"--engine jit neither checks nor counts: {(options.Launch.Checks != Checks.None ? "add --checks none" : "leave --profile out")}, or take the interpreter");
        }

        string? output = options.Output is null ? null : OutputPaths.File(options.Output, "--output");
        string text = PtxVerb.Read(options.File);
        EntrySummary entry = FindEntry(text, options);
        ArgumentSpec spec = options.Args is null ? ArgumentSpec.Empty() : ArgumentSpec.Read(options.Args);
        spec.Check(entry);
        if (output is not null && spec.Arrays.Count == 0)
        {
            throw new UsageException("--output: no argument is an array, so there is nothing to write");
        }

        Tensor[] arrays = Arrays(spec, options.Input);
        PtxProgram program = PtxProgram.Parse(text);
        DeviceProfile profile = options.Device ?? DefaultDevice(program.Target);
        List<PolicyRun> runs = [];
        foreach (LaunchOptions launch in Launches(options))
        {
            runs.Add(Launch(program, profile, entry, options.Shape, spec, arrays, launch));
        }

        var result = new RunResult(options, entry, profile, spec, runs);
        host.Stop.ThrowIfCancellationRequested();
        bool written = output is not null && runs.All(r => r.Report.Completed);
        if (written)
        {
            using NpzWriter writer = NpzWriter.Create(output!);
            for (int i = 0; i < arrays.Length; i++)
            {
                writer.Add(spec.Arrays[i].Name, runs[0].Arrays[i]);
            }

            writer.Commit();
        }

        return RunReport.Print(host, result, written);
    }

    private static EntrySummary FindEntry(string text, PtxRunOptions options)
    {
        PtxSummary summary = PtxSummary.Read(text);
        if (summary.Errors.Count > 0)
        {
            PtxError first = summary.Errors[0];
            string more = summary.Errors.Count == 1 ? "" : $" (and {PtxList.Count(summary.Errors.Count - 1, "more error", "more errors")}: adm ptx check {options.File})";
            throw new PtxFileException($"{options.File}:{first.Line}: {first.Message}{more}");
        }

        string names = summary.Entries.Count == 0 ? "none at all" : string.Join(", ", summary.Entries.Select(e => e.Name));
        return options.Entry is null
            ? summary.Entries.Count == 1 ? summary.Entries[0] : throw new UsageException($"--entry is needed: {options.File} has {names}")
            : summary.Entries.FirstOrDefault(e => e.Name == options.Entry) ?? throw new UsageException($"--entry: {options.File} has no '{options.Entry}'; it has {names}");
    }

    /// <summary>The smallest device that runs the target.</summary>
    private static DeviceProfile DefaultDevice(string target)
    {
        string digits = string.Concat(target.Where(char.IsAsciiDigit));
        return DeviceProfile.All.FirstOrDefault(d => int.TryParse(digits, out int n) && n <= (10 * d.Major) + d.Minor) ?? DeviceProfile.All[^1];
    }

    private static Tensor[] Arrays(ArgumentSpec spec, string? input)
    {
        ArgumentArray? first = spec.Arrays.FirstOrDefault(a => a.Fresh is null);
        if (first is not null && input is null)
        {
            throw new UsageException($"--input is needed: {first.Place} is array '{first.Name}' of it");
        }

        using NpzFile? file = first is null ? null : NpzFile.Open(input!);
        return [.. spec.Arrays.Select(a => a.Fresh is null ? file!.Read(a.Name) : Fresh(a))];
    }

    private static Tensor Fresh(ArgumentArray array)
    {
        var tensor = new Tensor(array.Fresh!.DType, array.Fresh.Shape);
        if (array.Fill is { } one && one.Any(b => b != 0))
        {
            for (int i = 0; i < tensor.Bytes.Length; i += one.Length)
            {
                one.CopyTo(tensor.Bytes[i..]);
            }
        }

        return tensor;
    }

    private static IEnumerable<LaunchOptions> Launches(PtxRunOptions options) => !options.AllPolicies ? [options.Launch]
        : from schedule in Enum.GetValues<SchedulePolicy>()
          from delivery in Enum.GetValues<AsyncDelivery>()
          select options.Launch with { Schedule = schedule, Delivery = delivery };

    /// <summary>One launch on a device of its own.</summary>
    private static PolicyRun Launch(
        PtxProgram program, DeviceProfile profile, EntrySummary entry, LaunchShape shape, ArgumentSpec spec, Tensor[] arrays, LaunchOptions launch)
    {
        using var device = new VirtualDevice(profile);
        var addresses = new Dictionary<string, ulong>();
        try
        {
            device.Load(program);
            for (int i = 0; i < arrays.Length; i++)
            {
                ArgumentArray array = spec.Arrays[i];
                ulong address = arrays[i].Bytes.Length == 0 ? 0 : device.Allocate(arrays[i].Bytes.Length, array.Name); // as cudaMalloc: no bytes, no address
                if (array.Fresh is null || array.Fill is not null)
                {
                    device.Write(address, arrays[i].Bytes);
                }

                addresses[array.Name] = address;
            }

            LaunchReport report = device.Launch(program.Entry(entry.Name), shape, spec.Encode(entry, addresses), launch);
            var after = new Tensor[arrays.Length];
            for (int i = 0; i < arrays.Length; i++)
            {
                after[i] = new Tensor(arrays[i].DType, arrays[i].Shape);
                device.Read(addresses[spec.Arrays[i].Name], after[i].Bytes);
            }

            return new PolicyRun(launch, report, after);
        }
        catch (CudaException e) when (e.Status is CudaStatus.InvalidValue or CudaStatus.LaunchOutOfResources or CudaStatus.InvalidPtx)
        {
            throw new UsageException(e.Message);
        }
        catch (CudaException e)
        {
            throw new IOException(e.Message, e);
        }
        catch (OperationCanceledException e)
        {
            throw new OperationCanceledException("stopped; nothing is written", e);
        }
    }
}

/// <summary>A launch under one policy and what it left.</summary>
internal sealed record PolicyRun(LaunchOptions Options, LaunchReport Report, Tensor[] Arrays)
{
    public string Name => $"{LaunchWords.Snake(Options.Schedule.ToString())}, {LaunchWords.Snake(Options.Delivery.ToString())}";
}

/// <summary>All launches of one command.</summary>
internal sealed record RunResult(PtxRunOptions Options, EntrySummary Entry, DeviceProfile Device, ArgumentSpec Spec, IReadOnlyList<PolicyRun> Runs)
{
    /// <summary>Findings of all launches; those that several share once.</summary>
    public IReadOnlyList<Finding> Findings { get; } = [.. Runs.SelectMany(r => r.Report.Findings).DistinctBy(f => (f.Check, f.PtxLine, f.Message))];

    /// <summary>The first array that differs between policies, in words; null when all bits are equal.</summary>
    public string? Difference { get; } = Compare(Spec, Runs);

    private static string? Compare(ArgumentSpec spec, IReadOnlyList<PolicyRun> runs)
    {
        PolicyRun first = runs[0];
        foreach (PolicyRun other in runs.Skip(1).Where(r => r.Report.Completed && first.Report.Completed))
        {
            for (int i = 0; i < first.Arrays.Length; i++)
            {
                ReadOnlySpan<byte> a = first.Arrays[i].Bytes, b = other.Arrays[i].Bytes;
                int at = a.CommonPrefixLength(b);
                if (at < a.Length)
                {
                    int size = first.Arrays[i].DType.SizeBytes(), element = at / size;
                    string values = $"0x{Hex(a, element, size)} and 0x{Hex(b, element, size)}";
                    return $"results depend on the schedule: element {element} of '{spec.Arrays[i].Name}' is {values} under ({first.Name}) and ({other.Name})";
                }
            }
        }

        return null;
    }

    private static string Hex(ReadOnlySpan<byte> bytes, int element, int size)
    {
        byte[] one = bytes.Slice(element * size, size).ToArray();
        Array.Reverse(one);
        return Convert.ToHexStringLower(one);
    }
}
