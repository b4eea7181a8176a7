using System.IO.Compression;
using AdmNative.Core;

namespace AdmNative.Formats.Tests;

public class IdxTests
{
    private static readonly byte[] s_pictures = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, .. Enumerable.Range(0, 12).Select(i => (byte)(20 * i))];
    private static readonly byte[] s_labels = [0, 0, 8, 1, 0, 0, 0, 4, 7, 2, 1, 0];

    [Fact]
    public void Pictures_and_labels_are_read_plain_and_zipped()
    {
        using var folder = new TempFolder();
        foreach (Func<byte[], byte[]> pack in (Func<byte[], byte[]>[])[b => b, Gzip])
        {
            Tensor pictures = Idx.Read(folder.Write("a", pack(s_pictures)));
            Assert.Equal(DType.U8, pictures.DType);
            Assert.Equal([2, 2, 3], pictures.Shape);
            Assert.Equal(s_pictures[16..], pictures.Bytes.ToArray());
            Assert.Equal([7, 2, 1, 0], Idx.Read(folder.Write("b", pack(s_labels))).Bytes.ToArray());
        }
    }

    [Fact]
    public void Damage_is_named()
    {
        using var folder = new TempFolder();
        void Refused(string reason, byte[] bytes)
        {
            string path = folder.Write("a", bytes);
            CheckpointException e = Assert.Throws<CheckpointException>(() => Idx.Read(path));
            Assert.Contains(reason, e.Message, StringComparison.Ordinal);
            Assert.Contains(path, e.Message, StringComparison.Ordinal);
        }

        Refused("is empty", []);
        Refused("ends early", s_pictures[..10]);
        Refused("ends early", s_pictures[..16]);
        Refused("ends early", s_labels[..^1]);
        Refused("more than the 4 bytes", [.. s_labels, 1]);
        Refused("begins with 00000d03", [0, 0, 13, 3, .. s_pictures[4..]]);
        Refused("begins with 00000805", [0, 0, 8, 5, .. s_pictures[4..]]);
        Refused("begins with 00000800", [0, 0, 8, 0, .. s_pictures[4..]]);
        Refused("cannot hold", [0, 0, 8, 2, 0, 0, 0, 9, 0, 0, 0, 9]);
        Refused("cannot hold", [0, 0, 8, 4, .. Enumerable.Repeat((byte)255, 16)]);
        Refused("cannot hold", [0, 0, 8, 4, .. Enumerable.Repeat((byte)255, 12), 0, 0, 0, 0]);
        Refused("cannot hold", Gzip([0, 0, 8, 2, 0, 255, 255, 255, 0, 0, 255, 255]));
        Refused("ends early", Gzip(s_labels[..^1]));
        byte[] zipped = Gzip([.. s_labels[..4], 0, 0, 4, 0, .. Enumerable.Range(0, 1024).Select(i => unchecked((byte)(i * i)))]);
        zipped[zipped.Length / 2] ^= 255;
        Assert.Throws<CheckpointException>(() => Idx.Read(folder.Write("a", zipped)));
    }

    internal static byte[] Gzip(byte[] content)
    {
        using var output = new MemoryStream();
        using (var gzip = new GZipStream(output, CompressionLevel.Optimal))
        {
            gzip.Write(content);
        }

        return output.ToArray();
    }
}
