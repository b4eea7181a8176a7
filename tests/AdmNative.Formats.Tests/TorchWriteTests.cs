using System.IO.Compression;
using AdmNative.Core;
using AdmNative.Tests;

namespace AdmNative.Formats.Tests;

public class TorchWriteTests
{
    [Fact]
    public void A_state_dict_survives_in_order_and_type()
    {
        using var folder = new TempFolder();
        List<(string Name, Tensor Tensor)> tensors = [.. Enum.GetValues<DType>().Select((d, i) => ($"layer.{i}", NpzTests.Patterned(d, [i, 300, 1])))];
        tensors.Add(("scalar", Tensor.From<float>([], [2.5f])));
        tensors.Add(("ünicode", Tensor.From<float>([1], [2.5f])));
        TorchWriter.Write(folder["a.pt"], tensors.Select(t => TensorEntry.From(t.Name, t.Tensor)));
        using TorchFile file = TorchFile.Open(folder["a.pt"]);
        var root = (PtDict)file.Root!;
        Assert.True(root.IsOrdered);
        Assert.Equal(tensors.Select(t => t.Name), root.Items.Select(i => (string)i.Key));
        foreach ((string name, Tensor tensor) in tensors)
        {
            NpzTests.AssertSame(tensor, ((PtTensor)root[name]!).Read());
        }

        Assert.Equal(["a.pt"], folder.Names);
    }

    [Fact]
    public void Data_is_aligned_members_are_torchs_and_bytes_are_reproducible()
    {
        using var folder = new TempFolder();
        Tensor tensor = NpzTests.Patterned(DType.F32, [37]);
        foreach (string name in (string[])["a.pt", "b.pt"])
        {
            TorchWriter.Write(folder[name], [TensorEntry.From("x", tensor), TensorEntry.From("y", NpzTests.Patterned(DType.I64, [9]))]);
        }

        byte[] bytes = File.ReadAllBytes(folder["a.pt"]);
        Assert.Equal(bytes, File.ReadAllBytes(folder["b.pt"]));
        Assert.Equal(0, bytes.AsSpan().IndexOf(tensor.Bytes) % 64);
        using ZipArchive zip = ZipFile.OpenRead(folder["a.pt"]);
        Assert.Equal(["archive/data.pkl", "archive/byteorder", "archive/data/0", "archive/data/1", "archive/version"], zip.Entries.Select(e => e.FullName));
        Assert.All(zip.Entries, e => Assert.Equal(e.Length, e.CompressedLength));
    }

    [Fact]
    public void An_optimizer_state_survives()
    {
        using var folder = new TempFolder();
        using TorchFile original = TorchFile.Open(Repo.Path("tests", "golden", "torch-formats", "adamw.pt"));
        TorchWriter.WriteObject(folder["a.pt"], original.Root);
        using TorchFile copy = TorchFile.Open(folder["a.pt"]);
        AssertSameTree(original.Root, copy.Root);
    }

    [Fact]
    public void Every_kind_of_value_survives()
    {
        using var folder = new TempFolder();
        var root = new PtDict();
        object?[] values =
        [
            null, true, false, 0L, 255L, 256L, 65535L, 65536L, -1L, (long)int.MinValue, (long)int.MaxValue + 1, long.MinValue, long.MaxValue,
            0.1, -0.0, double.PositiveInfinity, "", "tëxt", new PtList([]), new PtList([1L, "a", new PtList([], isTuple: true)], isTuple: true), new PtDict(isOrdered: true),
        ];
        for (int i = 0; i < values.Length; i++)
        {
            root.Add(i % 2 == 0 ? $"k{i}" : (object)(long)i, values[i]);
        }

        TorchWriter.WriteObject(folder["a.pt"], root);
        using TorchFile copy = TorchFile.Open(folder["a.pt"]);
        AssertSameTree(root, copy.Root);
        Assert.Equal("3", ReadMember(folder["a.pt"], "archive/version").Trim());
    }

    [Fact]
    public void Strided_views_are_written_row_major()
    {
        using var folder = new TempFolder();
        using TorchFile views = TorchFile.Open(Repo.Path("tests", "data", "torch", "views.pt"));
        TorchWriter.WriteObject(folder["a.pt"], views.Root);
        using TorchFile copy = TorchFile.Open(folder["a.pt"]);
        AssertSameTree(views.Root, copy.Root);
    }

