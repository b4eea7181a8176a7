using System.Buffers.Binary;
using System.IO.Compression;
using AdmNative.Core;

namespace AdmNative.Formats.Tests;

public class ZipTests
{
    [Fact]
    public void More_members_than_16_bits_count_survive()
    {
        const int Count = 66000;
        using var folder = new TempFolder();
        using (var output = new FileStream(folder["a.zip"], FileMode.Create))
        {
            var writer = new ZipWriter(output);
            for (int i = 0; i < Count; i++)
            {
                writer.Begin($"{i}", 0);
            }

            writer.Finish();
        }

        using (ZipArchive zip = ZipFile.OpenRead(folder["a.zip"]))
        {
            Assert.Equal(Count, zip.Entries.Count);
        }

        using FileBytes file = FileBytes.Open(folder["a.zip"]);
        ZipReader reader = ZipReader.Open(file);
        Assert.Equal(Enumerable.Range(0, Count).Select(i => $"{i}"), reader.Members.Select(m => m.Name));
    }

    [Fact]
    public void Members_and_offsets_past_4_GiB_survive()
    {
        // Zeros are skipped over, so that the file takes next to nothing where the file system knows holes.
        const long Large = (4L << 30) + 12345;
        using var folder = new TempFolder();
        using (var output = new HoleStream(new FileStream(folder["a.npz"], FileMode.Create)))
        {
            var writer = new ZipWriter(output);
            byte[] header = NpyHeader.Build(DType.U8, [Large]);
            writer.Begin("large.npy", header.Length + Large);
            writer.Write(header);
            var zeros = new byte[16 << 20];
            for (long left = Large; left > 0; left -= Math.Min(left, zeros.Length))
            {
                writer.Write(zeros.AsSpan(0, (int)Math.Min(left, zeros.Length)));
            }

            byte[] small = [.. NpyHeader.Build(DType.I32, [2]), 1, 0, 0, 0, 2, 0, 0, 0];
            writer.Begin("small.npy", small.Length);
            writer.Write(small);
            writer.Finish();
        }

        using (ZipArchive zip = ZipFile.OpenRead(folder["a.npz"]))
        {
            Assert.Equal([Large + 128, 136], zip.Entries.Select(e => e.Length));
        }

        using NpzFile npz = NpzFile.Open(folder["a.npz"]);
        Assert.Equal([1, 2], npz.Read("small").AsSpan<int>().ToArray());
        Assert.Equal([Large], npz.TypeOf("large").Shape);
        Assert.Contains("2 GiB", Assert.Throws<CheckpointException>(() => npz.Read("large")).Message, StringComparison.Ordinal);
        using NpyReader rows = npz.OpenRows("large");
        var part = new byte[100];
        Assert.Equal(100, rows.ReadRows(part));
        Assert.Equal(new byte[100], part);
        Assert.Equal(Large - 100, rows.RowsLeft);
    }

    [Fact]
    public void Wrong_use_of_the_writer_is_refused()
    {
        var writer = new ZipWriter(new MemoryStream());
        Assert.Throws<InvalidOperationException>(() => writer.Write([1]));
        writer.Begin("a", 2);
        writer.Write([1]);
        Assert.Throws<InvalidOperationException>(() => writer.Write([1, 2]));
        Assert.Throws<InvalidOperationException>(() => writer.Begin("b", 1));
        Assert.Throws<InvalidOperationException>(writer.Finish);
        writer.Write([2]);
        Assert.Throws<ArgumentException>(() => writer.Begin("a", 1));
        Assert.Throws<ArgumentException>(() => writer.Begin(new string('a', 5000), 1));
    }

