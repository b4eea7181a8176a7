using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace AdmNative.Formats.Tests;

/// <summary>Writes pickles by hand, wrong ones too.</summary>
internal sealed class PickleBuilder
{
    private readonly List<byte> _bytes = [0x80, 2];

    public PickleBuilder Raw(params ReadOnlySpan<byte> bytes)
    {
        _bytes.AddRange(bytes);
        return this;
    }

    public PickleBuilder Raw(string latin1) => Raw(Encoding.Latin1.GetBytes(latin1));

    public PickleBuilder Text(string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        return Raw("X").Raw(BitConverter.GetBytes(utf8.Length)).Raw(utf8);
    }

    public PickleBuilder Number(long value) => Raw("\x8a\x08").Raw(BitConverter.GetBytes(value));

    public PickleBuilder Global(string module, string name) => Raw($"c{module}\n{name}\n");

    public PickleBuilder Tuple(params ReadOnlySpan<long> numbers)
    {
        Raw("(");
        foreach (long n in numbers)
        {
            Number(n);
        }

        return Raw("t");
    }

    public PickleBuilder Storage(string type, string key, long elements) =>
        Raw("(").Text("storage").Global("torch", type).Text(key).Text("cpu").Number(elements).Raw("tQ");

    public PickleBuilder Tensor(string type, string key, long elements, long offset, long[] size, long[] stride) =>
        Global("torch._utils", "_rebuild_tensor_v2").Raw("(").Storage(type, key, elements).Number(offset).Tuple(size).Tuple(stride)
            .Raw("\x89").Global("collections", "OrderedDict").Raw(")RtR");

    public byte[] Stop() => [.. _bytes, (byte)'.'];

    /// <summary>{ key: value }.</summary>
    public static byte[] Dict(string key, Action<PickleBuilder> value)
    {
        var p = new PickleBuilder();
        p.Raw("}").Text(key);
        value(p);
        return p.Raw("s").Stop();
    }

    /// <summary>A torch zip of a pickle and storages; returns the path.</summary>
    public static string WriteZip(string path, byte[] pickle, params (string Key, byte[] Data)[] storages)
    {
        using var zip = new ZipArchive(File.Create(path), ZipArchiveMode.Create);
        Add("archive/data.pkl", pickle);
        foreach ((string key, byte[] data) in storages)
        {
            Add($"archive/data/{key}", data);
        }

        return path;

        void Add(string name, byte[] content)
        {
            using Stream s = zip.CreateEntry(name, CompressionLevel.NoCompression).Open();
            s.Write(content);
        }
    }

    /// <summary>A torch file of the older container; returns the path.</summary>
    public static string WriteLegacy(string path, byte[] pickle, string[] keys, params byte[][] data)
    {
        var bytes = new List<byte>();
        bytes.AddRange(new PickleBuilder().Raw("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19").Stop());
        bytes.AddRange(new PickleBuilder().Number(1001).Stop());
        bytes.AddRange(new PickleBuilder().Raw("}").Text("little_endian").Raw("\x88s").Stop());
        bytes.AddRange(pickle);
        var list = new PickleBuilder().Raw("](");
        foreach (string key in keys)
        {
            list.Text(key);
        }

        bytes.AddRange(list.Raw("e").Stop());
        foreach (byte[] d in data)
        {
            bytes.AddRange(d);
        }

        File.WriteAllBytes(path, [.. bytes]);
        return path;
    }

    /// <summary>An element count and elements, as the older container stores them.</summary>
    public static byte[] LegacyStorage(long count, params ReadOnlySpan<float> values)
    {
        var bytes = new byte[8 + (4 * values.Length)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, count);
        for (int i = 0; i < values.Length; i++)
        {
            BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(8 + (4 * i)), values[i]);
        }

        return bytes;
    }
}
