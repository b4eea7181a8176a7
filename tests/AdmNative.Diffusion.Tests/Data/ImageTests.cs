using AdmNative.Diffusion;

namespace AdmNative.Tests;

public class ImageTests
{
    private static readonly byte[] s_row = [10, 50, 200, 30, 90, 160, 20, 240];

    // Check values of the specification, appendix C.5.
    [Theory]
    [InlineData(ResampleFilter.Box, new byte[] { 30, 115, 125, 130 })]
    [InlineData(ResampleFilter.Bicubic, new byte[] { 23, 137, 68, 109, 150 })]
    [InlineData(ResampleFilter.Bicubic, new byte[] { 7, 20, 72, 192, 121, 27, 77, 138, 145, 25, 128, 254 })]
    [InlineData(ResampleFilter.Bicubic, new byte[] { 72, 98, 128 })]
    public void A_row_resizes_to_the_published_values(ResampleFilter filter, byte[] expected)
    {
        Assert.Equal(expected, PixelResampling.Resize(s_row, 1, 8, 1, 1, expected.Length, filter));
        Assert.Equal(expected, PixelResampling.Resize(s_row, 8, 1, 1, expected.Length, 1, filter)); // the vertical pass is the same pass
    }

    [Fact]
    public void Channels_do_not_mix()
    {
        byte[] rgb = [.. s_row.SelectMany(v => new byte[] { v, 0, (byte)(255 - v) })];
        byte[] result = PixelResampling.Resize(rgb, 1, 8, 3, 1, 5, ResampleFilter.Bicubic);
        Assert.Equal([23, 137, 68, 109, 150], result.Where((_, i) => i % 3 == 0));
        Assert.All(result.Where((_, i) => i % 3 == 1), v => Assert.Equal(0, v));
    }

    [Fact]
    public void The_same_size_is_a_copy() =>
        Assert.Equal(s_row, PixelResampling.Resize(s_row, 2, 4, 1, 2, 4, ResampleFilter.Bicubic));

    [Fact]
    public void An_image_of_another_size_than_said_is_refused() =>
        Assert.Throws<ArgumentException>(() => PixelResampling.Resize(s_row, 3, 3, 1, 2, 2, ResampleFilter.Box));

    [Theory]
    [InlineData(93, 125, 64, 64, 86)]
    [InlineData(375, 500, 256, 256, 341)]
    [InlineData(240, 320, 128, 128, 171)]
    [InlineData(65, 65, 64, 64, 64)]
    public void The_smaller_side_fits(int height, int width, int size, int newHeight, int newWidth) =>
        Assert.Equal((newHeight, newWidth), CenterCrop.FitSmallerSide(height, width, size));

    [Theory]
    [InlineData(375, 500, 64)]
    [InlineData(240, 320, 128)]
    [InlineData(131, 130, 64)]
    [InlineData(5, 9, 16)]
    public void A_crop_of_a_flat_picture_is_flat(int height, int width, int size)
    {
        byte[] flat = Enumerable.Repeat((byte)77, height * width * 3).ToArray();
        byte[] crop = CenterCrop.Apply(flat, height, width, 3, size);
        Assert.Equal(size * size * 3, crop.Length);
        Assert.All(crop, v => Assert.Equal(77, v));
    }

    [Fact]
    public void A_crop_takes_the_middle_columns()
    {
        // 4 x 10, no resize: offset (10 - 4) / 2 = 3.
        byte[] ramp = [.. Enumerable.Range(0, 40).Select(i => (byte)(i % 10))];
        Assert.Equal([3, 4, 5, 6], CenterCrop.Apply(ramp, 4, 10, 1, 4)[..4]);
    }

    [Fact]
    public void A_folder_is_walked_in_order_and_labelled_by_file_name()
    {
        string root = Directory.CreateTempSubdirectory("adm-images").FullName;
        try
        {
            Directory.CreateDirectory(Path.Combine(root, "b"));
            foreach (string name in new[] { "dog_1.png", Path.Combine("b", "cat_2.JPG"), "notes.txt", "zebra.jpeg" })
            {
                File.WriteAllText(Path.Combine(root, name), "");
            }

            ImageFolder folder = ImageFolder.Open(root);
            Assert.Equal(["cat_2.JPG", "dog_1.png", "zebra.jpeg"], folder.Files.Select(f => Path.GetFileName(f)));
            Assert.Equal(["cat", "dog", "zebra.jpeg"], folder.ClassNames);
            Assert.Equal([0, 1, 2], folder.Labels);
        }
        finally
        {
            Directory.Delete(root, true);
        }
    }
}