    [Fact]
    public void Directories_that_lie_are_refused()
    {
        using var folder = new TempFolder();
        using (var writer = NpzWriter.Create(folder["a.npz"]))
        {
            writer.Add("x", Tensor.From<float>([4], [1, 2, 3, 4]));
            writer.Commit();
        }

        byte[] good = File.ReadAllBytes(folder["a.npz"]);
        int entry = good.AsSpan().IndexOf<byte>([0x50, 0x4b, 1, 2]);
        int end = good.Length - 22;
        void Refused(string reason, Action<byte[]> change)
        {
            byte[] bytes = [.. good];
            change(bytes);
            CheckpointException e = Assert.Throws<CheckpointException>(() =>
            {
                using NpzFile npz = NpzFile.Open(folder.Write("b.npz", bytes));
                npz.Read("x");
            });
            Assert.Contains(reason, e.Message, StringComparison.Ordinal);
        }

        Refused("not plausible", b => b[end + 10] = 9);
        Refused("directory is said to be", b => b[end + 19] = 0x7f);
        Refused("cut short", b => b[entry + 28] = 200);
        Refused("cut short", b => b[entry] = 0);
        Refused("encrypted", b => b[entry + 8] = 1);
        Refused("compression method 12", b => b[entry + 10] = 12);
        Refused("claims", b => b[entry + 24] = 1);
        Refused("reaches past the data", b => b[entry + 20] = b[entry + 24] = 255);
        Refused("has no header", b => b[entry + 42] = 1);
        Refused("runs into the directory", b => b[28] = 255);
        Refused("checksum", b => b[entry + 16] ^= 1);
        Refused("no zip64 end record at 5", b =>
        {
            // A zip64 locator in place of the member's tail, pointing nowhere.
            BinaryPrimitives.WriteUInt32LittleEndian(b.AsSpan(end - 20), 0x07064b50);
            BinaryPrimitives.WriteInt64LittleEndian(b.AsSpan(end - 12), 5);
            b[end + 10] = b[end + 11] = 255;
        });

        // Two members of one name.
        byte[] directory = good[entry..end];
        byte[] twice = [.. good[..end], .. directory, .. good[end..]];
        twice[^14] = twice[^12] = 2;
        BinaryPrimitives.WriteInt32LittleEndian(twice.AsSpan(twice.Length - 10), 2 * directory.Length);
        Assert.Contains("twice", Assert.Throws<CheckpointException>(() => NpzFile.Open(folder.Write("b.npz", twice))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_bomb_is_refused_by_what_deflate_can_do()
    {
        using var folder = new TempFolder();
        byte[] npy = NpzTests.Npy(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (2000000000,), }", []);
        using (ZipArchive zip = ZipFile.Open(folder["a.npz"], ZipArchiveMode.Create))
        {
            using Stream s = zip.CreateEntry("x.npy", CompressionLevel.Optimal).Open();
            s.Write(npy);
            s.Write(new byte[100000]);
        }

        byte[] bytes = File.ReadAllBytes(folder["a.npz"]);
        int entry = bytes.AsSpan().IndexOf<byte>([0x50, 0x4b, 1, 2]);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(entry + 24), npy.Length + 2_000_000_000);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Contains("claims", Assert.Throws<CheckpointException>(() => NpzFile.Open(folder.Write("b.npz", bytes))).Message, StringComparison.Ordinal);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(entry + 24), npy.Length + 50_000);      // less than there is
        using NpzFile npz = NpzFile.Open(folder.Write("b.npz", bytes));
        Assert.Contains("should hold 2000000000 bytes", Assert.Throws<CheckpointException>(() => npz.Read("x")).Message, StringComparison.Ordinal);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
    }

    /// <summary>Writes zeros by moving on.</summary>
    private sealed class HoleStream(FileStream inner) : Stream
    {
        public override bool CanRead => false;

        public override bool CanSeek => true;

        public override bool CanWrite => true;

        public override long Length => inner.Length;

        public override long Position { get => inner.Position; set => inner.Position = value; }

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            if (buffer.Length > 4096 && !buffer.ContainsAnyExcept((byte)0))
            {
                inner.Position += buffer.Length;
            }
            else
            {
                inner.Write(buffer);
            }
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Flush() => inner.Flush();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => inner.Seek(offset, origin);

        public override void SetLength(long value) => inner.SetLength(value);

        protected override void Dispose(bool disposing)
        {
            inner.Dispose();
            base.Dispose(disposing);
        }
    }
}
