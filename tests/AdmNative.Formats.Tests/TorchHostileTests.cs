using AdmNative.Core;

namespace AdmNative.Formats.Tests;

/// <summary>Pickles that are damaged or mean harm. Each must be refused with its reason, and nothing be run or allocated for it.</summary>
public class TorchHostileTests
{
    private const long Huge = 1L << 62;

    private static readonly Dictionary<string, (Func<byte[]> Pickle, string Reason)> s_cases = new()
    {
        ["os.system"] = (() => new PickleBuilder().Global("os", "system").Raw("(").Text("true").Raw("tR").Stop(), "'os.system'"),
        ["builtins.eval by stack"] = (() => new PickleBuilder().Text("builtins").Text("eval").Raw("\x93").Stop(), "'builtins.eval'"),
        ["a class of torch"] = (() => new PickleBuilder().Global("torch.nn", "Linear").Raw(")R").Stop(), "'torch.nn.Linear'"),
        ["load_from_bytes"] = (() => new PickleBuilder().Global("torch.storage", "_load_from_bytes").Stop(), "_load_from_bytes"),
        ["NEWOBJ"] = (() => new PickleBuilder().Global("collections", "OrderedDict").Raw(")\x81").Stop(), "NEWOBJ"),
        ["INST"] = (() => new PickleBuilder().Raw("(ios\nsystem\n").Stop(), "INST"),
        ["BINBYTES"] = (() => new PickleBuilder().Raw("C\x01x").Stop(), "BINBYTES"),
        ["text protocol"] = (() => new PickleBuilder().Raw("I1\n").Stop(), "text protocol 0"),
        ["unknown opcode"] = (() => new PickleBuilder().Raw("\xff").Stop(), "0xff"),
        ["protocol 9"] = (() => new PickleBuilder().Raw("\x80\x09").Stop(), "protocol 9"),
        ["calling a storage class"] = (() => new PickleBuilder().Global("torch", "FloatStorage").Raw(")R").Stop(), "torch.FloatStorage, which is no function"),
        ["calling text"] = (() => new PickleBuilder().Text("x").Raw(")R").Stop(), "not a function name"),
        ["a function as a value"] = (() => PickleBuilder.Dict("f", p => p.Global("collections", "OrderedDict")), "bare function"),
        ["a storage as a value"] = (() => PickleBuilder.Dict("s", p => p.Storage("FloatStorage", "0", 4)), "bare storage"),
        ["a big integer"] = (() => PickleBuilder.Dict("n", p => p.Raw("\x8a\x09").Raw([1, 2, 3, 4, 5, 6, 7, 8, 9])), "BigInteger"),
        ["attributes of a dict"] = (() => new PickleBuilder().Raw("}}b").Stop(), "sets attributes"),
        ["empty stack"] = (() => new PickleBuilder().Raw("a").Stop(), "empty stack"),
        ["below the mark"] = (() => new PickleBuilder().Raw("}(0").Stop(), "empty stack"),
        ["no mark"] = (() => new PickleBuilder().Raw("t").Stop(), "never set"),
        ["left over"] = (() => new PickleBuilder().Raw("NN").Stop(), "leaves objects over"),
        ["unknown memo"] = (() => new PickleBuilder().Raw("h\x05").Stop(), "recalls object 5"),
        ["odd dictionary"] = (() => new PickleBuilder().Raw("}(Nu").Stop(), "not a dictionary"),
        ["unhashable key"] = (() => new PickleBuilder().Raw("})Ns").Stop(), "neither text nor an integer (tuple)"),
        ["key twice"] = (() => new PickleBuilder().Raw("}(").Text("k").Raw("N").Text("k").Raw("Nu").Stop(), "'k' twice"),
        ["long text"] = (() => new PickleBuilder().Raw("X\xff\xff\xff\x7f").Stop(), "2147483647-byte string"),
        ["longer text"] = (() => new PickleBuilder().Raw("\x8d\xff\xff\xff\xff\xff\xff\xff\xff").Stop(), "-byte string"),
        ["text not UTF-8"] = (() => new PickleBuilder().Raw("U\x02\xc3\x28").Stop(), "not UTF-8"),
        ["endless name"] = (() => new PickleBuilder().Raw("c" + new string('a', 5000)).Stop(), "1024 characters"),
        ["within itself"] = (() => new PickleBuilder().Raw("]q\0h\0a").Stop(), "within themselves"),
        ["deep"] = (() => new PickleBuilder().Raw(string.Concat(Enumerable.Repeat("]", 100)) + new string('a', 99)).Stop(), "64 deep"),
        ["doubling"] = (() => Doubling(60), "unfolds"),
        ["many marks"] = (() => new PickleBuilder().Raw(new string('(', (1 << 20) + 1)).Stop(), "marks"),
        ["many objects"] = (() => new PickleBuilder().Raw(new string('N', (1 << 20) + 1)).Stop(), "unfinished objects"),
        ["many lists"] = (() => new PickleBuilder().Raw("]" + string.Concat(Enumerable.Repeat("]a", 1 << 20))).Stop(), "lists and dictionaries"),
        ["endless pickle"] = (() => new PickleBuilder().Raw(string.Concat(Enumerable.Repeat("N0", 9 << 20))).Stop(), "16 MiB of pickle"),
        ["negative size"] = (() => OneTensor(4, 0, [-1], [1]), "cannot be"),
        ["negative stride"] = (() => OneTensor(4, 3, [4], [-1]), "cannot be"),
        ["negative offset"] = (() => OneTensor(4, -1, [4], [1]), "cannot be"),
        ["ranks differ"] = (() => OneTensor(4, 0, [2, 2], [1]), "cannot be"),
        ["rank 65"] = (() => OneTensor(4, 0, [.. Enumerable.Repeat(1L, 65)], [.. Enumerable.Repeat(1L, 65)]), "cannot be"),
        ["past the end"] = (() => OneTensor(4, 1, [4], [1]), "reaches past its 4 elements"),
        ["strides past the end"] = (() => OneTensor(4, 0, [2, 2], [3, 1]), "reaches past"),
        ["offset past the end"] = (() => OneTensor(4, Huge, [1], [1]), "reaches past"),
        ["size overflow"] = (() => OneTensor(4, 0, [Huge, Huge], [0, 0]), "64 bits"),
        ["stride overflow"] = (() => OneTensor(4, 0, [4], [Huge]), "64 bits"),
        ["offset overflow"] = (() => OneTensor(4, long.MaxValue, [4], [1]), "64 bits"),
        ["expanded without end"] = (() => OneTensor(4, 0, [1 << 30, 4], [0, 1]), "repeats"),
        ["size of text"] = (() => PickleBuilder.Dict("t", p => p.Global("torch._utils", "_rebuild_tensor_v2").Raw("(").Storage("FloatStorage", "0", 4)
            .Number(0).Raw("(").Text("4").Raw("t").Tuple(1).Raw("tR")), "not made of integers"),
        ["tensor without storage"] = (() => PickleBuilder.Dict("t", p => p.Global("torch._utils", "_rebuild_tensor_v2").Raw(")R")), "without storage"),
        ["parameter without tensor"] = (() => PickleBuilder.Dict("t", p => p.Global("torch._utils", "_rebuild_parameter").Raw("(NNNtR")), "without a tensor"),
        ["storage of text"] = (() => PickleBuilder.Dict("t", p => p.Text("x").Raw("Q")), "other than a tuple"),
        ["storage of strangers"] = (() => PickleBuilder.Dict("t", p => p.Raw("(").Text("module").Raw("NNNNtQ")), "not known here"),
        ["storage of negative count"] = (() => PickleBuilder.Dict("t", p => p.Storage("FloatStorage", "0", -4)), "not known here"),
        ["storage of other count"] = (() => OneTensor(5, 0, [5], [1]), "16 bytes for 5 F32"),
        ["storage of huge count"] = (() => OneTensor(Huge, 0, [Huge], [1]), "16 bytes for"),
        ["storage that is not there"] = (() => PickleBuilder.Dict("t", p => p.Tensor("FloatStorage", "../0", 4, 0, [4], [1])), "lacks its member"),
        ["storage of two types"] = (() => new PickleBuilder().Raw("}(").Text("a").Tensor("FloatStorage", "0", 4, 0, [4], [1])
            .Text("b").Tensor("IntStorage", "0", 4, 0, [4], [1]).Raw("u").Stop(), "as 4 F32 and as 4 I32"),
        ["no end"] = (() => [0x80, 2, (byte)'N'], "truncated"),
        ["nothing"] = (() => [], "truncated"),
    };

