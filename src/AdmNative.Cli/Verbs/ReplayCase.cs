using System.CommandLine;
using AdmNative.Core;
using AdmNative.Diffusion;
using AdmNative.Formats;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>What to replay.</summary>
internal sealed record ReplayOptions
{
    public required ReplayKind Kind { get; init; }

    public required string Config { get; init; }

    public required string Weights { get; init; }

    public string? Classifier { get; init; }

    public required string Input { get; init; }

    public required string Output { get; init; }

    public required string Device { get; init; }

    public string Conv { get; init; } = "auto";

    public string? Precision { get; init; }

    public int Threads { get; init; }

    public bool Json { get; init; }

    public bool Quiet { get; init; }
}

/// <summary>adm replay: runs exactly what a recorded case describes and writes its arrays under the same names.</summary>
internal static class ReplayCase
{
    private const string Computed = "computed";

    private static readonly (string Name, ReplayKind Kind, string Description)[] s_kinds =
    [
        ("model", ReplayKind.Model, "One network evaluation: x, t, (y), (low_res) to out, and with w to gradients; classifiers to logits, log_prob, grad_x."),
        ("sample", ReplayKind.Sample, "A trajectory: x_T, noise, (y) to x_steps and pred_xstart_steps."),
        ("bpd", ReplayKind.Bpd, "A likelihood evaluation: x, noise to total_bpd, prior_bpd, vb, xstart_mse, mse."),
        ("ddim_reverse", ReplayKind.DdimReverse, "A DDIM inversion: x0 to x_steps."),
        ("loss", ReplayKind.Loss, "A training loss: x, t, noise to x_t, loss.*, grad.*, pmv.*, vb_bpd."),
    ];

    public static Command Create(Host host)
    {
        var replay = new Verb("replay", "Run a recorded case and write its arrays under the same names, for comparing implementations number by number.");
        foreach ((string name, ReplayKind kind, string description) in s_kinds)
        {
            replay.Add(Create(host, name, kind, description));
        }

        return replay;
    }

    private static Verb Create(Host host, string name, ReplayKind kind, string description)
    {
        const string Group = "Case";
        var config = Flag.Text("config", Group, "", "C.json", "Configuration of the case; unknown keys are errors.");
        var weights = Flag.Text("weights", Group, "", "W.pt|computed", "Checkpoint, or weights computed from their names and the case's seed.");
        var classifier = Flag.Text("classifier", Group, null, "W2.pt|computed", "The same for the classifier of a guided case.");
        var input = Flag.Text("input", Group, "", "io.npz", "Arrays of the case; those it does not need are ignored.");
        var output = Flag.Text("output", Group, "", "out.npz", "Where the results go.", "out");
        var device = CommonFlags.Device();
        var conv = CommonFlags.Conv();
        var precision = CommonFlags.Precision("f32");
        var threads = CommonFlags.Threads();
        var json = CommonFlags.Json();
        var quiet = CommonFlags.Quiet();
        string folder = kind switch
        {
            ReplayKind.Model => "unet/adagn-updown-headchannels",
            ReplayKind.Sample => "sample/ddim-guided",
            ReplayKind.Bpd => "bpd",
            ReplayKind.DdimReverse => "ddim-reverse",
            _ => "loss/linear-epsilon-learned_range-mse",
        };
        string guided = kind == ReplayKind.Sample ? " --classifier computed" : "";
        var command = new Verb(
            name, description,
            $"adm replay {name} --config tests/golden/{folder}/config.json --weights computed{guided} --input tests/golden/{folder}/io.npz --output out.npz")
        { config, weights, input, output, device, conv, precision, threads, json, quiet };
        if (kind == ReplayKind.Sample)
        {
            command.Add(classifier);
        }

        command.SetAction(p => Run(host, new ReplayOptions
        {
            Kind = kind,
            Config = Needed(p, config),
            Weights = Needed(p, weights),
            Classifier = kind == ReplayKind.Sample ? p.GetValue(classifier) : null,
            Input = Needed(p, input),
            Output = Needed(p, output),
            Device = p.GetValue(device)!,
            Conv = p.GetValue(conv)!,
            Precision = p.GetValue(precision),
            Threads = p.GetValue(threads)!.Value,
            Json = p.GetValue(json),
            Quiet = p.GetValue(quiet),
        }));
        return command;
    }

