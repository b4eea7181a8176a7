using System.Globalization;
using AdmNative.Core;
using AdmNative.Formats;
using Newtonsoft.Json;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>
/// The finished batches of a long run, beside the file they will become: one .npz per batch and a manifest of every flag that
/// the result depends on. Each file appears whole or not at all, so whatever happens, a later run can go on from here.
/// </summary>
internal sealed class PartsFolder : IDisposable
{
    private const int Format = 1;
    private const string ManifestName = "manifest.json";
    private const string LockName = "lock";

    private readonly string _path;
    private readonly FileStream _lock;
    private readonly List<(long First, long Count, string Path)> _parts = [];

    private PartsFolder(string path)
    {
        _path = path;
        try
        {
            Directory.CreateDirectory(path);
            _lock = new FileStream(Path.Combine(path, LockName), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e) when (Directory.Exists(path))
        {
            throw new IOException($"{path}: cannot be used, another run may be writing there ({e.Message})", e);
        }
    }

    /// <summary>Rows finished, from the first on without a gap.</summary>
    public long Done => _parts.Count == 0 ? 0 : _parts[^1].First + _parts[^1].Count;

    /// <summary>The folder of a result file: its name with ".parts" for ".npz".</summary>
    public static string PathFor(string resultPath) => Path.ChangeExtension(resultPath, ".parts");

    /// <summary>Starts or continues a run.</summary>
    /// <param name="path">The folder.</param>
    /// <param name="settings">Everything the result depends on, by flag name.</param>
    /// <param name="resume">Continue what is there.</param>
    /// <exception cref="UsageException">Asked to resume a run with other settings; lists the differences.</exception>
    /// <exception cref="IOException">Finished batches of another run are there and resuming was not asked for.</exception>
    public static PartsFolder Open(string path, IReadOnlyDictionary<string, string> settings, bool resume)
    {
        if (File.Exists(path))
        {
            throw new IOException($"{path}: a folder for finished batches is needed there, this is a file; move it away or choose another --out");
        }

        if (Directory.Exists(path) && !File.Exists(Path.Combine(path, ManifestName))
            && Directory.EnumerateFileSystemEntries(path).Any(e => Path.GetFileName(e) is not LockName))
        {
            throw new IOException($"{path}: the folder for finished batches exists and is not one; move it away or choose another --out");
        }

        var folder = new PartsFolder(path);
        try
        {
            if (File.Exists(Path.Combine(path, ManifestName)))
            {
                folder.FindParts();
                if (folder.Done > 0 && !resume)
                {
                    throw new IOException($"{path}: {folder.Done} samples of an unfinished run are here; add --resume to go on, or delete the folder to start again");
                }

                if (folder.Done > 0)
                {
                    folder.Compare(settings);
                    return folder;
                }
            }

            folder.WriteManifest(settings);
            return folder;
        }
        catch
        {
            folder.Dispose();
            throw;
        }
    }

    /// <summary>Keeps a finished batch: arrays whose first dimension counts the same rows.</summary>
    public void Write(IReadOnlyList<(string Name, Tensor Value)> arrays)
    {
        long first = Done;
        long count = arrays[0].Value.Shape.Dim(0);
        string path = Path.Combine(_path, $"part-{first:000000000}-{count}.npz");
        using (NpzWriter writer = NpzWriter.Create(path))
        {
            foreach ((string name, Tensor value) in arrays)
            {
                writer.Add(name, value);
            }

            writer.Commit();
        }

        _parts.Add((first, count, path));
    }

    /// <summary>One array of every finished batch, in order.</summary>
    public IEnumerable<Tensor> Read(string name)
    {
        foreach ((_, long count, string path) in _parts)
        {
            using NpzFile file = NpzFile.Open(path);
            Tensor rows = file.Read(name);
            yield return rows.Shape.Rank > 0 && rows.Shape.Dim(0) == count
                ? rows
                : throw new CheckpointException($"array '{name}' is {rows.Shape}, its name promises {count} rows; delete this file and those after it, and --resume", path);
        }
    }

    /// <summary>Removes everything; the result is complete.</summary>
    public void Delete()
    {
        Dispose();
        Directory.Delete(_path, recursive: true);
    }

    /// <summary>Lets go of the folder and leaves what is finished; a folder without a finished batch goes.</summary>
    public void Dispose()
    {
        _lock.Dispose();
        if (_parts.Count == 0 && Directory.Exists(_path))
        {
            Directory.Delete(_path, recursive: true);
        }
    }

    private void FindParts()
    {
        foreach (string path in Directory.GetFiles(_path, "part-*.npz").Order(StringComparer.Ordinal))
        {
            string[] name = Path.GetFileNameWithoutExtension(path).Split('-');
            if (name.Length == 3
                && long.TryParse(name[1], NumberStyles.None, CultureInfo.InvariantCulture, out long first)
                && long.TryParse(name[2], NumberStyles.None, CultureInfo.InvariantCulture, out long count)
                && first == Done && count > 0)
            {
                _parts.Add((first, count, path));
            }
        }
    }

    private void WriteManifest(IReadOnlyDictionary<string, string> settings)
    {
        var flags = new JObject();
        foreach ((string name, string value) in settings)
        {
            flags[name] = value;
        }

        using AtomicFile file = AtomicFile.Create(Path.Combine(_path, ManifestName));
        using (var writer = new StreamWriter(file.Stream, leaveOpen: true))
        {
            writer.Write(new JObject { ["format"] = Format, ["flags"] = flags }.ToString(Formatting.Indented));
        }

        file.Commit();
    }

    private void Compare(IReadOnlyDictionary<string, string> settings)
    {
        string path = Path.Combine(_path, ManifestName);
        JObject flags;
        try
        {
            JObject manifest = JObject.Parse(SmallText.Read(path));
            if (manifest["format"] is not JValue { Value: (long)Format })
            {
                throw new CheckpointException($"has format {manifest["format"]?.ToString(Formatting.None)}; this program reads format {Format}", path);
            }

            flags = manifest["flags"] as JObject ?? throw new JsonException("no flags");
        }
        catch (JsonException e)
        {
            throw new CheckpointException($"is damaged ({e.Message}); delete the folder to start again", path);
        }

        var differences = new List<string>();
        foreach (string name in flags.Properties().Select(p => p.Name).Union(settings.Keys))
        {
            string before = flags[name] is not { } told ? "(not there)"
                : told is JValue { Value: string text } ? text : told.ToString(Formatting.None);
            string now = settings.TryGetValue(name, out string? value) ? value : "(not there)";
            if (before != now)
            {
                differences.Add($"  {name}: was {before}, now {now}");
            }
        }

        if (differences.Count > 0)
        {
            throw new UsageException($"--resume: the unfinished run in {_path} was made with other settings:\n{string.Join('\n', differences)}\n"
                + "use those, or delete the folder to start again");
        }
    }
}
