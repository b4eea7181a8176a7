using System.CommandLine;

namespace AdmNative.Cli;

/// <summary>Which labels a sampling verb lets the user choose.</summary>
internal enum LabelChoice
{
    /// <summary>Classes and how many of each.</summary>
    Full,

    /// <summary>Classes alone; the number of images comes from elsewhere.</summary>
    ClassesOnly,
}

/// <summary>The options that all sampling verbs share, and their reading.</summary>
internal sealed class SamplingFlags
{
    private const string Sampling = "Sampling";

    private readonly ModelFlagSet _model;
    private readonly Flag<string?> _preset = Flag.Text("preset", Sampling, null, "name", "Model flags, file and recommended settings of a known model, e.g. mnist16 or imagenet64.");
    private readonly Flag<string?> _modelPath = Flag.Text("model_path", Sampling, "", "file", "Checkpoint of the diffusion model, .pt or .safetensors.");
    private readonly Flag<bool> _clip = Flag.Bool("clip_denoised", Sampling, true, "Clamp the predicted image to [-1,1] in every step.");
    private readonly Flag<int?> _numSamples;
    private readonly Flag<int?> _batchSize = Flag.Int("batch_size", Sampling, 16, "Images drawn at a time.", min: 1);
    private readonly Flag<bool> _useDdim = Flag.Bool("use_ddim", Sampling, false, "DDIM instead of ancestral sampling.");
    private readonly Flag<double?> _eta = Flag.Real("eta", Sampling, 0, "Noise of DDIM: 0 none, 1 as ancestral sampling.");
    private readonly Flag<string?> _classes = Flag.Text("classes", Sampling, null, "3,7|0-9", "Classes to draw, in turn; without it they are drawn at random.");
    private readonly Flag<int?>? _perClass = Flag.Int("samples_per_class", Sampling, null, "So many of each class, class by class; sets num_samples.", min: 1);
    private readonly Flag<ulong?> _seed = Flag.Seed("seed", Sampling, 0, "Seed of the noise. An image depends on seed and number only, not on the batch size (on a GPU, up to rounding).");
    private readonly Flag<ulong?> _torchSeed = Flag.Seed("torch_seed", Sampling, null, "Draw labels and noise as PyTorch on a CPU does after manual_seed; then batch_size matters.");
    private readonly Flag<string?> _out = CommonFlags.Out("Folder, or .npz file, for the samples; default: OPENAI_LOGDIR, else the current folder.");
    private readonly Flag<string?> _grid = Flag.Text("grid", CommonFlags.OutputGroup, null, "file.png", "Also write one picture of all samples: a row per chosen class, else near-square.");
    private readonly Flag<int?> _gridScale = Flag.Int("grid_scale", CommonFlags.OutputGroup, 1, "Enlarge the pixels of the grid so many times.", min: 1);
    private readonly Flag<string?> _pngDir = Flag.Text("png_dir", CommonFlags.OutputGroup, null, "folder", "Also write every sample as a PNG file.");
    private readonly Flag<int?> _saveEvery = Flag.Int("save_every", CommonFlags.OutputGroup, null, "Also keep the noisy images after every so many steps, as <name>.frames.npz and as grids if there is a --grid.", min: 1);
    private readonly Flag<bool> _resume = Flag.Bool("resume", CommonFlags.OutputGroup, false, "Go on with an unfinished run; the result is the same as without the interruption.");
    private readonly Flag<bool> _json = CommonFlags.Json();
    private readonly Flag<bool> _quiet = CommonFlags.Quiet();
    private readonly Flag<string?> _device = CommonFlags.Device();
    private readonly Flag<string?> _conv = CommonFlags.Conv();
    private readonly Flag<string?> _precision = CommonFlags.Precision();
    private readonly Flag<int?> _threads = CommonFlags.Threads();

    /// <param name="model">Flags of the networks.</param>
    /// <param name="labels">Which labels can be chosen.</param>
    /// <param name="numSamples">Default of num_samples as help shows it.</param>
    public SamplingFlags(ModelFlagSet model, LabelChoice labels = LabelChoice.Full, string? numSamples = null)
    {
        _model = model;
        _numSamples = Flag.Int("num_samples", Sampling, SampleCount.Default, "Number of images.", min: 1, shown: numSamples);
        if (labels == LabelChoice.ClassesOnly)
        {
            _perClass = null;
        }
    }

    /// <summary>Puts the options on a command; <paramref name="own"/> are the verb's own of the first group.</summary>
    public void AddTo(Command command, params ReadOnlySpan<Option> own)
    {
        command.Add(_preset);
        command.Add(_modelPath);
        foreach (Option option in own)
        {
            command.Add(option);
        }

        Option?[] rest =
        [
            _numSamples, _batchSize, _classes, _perClass, _useDdim, _eta, _clip, _seed, _torchSeed,
            _out, _grid, _gridScale, _pngDir, _saveEvery, _resume, _json, _quiet, _device, _conv, _precision, _threads,
        ];
        foreach (Option option in rest.OfType<Option>())
        {
            command.Add(option);
        }

        _model.AddTo(command);
    }

    /// <summary>What the command line says.</summary>
    public SamplingOptions Read(ParseResult p) => new()
    {
        Preset = p.GetValue(_preset),
        ModelPath = p.GetValue(_modelPath)!,
        ModelFlags = _model.Read(p),
        ClipDenoised = p.GetValue(_clip),
        NumSamples = p.GetResult(_numSamples) is { Implicit: false } ? p.GetValue(_numSamples) : null,
        BatchSize = p.GetValue(_batchSize)!.Value,
        UseDdim = p.GetValue(_useDdim),
        Eta = p.GetValue(_eta)!.Value,
        Classes = p.GetValue(_classes),
        SamplesPerClass = _perClass is null ? null : p.GetValue(_perClass),
        Seed = p.GetValue(_seed)!.Value,
        TorchSeed = p.GetValue(_torchSeed),
        Out = p.GetValue(_out),
        Grid = p.GetValue(_grid),
        GridScale = p.GetValue(_gridScale)!.Value,
        PngDir = p.GetValue(_pngDir),
        SaveEvery = p.GetValue(_saveEvery),
        Resume = p.GetValue(_resume),
        Json = p.GetValue(_json),
        Quiet = p.GetValue(_quiet),
        Device = p.GetValue(_device)!,
        Conv = p.GetValue(_conv)!,
        Precision = p.GetValue(_precision),
        Threads = p.GetValue(_threads)!.Value,
    };
}
