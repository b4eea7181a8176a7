namespace AdmNative.Formats;

/// <summary>
/// A file that appears whole or not at all: written under a temporary name in the same folder and renamed by
/// <see cref="Commit"/>. Disposed without a commit, it deletes the temporary file and leaves an earlier file as it was.
/// </summary>
public sealed class AtomicFile : IDisposable
{
    private readonly string _temporary;
    private readonly FileStream _stream;
    private bool _done;

    private AtomicFile(string path, string temporary, FileStream stream)
    {
        Path = path;
        _temporary = temporary;
        _stream = stream;
    }

    /// <summary>The name the file gets when committed.</summary>
    public string Path { get; }

    /// <summary>Where to write; seekable. Valid until commit or disposal.</summary>
    public Stream Stream => _stream;

    /// <summary>Starts a file. The folder must exist.</summary>
    public static AtomicFile Create(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string full = System.IO.Path.GetFullPath(path);
        string folder = System.IO.Path.GetDirectoryName(full) ?? throw new ArgumentException($"{path} is not a file name", nameof(path));
        string temporary = System.IO.Path.Combine(
            folder, $".{System.IO.Path.GetFileName(full)}.{Environment.ProcessId:x}{Random.Shared.Next():x8}.tmp");
        return new AtomicFile(full, temporary, new FileStream(temporary, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 16));
    }

    /// <summary>Writes the data through to the disk and gives the file its name, replacing an earlier one.</summary>
    public void Commit()
    {
        ObjectDisposedException.ThrowIf(_done, this);
        _stream.Flush(flushToDisk: true);
        _stream.Dispose();
        File.Move(_temporary, Path, overwrite: true);
        _done = true;
    }

    /// <summary>Abandons the file unless it was committed.</summary>
    public void Dispose()
    {
        if (_done)
        {
            return;
        }

        _done = true;
        try
        {
            _stream.Dispose();
        }
        finally
        {
            File.Delete(_temporary);
        }
    }
}
