using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>Single numpy arrays (.npy).</summary>
public static class NpyFile
{
    /// <summary>Opens an array for reading in rows.</summary>
    /// <exception cref="CheckpointException">Not a .npy file, damaged, or of an element type that is not read.</exception>
    public static NpyReader OpenRows(string path) => FileBytes.Open(
        path, file => new NpyReader(file.Slice(0, file.Length, "the array"), path, "the array", file));

    /// <summary>Reads a whole array.</summary>
    /// <exception cref="CheckpointException">Not a .npy file, damaged, over 2 GiB, or of an element type that is not read.</exception>
    public static Tensor Read(string path)
    {
        using NpyReader reader = OpenRows(path);
        return reader.ReadAll();
    }

    /// <summary>Writes an array; the file appears whole or not at all.</summary>
    public static void Write(string path, Tensor tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        using var file = AtomicFile.Create(path);
        file.Stream.Write(NpyHeader.Build(tensor.DType, tensor.Shape));
        file.Stream.Write(tensor.Bytes);
        file.Commit();
    }
}
