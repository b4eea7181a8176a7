using System.Buffers.Binary;
using AdmNative.Core;
using AdmNative.Tests;

namespace AdmNative.Formats.Tests;

public class PngTests
{
    public static TheoryData<string> Names
    {
        get
        {
            using NpzFile expected = NpzFile.Open(Repo.Path("tests", "data", "png", "expected.npz"));
            return [.. expected.Names];
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_kind_of_png_is_read(string name)
    {
        using NpzFile expected = NpzFile.Open(Repo.Path("tests", "data", "png", "expected.npz"));
        Tensor want = expected.Read(name);
        ImageBytes image = Png.Read(Repo.Path("tests", "data", "png", name + ".png"));
        Assert.Equal(want.Shape, [image.Height, image.Width, image.Channels]);
        Assert.Equal(want.Bytes.ToArray(), image.Pixels);
    }

    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(1, 1, 3)]
    [InlineData(64, 64, 3)]
    [InlineData(37, 5, 4)]
    [InlineData(3, 129, 1)]
    [InlineData(300, 200, 3)]
    public void Pictures_survive(int width, int height, int channels)
    {
        var noise = new byte[width * height * channels];
        new Random(width).NextBytes(noise);
        byte[] smooth = [.. Enumerable.Range(0, noise.Length).Select(i => unchecked((byte)((i / channels % width) + (3 * (i / channels / width)) + (i % channels))))];
        foreach (byte[] pixels in (byte[][])[noise, smooth])
        {
            byte[] file = Png.Encode(new ImageBytes(width, height, channels, pixels));
            Assert.Equal(file, Png.Encode(new ImageBytes(width, height, channels, pixels)));
            ImageBytes back = Png.Decode(file, "x");
            Assert.Equal((width, height, channels), (back.Width, back.Height, back.Channels));
            Assert.Equal(pixels, back.Pixels);
        }

        if (width * height > 2000)
        {
            // Filters must earn their keep: a smooth picture shrinks to a small part.
            Assert.InRange(Png.Encode(new ImageBytes(width, height, channels, smooth)).Length, 1, smooth.Length / 20);
        }
    }

    [Fact]
    public void A_file_is_written_whole()
    {
        using var folder = new TempFolder();
        var image = new ImageBytes(2, 1, 3, [1, 2, 3, 4, 5, 6]);
        Png.Write(folder["a.png"], image);
        Assert.Equal(["a.png"], folder.Names);
        Assert.Equal(image.Pixels, Png.Read(folder["a.png"]).Pixels);
        Assert.Throws<FileNotFoundException>(() => Png.Read(folder["b.png"]));
    }

    [Fact]
    public void Grey_and_alpha_become_rgb()
    {
        Assert.Equal([7, 7, 7, 9, 9, 9], new ImageBytes(2, 1, 1, [7, 9]).ToRgb().Pixels);
        Assert.Equal([1, 2, 3, 5, 6, 7], new ImageBytes(2, 1, 4, [1, 2, 3, 4, 5, 6, 7, 8]).ToRgb().Pixels);
        var rgb = new ImageBytes(1, 1, 3, [1, 2, 3]);
        Assert.Same(rgb, rgb.ToRgb());
        Assert.Throws<ShapeException>(() => new ImageBytes(1, 1, 2, [1, 2]));
        Assert.Throws<ShapeException>(() => new ImageBytes(1, 1, 3, [1, 2]));
        Assert.Throws<ShapeException>(() => new ImageBytes(0, 1, 3, []));
    }

    [Fact]
    public void Damage_is_named()
    {
        byte[] file = Png.Encode(new ImageBytes(8, 8, 3, new byte[192]));
        void Refused(string reason, Func<byte[], byte[]> change)
        {
            CheckpointException e = Assert.Throws<CheckpointException>(() => Png.Decode(change([.. file]), "x.png"));
            Assert.Contains(reason, e.Message, StringComparison.Ordinal);
            Assert.StartsWith("x.png: ", e.Message, StringComparison.Ordinal);
        }

        Refused("not a PNG", f => []);
        Refused("not a PNG", f => f[1..]);
        Refused("without its closing chunk", f => f[..^12]);
        Refused("truncated", f => f[..40]);
        Refused("wrong checksum in the chunk at byte 8", f => Set(f, 17, 9));
        Refused("claims to be a picture of 2147483647x8", f => Header(f, 0x7fffffff, 8, 8, 2));
        Refused("claims to be a picture of 0x8", f => Header(f, 0, 8, 8, 2));
        Refused("claims to be a picture of 65535x65535", f => Header(f, 65535, 65535, 8, 2));
        Refused("cannot hold", f => Header(f, 11000, 11000, 8, 2));
        Refused("ends in row", f => Header(f, 8, 100, 8, 2));
        Refused("colour type 5", f => Header(f, 8, 8, 8, 5));
        Refused("of 4 bits", f => Header(f, 8, 8, 4, 2));
        Refused("palette of 0 bytes", f => Header(f, 8, 8, 8, 3));
        Refused("two", f => [.. f[..33], .. f[8..]]);
        Refused("needs a chunk 'ABCD'", f => [.. f[..33], .. Chunk("ABCD"u8, [1]), .. f[33..]]);
        Refused("transparency", f => [.. f[..33], .. Chunk("tRNS"u8, [1]), .. f[33..]]);
        Refused("does not decompress", f => [.. f[..33], .. Chunk("IDAT"u8, [1, 2, 3]), .. f[33..]]);
        Refused("row filter", f => [.. f[..33], .. Chunk("IDAT"u8, Zlib([9, .. new byte[199]])), .. Chunk("IEND"u8, [])]);
        byte[] withUnknown = [.. file[..33], .. Chunk("abCD"u8, [1]), .. file[33..]];
        Assert.Equal(192, Png.Decode(withUnknown, "an unknown chunk that may be passed over").Pixels.Length);
    }

    [Fact]
    public void A_palette_index_past_the_palette_is_refused()
    {
        byte[] file = [.. Png.Encode(new ImageBytes(1, 1, 1, [3]))];
        file = Header(file, 1, 1, 8, 3);
        file = [.. file[..33], .. Chunk("PLTE"u8, new byte[9]), .. file[33..]];
        Assert.Contains("palette entry 3 of 3", Assert.Throws<CheckpointException>(() => Png.Decode(file, "x")).Message, StringComparison.Ordinal);
    }

    internal static byte[] Chunk(ReadOnlySpan<byte> type, byte[] content)
    {
        byte[] chunk = [.. BitConverter.GetBytes(BinaryPrimitives.ReverseEndianness(content.Length)), .. type, .. content, 0, 0, 0, 0];
        FixChecksum(chunk, 0);
        return chunk;
    }

    /// <summary>Recomputes the checksum of the chunk at a position.</summary>
    internal static void FixChecksum(byte[] file, int at)
    {
        int length = BinaryPrimitives.ReadInt32BigEndian(file.AsSpan(at));
        BinaryPrimitives.WriteUInt32BigEndian(file.AsSpan(at + 8 + length), Crc32.Append(0, file.AsSpan(at + 4, 4 + length)));
    }

    private static byte[] Set(byte[] file, int at, byte value)
    {
        file[at] = value;
        return file;
    }

    private static byte[] Header(byte[] file, int width, int height, byte depth, byte colour)
    {
        BinaryPrimitives.WriteInt32BigEndian(file.AsSpan(16), width);
        BinaryPrimitives.WriteInt32BigEndian(file.AsSpan(20), height);
        file[24] = depth;
        file[25] = colour;
        FixChecksum(file, 8);
        return file;
    }

    private static byte[] Zlib(byte[] content)
    {
        using var output = new MemoryStream();
        using (var zlib = new System.IO.Compression.ZLibStream(output, System.IO.Compression.CompressionLevel.Fastest))
        {
            zlib.Write(content);
        }

        return output.ToArray();
    }
}
