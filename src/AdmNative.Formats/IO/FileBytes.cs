using AdmNative.Core;
using Microsoft.Win32.SafeHandles;

namespace AdmNative.Formats;

/// <summary>
/// A file read at positions, from any thread. Positional reads rather than a memory mapping: a file that is truncated
/// while mapped ends the process with a signal, here it is an exception.
/// </summary>
internal sealed class FileBytes : IDisposable
{
    private readonly SafeFileHandle _handle;

    private FileBytes(string path, SafeFileHandle handle, long length)
    {
        Path = path;
        _handle = handle;
        Length = length;
    }

    public string Path { get; }

    public long Length { get; }

    public static FileBytes Open(string path)
    {
        InputFile.Check(path);
        SafeFileHandle handle;
        try
        {
            handle = File.OpenHandle(path, options: FileOptions.RandomAccess);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new CheckpointException("may not be read by this user", path, e);
        }

        try
        {
            return new FileBytes(path, handle, RandomAccess.GetLength(handle));
        }
        catch (NotSupportedException e)
        {
            handle.Dispose();
            throw new CheckpointException("cannot be read at positions (a pipe or device); copy it to a file first", path, e);
        }
    }

    /// <summary>Opens a file and makes its reader, which owns it from then on; closes it if that fails.</summary>
    public static T Open<T>(string path, Func<FileBytes, T> reader)
    {
        FileBytes file = Open(path);
        try
        {
            return reader(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Fills the span from a position.</summary>
    /// <exception cref="CheckpointException">The file ends before the span is full; names what was being read.</exception>
    public void Read(long offset, Span<byte> destination, string what)
    {
        if (offset < 0 || offset > Length || destination.Length > Length - offset)
        {
            throw new CheckpointException(
                $"{what} needs bytes {offset} to {(ulong)offset + (ulong)destination.Length}, the file has {Length}: truncated or damaged; fetch it again",
                Path);
        }

        while (destination.Length > 0)
        {
            int got = RandomAccess.Read(_handle, destination, offset);
            if (got == 0)
            {
                throw new CheckpointException($"{what}: the file shrank while it was read", Path);
            }

            destination = destination[got..];
            offset += got;
        }
    }

    /// <summary>Up to <paramref name="count"/> bytes from a position; fewer only at the end of the file.</summary>
    public byte[] ReadUpTo(long offset, int count)
    {
        var bytes = new byte[(int)Math.Clamp(Length - offset, 0, count)];
        Read(offset, bytes, "the file");
        return bytes;
    }

    /// <summary>A stream over a part of the file; any number may be open at once.</summary>
    public Stream Slice(long offset, long length, string what)
    {
        if (offset < 0 || length < 0 || offset > Length || length > Length - offset)
        {
            throw new CheckpointException(
                $"{what} is said to be {length} bytes at {offset}, the file has {Length}: truncated or damaged; fetch it again", Path);
        }

        return new FileSlice(this, offset, length, what);
    }

    public void Dispose() => _handle.Dispose();

    private sealed class FileSlice(FileBytes file, long start, long length, string what) : ReadOnlyStream
    {
        private long _position;

        public override long Length => length;

        public override long Position { get => _position; set => throw new NotSupportedException(); }

        public override int Read(Span<byte> buffer)
        {
            int n = (int)Math.Min(buffer.Length, length - _position);
            file.Read(start + _position, buffer[..n], what);
            _position += n;
            return n;
        }
    }
}
