using System.Text;
using AdmNative.Core;

namespace AdmNative.Formats.Tests;

public class SafetensorsTests
{
    [Fact]
    public void Every_type_and_the_metadata_survive_whatever_the_order_of_entries()
    {
        using var folder = new TempFolder();
        List<TensorEntry> entries = [.. Enum.GetValues<DType>().Select((d, i) => TensorEntry.From($"t{i}", NpzTests.Patterned(d, [3, i])))];
        entries.Add(TensorEntry.From("scalar \"ü\"", Tensor.From<float>([], [1])));
        var metadata = new Dictionary<string, string> { ["format"] = "pt", ["a \"key\""] = "with ü\n" };
        SafetensorsWriter.Write(folder["a.safetensors"], entries, metadata);
        entries.Reverse();
        SafetensorsWriter.Write(folder["b.safetensors"], entries, metadata.Reverse().ToDictionary());
        byte[] bytes = File.ReadAllBytes(folder["a.safetensors"]);
        Assert.Equal(bytes, File.ReadAllBytes(folder["b.safetensors"]));
        Assert.Equal(0, (8 + BitConverter.ToInt64(bytes)) % 64);

        using SafetensorsFile file = SafetensorsFile.Open(folder["a.safetensors"]);
        Assert.Equal(metadata.OrderBy(m => m.Key, StringComparer.Ordinal), file.Metadata);
        Assert.Equal(entries.Select(e => e.Name).Order(StringComparer.Ordinal), file.Tensors.Keys.Order(StringComparer.Ordinal));
        foreach (DType dtype in Enum.GetValues<DType>())
        {
            Tensor expected = NpzTests.Patterned(dtype, [3, (int)dtype]);
            NpzTests.AssertSame(expected, file.Read($"t{(int)dtype}"));
            var floats = new float[expected.Shape.Elements];
            file.ReadFloats($"t{(int)dtype}", floats);
            Assert.Equal(expected.ToFloats(), floats);
        }

        Assert.Throws<ShapeException>(() => file.ReadFloats("t5", new float[2]));
        Assert.Throws<CheckpointException>(() => file.ReadFloats("nothing", []));
        Assert.Throws<CheckpointException>(() => file.Read("nothing"));
    }

    [Fact]
    public void Names_that_collide_are_refused()
    {
        using var folder = new TempFolder();
        Tensor t = Tensor.From<float>([1], [1]);
        Assert.Throws<ArgumentException>(() => SafetensorsWriter.Write(folder["a"], [TensorEntry.From("x", t), TensorEntry.From("x", t)]));
        Assert.Throws<ArgumentException>(() => SafetensorsWriter.Write(folder["a"], [TensorEntry.From("__metadata__", t)]));
        Assert.Empty(folder.Names);
    }

    [Fact]
    public void A_head_padded_with_spaces_in_any_order_of_keys_is_read()
    {
        using var folder = new TempFolder();
        string head = """{"b":{"data_offsets":[8,12],"shape":[1],"dtype":"I32"}, "a":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]}}     """;
        using SafetensorsFile file = SafetensorsFile.Open(folder.Write("a.safetensors", File12(head)));
        Assert.Equal(["b", "a"], file.Tensors.Keys);
        Assert.Equal(0x0b0a0908, file.Read("b").AsSpan<int>()[0]);
    }

    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", "its tensors take 8")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", "unused before tensor 'a'")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", "overlapping before tensor 'b'")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}""", "overlapping")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,12]}}""", "places F32 [4]")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}""", "places F32 [4]")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[12,0]}}""", "places F32 [3]")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[-12,0]}}""", "places F32 [3]")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[-9223372036854775808,9223372036854775807]}}""", "places F32 [3]")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,12]}}""", "more elements than 64 bits")]
    [InlineData("""{"a":{"dtype":"F32","shape":[-3],"data_offsets":[0,12]}}""", "negative dimension")]
    [InlineData("""{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,12]}}""", "64 bits")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3.5],"data_offsets":[0,12]}}""", "EndArray")]
    [InlineData("""{"a":{"dtype":"F8_E4M3","shape":[12],"data_offsets":[0,12]}}""", "F8_E4M3")]
    [InlineData("""{"a":{"dtype":3,"shape":[12],"data_offsets":[0,12]}}""", "should be String")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3]}}""", "lacks dtype")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0]}}""", "lacks dtype")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,4,12]}}""", "more than 2")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12],"x":1}}""", "unknown 'x'")]
    [InlineData("""{"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},"a":{"dtype":"U8","shape":[6],"data_offsets":[6,12]}}""", "'a' twice")]
    [InlineData("""{"a":[]}""", "should be StartObject")]
    [InlineData("""{"__metadata__":{"a":1}}""", "should be String")]
    [InlineData("""{"__metadata__":{"a":"1","a":"2"}}""", "'a' twice")]
    [InlineData("""{"__metadata__":{"a":{}}}""", "should be String")]
    [InlineData("""{"a":{"dtype":"U8","shape":[12],"data_offsets":[0,12]}} x""", "not JSON")]
    [InlineData("""{"a":{"dtype":"U8","shape":[12],"data_offsets":[0,12]}}{}""", "not JSON")]
    [InlineData("""{"a":{"dtype":"U8","shape":[12],"data_offsets":[0,12]}""", "ends early")]
    [InlineData("""{"a":""", "ends early")]
    [InlineData("""{]""", "not JSON")]
    public void Bad_heads_are_refused_with_a_reason(string head, string reason)
    {
        using var folder = new TempFolder();
        string path = folder.Write("a.safetensors", File12(head));
        CheckpointException e = Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(path));
        Assert.Contains(reason, e.Message, StringComparison.Ordinal);
        Assert.Contains(path, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Heads_that_do_not_fit_are_refused_before_they_are_read()
    {
        using var folder = new TempFolder();
        byte[] bytes = File12("{}");
        BitConverter.GetBytes(90_000_001L).CopyTo(bytes, 0);
        Assert.Contains("90000001", Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(folder.Write("a", bytes))).Message, StringComparison.Ordinal);
        BitConverter.GetBytes(long.MaxValue).CopyTo(bytes, 0);
        Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(folder.Write("a", bytes)));
        byte[] notUtf8 = File12("""{"a?":{}}""");
        notUtf8[11] = 0xff;
        Assert.Contains("not JSON", Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(folder.Write("a", notUtf8))).Message, StringComparison.Ordinal);
        string deep = "{\"a\":" + string.Concat(Enumerable.Repeat("[", 100_000));
        Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(folder.Write("a", File12(deep))));
    }

    /// <summary>A head and twelve bytes 0 to 11.</summary>
    private static byte[] File12(string head)
    {
        byte[] text = Encoding.UTF8.GetBytes(head);
        return [.. BitConverter.GetBytes((long)text.Length), .. text, .. Enumerable.Range(0, 12).Select(i => (byte)i)];
    }
}
