using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>Whole picture files in memory.</summary>
internal static class ImageFile
{
    private const long MaxBytes = 1L << 30;

    public static byte[] ReadAll(string path)
    {
        using FileBytes file = FileBytes.Open(path);
        return file.Length <= MaxBytes
            ? file.ReadUpTo(0, (int)file.Length)
            : throw new CheckpointException($"has {file.Length} bytes; pictures of at most 1 GiB are read", path);
    }

    /// <summary>Refuses sizes no picture here has, before anything of that size is allocated.</summary>
    public static void CheckSize(long width, long height, string name)
    {
        if (width <= 0 || height <= 0 || width > ImageBytes.MaxPixels || height > ImageBytes.MaxPixels / width)
        {
            throw new CheckpointException($"claims to be a picture of {width}x{height}; at most {ImageBytes.MaxPixels} pixels are read", name);
        }
    }
}
