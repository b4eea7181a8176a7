using System.Globalization;
using System.Security.Cryptography;
using AdmNative.Core;
using AdmNative.Formats;

namespace AdmNative.Cli;

/// <summary>Everything the images of a run depend on, as text by name: what must be equal for a run to be resumed.</summary>
internal sealed class RunSettings
{
    private readonly Dictionary<string, string> _values = [];

    private RunSettings()
    {
    }

    public IReadOnlyDictionary<string, string> Values => _values;

    /// <summary>The options that all sampling verbs share.</summary>
    public static RunSettings Of(string verb, SamplingOptions options, SampleCount count, IBackend backend)
    {
        return Of(verb, options.Seed, options.TorchSeed, options.BatchSize, backend)
            .With("num_samples", count.Count)
            .With("classes", count.Classes is null ? "" : string.Join(",", count.Classes))
            .With("samples_per_class", count.PerClass?.ToString(CultureInfo.InvariantCulture) ?? "")
            .With("clip_denoised", options.ClipDenoised)
            .With("use_ddim", options.UseDdim)
            .With("eta", options.Eta)
            .With("save_every", options.SaveEvery?.ToString(CultureInfo.InvariantCulture) ?? "");
    }

    /// <summary>
    /// Command, random numbers, device and batch size: images do not depend on the batch size, but the files of finished batches do.
    /// </summary>
    public static RunSettings Of(string verb, ulong seed, ulong? torchSeed, int batchSize, IBackend backend)
    {
        RunSettings settings = new RunSettings()
            .With("command", verb)
            .With("device", Devices.KindOf(backend))
            .With("batch_size", batchSize);
        return torchSeed is ulong torch ? settings.With("torch_seed", torch) : settings.With("seed", seed);
    }

    public RunSettings With(string name, IFormattable value) => With(name, value.ToString(null, CultureInfo.InvariantCulture));

    public RunSettings With(string name, bool value) => With(name, value ? "True" : "False");

    public RunSettings With(string name, string value)
    {
        _values[name] = value;
        return this;
    }

    /// <summary>A model: its flags, and its file by content.</summary>
    public RunSettings With<T>(LoadedModel<T> model, IReadOnlyList<Setting<T>> flags) where T : class
    {
        foreach (Setting<T> flag in flags)
        {
            With(flag.Name, flag.Get(model.Flags));
        }

        return With(model.PathFlag, FingerprintOf(model.Path));
    }

    /// <summary>
    /// The length of a file and a hash over the length and 256 blocks of 4 KiB spread over it: cheap for gigabytes, and any other
    /// training run or step differs in every block.
    /// </summary>
    public static string FingerprintOf(string path)
    {
        const int Block = 4096;
        const int Blocks = 256;
        InputFile.Check(path);
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[Block];
        hash.AppendData(BitConverter.GetBytes(file.Length));
        long last = Math.Max(0, file.Length - Block);
        for (int i = 0; i < Blocks; i++)
        {
            file.Position = (long)(last * (i / (double)(Blocks - 1)));
            int read = file.ReadAtLeast(buffer, Block, throwOnEndOfStream: false);
            hash.AppendData(buffer.AsSpan(0, read));
        }

        return $"{file.Length} bytes, {Convert.ToHexStringLower(hash.GetHashAndReset())[..32]}";
    }
}
