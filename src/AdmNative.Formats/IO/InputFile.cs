using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>What every file that is read must be, whatever its format.</summary>
public static class InputFile
{
    /// <summary>
    /// Refuses what cannot be read as a file: a folder, an empty file, a named pipe, a device. Opens nothing, so it never waits
    /// for somebody to write to a pipe. A path that is not there passes; opening it says so.
    /// </summary>
    /// <exception cref="CheckpointException">It is one of these.</exception>
    public static void Check(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (Directory.Exists(path))
        {
            throw new CheckpointException("is a folder; give the file inside it", path);
        }

        // Of pipes and devices the system says that they have no bytes.
        var file = new FileInfo(File.Exists(path) ? File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path : path);
        if (file.Exists && file.Length == 0)
        {
            throw new CheckpointException("is empty (0 bytes), or a pipe or device, which cannot be read at positions; give a file with content", path);
        }
    }
}
