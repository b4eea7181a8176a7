using System.Text.Json;

namespace AdmNative.Cuda;

/// <summary>
/// The kernels the library ships: PTX text and the catalogue that describes it, embedded in this assembly. What is read here is what a
/// driver compiles and what the virtual device runs.
/// </summary>
/// <remarks>
/// A folder may override single files, for work on kernels (<c>ADMNATIVE_PTX_DIR</c>): a file there of an image's name replaces its
/// text, version and target, and is listed in <see cref="Overridden"/> for the caller to announce. The rest of the catalogue stays, so parameters may
/// not change.
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

        // An entry that is there for several targets is that of the lowest, which runs everywhere; For chooses for one device.
        _entries = entries.GroupBy(e => e.Name, StringComparer.Ordinal)
            .ToDictionary(g => g.Key, g => g.OrderBy(e => Rank(PtxTarget.Parse(e.Image.Target))).First(), StringComparer.Ordinal);
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
    public static KernelBundle Open(string? overrides = null) => Read(Resource, overrides);

    /// <summary>
    /// Of every family of kernels the image that suits a device and its driver best: that with the highest target the device has, and a PTX version the
    /// driver accepts.
    /// </summary>
    /// <param name="sm">The device: 10 * major + minor of its compute capability.</param>
    /// <param name="driver">As cuDriverGetVersion: 1000 * major + 10 * minor.</param>
    /// <exception cref="GpuUnavailableException">A family has none; the message names what it has and what would be needed.</exception>
    public KernelBundle For(int sm, int driver)
    {
        PtxVersion accepted = PtxVersion.OfDriver(driver);
        var chosen = new HashSet<KernelImage>();
        foreach (IGrouping<string, KernelImage> family in Images.GroupBy(i => i.File.Split('.')[0], StringComparer.Ordinal))
        {
            KernelImage[] suiting = [.. family.Where(i => PtxTarget.Parse(i.Target).Suits(sm)).OrderByDescending(i => Rank(PtxTarget.Parse(i.Target)))];
            if (suiting.Length == 0)
            {
                throw new GpuUnavailableException(
                    GpuUnavailableReason.DeviceTooOld, $"the device is sm_{sm}; the kernels of {family.Key} are for {string.Join(", ", family.Select(i => i.Target))}.");
            }

            chosen.Add(suiting.FirstOrDefault(i => accepted.Covers(PtxVersion.Parse(i.Version))) ?? throw TooNew(suiting[^1], driver, accepted));
        }

        return chosen.Count == Images.Count ? this
            : new KernelBundle([.. Images.Where(chosen.Contains)], [.. Entries.Where(e => chosen.Contains(e.Image))], Overridden, Assembler);
    }

    /// <summary>Reads a bundle whose files come from a function.</summary>
    internal static KernelBundle Read(Func<string, string> resource, string? overrides = null)
    {
        if (!string.IsNullOrEmpty(overrides) && !Directory.Exists(overrides))
        {
            throw new DirectoryNotFoundException($"the folder of PTX files '{overrides}' (ADMNATIVE_PTX_DIR) does not exist");
        }

        using JsonDocument catalogue = JsonDocument.Parse(resource("catalogue.json"));
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
            string text = replaced ? File.ReadAllText(path) : resource(file);
            var image = new KernelImage(
                file, text, Text(i, "sha256"), (replaced ? Directive(text, ".version") : null) ?? Text(i, "version"),
                (replaced ? Directive(text, ".target") : null) ?? Text(i, "target"), Text(i, "compiler"), Text(i, "source"), inputs);
            images.Add(image);
            entries.AddRange(i.GetProperty("entries").EnumerateArray().Select(e => Entry(e, image)));
        }

        return new KernelBundle(images, entries, overridden, Text(root, "assembler"));
    }

    /// <summary>Looks an entry up.</summary>
    public bool TryFind(string name, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out KernelEntry? entry) =>
        _entries.TryGetValue(name, out entry);

    /// <summary>Orders targets: higher is better, and of one architecture the variant for it alone.</summary>
    private static int Rank(PtxTarget target) => (2 * target.Sm) + target.Suffix.Length;

    private static GpuUnavailableException TooNew(KernelImage image, int driver, PtxVersion accepted)
    {
        PtxVersion wanted = PtxVersion.Parse(image.Version);
        return new GpuUnavailableException(
            GpuUnavailableReason.DriverTooOld,
            $"{image.File} is PTX {wanted}, and the driver, of CUDA {driver / 1000}.{driver % 1000 / 10}, accepts PTX {accepted} or older: update it to CUDA {wanted.FirstCuda() ?? "a newer release"}.");
    }

    /// <summary>The first word after a directive at the beginning of a line.</summary>
    private static string? Directive(string ptx, string name) =>
        ptx.Split('\n').FirstOrDefault(l => l.StartsWith(name + " ", StringComparison.Ordinal))?[name.Length..].Split(',')[0].Trim();

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
