using AdmNative.Core;
using AdmNative.Tests;

namespace AdmNative.Formats.Tests;

[Trait("Needs", "Jpeg")]
public class JpegTests
{
    private static string Folder => Repo.Path("tests", "data", "jpeg");

    [JpegFact]
    public void Pictures_equal_what_pillow_decodes()
    {
        // Exactly: the accurate integer transform and smooth upsampling are specified to the bit.
        using NpzFile expected = NpzFile.Open(Path.Combine(Folder, "expected.npz"));
        Assert.Equal(13, expected.Names.Count);
        foreach (string name in expected.Names)
        {
            Tensor want = expected.Read(name);
            ImageBytes image = Jpeg.Read(Path.Combine(Folder, name + ".jpg"));
            Shape shape = name == "grey" ? [image.Height, image.Width] : [image.Height, image.Width, image.Channels];
            Assert.Equal(want.Shape, shape);
            Assert.True(want.Bytes.SequenceEqual(image.Pixels), $"{name}: pixels differ");
        }
    }

    [JpegFact]
    public void Damaged_files_are_refused_and_never_crash()
    {
        byte[] good = File.ReadAllBytes(Path.Combine(Folder, "progressive.jpg"));
        Assert.Contains("not a JPEG", Assert.Throws<CheckpointException>(() => Jpeg.Decode("hello"u8, "x.jpg")).Message, StringComparison.Ordinal);
        CheckpointException e = Assert.Throws<CheckpointException>(() => Jpeg.Decode(good.AsSpan(0, good.Length / 2), "x.jpg"));
        Assert.Contains("x.jpg: is a JPEG file that ends early", e.Message, StringComparison.Ordinal);
        byte[] cut = [.. good[..^60], 0xff, 0xd9];
        e = Assert.Throws<CheckpointException>(() => Jpeg.Decode(cut, "x.jpg"));
        Assert.Contains("x.jpg: is a damaged JPEG file (Corrupt JPEG data", e.Message, StringComparison.Ordinal);
        for (int length = 0; length < good.Length; length++)
        {
            Assert.Throws<CheckpointException>(() => Jpeg.Decode(good.AsSpan(0, length), "x.jpg"));
        }
    }

    [JpegFact]
    public void Stray_bytes_between_segments_are_tolerated()
    {
        // Some photo collections have them; every pixel is still right.
        byte[] good = File.ReadAllBytes(Path.Combine(Folder, "cat_07.jpg"));
        int at = good.AsSpan().IndexOf<byte>([0xff, 0xdb]);
        byte[] stray = [.. good[..at], 0, 1, 2, .. good[at..]];
        Assert.Equal(Jpeg.Decode(good, "good").Pixels, Jpeg.Decode(stray, "stray").Pixels);
    }

    [JpegFact]
    public void An_absurd_size_is_refused_before_it_is_allocated()
    {
        byte[] bytes = File.ReadAllBytes(Path.Combine(Folder, "cat_07.jpg"));
        int frame = bytes.AsSpan().IndexOf<byte>([0xff, 0xc0]);
        bytes.AsSpan(frame + 5, 4).Fill(0xfe);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Contains("65278x65278", Assert.Throws<CheckpointException>(() => Jpeg.Decode(bytes, "x.jpg")).Message, StringComparison.Ordinal);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
    }

    [JpegFact]
    public void Random_changes_never_crash()
    {
        byte[][] files = [.. ((string[])["cat_07", "progressive", "grey", "cmyk"]).Select(n => File.ReadAllBytes(Path.Combine(Folder, n + ".jpg")))];
        Fuzz.Mutate(files, 1000, bytes => Jpeg.Decode(bytes, "x.jpg"), mostAllocated: 4L * 0xffff * 64);
    }

    [Fact]
    public void A_missing_library_is_explained()
    {
        if (Jpeg.UnavailableReason is { } reason)
        {
            Assert.Equal(reason, Assert.Throws<NotSupportedException>(() => Jpeg.Decode([0xff, 0xd8], "x.jpg")).Message);
            Assert.Contains("libjpeg-turbo", reason, StringComparison.Ordinal);
        }
        else
        {
            Assert.Throws<CheckpointException>(() => Jpeg.Decode([0xff, 0xd8], "x.jpg"));
        }
    }
}
