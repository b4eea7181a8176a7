namespace AdmNative.Formats;

/// <summary>
/// A file that appears whole or not at all: written under a temporary name in the same folder and renamed by
/// <see cref="Commit"/>. Disposed without a commit, it deletes the temporary file and leaves an earlier file as it was.
/// </summary>
public sealed class AtomicFile : IDisposable
{
    private readonly string _temporary;
    private readonly OutputStream _stream;
    private bool _done;

    private AtomicFile(string path, string temporary, OutputStream stream)
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
        return new AtomicFile(full, temporary, new OutputStream(temporary));
    }

    /// <summary>Writes the data through to the disk and gives the file its name, replacing an earlier one.</summary>
    public void Commit()
    {
        ObjectDisposedException.ThrowIf(_done, this);
        _stream.Sync();
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

    /// <summary>
    /// The file, with one correction: a write beyond the largest size that the file system or a limit allows is an I/O error,
    /// which the runtime calls a wrong argument.
    /// </summary>
    private sealed class OutputStream(string path) : Stream
    {
        private readonly FileStream _file = new(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 16);

        public override bool CanRead => _file.CanRead;

        public override bool CanSeek => _file.CanSeek;

        public override bool CanWrite => _file.CanWrite;

        public override long Length => _file.Length;

        public override long Position { get => _file.Position; set => Do(() => _file.Position = value); }

        public override int Read(Span<byte> buffer) => _file.Read(buffer);

        public override int Read(byte[] buffer, int offset, int count) => _file.Read(buffer, offset, count);

        public override long Seek(long offset, SeekOrigin origin)
        {
            Do(() => _file.Seek(offset, origin));
            return _file.Position;
        }

        public override void SetLength(long value) => Do(() => _file.SetLength(value));

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            try
            {
                _file.Write(buffer);
            }
            catch (ArgumentOutOfRangeException e)
            {
                throw TooLarge(e);
            }
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Flush() => Do(_file.Flush);

        /// <summary>Down to the disk.</summary>
        public void Sync() => Do(() => _file.Flush(flushToDisk: true));

        protected override void Dispose(bool disposing)
        {
            Do(_file.Dispose);
            base.Dispose(disposing);
        }

        private void Do(Action action)
        {
            try
            {
                action();
            }
            catch (ArgumentOutOfRangeException e)
            {
                throw TooLarge(e);
            }
        }

        private IOException TooLarge(Exception e) => new($"File too large for the file system, or for a limit on file sizes : '{_file.Name}'", e);
    }
}
