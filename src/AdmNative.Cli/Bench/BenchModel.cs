using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using AdmNative.Core;
using AdmNative.Diffusion;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>What to time.</summary>
internal sealed record BenchModelOptions(string Preset, int Batch, int Threads, string Device, bool Train, int Repeats, bool Json);

/// <summary>adm bench model: seconds, GFLOP/s, memory and a per-op table of one network.</summary>
internal static class BenchModel
{
    public static Command Create(Host host)
    {
        var preset = Flag.Text("preset", "Model", "digits32", "name", "Network: digits32, mid64, imagenet64 or any diffusion preset.");
        var batch = Flag.Int("batch", "Model", 1, "Images per run.", min: 1);
        var train = Flag.Bool("train", "Model", false, "Also time forward and backward with a gradient for every weight.");
        var repeats = Flag.Int("repeats", "Model", 5, "Runs that are counted; the median is reported.", min: 1);
        var device = CommonFlags.Device();
        var threads = CommonFlags.Threads();
        var json = CommonFlags.Json();
        var command = new Verb(
            "model",
            "Time a network with random weights: forward, and forward and backward with --train.",
            "adm bench model --preset digits32 --batch 8 --threads 1",
            "adm bench model --preset mid64 --batch 2 --threads 2 --train --json")
        { preset, batch, train, repeats, device, threads, json };
        command.SetAction(p => Run(host, new BenchModelOptions(
            p.GetValue(preset)!, p.GetValue(batch)!.Value, p.GetValue(threads)!.Value, p.GetValue(device)!, p.GetValue(train),
            p.GetValue(repeats)!.Value, p.GetValue(json))));
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

        using IBackend backend = Devices.Open(host, options.Device, options.Threads, quiet: options.Json);
        Timing forward = Measure(backend, config, options, train: false, host.Stop);
        Timing? training = options.Train ? Measure(backend, config, options, train: true, host.Stop) : null;
        long peak = PeakBytes();
        Timing main = training ?? forward;
        if (options.Json)
        {
            host.Out.WriteLine(new JObject
            {
                ["preset"] = preset.Name,
                ["batch"] = options.Batch,
                ["device"] = backend.Description,
                ["forward_seconds"] = forward.Median,
                ["forward_seconds_min"] = forward.Minimum,
                ["train_seconds"] = training?.Median,
                ["train_seconds_min"] = training?.Minimum,
                ["gflops"] = forward.Report.Flops / forward.Median / 1e9,
                ["train_gflops"] = training is null ? null : training.Report.Flops / training.Median / 1e9,
                ["flops"] = forward.Report.Flops,
                ["peak_bytes"] = peak,
                ["arena_bytes"] = main.Report.ArenaBytes,
                ["parameter_bytes"] = main.ParameterBytes,
                ["ops"] = new JArray(main.Report.Ops.Select(r => new JObject
                {
                    ["op"] = r.Op,
                    ["steps"] = r.Steps,
                    ["seconds"] = r.Seconds,
                    ["flops"] = r.Flops,
                    ["moved_bytes"] = r.MovedBytes,
                })),
            }.ToString());
            return ExitCode.Done;
        }

        host.Out.WriteLine($"{preset.Name}, batch {options.Batch}, {backend.Description}");
        host.Out.WriteLine(Line("forward", forward));
        if (training is not null)
        {
            host.Out.WriteLine(Line("forward + backward", training));
        }

        host.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"peak memory {peak / 1e6:F0} MB (arena {main.Report.ArenaBytes / 1e6:F0} MB, weights {main.ParameterBytes / 1e6:F0} MB)"));
        host.Out.WriteLine();
        host.Out.Write(main.Report.ToString());
        return ExitCode.Done;
#endif
    }

#if !DEBUG
    private sealed record Timing(double Median, double Minimum, PlanReport Report, long ParameterBytes);

    private static Timing Measure(IBackend backend, UNetConfig config, BenchModelOptions options, bool train, CancellationToken stop)
    {
        using var network = new BenchNetwork(backend, config, options.Batch, train);
        double[] seconds = network.Time(options.Repeats, stop);
        Array.Sort(seconds);
        return new Timing(seconds[seconds.Length / 2], seconds[0], network.Profile(Math.Min(3, options.Repeats)), network.ParameterBytes);
    }

    private static string Line(string what, Timing t) => string.Create(
        CultureInfo.InvariantCulture, $"{what,-19} {t.Median * 1e3,9:F1} ms median, {t.Minimum * 1e3,9:F1} ms best, {t.Report.Flops / t.Median / 1e9,7:F1} GFLOP/s");

    /// <summary>Largest resident size of this process so far.</summary>
    private static long PeakBytes()
    {
        using Process self = Process.GetCurrentProcess();
        return self.PeakWorkingSet64;
    }
#endif
}
