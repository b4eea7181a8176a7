using System.IO.Compression;
using AdmNative.Core;
using AdmNative.Tests;

namespace AdmNative.Formats.Tests;

/// <summary>Damaged files of every format against every reader of it.</summary>
public class FuzzTests
{
    // A reader's buffers, plus what a deflated file of a few kilobytes may truly hold (1032 to 1).
    private const long Most = 16L << 20;

    [Fact]
    public void Torch_zip()
    {
        byte[][] files = [Golden("zip.pt"), Golden("adamw.pt"), Data("state.pt"), Data("views.pt"), Data("state-protocol4.pt")];
        Run(files, 1000, ReadTorch);
        using var folder = new TempFolder();
        Fuzz.Truncate(files[3], bytes => ReadTorch(folder.Write("x", bytes)), Most);
    }

    [Fact]
    public void Torch_pickles()
    {
        // Damage inside the pickle with the archive around it whole, or checksums would end it at once.
        using var folder = new TempFolder();
        byte[][] pickles = [.. ((byte[][])[Golden("zip.pt"), Golden("adamw.pt"), Data("views.pt"), Data("state-protocol4.pt")]).Select(Pickle)];
        (string, byte[])[] storages = [.. Enumerable.Range(0, 12).Select(i => ($"{i}", new byte[96]))];
        Fuzz.Mutate(pickles, 1000, pickle => ReadTorch(PickleBuilder.WriteZip(folder["x"], pickle, storages)), Most);
    }

    [Fact]
    public void Torch_legacy()
    {
        byte[][] files = [Golden("legacy.pt"), Data("state-legacy.pt")];
        Run(files, 1000, ReadTorch);
        using var folder = new TempFolder();
        Fuzz.Truncate(files[1], bytes => ReadTorch(folder.Write("x", bytes)), Most);
    }

    [Fact]
    public void Safetensors()
    {
        using var folder = new TempFolder();
        TensorEntry[] entries = [.. Enum.GetValues<DType>().Select((d, i) => TensorEntry.From($"t{i}", NpzTests.Patterned(d, [3, i])))];
        SafetensorsWriter.Write(folder["a"], entries, new Dictionary<string, string> { ["format"] = "pt" });
        SafetensorsWriter.Write(folder["b"], entries[..2]);
        byte[][] files = [File.ReadAllBytes(folder["a"]), File.ReadAllBytes(folder["b"])];
        Run(files, 1000, path =>
        {
            using TensorFile file = Checkpoints.Open(path);
            foreach ((string name, TensorType type) in file.Tensors)
            {
                file.ReadFloats(name, new float[type.Shape.Elements]);
            }
        });
        Fuzz.Truncate(files[1], bytes => SafetensorsFile.Open(folder.Write("x", bytes)).Dispose(), Most);
    }

    [Fact]
    public void Npz_and_npy()
    {
        using var folder = new TempFolder();
        using (var writer = NpzWriter.Create(folder["a"]))
        {
            writer.Add("x", NpzTests.Patterned(DType.F32, [3, 4]));
            writer.Add("y", NpzTests.Patterned(DType.U8, []));
            writer.Commit();
        }

        NpyFile.Write(folder["b.npy"], NpzTests.Patterned(DType.I16, [2, 3, 4]));
        using (ZipArchive zip = ZipFile.Open(folder["c"], ZipArchiveMode.Create))
        {
            zip.CreateEntryFromFile(folder["b.npy"], "x.npy", CompressionLevel.Optimal);
        }

        byte[][] archives = [File.ReadAllBytes(folder["a"]), File.ReadAllBytes(folder["c"])];
        Run(archives, 1000, path =>
        {
            using NpzFile file = NpzFile.Open(path);
            foreach (string name in file.Names)
            {
                file.Read(name);
            }
        });
        Fuzz.Truncate(archives[1], bytes => NpzFile.Open(folder.Write("x", bytes)).Dispose(), Most);
        byte[] fortran = NpzTests.Npy(2, "{'descr': '>f8', 'fortran_order': True, 'shape': (2, 3), }", new byte[48]);
        byte[][] arrays = [File.ReadAllBytes(folder["b.npy"]), fortran];
        Run(arrays, 1000, path => NpyFile.Read(path));
        Fuzz.Truncate(fortran, bytes => NpyFile.Read(folder.Write("x", bytes)), Most);
    }

    [Fact]
    public void Png_with_checksums_repaired()
    {
        byte[][] files = [.. ((string[])["colour2-8", "colour0-1-interlaced", "palette-4-interlaced", "colour6-16", "clear0-16"]).Select(
            n => File.ReadAllBytes(Repo.Path("tests", "data", "png", n + ".png")))];
        Fuzz.Mutate(files, 1000, bytes => Png.Decode(bytes, "x.png"), Most);
        Fuzz.Mutate(files, 1000, bytes => Png.Decode(bytes, "x.png"), 8 * Most, RepairChunks);
        Fuzz.Truncate(files[1], bytes => Png.Decode(bytes, "x.png"), Most);
    }

    [Fact]
    public void Idx_plain_and_zipped()
    {
        byte[] plain = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 4, .. Enumerable.Range(0, 32).Select(i => (byte)i)];
        Run([plain, IdxTests.Gzip(plain)], 1000, path => Idx.Read(path));
    }

    private static void Run(byte[][] files, int iterations, Action<string> read)
    {
        using var folder = new TempFolder();
        foreach (byte[] file in files)
        {
            read(folder.Write("x", file));
        }

        Fuzz.Mutate(files, iterations, bytes => read(folder.Write("x", bytes)), Most);
    }

    /// <summary>Opens a file and reads everything it claims to hold.</summary>
    private static void ReadTorch(string path)
    {
        using TorchFile file = TorchFile.Open(path);
        Visit(file.Root);

        static void Visit(object? value)
        {
            switch (value)
            {
                case PtTensor tensor: tensor.Read().ToFloats(); break;
                case PtList list:
                    foreach (object? item in list.Items)
                    {
                        Visit(item);
                    }

                    break;
                case PtDict dict:
                    foreach ((_, object? item) in dict.Items)
                    {
                        Visit(item);
                    }

                    break;
                default: break;
            }
        }
    }

    private static void RepairChunks(byte[] file)
    {
        for (long at = 8; at + 12 <= file.Length;)
        {
            long length = System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(file.AsSpan((int)at));
            if (at + 12 + length > file.Length)
            {
                return;
            }

            PngTests.FixChecksum(file, (int)at);
            at += 12 + length;
        }
    }

    private static byte[] Pickle(byte[] torch)
    {
        using var zip = new ZipArchive(new MemoryStream(torch));
        using Stream s = zip.Entries.First(e => e.Name == "data.pkl").Open();
        using var output = new MemoryStream();
        s.CopyTo(output);
        return output.ToArray();
    }

    private static byte[] Golden(string name) => File.ReadAllBytes(Repo.Path("tests", "golden", "torch-formats", name));

    private static byte[] Data(string name) => File.ReadAllBytes(Repo.Path("tests", "data", "torch", name));
}
