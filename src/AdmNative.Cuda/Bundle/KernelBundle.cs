using System.Text.Json;

namespace AdmNative.Cuda;

/// <summary>
/// The kernels the library ships: PTX text and the catalogue that describes it, embedded in this assembly. What is read here is what a
/// driver compiles and what the virtual device runs.
/// </summary>
/// <remarks>
/// A folder may override single files, for work on kernels (<c>ADMNATIVE_PTX_DIR</c>): a file there of an image's name replaces its
/// text, and is listed in <see cref="Overridden"/> for the caller to announce. The catalogue stays, so parameters may not change.
/// </remarks>
public sealed class KernelBundle
{
    /// <summary>Layout of the catalogue this code reads.</summary>
    public const int Abi = 1;

    private static readonly Lazy<KernelBundle> s_default = new(() => Open(Environment.GetEnvironmentVariable("ADMNATIVE_PTX_DIR")));

    private readonly Dictionary<string, KernelEntry> _entries;

    private KernelBundle(IReadOnlyList<KernelImage> images, IReadOnlyList<KernelEntry> entries, IReadOnlyList<string> overridden, string assembler)
    {
        (Images, Entries, Overridden, Assembler) = (images, entries, overridden, assembler);
        _entries = entries.ToDictionary(e => e.Name, StringComparer.Ordinal);
    }

    /// <summary>The shipped kernels, with the files of <c>ADMNATIVE_PTX_DIR</c> in their place if it is set. Read once.</summary>
    public static KernelBundle Default => s_default.Value;

    /// <summary>The PTX files, by name.</summary>
    public IReadOnlyList<KernelImage> Images { get; }

    /// <summary>All entries, by file, then in the file's order.</summary>
    public IReadOnlyList<KernelEntry> Entries { get; }

    /// <summary>Paths of files that replace shipped ones.</summary>
    public IReadOnlyList<string> Overridden { get; }

    /// <summary>The assembler that measured <see cref="KernelEntry.Resources"/>.</summary>
    public string Assembler { get; }

    /// <summary>An entry by name.</summary>
    /// <exception cref="KeyNotFoundException">No such entry; the message lists the family's.</exception>
    public KernelEntry this[string name] => _entries.TryGetValue(name, out KernelEntry? entry) ? entry : throw new KeyNotFoundException(
        $"no kernel '{name}'; the bundle has {string.Join(", ", Family(name) is { Length: > 0 } near ? near : [.. _entries.Keys])}");

    /// <summary>Reads the bundle; files in <paramref name="overrides"/> replace images of the same name.</summary>
    /// <exception cref="InvalidDataException">The embedded catalogue is of another layout.</exception>
    /// <exception cref="DirectoryNotFoundException"><paramref name="overrides"/> does not exist.</exception>
    public static KernelBundle Open(string? overrides = null)
    {
        if (!string.IsNullOrEmpty(overrides) && !Directory.Exists(overrides))
        {
            throw new DirectoryNotFoundException($"the folder of PTX files '{overrides}' (ADMNATIVE_PTX_DIR) does not exist");
        }

        using JsonDocument catalogue = JsonDocument.Parse(Resource("catalogue.json"));
        JsonElement root = catalogue.RootElement;
        int abi = Number(root, "abi");
        if (abi != Abi)
        {
            throw new InvalidDataException($"the kernel catalogue has layout {abi}; this build reads {Abi}");
        }

        var images = new List<KernelImage>();
        var entries = new List<KernelEntry>();
        var overridden = new List<string>();
        foreach (JsonElement i in root.GetProperty("images").EnumerateArray())
        {
            string file = Text(i, "file"), path = string.IsNullOrEmpty(overrides) ? "" : Path.Combine(overrides, file);
            bool replaced = path.Length > 0 && File.Exists(path);
            if (replaced)
            {
                overridden.Add(path);
            }

            var inputs = i.GetProperty("inputs").EnumerateObject().ToDictionary(p => p.Name, p => p.Value.GetString()!, StringComparer.Ordinal);
            var image = new KernelImage(
                file, replaced ? File.ReadAllText(path) : Resource(file), Text(i, "sha256"), Text(i, "version"), Text(i, "target"), Text(i, "compiler"),
                Text(i, "source"), inputs);
            images.Add(image);
            entries.AddRange(i.GetProperty("entries").EnumerateArray().Select(e => Entry(e, image)));
        }

        return new KernelBundle(images, entries, overridden, Text(root, "assembler"));
    }

    /// <summary>Looks an entry up.</summary>
    public bool TryFind(string name, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out KernelEntry? entry) =>
        _entries.TryGetValue(name, out entry);

    private string[] Family(string name)
    {
        string family = name.Split('_')[0] + "_";
        return [.. _entries.Keys.Where(k => k.StartsWith(family, StringComparison.Ordinal))];
    }

    private static KernelEntry Entry(JsonElement e, KernelImage image) => new(
        Text(e, "name"), image, Text(e, "launch"), [.. e.GetProperty("parameters").EnumerateArray().Select(Parameter)], Numbers(e, "maxThreads"),
        Numbers(e, "requiredThreads"), Number(e, "minBlocksPerSm"), Number(e, "staticSharedBytes"), e.GetProperty("dynamicShared").GetBoolean(),
        e.GetProperty("resources").EnumerateObject().ToDictionary(r => r.Name, r => Resources(r.Value), StringComparer.Ordinal));

    private static KernelParameter Parameter(JsonElement p) => new(
        Text(p, "name"), Text(p, "type"), Number(p, "offset"), Number(p, "bytes"), Number(p, "align"),
        [.. p.GetProperty("fields").EnumerateArray().Select(f => new KernelField(
            Text(f, "name"), Text(f, "type"), Number(f, "offset"), Number(f, "bytes"), Text(f, "what")))]);

    private static KernelResources Resources(JsonElement r) => new(
        Number(r, "registers"), Number(r, "spillStoreBytes"), Number(r, "spillLoadBytes"), Number(r, "stackBytes"), Number(r, "sharedBytes"),
        Number(r, "constantBytes"));

    private static string Text(JsonElement e, string name) => e.GetProperty(name).GetString()!;

    private static int Number(JsonElement e, string name) => e.GetProperty(name).GetInt32();

    private static int[] Numbers(JsonElement e, string name) => [.. e.GetProperty(name).EnumerateArray().Select(n => n.GetInt32())];

    private static string Resource(string file)
    {
        using Stream stream = typeof(KernelBundle).Assembly.GetManifestResourceStream("ptx/" + file)
            ?? throw new InvalidDataException($"the assembly holds no ptx/{file}: the catalogue and the files were not built together");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
