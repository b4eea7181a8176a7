using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using AdmNative.Core;
using AdmNative.Tests;

namespace AdmNative.Formats.Tests;

public class NpzTests
{
    private static readonly DType[] s_all = Enum.GetValues<DType>();

    public static TheoryData<DType> AllTypes => [.. s_all];

    [Theory]
    [MemberData(nameof(AllTypes))]
    public void Every_element_type_survives_writing_and_reading(DType dtype)
    {
        using var folder = new TempFolder();
        Tensor tensor = Patterned(dtype, [3, 1, 5]);
        NpyFile.Write(folder["a.npy"], tensor);
        AssertSame(tensor, NpyFile.Read(folder["a.npy"]));
        Assert.Equal(0, (new FileInfo(folder["a.npy"]).Length - tensor.Bytes.Length) % 64);
        Assert.Equal(["a.npy"], folder.Names);
    }

    [Fact]
    public void Odd_shapes_survive_an_archive()
    {
        using var folder = new TempFolder();
        Shape[] shapes = [Shape.Scalar, [0], [7], [2, 0, 3], [1, 1, 1, 1], [70000]];
        using (var writer = NpzWriter.Create(folder["a.npz"]))
        {
            foreach ((int i, Shape shape) in shapes.Index())
            {
                writer.Add($"a{i}", Patterned(s_all[i], shape));
            }

            writer.Commit();
        }

        using NpzFile npz = NpzFile.Open(folder["a.npz"]);
        Assert.Equal(["a0", "a1", "a2", "a3", "a4", "a5"], npz.Names);
        foreach ((int i, Shape shape) in shapes.Index())
        {
            Assert.Equal(new TensorType(s_all[i], shape), npz.TypeOf($"a{i}"));
            AssertSame(Patterned(s_all[i], shape), npz.Read($"a{i}"));
        }
    }

    [Fact]
    public void The_library_zip_reader_opens_what_we_write_and_data_is_aligned()
    {
        using var folder = new TempFolder();
        var tensors = new Dictionary<string, Tensor> { ["x"] = Patterned(DType.F32, [5]), ["long/näme"] = Patterned(DType.U8, [3, 3]), ["z"] = Patterned(DType.I64, []) };
        using (var writer = NpzWriter.Create(folder["a.npz"]))
        {
            foreach ((string name, Tensor t) in tensors)
            {
                writer.Add(name, t);
            }

            writer.Commit();
        }

        using ZipArchive zip = ZipFile.OpenRead(folder["a.npz"]);
        Assert.Equal(tensors.Keys.Select(k => k + ".npy"), zip.Entries.Select(e => e.FullName));
        byte[] file = File.ReadAllBytes(folder["a.npz"]);
        foreach (ZipArchiveEntry entry in zip.Entries)
        {
            using var member = new MemoryStream();
            using (Stream s = entry.Open())
            {
                s.CopyTo(member);       // also checks the checksum
            }

            Assert.Equal(0, file.AsSpan().IndexOf(member.ToArray()) % 64);
        }
    }

    [Fact]
    public void Equal_content_gives_equal_bytes()
    {
        using var folder = new TempFolder();
        foreach (string name in (string[])["a.npz", "b.npz"])
        {
            using var writer = NpzWriter.Create(folder[name]);
            writer.Add("x", Patterned(DType.F32, [4, 4]));
            writer.Commit();
            Thread.Sleep(5);
        }

        Assert.Equal(File.ReadAllBytes(folder["a.npz"]), File.ReadAllBytes(folder["b.npz"]));
    }

    [Fact]
    public void Rows_are_appended_and_read_in_pieces()
    {
        using var folder = new TempFolder();
        Tensor tensor = Patterned(DType.F32, [10, 3, 2]);
        using (var writer = NpzWriter.Create(folder["a.npz"]))
        {
            writer.Begin("x", DType.F32, [10, 3, 2]);
            for (int row = 0; row < 10; row += 2)
            {
                writer.Append<float>(tensor.AsSpan<float>().Slice(row * 6, 12));
            }

            writer.Commit();
        }

        using NpzFile npz = NpzFile.Open(folder["a.npz"]);
        using NpyReader reader = npz.OpenRows("x");
        Assert.Equal(24, reader.RowBytes);
        var got = new List<byte>();
        var buffer = new byte[100];     // four rows and a bit
        int rows;
        while ((rows = reader.ReadRows(buffer)) > 0)
        {
            got.AddRange(buffer.AsSpan(0, rows * 24));
        }

        Assert.Equal(tensor.Bytes.ToArray(), got);
        Assert.Equal(0, reader.RowsLeft);
        using NpyReader again = npz.OpenRows("x");
        Assert.Equal([7, 3, 2], again.ReadRows(7).Shape);
        Assert.Equal([3, 3, 2], again.ReadRows(7).Shape);
        Assert.Equal([0, 3, 2], again.ReadRows(7).Shape);
        using NpyReader third = npz.OpenRows("x");
        Assert.Throws<ArgumentException>(() => third.ReadRows(new byte[23]));
    }

