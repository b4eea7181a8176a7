using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>
/// A numpy archive (.npz): named arrays, read one at a time when asked for. Uncompressed and deflated members. Reading
/// from several threads is fine; each <see cref="NpyReader"/> belongs to one.
/// </summary>
public sealed class NpzFile : IDisposable
{
    private const string Suffix = ".npy";

    private readonly FileBytes _file;
    private readonly ZipReader _zip;

    private NpzFile(FileBytes file, ZipReader zip)
    {
        _file = file;
        _zip = zip;
        Names = [.. zip.Members.Where(m => m.Name.EndsWith(Suffix, StringComparison.Ordinal)).Select(m => m.Name[..^Suffix.Length])];
    }

    /// <summary>The file.</summary>
    public string Path => _file.Path;

    /// <summary>Array names without ".npy", in file order.</summary>
    public IReadOnlyList<string> Names { get; }

    /// <summary>Opens an archive and lists its members; reads no data.</summary>
    /// <exception cref="CheckpointException">Not a zip archive, or damaged.</exception>
    public static NpzFile Open(string path) => FileBytes.Open(path, file => new NpzFile(file, ZipReader.Open(file)));

    /// <summary>True if there is an array of this name.</summary>
    public bool Contains(string name) => _zip.Find(name + Suffix) is not null;

    /// <summary>Element type and dimensions of an array.</summary>
    /// <exception cref="CheckpointException">No such array, damaged, or of an element type that is not read.</exception>
    public TensorType TypeOf(string name)
    {
        using NpyReader reader = OpenRows(name);
        return new TensorType(reader.DType, reader.Shape);
    }

    /// <summary>Reads a whole array.</summary>
    /// <exception cref="CheckpointException">No such array, damaged, over 2 GiB, or of an element type that is not read.</exception>
    public Tensor Read(string name)
    {
        using NpyReader reader = OpenRows(name);
        return reader.ReadAll();
    }

    /// <summary>Opens an array for reading in rows.</summary>
    /// <exception cref="CheckpointException">No such array, damaged, or of an element type that is not read.</exception>
    public NpyReader OpenRows(string name)
    {
        ZipMember member = _zip.Find(name + Suffix) ?? throw new CheckpointException(
            Names.Count == 0 ? $"has no array '{name}'; it has none at all" : $"has no array '{name}'; it has {Listing.Of(Names)}", Path);
        Stream stream = _zip.OpenStream(member);
        try
        {
            return new NpyReader(stream, Path, $"array '{name}'");
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();
}