    [Fact]
    public void Another_source_is_written_as_floats()
    {
        using var folder = new TempFolder();
        using TensorFile source = Checkpoints.Open(Repo.Path("tests", "golden", "torch-formats", "zip.pt"));
        TorchWriter.Write(folder["a.pt"], source.Tensors.Keys.Select(k => TensorEntry.From(k, source)));
        using TensorFile copy = Checkpoints.Open(folder["a.pt"]);
        foreach ((string name, TensorType type) in source.Tensors)
        {
            Assert.Equal(TensorType.F32(type.Shape), copy.Tensors[name]);
            var (want, got) = (new float[type.Shape.Elements], new float[type.Shape.Elements]);
            source.ReadFloats(name, want);
            copy.ReadFloats(name, got);
            Assert.Equal(want, got);
        }

        Assert.Throws<CheckpointException>(() => TensorEntry.From("nothing", source));
    }

    [Fact]
    public void What_cannot_be_written_is_refused_and_an_earlier_file_stays()
    {
        using var folder = new TempFolder();
        byte[] earlier = [1, 2, 3];
        folder.Write("a.pt", earlier);
        var short4 = new TensorEntry("w", TensorType.F32([4]), s => s.Write(new byte[12]));
        var long4 = new TensorEntry("w", TensorType.F32([4]), s => s.Write(new byte[20]));
        var failing = new TensorEntry("w", TensorType.F32([4]), _ => throw new IOException("the disk is on fire"));
        Tensor good = Tensor.From<float>([1], [1]);
        Assert.Throws<InvalidOperationException>(() => TorchWriter.Write(folder["a.pt"], [TensorEntry.From("g", good), short4]));
        Assert.Throws<InvalidOperationException>(() => TorchWriter.Write(folder["a.pt"], [long4]));
        Assert.Throws<IOException>(() => TorchWriter.Write(folder["a.pt"], [failing]));
        Assert.Throws<ArgumentException>(() => TorchWriter.Write(folder["a.pt"], [TensorEntry.From("w", good), TensorEntry.From("w", good)]));
        Assert.Throws<ArgumentException>(() => TorchWriter.WriteObject(folder["a.pt"], new PtList([1.5f])));
        var list = new PtList([]);
        for (int i = 0; i < 100; i++)
        {
            list = new PtList([list]);
        }

        Assert.Throws<ArgumentException>(() => TorchWriter.WriteObject(folder["a.pt"], list));
        Assert.Throws<IOException>(() => SafetensorsWriter.Write(folder["a.pt"], [failing]));
        Assert.Equal(["a.pt"], folder.Names);
        Assert.Equal(earlier, File.ReadAllBytes(folder["a.pt"]));
        TorchWriter.Write(folder["a.pt"], [TensorEntry.From("g", good)]);
        Assert.Equal(["a.pt"], folder.Names);
        using TensorFile replaced = Checkpoints.Open(folder["a.pt"]);
        Assert.Equal(["g"], replaced.Tensors.Keys);
    }

    internal static void AssertSameTree(object? expected, object? actual)
    {
        switch (expected)
        {
            case PtDict dict:
                var other = Assert.IsType<PtDict>(actual);
                Assert.Equal(dict.IsOrdered, other.IsOrdered);
                Assert.Equal(dict.Items.Select(i => i.Key), other.Items.Select(i => i.Key));
                for (int i = 0; i < dict.Items.Count; i++)
                {
                    AssertSameTree(dict.Items[i].Value, other.Items[i].Value);
                }

                break;
            case PtList list:
                var otherList = Assert.IsType<PtList>(actual);
                Assert.Equal(list.IsTuple, otherList.IsTuple);
                Assert.Equal(list.Items.Count, otherList.Items.Count);
                for (int i = 0; i < list.Items.Count; i++)
                {
                    AssertSameTree(list.Items[i], otherList.Items[i]);
                }

                break;
            case PtTensor tensor:
                NpzTests.AssertSame(tensor.Read(), Assert.IsType<PtTensor>(actual).Read());
                break;
            default:
                Assert.Equal(expected, actual);
                break;
        }
    }

    private static string ReadMember(string path, string name)
    {
        using ZipArchive zip = ZipFile.OpenRead(path);
        using var reader = new StreamReader(zip.GetEntry(name)!.Open());
        return reader.ReadToEnd();
    }
}