    [Fact]
    public void Deflated_members_are_read()
    {
        using var folder = new TempFolder();
        Tensor tensor = Patterned(DType.F64, [100, 30]);
        NpyFile.Write(folder["x.npy"], tensor);
        using (ZipArchive zip = ZipFile.Open(folder["a.npz"], ZipArchiveMode.Create))
        {
            zip.CreateEntryFromFile(folder["x.npy"], "x.npy", CompressionLevel.Optimal);
            zip.CreateEntryFromFile(folder["x.npy"], "readme.txt", CompressionLevel.Optimal);
        }

        using NpzFile npz = NpzFile.Open(folder["a.npz"]);
        Assert.Equal(["x"], npz.Names);
        AssertSame(tensor, npz.Read("x"));
    }

    [Theory]
    [InlineData(1, "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }")]
    [InlineData(2, "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3)}")]
    [InlineData(3, "{\"shape\": (2L, 3L), \"descr\": \"=i2\",\n 'fortran_order' :False,}   \n")]
    [InlineData(1, "{'descr': '>i2', 'fortran_order': False, 'shape': (2, 3), }")]
    [InlineData(1, "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }")]
    [InlineData(2, "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }")]
    public void Versions_byte_orders_and_column_order_give_the_same_array(int version, string header)
    {
        bool big = header.Contains('>', StringComparison.Ordinal);
        short[] stored = header.Contains("True", StringComparison.Ordinal) ? [1, 4, 2, 5, 3, 600] : [1, 2, 3, 4, 5, 600];
        var data = new byte[12];
        for (int i = 0; i < 6; i++)
        {
            if (big)
            {
                BinaryPrimitives.WriteInt16BigEndian(data.AsSpan(2 * i), stored[i]);
            }
            else
            {
                BinaryPrimitives.WriteInt16LittleEndian(data.AsSpan(2 * i), stored[i]);
            }
        }

        using var folder = new TempFolder();
        string path = folder.Write("a.npy", Npy(version, header, data));
        AssertSame(Tensor.From<short>([2, 3], [1, 2, 3, 4, 5, 600]), NpyFile.Read(path));
        using NpyReader rows = NpyFile.OpenRows(path);
        AssertSame(Tensor.From<short>([1, 3], [1, 2, 3]), rows.ReadRows(1));
        AssertSame(Tensor.From<short>([1, 3], [4, 5, 600]), rows.ReadRows(1));
    }

    [Fact]
    public void Column_order_of_three_dimensions()
    {
        // numpy: np.asfortranarray(np.arange(24).reshape(2,3,4)).ravel('K')
        byte[] data = [0, 12, 4, 16, 8, 20, 1, 13, 5, 17, 9, 21, 2, 14, 6, 18, 10, 22, 3, 15, 7, 19, 11, 23];
        using var folder = new TempFolder();
        string path = folder.Write("a.npy", Npy(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4), }", data));
        Assert.Equal(Enumerable.Range(0, 24).Select(i => (byte)i), NpyFile.Read(path).Bytes.ToArray());
    }

