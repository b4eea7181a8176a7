using System.IO.Compression;
using System.Text;
using AdmNative.Core;
using AdmNative.Tests;

namespace AdmNative.Formats.Tests;

public class CheckpointsTests
{
    [Fact]
    public void Files_are_known_by_their_content_whatever_their_name()
    {
        using var folder = new TempFolder();
        Tensor tensor = NpzTests.Patterned(DType.F32, [3, 4]);
        TorchWriter.Write(folder["a.safetensors"], [TensorEntry.From("x", tensor)]);
        SafetensorsWriter.Write(folder["a.pt"], [TensorEntry.From("x", tensor)]);
        File.Copy(Repo.Path("tests", "golden", "torch-formats", "legacy.pt"), folder["a.ckpt"]);
        foreach ((string name, string tensorName) in ((string, string)[])[("a.safetensors", "x"), ("a.pt", "x"), ("a.ckpt", "plain")])
        {
            using TensorFile source = Checkpoints.Open(folder[name]);
            Assert.Equal(folder[name], source.Description);
            source.ReadFloats(tensorName, new float[source.Tensors[tensorName].Shape.Elements]);
        }

        // Closed with its file: another may take the name, on every system.
        File.Delete(folder["a.pt"]);
    }

    [Fact]
    public void Other_files_are_named_for_what_they_are()
    {
        using var folder = new TempFolder();
        void Refused(string reason, byte[] bytes)
        {
            string path = folder.Write("x.pt", bytes);
            CheckpointException e = Assert.Throws<CheckpointException>(() => Checkpoints.Open(path));
            Assert.Contains(reason, e.Message, StringComparison.Ordinal);
            Assert.StartsWith(path, e.Message, StringComparison.Ordinal);
        }

        Refused("is empty", []);
        Refused("a PNG image", Png.Encode(new ImageBytes(1, 1, 1, [0])));
        Refused("a JPEG image", File.ReadAllBytes(Repo.Path("tests", "data", "jpeg", "cat_07.jpg")));
        Refused("a numpy archive (.npz)", File.ReadAllBytes(Repo.Path("tests", "golden", "torch-formats", "expected.npz")));
        Refused("a numpy array (.npy)", NpzTests.Npy(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (0,), }", []));
        Refused("git lfs pull", Encoding.ASCII.GetBytes("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"));
        Refused("an HTML page", Encoding.ASCII.GetBytes("\n<!doctype html><html>Sign in</html>"));
        Refused("an XML text", Encoding.ASCII.GetBytes("<?xml version=\"1.0\"?><Error>AccessDenied</Error>"));
        Refused("gzip-compressed", IdxTests.Gzip([1, 2, 3]));
        Refused("an HDF5 file", [0x89, .. "HDF\r\n\u001a\n"u8, 0, 0]);
        Refused("a tar archive", [.. new byte[257], .. "ustar"u8, .. new byte[300]]);
        Refused("a Python pickle", [0x80, 4, (byte)'N', (byte)'.']);
        Refused("unknown kind (first bytes 0102030405060708090a0b0c0d0e0f10)", [.. Enumerable.Range(1, 40).Select(i => (byte)i)]);
        Refused("a zip archive without a data.pkl, not a torch file; it holds readme.txt", Zip("readme.txt"));
        Refused("a zip archive without a data.pkl, not a torch file; it is empty", Zip());
        Refused("a TorchScript program", Zip("m/data.pkl", "m/constants.pkl"));
        Refused("byte order ''", Zip("m/data.pkl", "m/byteorder"));
        byte[] torch = File.ReadAllBytes(Repo.Path("tests", "golden", "torch-formats", "zip.pt"));
        Refused("no zip directory at its end: truncated", torch[..^30]);
    }

    [Fact]
    public void Paths_that_cannot_be_opened_say_so()
    {
        using var folder = new TempFolder();
        Assert.Contains("is a folder", Assert.Throws<CheckpointException>(() => Checkpoints.Open(folder["."])).Message, StringComparison.Ordinal);
        Assert.Contains(folder["none.pt"], Assert.Throws<FileNotFoundException>(() => Checkpoints.Open(folder["none.pt"])).Message, StringComparison.Ordinal);
        Assert.Throws<DirectoryNotFoundException>(() => Checkpoints.Open(folder["none/none.pt"]));
        Assert.Contains("not a torch file", Assert.Throws<CheckpointException>(() => TorchFile.Open(folder.Write("x", [1, 2]))).Message, StringComparison.Ordinal);
        Assert.Contains("not a safetensors file", Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(folder["x"])).Message, StringComparison.Ordinal);
    }

    private static byte[] Zip(params string[] names)
    {
        using var output = new MemoryStream();
        using (var zip = new ZipArchive(output, ZipArchiveMode.Create))
        {
            foreach (string name in names)
            {
                zip.CreateEntry(name).Open().Dispose();
            }
        }

        return output.ToArray();
    }
}