    private static string Needed(ParseResult parsed, Flag<string?> flag) => parsed.GetValue(flag) is { Length: > 0 } text
        ? text
        : throw new UsageException($"{flag.Name} <{flag.Placeholder}> is needed");

    private static int Run(Host host, ReplayOptions options)
    {
        using IBackend backend = Devices.Open(host, options.Device, options.Conv, options.Threads, options.Quiet, Precisions.Of(options.Precision));
        ReplayConfig config = ReadConfig(options);
        string output = OutputPaths.File(options.Output, "--output");
        string[] files = [.. new[] { options.Weights, options.Classifier }.OfType<string>().Where(f => f != Computed)];
        OutputPaths.Distinct([("--output", output)], [("--config", options.Config), ("--input", options.Input), .. files.Select(f => ("the weights", f))]);
        if (IsGuided(options, config) && options.Classifier is null)
        {
            throw new UsageException("--classifier <W2.pt|computed> is needed: the case is guided by a classifier");
        }

        IReadOnlyDictionary<string, Tensor> results;
        try
        {
            results = Results(options, config, backend, host.Stop);
        }
        catch (OperationCanceledException)
        {
            throw new OperationCanceledException($"stopped; {options.Output} was not written");
        }
        catch (ConfigException e)
        {
            throw new CheckpointException(e.Message, options.Config, e);
        }
        catch (ShapeException e)
        {
            throw new CheckpointException($"does not fit {options.Config}: {e.Message}", options.Input, e);
        }

        using (NpzWriter npz = NpzWriter.Create(output))
        {
            foreach ((string name, Tensor value) in results)
            {
                npz.Add(name, value);
            }

            npz.Commit();
        }

        host.Out.WriteLine(options.Json
            ? new JObject { ["output"] = output, ["device"] = backend.Description, ["arrays"] = new JArray(results.Keys) }.ToString()
            : output);
        return ExitCode.Done;
    }

    private static bool IsGuided(ReplayOptions options, ReplayConfig config) =>
        options.Kind == ReplayKind.Sample && config is { ClassifierScale: not 0, Classifier: not null };

    private static IReadOnlyDictionary<string, Tensor> Results(ReplayOptions options, ReplayConfig config, IBackend backend, CancellationToken stop)
    {
        using NpzFile input = NpzFile.Open(options.Input);
        using var weights = new Weights(options.Weights, config.Model, config.Seed);
        using Weights? classifier = IsGuided(options, config) ? new Weights(options.Classifier!, config.Classifier!, config.Seed) : null;
        return options.Kind switch
        {
            ReplayKind.Model => Replay.Model(config, backend, weights.Source, input, stop),
            ReplayKind.Sample => Replay.Sample(config, backend, weights.Source, classifier?.Source, input, stop),
            ReplayKind.Bpd => Replay.Bpd(config, backend, weights.Source, input, stop),
            ReplayKind.DdimReverse => Replay.DdimReverse(config, backend, weights.Source, input, stop),
            ReplayKind.Loss => Replay.Loss(config, backend, weights.Source, input, stop),
            _ => throw new ArgumentOutOfRangeException(nameof(options), options.Kind, "unknown kind of case"),
        };
    }

    // What is wrong in the file is bad input, not a bad command line.
    private static ReplayConfig ReadConfig(ReplayOptions options)
    {
        try
        {
            return ReplayConfig.Load(options.Config, options.Kind);
        }
        catch (ConfigException e)
        {
            throw new CheckpointException(e.Message, options.Config, e);
        }
    }

    /// <summary>A checkpoint that fits the network, or computed weights.</summary>
    private sealed class Weights : IDisposable
    {
        private readonly TensorFile? _file;

        public Weights(string option, ReplayNetwork network, ulong seed)
        {
            if (option == Computed)
            {
                Source = new ComputedWeights(network, seed);
                return;
            }

            _file = Checkpoints.Open(option);
            Source = _file;
        }

        public ITensorSource Source { get; }

        public void Dispose() => _file?.Dispose();
    }
}
