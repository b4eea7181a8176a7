using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>Buffered forward reading of pickle bytes with a limit on how many one pickle may take.</summary>
internal sealed class PickleInput(Stream stream, string path)
{
    // The object of a 1000-tensor checkpoint takes about 200 KB; a Python object tree of 16 MiB is not a checkpoint.
    private const long MaxPickleBytes = 16L << 20;

    private readonly byte[] _buffer = new byte[16 << 10];
    private long _limit = MaxPickleBytes;
    private int _at;
    private int _filled;

    public string Path => path;

    /// <summary>Bytes consumed since the stream began.</summary>
    public long Position { get; private set; }

    /// <summary>Starts counting the size limit afresh, for the next of several pickles in one file.</summary>
    public void BeginPickle() => _limit = Position + MaxPickleBytes;

    public byte ReadByte()
    {
        if (_at == _filled)
        {
            _filled = stream.Read(_buffer, 0, _buffer.Length);
            _at = 0;
        }

        if (_filled == 0)
        {
            throw Bad("ends inside its pickled description: truncated; fetch it again");
        }

        if (++Position > _limit)
        {
            throw Bad($"describes its content in more than {MaxPickleBytes >> 20} MiB of pickle; that is no checkpoint");
        }

        return _buffer[_at++];
    }

    /// <summary>Reads a run of bytes whose length came from the file; the length is checked before anything is allocated.</summary>
    public byte[] ReadBytes(long count)
    {
        if (count > stream.Length - Position || count > _limit - Position || count < 0)
        {
            throw Bad($"has a {count}-byte string at byte {Position} of its pickled description, more than is there: truncated or damaged; fetch it again");
        }

        var bytes = new byte[count];
        for (int i = 0; i < bytes.Length; i++)
        {
            bytes[i] = ReadByte();
        }

        return bytes;
    }

    public CheckpointException Bad(string problem) => new(problem, path);
}
