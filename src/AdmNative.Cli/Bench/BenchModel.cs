using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using AdmNative.Core;
using AdmNative.Cuda;
using AdmNative.Diffusion;
using AdmNative.VirtualGpu;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>What to time.</summary>
internal sealed record BenchModelOptions(string Preset, int Batch, int Threads, string Device, string Conv, string? Precision, bool Train, string Of, bool Guided, int Repeats, bool Counters, bool Checks, bool Json);

/// <summary>adm bench model: seconds, GFLOP/s, memory and a per-op table of one network.</summary>
internal static class BenchModel
{
    public static Command Create(Host host)
    {
        var preset = Flag.Text("preset", "Model", "digits32", "name", "Network: digits32, mid64, imagenet64 or any diffusion preset.");
        var batch = Flag.Int("batch", "Model", 1, "Images per run.", min: 1);
        var train = Flag.Bool("train", "Model", false, "Also time forward and backward with a gradient for every weight.");
        var of = Flag.Text("of", "Model", "model", "model|ddpm|ddim", "The network alone, or a whole step of a sampler.");
        var guided = Flag.Bool("guided", "Model", false, "With the classifier of the preset; needs --of ddpm or ddim.");
        var repeats = Flag.Int("repeats", "Model", 5, "Runs that are counted; the median is reported.", min: 1);
        var device = CommonFlags.Device();
        var conv = CommonFlags.Conv();
        var precision = CommonFlags.Precision("f32");
        var threads = CommonFlags.Threads();
        var counters = Flag.Bool(
            "counters", CommonFlags.DeviceGroup, true, "On the virtual device: one more run that counts what the kernels of every op do, with bounds on the time for every device profile.");
        var checks = Flag.Bool("checks", CommonFlags.DeviceGroup, false, "On the virtual device: look for every kind of bug in that run; any finding is an error.");
        var json = CommonFlags.Json();
        var command = new Verb(
            "model",
            "Time a network with random weights: forward, forward and backward with --train, or a step of a sampler; on the virtual device also count.",
            "adm bench model --preset digits32 --batch 8 --threads 1",
            "adm bench model --preset mid64 --batch 2 --threads 2 --train --json",
            "# launches, counters per op and bounds on the time of four GPUs, found without one",
            "adm bench model --preset digits32 --of ddpm --device virtual")
        { preset, batch, train, of, guided, repeats, device, conv, precision, threads, counters, checks, json };
        command.SetAction(p => Run(host, new BenchModelOptions(
            p.GetValue(preset)!, p.GetValue(batch)!.Value, p.GetValue(threads)!.Value, p.GetValue(device)!, p.GetValue(conv)!, p.GetValue(precision), p.GetValue(train), p.GetValue(of)!, p.GetValue(guided),
            p.GetValue(repeats)!.Value, p.GetValue(counters), p.GetValue(checks), p.GetValue(json))));
        return command;
    }

    private static int Run(Host host, BenchModelOptions options)
    {
#if DEBUG
        throw new UsageException("a Debug build is not worth timing; build with -c Release");
#else
        Preset preset = Presets.All.FirstOrDefault(p => p.Name == options.Preset)
            ?? throw new UsageException($"--preset: '{options.Preset}' is not one of {string.Join(", ", Presets.All.Select(p => p.Name))}");
        if (preset.Network is not UNetConfig config)
        {
            throw new UsageException($"--preset: '{options.Preset}' is not a diffusion network");
        }

        if (options.Train && options.Of != "model")
        {
            throw new UsageException("--train times the network alone; leave out --of");
        }

        EncoderUNetConfig? classifier = !options.Guided ? null
            : options.Of == "model" ? throw new UsageException("--guided is for steps: add --of ddpm or --of ddim")
            : preset.Classifier is string name ? (EncoderUNetConfig)Presets.Find(name).Network
            : throw new UsageException($"--guided: preset {preset.Name} has no classifier; mnist16 and imagenet64 have one");
        using IBackend backend = Devices.Open(host, options.Device, options.Conv, options.Threads, quiet: options.Json, Precisions.Of(options.Precision));
        if (options.Checks && backend is not VirtualBackend)
        {
            throw new UsageException("--checks: only the virtual device looks for bugs; add --device virtual");
        }

        BenchWork work = options.Of == "model"
            ? BenchWork.Forward(config, options.Batch)
            : BenchWork.Step(options.Of, config, preset.Flags.Diffusion.ToConfig(), classifier, options.Batch);
        Timing[] timings = options.Train
            ? [Measure(backend, work, options with { Counters = false, Checks = false }, host.Stop), Measure(backend, BenchWork.Train(config, options.Batch), options, host.Stop)]
            : [Measure(backend, work, options, host.Stop)];
        long peak = PeakBytes();
        if (options.Json)
        {
            host.Out.WriteLine(Document(preset, backend, options, timings, peak));
        }
        else
        {
            Print(host, preset, backend, options, timings, peak);
        }

        return timings[^1].Counts is { Findings: { Count: > 0 } findings }
            ? throw new InvalidOperationException($"the checks found {findings.Count} bugs; the first: {findings[0]}")
            : ExitCode.Done;
#endif
    }

#if !DEBUG
    private sealed record Timing(BenchWork Work, double Median, double Minimum, PlanReport Report, long ParameterBytes, int? Launches, CountedRun? Counts);

