using System.CommandLine;
using System.Globalization;
using AdmNative.Core;
using AdmNative.Cuda;
using AdmNative.Diffusion;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>Which graph to look at.</summary>
internal sealed record InspectGraphOptions
{
    public string? Preset { get; init; }

    public required string ModelPath { get; init; }

    public required IReadOnlyDictionary<string, string> ModelFlags { get; init; }

    /// <summary>model, ddpm or ddim.</summary>
    public required string Of { get; init; }

    public bool Guided { get; init; }

    public bool Fused { get; init; }

    public int BatchSize { get; init; }

    public required string Device { get; init; }

    public string Conv { get; init; } = "auto";

    public string? Precision { get; init; }

    public int Threads { get; init; }

    public bool Json { get; init; }
}

/// <summary>adm inspect graph and adm inspect plan: a network, or a whole sampler step, as the device sees it. No weights are read.</summary>
internal static class InspectGraph
{
    public static Command CreateGraph(Host host) => Create(
        host, "graph", "Print the graph of a network or of a sampler step: one line per value.", plan: false,
        "adm inspect graph --preset mnist16",
        "# a guided step, as the model describes it",
        "adm inspect graph --preset imagenet64 --of ddpm --guided True --fused False");

    public static Command CreatePlan(Host host) => Create(
        host, "plan", "Print the plan of a network or of a sampler step on a device: order, addresses, workspaces, cost per op.", plan: true,
        "adm inspect plan --preset mnist16 --batch_size 8",
        "# memory and operations of a guided step",
        "adm inspect plan --preset imagenet256 --of ddim --guided True --json");

    private static Verb Create(Host host, string name, string description, bool plan, params string[] examples)
    {
        const string Group = "Graph";
        var preset = Flag.Text("preset", Group, null, "name", "Flags of a known model, e.g. mnist16, imagenet64, upsampler-64-256, classifier256.");
        var modelPath = Flag.Text("model_path", Group, "", "file", "Take the flags of an image model from this checkpoint.");
        var of = Flag.Text("of", Group, "model", "model|ddpm|ddim", "The network alone, or a whole step of a sampler.");
        var guided = Flag.Bool("guided", Group, false, "With the classifier of the preset.");
        var fused = Flag.Bool("fused", Group, true, "After the passes, as it runs; without, as models describe it.");
        var batch = Flag.Int("batch_size", Group, 1, "Images at a time.", min: 1);
        var json = CommonFlags.Json();
        var device = CommonFlags.Device();
        var conv = CommonFlags.Conv();
        var precision = CommonFlags.Precision("f32");
        var threads = CommonFlags.Threads();
        var model = new ModelFlagSet().With("Model and diffusion", ModelSettings.Image, new ImageModelFlags());
        var command = new Verb(name, description, examples) { preset, modelPath, of, guided, batch };
        if (plan)
        {
            command.Add(json);
            command.Add(device);
            command.Add(conv);
            command.Add(precision);
            command.Add(threads);
        }
        else
        {
            command.Add(fused);
        }

        model.AddTo(command);
        command.SetAction(p =>
        {
            var options = new InspectGraphOptions
            {
                Preset = p.GetValue(preset),
                ModelPath = p.GetValue(modelPath)!,
                ModelFlags = model.Read(p),
                Of = p.GetValue(of)!,
                Guided = p.GetValue(guided),
                Fused = plan || p.GetValue(fused),
                BatchSize = p.GetValue(batch)!.Value,
                Precision = plan ? p.GetValue(precision) : null,
                Device = plan ? p.GetValue(device)! : "cpu",
                Conv = plan ? p.GetValue(conv)! : "auto",
                Threads = plan ? p.GetValue(threads)!.Value : 0,
                Json = plan && p.GetValue(json),
            };
            return plan ? PrintPlan(host, options) : PrintGraph(host, options);
        });
        return command;
    }

    private static int PrintGraph(Host host, InspectGraphOptions options)
    {
        host.Out.Write(new Subject(host, options).Describe(options.Fused));
        return ExitCode.Done;
    }

