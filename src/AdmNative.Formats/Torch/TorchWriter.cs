using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>
/// Writes files that torch.load opens, with weights_only=True too: the zip container, data at multiples of 64 bytes,
/// zip64 where sizes ask for it, equal bytes for equal content. Tensor data is streamed. A file appears whole or not at all.
/// </summary>
public static class TorchWriter
{
    private const string Folder = "archive/";

    /// <summary>Writes a state dict: an OrderedDict of name to tensor, in the given order.</summary>
    /// <exception cref="ArgumentException">A name appears twice.</exception>
    public static void Write(string path, IEnumerable<TensorEntry> tensors)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        var dict = new PtDict(isOrdered: true);
        foreach (TensorEntry entry in tensors)
        {
            dict.Add(entry.Name, entry);
        }

        WriteObject(path, dict);
    }

    /// <summary>
    /// Writes an object tree: <see cref="PtDict"/>, <see cref="PtList"/>, string, bool, int, long, double, null, and for
    /// tensors <see cref="TensorEntry"/> (its name is not used), <see cref="Tensor"/> or <see cref="PtTensor"/> of an open file.
    /// </summary>
    /// <exception cref="ArgumentException">Something else is in the tree, or it is nested too deeply.</exception>
    public static void WriteObject(string path, object? root)
    {
        var pickle = new PickleWriter();
        byte[] description = pickle.Write(root);
        using var file = AtomicFile.Create(path);
        var zip = new ZipWriter(file.Stream);
        Add(zip, "data.pkl", description);
        Add(zip, "byteorder", "little"u8);
        for (int i = 0; i < pickle.Tensors.Count; i++)
        {
            TensorEntry tensor = pickle.Tensors[i];
            zip.Begin($"{Folder}data/{i}", tensor.Bytes);
            tensor.WriteTo(zip.Write);
        }

        Add(zip, "version", "3\n"u8);
        zip.Finish();
        file.Commit();
    }

    private static void Add(ZipWriter zip, string name, ReadOnlySpan<byte> content)
    {
        zip.Begin(Folder + name, content.Length);
        zip.Write(content);
    }
}
