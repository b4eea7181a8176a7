using AdmNative.Core;
using AdmNative.Tests;

namespace AdmNative.Formats.Tests;

public class TorchReadTests
{
    private static string Golden(string name) => Repo.Path("tests", "golden", "torch-formats", name);

    private static string Data(string name) => Repo.Path("tests", "data", "torch", name);

    [Theory]
    [InlineData("zip.pt")]
    [InlineData("legacy.pt")]
    public void Every_type_and_view_of_both_containers_equals_the_expected_values(string name)
    {
        using NpzFile expected = NpzFile.Open(Golden("expected.npz"));
        using TorchFile file = TorchFile.Open(Golden(name));
        var root = (PtDict)file.Root!;
        string[] names = [.. expected.Names.Where(n => !n.Contains('.', StringComparison.Ordinal))];
        Assert.Equal(names, root.Items.Select(i => (string)i.Key));
        ITensorSource source = file.AsTensorSource();
        Assert.Equal(names, source.Tensors.Keys);
        foreach (string key in names)
        {
            var tensor = (PtTensor)root[key]!;
            Tensor want = expected.Read(key);
            Assert.Equal(want.Shape, tensor.Type.Shape);
            Assert.Equal(key == "bfloat16" ? DType.BF16 : want.DType, tensor.Type.DType);
            if (key != "bfloat16")
            {
                Assert.Equal(want.Bytes.ToArray(), tensor.Read().Bytes.ToArray());
            }

            var floats = new float[want.Shape.Elements];
            source.ReadFloats(key, floats);
            Assert.Equal(want.ToFloats(), floats);
            Assert.Equal(want.ToFloats(), tensor.Read().ToFloats());
        }
    }