    private static int PrintPlan(Host host, InspectGraphOptions options)
    {
        using IBackend backend = Devices.Open(host, options.Device, options.Conv, options.Threads, quiet: false, Precisions.Of(options.Precision));
        var subject = new Subject(host, options);
        Plan plan = backend.Plan(subject.Describe(fused: true));
        PlanReport report = PlanReport.Of(plan);
        IReadOnlyList<int>? launches = backend switch
        {
            CudaBackend cuda => cuda.StepLaunches(plan),
            VirtualBackend device => device.StepLaunches(plan),
            _ => null,
        };
        int ops = StepDescription.Ops(subject.Describe(fused: false));
        if (!options.Json)
        {
            host.Out.Write(plan);
            host.Out.Write(report);
            if (launches is not null)
            {
                host.Out.WriteLine(Launches(plan, launches, ops));
            }

            return ExitCode.Done;
        }

        host.Out.WriteLine(new JObject
        {
            ["device"] = backend.Description,
            ["steps"] = report.Steps,
            ["graph_ops"] = ops,
            ["launches"] = launches?.Sum(),
            ["flops"] = report.Flops,
            ["moved_bytes"] = report.MovedBytes,
            ["arena_bytes"] = report.ArenaBytes,
            ["parameter_bytes"] = report.ParameterBytes,
            ["ops"] = new JArray(report.Ops.Select(r => new JObject
            {
                ["op"] = r.Op,
                ["steps"] = r.Steps,
                ["flops"] = r.Flops,
                ["moved_bytes"] = r.MovedBytes,
            })),
        });
        return ExitCode.Done;
    }

    /// <summary>The sum, its share of what one launch per op would be, and which ops it is for.</summary>
    private static string Launches(Plan plan, IReadOnlyList<int> launches, int ops)
    {
        IEnumerable<string> kinds = plan.Steps.Zip(launches, (step, count) => (step.Node.Op!.Name, Count: count))
            .GroupBy(s => s.Name, (name, steps) => (Name: name, Count: steps.Sum(s => s.Count)))
            .OrderByDescending(k => k.Count).ThenBy(k => k.Name, StringComparer.Ordinal).Select(k => $"{k.Name} {k.Count}");
        return string.Create(CultureInfo.InvariantCulture, $"{launches.Sum()} launches for {ops} ops before fusion ({100.0 * launches.Sum() / ops:F1} %): {string.Join(", ", kinds)}");
    }

    /// <summary>What the options speak of; the checkpoint is opened once.</summary>
    private sealed class Subject(Host host, InspectGraphOptions options)
    {
        private readonly Preset? _preset = options.Preset is null ? null : Presets.Find(options.Preset);
        private ModelFlags? _flags;

        public Graph Describe(bool fused)
        {
            _flags ??= Flags(host, options, _preset);
            NetworkConfig network = _flags.ToNetwork();
            Shape images = [options.BatchSize, network.ImageSize, network.ImageSize, network.InChannels];
            if (options.Of == "model")
            {
                return fused ? Passes.Optimize(Network(network, images)) : Network(network, images);
            }

            if (network is not UNetConfig)
            {
                throw new UsageException($"--of {options.Of}: a classifier is not sampled; use --of model");
            }

            EncoderUNetConfig? classifier = options.Guided ? Classifier(_preset) : null;
            Graph step = StepDescription.Of(
                options.Of, Denoiser(network), _flags.Diffusion.ToConfig(), images, classifier, _preset?.ClassifierScale ?? 1, fused);
            return fused ? Passes.Optimize(step) : step; // as it is run: gradients are taken of a fused graph, and fused
        }
    }

    private static ModelFlags Flags(Host host, InspectGraphOptions options, Preset? preset)
    {
        if (options.ModelPath.Length > 0)
        {
            using LoadedModel<ImageModelFlags> loaded = ModelLoader.Image(
                host, options.ModelPath, options.ModelFlags, preset, ddim: false, quiet: false);
            return loaded.Flags;
        }

        if (preset is not null && preset.Flags is not ImageModelFlags)
        {
            return options.ModelFlags.Count == 0
                ? preset.Flags
                : throw new UsageException($"--{options.ModelFlags.Keys.First()} is a flag of image models; --preset {preset.Name} is none");
        }

        ImageModelFlags flags = preset?.Flags as ImageModelFlags ?? new ImageModelFlags();
        foreach (Setting<ImageModelFlags> setting in ModelSettings.Image)
        {
            flags = options.ModelFlags.TryGetValue(setting.Name, out string? text) ? setting.Apply(flags, text) : flags;
        }

        return flags;
    }

    private static EncoderUNetConfig Classifier(Preset? preset) => preset?.Classifier is string name
        ? (EncoderUNetConfig)Presets.Find(name).Network
        : throw new UsageException("--guided needs a --preset that has a classifier, e.g. mnist16 or imagenet64");

    private static IDenoiser Denoiser(NetworkConfig network) => network is SuperResConfig upsampler
        ? new SuperResDenoiser(upsampler, upsampler.SmallSize, upsampler.SmallSize)
        : new UNetDenoiser((UNetConfig)network);

    private static Graph Network(NetworkConfig network, Shape images)
    {
        var graph = new Graph();
        Node x = graph.Input(InputNames.X, images);
        Node t = graph.Input(InputNames.T, [images[0]]);
        graph.Output("out", network is EncoderUNetConfig classifier
            ? EncoderUNet.Build(graph, classifier, x, t)
            : Denoiser(network).Build(graph, x, t));
        return graph;
    }
}