    public static TheoryData<string> Cases => [.. s_cases.Keys];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Is_refused_with_its_reason(string name)
    {
        (Func<byte[]> pickle, string reason) = s_cases[name];
        using var folder = new TempFolder();
        string path = PickleBuilder.WriteZip(folder["x.pt"], pickle(), ("0", new byte[16]));
        CheckpointException e = Assert.Throws<CheckpointException>(() => Checkpoints.Open(path));
        Assert.Contains(reason, e.Message, StringComparison.Ordinal);
        Assert.StartsWith(path, e.Message, StringComparison.Ordinal);
        Assert.InRange(e.Message.Length, 1, 2000);
    }

    [Fact]
    public void A_million_objects_do_not_take_a_gigabyte()
    {
        using var folder = new TempFolder();
        string path = PickleBuilder.WriteZip(folder["x.pt"], s_cases["many lists"].Pickle());
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<CheckpointException>(() => Checkpoints.Open(path));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 256L << 20);
    }

    [Fact]
    public void Storage_views_of_the_older_container_are_honoured()
    {
        using var folder = new TempFolder();
        byte[] pickle = PickleBuilder.Dict("t", p => p.Global("torch._utils", "_rebuild_tensor").Raw("(")
            .Raw("(").Text("storage").Global("torch", "FloatStorage").Text("7").Text("cuda:0").Number(5).Raw("(").Text("v").Number(2).Number(3).Raw("ttQ")
            .Number(1).Tuple(2).Tuple(1).Raw("tR"));
        string path = PickleBuilder.WriteLegacy(folder["x.pt"], pickle, ["7"], PickleBuilder.LegacyStorage(5, 10, 11, 12, 13, 14));
        using TensorFile source = Checkpoints.Open(path);
        var values = new float[2];
        source.ReadFloats("t", values);
        Assert.Equal([13, 14], values);
    }

    [Fact]
    public void Damage_to_the_older_container_is_named()
    {
        using var folder = new TempFolder();
        byte[] pickle = OneTensor(4, 0, [4], [1]);
        void Refused(string reason, string[] keys, params byte[][] data)
        {
            string path = PickleBuilder.WriteLegacy(folder["x.pt"], pickle, keys, data);
            Assert.Contains(reason, Assert.Throws<CheckpointException>(() => Checkpoints.Open(path)).Message, StringComparison.Ordinal);
        }

        byte[] whole = PickleBuilder.LegacyStorage(4, 1, 2, 3, 4);
        Checkpoints.Open(PickleBuilder.WriteLegacy(folder["x.pt"], pickle, ["0"], whole)).Dispose();
        Refused("ends inside storage '0'", ["0"], whole[..^1]);
        Refused("needs bytes", ["0"], whole[..7]);
        Refused("should have 4 elements, the file says 5", ["0"], PickleBuilder.LegacyStorage(5, 1, 2, 3, 4, 5));
        Refused("should have 4 elements, the file says -1", ["0"], PickleBuilder.LegacyStorage(-1));
        Refused("lists a storage '1'", ["1"], whole);
        Refused("or lists it twice", ["0", "0"], whole, whole);
        Refused("lacks storage '0'", []);
        pickle = OneTensor(Huge, 0, [4], [1]);
        Refused("ends inside storage '0'", ["0"], PickleBuilder.LegacyStorage(Huge, 1, 2, 3, 4));
        pickle = PickleBuilder.Dict("t", p => p.Raw("(").Text("storage").Global("torch", "FloatStorage").Text("0").Text("cpu").Number(4)
            .Raw("(").Text("v").Number(3).Number(2).Raw("ttQ"));
        Refused("impossible view", ["0"], whole);
    }

    [Fact]
    public void A_changed_weight_is_found_by_its_checksum()
    {
        using var folder = new TempFolder();
        TorchWriter.Write(folder["a.pt"], [TensorEntry.From("w", Tensor.From<float>([100], [.. Enumerable.Range(0, 100).Select(i => (float)i)]))]);
        byte[] bytes = File.ReadAllBytes(folder["a.pt"]);
        int at = bytes.AsSpan().IndexOf(BitConverter.GetBytes(57f));
        bytes[at + 1] ^= 4;
        using TensorFile source = Checkpoints.Open(folder.Write("b.pt", bytes));
        Assert.Contains("checksum", Assert.Throws<CheckpointException>(() => source.ReadFloats("w", new float[100])).Message, StringComparison.Ordinal);
    }

    private static byte[] OneTensor(long elements, long offset, long[] size, long[] stride) =>
        PickleBuilder.Dict("t", p => p.Tensor("FloatStorage", "0", elements, offset, size, stride));

    /// <summary>Lists of two references to the one before: 2^n objects when walked.</summary>
    private static byte[] Doubling(int n)
    {
        var p = new PickleBuilder().Raw(")q\0");
        for (byte i = 0; i < n; i++)
        {
            p.Raw("h").Raw(i).Raw("h").Raw(i).Raw("\x86q").Raw((byte)(i + 1)).Raw("0");
        }

        return p.Raw("0h").Raw((byte)n).Stop();
    }
}