    [Fact]
    public void A_bare_parameter_is_its_tensor_and_is_no_state_dict()
    {
        using NpzFile expected = NpzFile.Open(Golden("expected.npz"));
        using TorchFile file = TorchFile.Open(Golden("parameter.pt"));
        var tensor = Assert.IsType<PtTensor>(file.Root);
        Assert.Equal(expected.Read("plain").ToFloats(), tensor.Read().ToFloats());
        CheckpointException e = Assert.Throws<CheckpointException>(() => file.AsTensorSource());
        Assert.Contains("a tensor f32[6,8]", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_optimizer_state_is_a_tree()
    {
        using NpzFile expected = NpzFile.Open(Golden("expected.npz"));
        using TorchFile file = TorchFile.Open(Golden("adamw.pt"));
        var root = (PtDict)file.Root!;
        var state = (PtDict)root["state"]!;
        for (int i = 0; i < 2; i++)
        {
            var entry = (PtDict)state[i]!;
            foreach (string part in (string[])["step", "exp_avg", "exp_avg_sq"])
            {
                NpzTests.AssertSame(expected.Read($"adamw.{i}.{part}"), ((PtTensor)entry[part]!).Read());
            }
        }

        var group = (PtDict)((PtList)root["param_groups"]!).Items[0]!;
        Assert.Equal(0.001, group["lr"]);
        Assert.Equal([0.9, 0.999], ((PtList)group["betas"]!).Items);
        Assert.True(((PtList)group["betas"]!).IsTuple);
        Assert.Equal(false, group["amsgrad"]);
        Assert.Null(group["foreach"]);
        Assert.Equal([0L, 1L], ((PtList)group["params"]!).Items);
        CheckpointException e = Assert.Throws<CheckpointException>(() => file.AsTensorSource());
        Assert.Contains("'state' (a dictionary of 2), 'param_groups' (a list of 1)", e.Message, StringComparison.Ordinal);
        Assert.Contains("'weight'", Assert.Throws<KeyNotFoundException>(() => root["weight"]).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("state.pt", null)]
    [InlineData("state-legacy.pt", null)]
    [InlineData("state-protocol4.pt", null)]
    [InlineData("nested.pt", null)]
    [InlineData("nested.pt", "state_dict")]
    [InlineData("two-models.pt", "ema")]
    public void State_dicts_with_metadata_are_found_under_keys_too(string name, string? key)
    {
        using TensorFile source = Checkpoints.Open(Data(name), key);
        Assert.Equal(
            ["conv.weight", "conv.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"],
            source.Tensors.Keys);
        Assert.Equal(TensorType.F32([3, 2, 1]), source.Tensors["conv.weight"]);
        Assert.Equal(new TensorType(DType.I64, Shape.Scalar), source.Tensors["norm.num_batches_tracked"]);
        var weight = new float[6];
        source.ReadFloats("conv.weight", weight);
        Assert.Equal([0, 0.5f, 1, 1.5f, 2, 2.5f], weight);
        var bias = new float[3];
        source.ReadFloats("norm.bias", bias);
        Assert.Equal([30, 30.5f, 31], bias);
        var scalar = new float[1];
        source.ReadFloats("norm.num_batches_tracked", scalar);
        Assert.Equal([60], scalar);
        Assert.Throws<ShapeException>(() => source.ReadFloats("norm.bias", new float[4]));
        Assert.Contains("'bias'", Assert.Throws<CheckpointException>(() => source.ReadFloats("bias", bias)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("two-models.pt", null, "'model' (a dictionary of 7), 'ema' (a dictionary of 7)")]
    [InlineData("nested.pt", "model", "'epoch' (a number), 'lr' (a number), 'state_dict' (a dictionary of 7), 'args' (a dictionary of 1)")]
    [InlineData("module.pt", null, "torch.nn.modules.container.Sequential")]
    public void What_cannot_be_chosen_or_read_is_named(string name, string? key, string reason)
    {
        CheckpointException e = Assert.Throws<CheckpointException>(() => Checkpoints.Open(Data(name), key));
        Assert.Contains(reason, e.Message, StringComparison.Ordinal);
        Assert.Contains(name, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Views_are_gathered_by_their_strides()
    {
        using TorchFile file = TorchFile.Open(Data("views.pt"));
        var root = (PtDict)file.Root!;
        float[] Floats(string key)
        {
            var tensor = (PtTensor)root[key]!;
            var floats = new float[tensor.Type.Shape.Elements];
            tensor.ReadFloats(floats);
            Assert.Equal(floats, tensor.Read().ToFloats());
            return floats;
        }

        // base[i,j,k] = 12 i + 4 j + k
        Assert.Equal(from k in Enumerable.Range(0, 4) from i in Enumerable.Range(0, 2) from j in Enumerable.Range(0, 3) select (float)((12 * i) + (4 * j) + k), Floats("permuted"));
        Assert.Equal(from k in Enumerable.Range(0, 4) from j in Enumerable.Range(0, 3) from i in Enumerable.Range(0, 2) select (float)((12 * i) + (4 * j) + k), Floats("half"));
        Assert.Equal(from i in Enumerable.Range(0, 2) from j in (int[])[0, 2] from k in (int[])[1, 3] select (float)((12 * i) + (4 * j) + k), Floats("step"));
        Assert.Equal([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2], Floats("expanded"));
        Assert.Equal([0, 1], ((PtTensor)root["expanded"]!).Strides);
        Assert.Equal([-2, -1, 0, 1], Floats("short"));
        Assert.Equal([-2, -1, 0, 1], Floats("char"));
        Assert.Empty(Floats("empty"));
        Assert.Equal([2L, 3L, 4L], ((PtList)root["size"]!).Items);
    }

    [Fact]
    public void Many_threads_read_one_file()
    {
        using TensorFile source = Checkpoints.Open(Data("state.pt"));
        Parallel.For(0, 64, _ =>
        {
            var bias = new float[3];
            source.ReadFloats("norm.bias", bias);
            Assert.Equal([30, 30.5f, 31], bias);
        });
    }

    [Fact]
    public void Data_is_read_only_when_asked_for()
    {
        // 96 MiB of storage in a sparse file: opening must cost its description, not its data.
        using var folder = new TempFolder();
        string path = folder["big.pt"];
        const int Elements = 24 << 20;
        TorchWriter.Write(path, [new TensorEntry("w", TensorType.F32([Elements]), s => WriteZeros(s, 4L * Elements)), TensorEntry.From("b", Tensor.From<float>([2], [1, 2]))]);
        long before = GC.GetAllocatedBytesForCurrentThread();
        using TensorFile source = Checkpoints.Open(path);
        var b = new float[2];
        source.ReadFloats("b", b);
        long used = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.Equal([1, 2], b);
        Assert.InRange(used, 0, 1 << 20);
    }

    [Fact]
    public void A_view_wider_than_the_window_is_gathered_in_parts()
    {
        // Transposed [3000, 6000] f32 = 72 MB spans more than the 64 MiB a strided read holds at once.
        using var folder = new TempFolder();
        const int Rows = 3000, Columns = 6000;
        byte[] pickle = PickleBuilder.Dict("t", p => p.Tensor("FloatStorage", "0", Rows * Columns, 0, [Columns, Rows], [1, Columns]));
        var data = new float[Rows * Columns];
        for (int i = 0; i < data.Length; i++)
        {
            data[i] = i;
        }

        string path = PickleBuilder.WriteZip(folder["t.pt"], pickle, ("0", System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(data).ToArray()));
        using TensorFile source = Checkpoints.Open(path);
        var got = new float[data.Length];
        source.ReadFloats("t", got);
        for (int c = 0; c < Columns; c++)
        {
            for (int r = 0; r < Rows; r++)
            {
                if (got[(c * Rows) + r] != (r * Columns) + c)
                {
                    Assert.Fail($"[{c},{r}] is {got[(c * Rows) + r]}, expected {(r * Columns) + c}");
                }
            }
        }
    }

    private static void WriteZeros(Stream stream, long count)
    {
        var zeros = new byte[1 << 20];
        for (; count > 0; count -= Math.Min(count, zeros.Length))
        {
            stream.Write(zeros, 0, (int)Math.Min(count, zeros.Length));
        }
    }
}
