using System.Numerics;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>
/// A file written by torch.save, in the zip container or the one before PyTorch 1.6. The object tree is read at once,
/// tensor data when asked for. Code in the file is never run: anything but tensors, containers, numbers and text is
/// refused by name.
/// </summary>
public sealed class TorchFile : IDisposable
{
    private static readonly BigInteger s_legacyMagic = new(FileKinds.LegacyMagic);

    private readonly FileBytes _file;
    private readonly Dictionary<string, PtStorage> _storages = new(StringComparer.Ordinal);

    private TorchFile(FileBytes file) => _file = file;

    /// <summary>The file.</summary>
    public string Path => _file.Path;

    /// <summary>
    /// The saved object: <see cref="PtDict"/>, <see cref="PtList"/>, <see cref="PtTensor"/> (parameters too), long,
    /// double, string, bool or null.
    /// </summary>
    public object? Root { get; private set; }

    /// <summary>Opens a file and reads its object tree; reads no tensor data.</summary>
    /// <exception cref="CheckpointException">Not a torch file, damaged, or it holds more than tensors and plain data.</exception>
    public static TorchFile Open(string path) => FileBytes.Open(path, Open);

    /// <summary>
    /// The named tensors: of the root, or of the one entry of the root that is a dictionary of tensors ('state_dict',
    /// 'model', ...), or of the entry <paramref name="key"/>.
    /// </summary>
    /// <exception cref="CheckpointException">There is no such dictionary, or more than one; the message lists the keys.</exception>
    public ITensorSource AsTensorSource(string? key = null) => TensorsOf(key);

