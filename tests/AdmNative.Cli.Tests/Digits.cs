using AdmNative.Core;
using AdmNative.Formats;

namespace AdmNative.Tests;

/// <summary>Short runs of the bundled digits model.</summary>
internal static class Digits
{
    public static string Diffusion => Repo.Path("models", "mnist16", "diffusion.safetensors");

    public static string Classifier => Repo.Path("models", "mnist16", "classifier.safetensors");

    /// <summary>classifier_sample of a few images in a few steps; later arguments override.</summary>
    public static string[] Guided(string output, params string[] more) =>
        ["classifier_sample", "--preset", "mnist16", "--timestep_respacing", "4", "--num_samples", "6", "--batch_size", "3", "--out", output, .. more];

    /// <summary>image_sample of a few images in a few steps; later arguments override.</summary>
    public static string[] Plain(string output, params string[] more) =>
        ["image_sample", "--preset", "mnist16", "--timestep_respacing", "4", "--num_samples", "6", "--batch_size", "3", "--out", output, .. more];

    public static byte[] Images(string path)
    {
        using NpzFile npz = NpzFile.Open(path);
        return npz.Read("arr_0").Bytes.ToArray();
    }

    public static long[] Labels(string path)
    {
        using NpzFile npz = NpzFile.Open(path);
        return npz.Read("arr_1").AsSpan<long>().ToArray();
    }

    public static Shape Shape(string path, string name = "arr_0")
    {
        using NpzFile npz = NpzFile.Open(path);
        return npz.TypeOf(name).Shape;
    }

    /// <summary>An .npz of so many made-up 16x16 images.</summary>
    public static string Numbered(string path, int count)
    {
        using NpzWriter npz = NpzWriter.Create(path);
        npz.Add("arr_0", Tensor.From<byte>([count, 16, 16, 3], [.. Enumerable.Range(0, count * 768).Select(i => (byte)((i / 5 * 31) ^ i))]));
        npz.Commit();
        return path;
    }

    /// <summary>The agreement the recorded runs ask for: equal or off by one in at least 99.9 % of the bytes.</summary>
    public static void SameUpToRounding(byte[] expected, byte[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        int near = expected.Zip(actual).Count(p => Math.Abs(p.First - p.Second) <= 1);
        Assert.True(near >= 0.999 * expected.Length, $"{near} of {expected.Length} bytes are equal or off by one");
    }
}