    private static Timing Measure(IBackend backend, BenchWork work, BenchModelOptions options, CancellationToken stop)
    {
        using var network = new BenchNetwork(backend, work);
        double[] seconds = network.Time(options.Repeats, stop);
        Array.Sort(seconds);
        PlanReport report = network.Profile(Math.Min(3, options.Repeats));
        CountedRun? counts = backend is VirtualBackend device && (options.Counters || options.Checks)
            ? network.Count(device, options.Checks ? Checks.All : Checks.None) : null;
        return new Timing(work, seconds[seconds.Length / 2], seconds[0], report, network.ParameterBytes, network.Launches, counts);
    }

    private static void Print(Host host, Preset preset, IBackend backend, BenchModelOptions options, Timing[] timings, long peak)
    {
        Timing main = timings[^1];
        host.Out.WriteLine($"{preset.Name}, batch {options.Batch}, {backend.Description}");
        foreach (Timing t in timings)
        {
            host.Out.WriteLine(Format($"{t.Work.Name,-19} {t.Median * 1e3,9:F1} ms median, {t.Minimum * 1e3,9:F1} ms best, {t.Report.Flops / t.Median / 1e9,7:F1} GFLOP/s"));
            if (t.Launches is int launches)
            {
                host.Out.WriteLine(Format($"{"",-19} {launches} launches for {t.Work.GraphOps} ops before fusion: {100.0 * launches / t.Work.GraphOps:F0} %"));
            }
        }

        string parts = Format($"(arena {main.Report.ArenaBytes / 1e6:F0} MB, weights {main.ParameterBytes / 1e6:F0} MB)");
        host.Out.WriteLine(backend is CudaBackend // whose memory is not this process's
            ? Format($"device memory {(main.Report.ArenaBytes + main.ParameterBytes) / 1e6:F0} MB {parts}; peak memory of the process {peak / 1e6:F0} MB")
            : Format($"peak memory {peak / 1e6:F0} MB {parts}"));
        host.Out.WriteLine();
        host.Out.Write(main.Report.ToString());
        if (main.Counts is CountedRun counts)
        {
            host.Out.WriteLine();
            host.Out.WriteLine("counted by the virtual device; for each device, what its launches take at least and what the op's operations and operands alone would");
            host.Out.Write(counts.ToString());
            host.Out.Write(options.Checks ? $"checks: {counts.Findings.Count} findings\n" : "");
        }
    }

    private static JObject Document(Preset preset, IBackend backend, BenchModelOptions options, Timing[] timings, long peak)
    {
        (Timing first, Timing main) = (timings[0], timings[^1]);
        Timing? training = timings.Length > 1 ? main : null;
        return new JObject
        {
            ["preset"] = preset.Name,
            ["batch"] = options.Batch,
            ["device"] = backend.Description,
            ["work"] = first.Work.Name,
            ["forward_seconds"] = first.Median,
            ["forward_seconds_min"] = first.Minimum,
            ["train_seconds"] = training?.Median,
            ["train_seconds_min"] = training?.Minimum,
            ["gflops"] = first.Report.Flops / first.Median / 1e9,
            ["train_gflops"] = training is null ? null : training.Report.Flops / training.Median / 1e9,
            ["flops"] = first.Report.Flops,
            ["peak_bytes"] = peak,
            ["arena_bytes"] = main.Report.ArenaBytes,
            ["parameter_bytes"] = main.ParameterBytes,
            ["graph_ops"] = main.Work.GraphOps,
            ["launches"] = main.Launches,
            ["ops"] = new JArray(main.Report.Ops.Select(r => new JObject
            {
                ["op"] = r.Op,
                ["steps"] = r.Steps,
                ["seconds"] = r.Seconds,
                ["flops"] = r.Flops,
                ["moved_bytes"] = r.MovedBytes,
            })),
            ["counters"] = main.Counts?.ToJson(),
            ["findings"] = main.Counts is CountedRun counts && options.Checks ? new JArray(counts.Findings.Select(f => f.ToString())) : null,
        };
    }

    private static string Format(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    /// <summary>Largest resident size of this process so far.</summary>
    private static long PeakBytes()
    {
        using Process self = Process.GetCurrentProcess();
        return self.PeakWorkingSet64;
    }
#endif
}