    [Theory]
    [InlineData("{'descr': '<u2', 'fortran_order': False, 'shape': (6,), }", "'<u2'")]
    [InlineData("{'descr': '|O', 'fortran_order': False, 'shape': (6,), }", "'|O'")]
    [InlineData("{'descr': '<U3', 'fortran_order': False, 'shape': (1,), }", "'<U3'")]
    [InlineData("{'descr': '<<i2', 'fortran_order': False, 'shape': (6,), }", "'<<i2'")]
    [InlineData("{'descr': [('a', '<i2')], 'fortran_order': False, 'shape': (6,), }", "structured")]
    [InlineData("{'descr': '<i2', 'fortran_order': False, 'shape': (5,), }", "should hold 10 bytes")]
    [InlineData("{'descr': '<i2', 'fortran_order': False, 'shape': (7,), }", "should hold 14 bytes")]
    [InlineData("{'descr': '<i2', 'fortran_order': False, 'shape': (-6,), }", "dimension")]
    [InlineData("{'descr': '<i2', 'fortran_order': False, 'shape': (4611686018427387904,), }", "claims shape")]
    [InlineData("{'descr': '<i2', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", "impossible shape")]
    [InlineData("{'descr': '<i2', 'fortran_order': False, 'shape': (99999999999999999999,), }", "dimension")]
    [InlineData("{'descr': '<i2', 'fortran_order': False, }", "lacks")]
    [InlineData("{'descr': '<i2', 'fortran_order': Maybe, 'shape': (6,), }", "True or False")]
    [InlineData("{'descr': '<i2', 'fortran_order': False, 'shape': (6,), 'x': 1}", "unknown key 'x'")]
    [InlineData("{'descr': '<i2", "quoted")]
    [InlineData("", "ends early")]
    public void Bad_heads_are_refused_with_a_reason(string header, string reason)
    {
        using var folder = new TempFolder();
        string path = folder.Write("a.npy", Npy(1, header, new byte[12]));
        CheckpointException e = Assert.Throws<CheckpointException>(() => NpyFile.Read(path));
        Assert.Contains(reason, e.Message, StringComparison.Ordinal);
        Assert.Contains(path, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_array_is_named_with_those_there_are()
    {
        using NpzFile npz = NpzFile.Open(Repo.Path("tests", "golden", "torch-formats", "expected.npz"));
        CheckpointException e = Assert.Throws<CheckpointException>(() => npz.Read("nothing"));
        Assert.Contains("'nothing'", e.Message, StringComparison.Ordinal);
        Assert.Contains(npz.Names[0], e.Message, StringComparison.Ordinal);
        Assert.False(npz.Contains("nothing"));
        Assert.True(npz.Contains(npz.Names[0]));
    }

    [Fact]
    public void Golden_archives_written_by_numpy_are_read()
    {
        using NpzFile npz = NpzFile.Open(Repo.Path("tests", "golden", "schedules.npz"));
        Tensor betas = npz.Read(npz.Names.First(n => n.StartsWith("linear|", StringComparison.Ordinal) && n.EndsWith("|betas", StringComparison.Ordinal)));
        Assert.Equal(DType.F64, betas.DType);
        Assert.All(betas.AsSpan<double>().ToArray(), b => Assert.InRange(b, 0, 1));
    }

    [Fact]
    public void An_array_that_is_not_complete_stops_the_commit_and_leaves_nothing()
    {
        using var folder = new TempFolder();
        using (var writer = NpzWriter.Create(folder["a.npz"]))
        {
            writer.Begin("x", DType.F32, [4]);
            writer.Append<float>([1, 2, 3]);
            Assert.Throws<InvalidOperationException>(() => writer.Append<float>([4, 5]));
            Assert.Throws<ShapeException>(() => writer.Append<double>([4]));
            Assert.Throws<InvalidOperationException>(writer.Commit);
        }

        Assert.Empty(folder.Names);
    }

    [Fact]
    public void A_damaged_member_is_found_by_its_checksum()
    {
        using var folder = new TempFolder();
        using (var writer = NpzWriter.Create(folder["a.npz"]))
        {
            writer.Add("x", Patterned(DType.F32, [64]));
            writer.Commit();
        }

        byte[] bytes = File.ReadAllBytes(folder["a.npz"]);
        bytes[200] ^= 1;
        using NpzFile npz = NpzFile.Open(folder.Write("b.npz", bytes));
        Assert.Contains("checksum", Assert.Throws<CheckpointException>(() => npz.Read("x")).Message, StringComparison.Ordinal);
    }

    internal static byte[] Npy(int version, string header, byte[] data)
    {
        byte[] text = Encoding.UTF8.GetBytes(header);
        byte[] length = version == 1 ? BitConverter.GetBytes((ushort)text.Length) : BitConverter.GetBytes(text.Length);
        return [0x93, .. "NUMPY"u8, (byte)version, 0, .. length, .. text, .. data];
    }

    internal static Tensor Patterned(DType dtype, Shape shape)
    {
        var tensor = new Tensor(dtype, shape);
        for (int i = 0; i < tensor.Bytes.Length; i++)
        {
            tensor.Bytes[i] = (byte)(dtype == DType.Bool ? i & 1 : ((i * 37) + 11) & 0x3F);    // no NaN patterns
        }

        return tensor;
    }

    internal static void AssertSame(Tensor expected, Tensor actual)
    {
        Assert.Equal(expected.DType, actual.DType);
        Assert.Equal(expected.Shape, actual.Shape);
        Assert.Equal(expected.Bytes.ToArray(), actual.Bytes.ToArray());
    }
}