    /// <inheritdoc cref="AsTensorSource"/>
    internal Source TensorsOf(string? key)
    {
        if (Root is not PtDict root)
        {
            throw new CheckpointException($"holds {Describe(Root)}, not a dictionary of named tensors", Path);
        }

        string keys = root.Items.Count == 0 ? "none" : Listing.Of(root.Items.Select(i => $"'{i.Key}' ({Describe(i.Value)})"));
        if (key is not null)
        {
            return root.TryGet(key, out object? value) && value is PtDict chosen && NotATensor(chosen) is null
                ? new Source(Path, chosen)
                : throw new CheckpointException($"has no dictionary of tensors under '{key}'; its keys are {keys}", Path);
        }

        if (NotATensor(root) is not { } stranger)
        {
            return new Source(Path, root);
        }

        List<PtDict> nested =
            [.. root.Items.Select(i => i.Value).OfType<PtDict>().Where(d => d.Items.Count > 0 && NotATensor(d) is null)];
        return nested.Count switch
        {
            1 => new Source(Path, nested[0]),
            0 => throw new CheckpointException(
                $"holds no dictionary of named tensors: '{stranger}' is {Describe(root[stranger])}; its keys are {keys}", Path),
            _ => throw new CheckpointException($"holds several dictionaries of tensors; say which of its keys to use: {keys}", Path),
        };
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    internal static TorchFile Open(FileBytes file)
    {
        var torch = new TorchFile(file);
        switch (FileKinds.Of(file))
        {
            case FileKind.Zip: torch.ReadZip(ZipReader.Open(file)); break;
            case FileKind.TorchLegacy: torch.ReadLegacy(); break;
            case var kind: throw FileKinds.NotA("torch file", kind, file);
        }

        return torch;
    }

    private static object? NotATensor(PtDict dict)
    {
        foreach ((object key, object? value) in dict.Items)
        {
            if (key is not string || value is not PtTensor)
            {
                return key;
            }
        }

        return null;
    }

    private static string Describe(object? value) => value switch
    {
        null => "None",
        PtTensor t => $"a tensor {t.Type}",
        PtDict d => $"a dictionary of {d.Items.Count}",
        PtList { IsTuple: true } l => $"a tuple of {l.Items.Count}",
        PtList l => $"a list of {l.Items.Count}",
        string => "text",
        bool => "a truth value",
        _ => "a number",
    };

    private void ReadZip(ZipReader zip)
    {
        const string Pickle = "/data.pkl";
        List<ZipMember> pickles = [.. zip.Members.Where(
            m => m.Name.EndsWith(Pickle, StringComparison.Ordinal) && m.Name.IndexOf('/') == m.Name.Length - Pickle.Length)];
        if (pickles.Count != 1)
        {
            throw FileKinds.NotATorchZip(zip, _file);
        }

        string folder = pickles[0].Name[..^"data.pkl".Length];
        if (zip.Find(folder + "constants.pkl") is not null)
        {
            throw new CheckpointException("is a TorchScript program (torch.jit.save), not a file of tensors; save its state_dict() with torch.save", Path);
        }

        if (zip.Find(folder + "byteorder") is { Bytes: <= 16 } order)
        {
            using var reader = new StreamReader(zip.OpenStream(order));
            string text = reader.ReadToEnd();
            if (text != "little")
            {
                throw new CheckpointException($"has byte order '{text}'; only little-endian files are read. Save it again on a little-endian machine", Path);
            }
        }

        using Stream stream = zip.OpenStream(pickles[0]);
        var input = new PickleInput(stream, Path);
        Root = PickleReader.Read(input, id => ZipStorage(input, id, zip, folder));
    }

    private PtStorage ZipStorage(PickleInput input, PtList id, ZipReader zip, string folder)
    {
        PtStorage storage = Storage(input, id, out bool isNew);
        if (!isNew)
        {
            return storage;
        }

        string name = $"{folder}data/{storage.Key}";
        ZipMember member = zip.Find(name) ?? throw new CheckpointException($"lacks its member '{Listing.Of([name])}': truncated or damaged; fetch it again", Path);
        if (member.Method != ZipMember.Stored)
        {
            throw new CheckpointException($"member '{name}' is compressed, which torch never does; repack the archive uncompressed (zip -0)", Path);
        }

        if (member.Bytes / storage.DType.SizeBytes() != storage.Elements || member.Bytes % storage.DType.SizeBytes() != 0)
        {
            throw new CheckpointException(
                $"member '{name}' has {member.Bytes} bytes for {storage.Elements} {storage.DType} elements: damaged; fetch it again", Path);
        }

        storage.Place(zip.DataOffset(member), member.Crc == 0 ? null : member.Crc);
        return storage;
    }

    private void ReadLegacy()
    {
        using Stream stream = _file.Slice(0, _file.Length, "the file");
        var input = new PickleInput(stream, Path);
        if (PickleReader.Read(input) is not BigInteger magic || magic != s_legacyMagic)
        {
            throw FileKinds.NotA("torch file", FileKind.Pickle, _file);
        }

        if (PickleReader.Read(input) is not 1001L)
        {
            throw input.Bad("has an unknown version of torch's older container; only 1001 is read");
        }

        if (PickleReader.Read(input) is not PtDict system || !system.TryGet("little_endian", out object? little) || little is not true)
        {
            throw input.Bad("was not saved on a little-endian machine; save it again on one");
        }

        var views = new List<(PtStorage View, PtStorage Whole, long Offset)>();
        Root = PickleReader.Read(input, id => LegacyStorage(input, id, views));
        if (PickleReader.Read(input) is not PtList keys)
        {
            throw input.Bad("lacks the list of its storages");
        }

        long at = input.Position;
        Span<byte> count = stackalloc byte[8];
        foreach (object? item in keys.Items)
        {
            if (item is not string key || !_storages.TryGetValue(key, out PtStorage? storage) || storage.IsPlaced)
            {
                throw input.Bad($"lists a storage '{item}' that its object does not use, or lists it twice: damaged");
            }

            _file.Read(at, count, storage.Name);
            long elements = BitConverter.ToInt64(count);
            at += 8;
            if (elements != storage.Elements)
            {
                throw input.Bad($"{storage.Name} should have {storage.Elements} elements, the file says {elements}: damaged");
            }

            if (elements > (_file.Length - at) / storage.DType.SizeBytes())
            {
                throw input.Bad($"ends inside {storage.Name} ({elements} {storage.DType} elements at byte {at} of {_file.Length}): truncated; fetch it again");
            }

            storage.Place(at);
            at += elements * storage.DType.SizeBytes();
        }

        foreach ((PtStorage view, PtStorage whole, long offset) in views)
        {
            view.Place(whole.IsPlaced ? whole.ByteOffset(offset) : throw input.Bad($"lacks {whole.Name}"));
        }

        foreach (PtStorage storage in _storages.Values)
        {
            if (!storage.IsPlaced)
            {
                throw input.Bad($"lacks {storage.Name}: damaged");
            }
        }
    }

    private PtStorage LegacyStorage(PickleInput input, PtList id, List<(PtStorage View, PtStorage Whole, long Offset)> views)
    {
        PtStorage whole = Storage(input, id, out _);
        if (id.Items.Count < 6 || id.Items[5] is null)
        {
            return whole;
        }

        if (id.Items[5] is not PtList { Items: [string viewKey, long offset, long elements] }
            || offset < 0 || elements < 0 || offset > whole.Elements || elements > whole.Elements - offset)
        {
            throw input.Bad($"has an impossible view of {whole.Name}: damaged");
        }

        var view = new PtStorage(_file, $"{whole.Key}/{viewKey}", whole.DType, elements);
        views.Add((view, whole, offset));
        return view;
    }

    private PtStorage Storage(PickleInput input, PtList id, out bool isNew)
    {
        DType dtype = PickleReader.StorageClass(input, id).DType;
        string key = (string)id.Items[2]!;
        long elements = (long)id.Items[4]!;
        isNew = !_storages.TryGetValue(key, out PtStorage? storage);
        if (storage is null)
        {
            storage = new PtStorage(_file, key, dtype, elements);
            _storages.Add(key, storage);
        }

        return storage.DType == dtype && storage.Elements == elements
            ? storage
            : throw input.Bad($"describes {storage.Name} as {storage.Elements} {storage.DType} and as {elements} {dtype} elements: damaged");
    }

    /// <summary>One dictionary of tensors in the file.</summary>
    internal sealed class Source : ITensorSource
    {
        private readonly string _path;
        private readonly Dictionary<string, PtTensor> _tensors = new(StringComparer.Ordinal);
        private readonly OrderedDictionary<string, TensorType> _types = new(StringComparer.Ordinal);

        public Source(string path, PtDict dict)
        {
            _path = path;
            foreach ((object key, object? value) in dict.Items)
            {
                var tensor = (PtTensor)value!;
                _tensors.Add((string)key, tensor);
                _types.Add((string)key, tensor.Type);
            }
        }

        public string Description => _path;

        public IReadOnlyDictionary<string, TensorType> Tensors => _types;

        public void ReadFloats(string name, Span<float> destination) => Find(name).ReadFloats(destination);

        public Tensor Read(string name) => Find(name).Read();

        private PtTensor Find(string name) => _tensors.TryGetValue(name, out PtTensor? tensor)
            ? tensor
            : throw new CheckpointException($"has no tensor '{name}'", _path);
    }
}
