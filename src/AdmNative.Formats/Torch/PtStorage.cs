using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>
/// A run of elements in a torch file that tensors are views of. A legacy file names its storages before it says where
/// they are, so the position arrives later.
/// </summary>
internal sealed class PtStorage(FileBytes file, string key, DType dtype, long elements)
{
    private long _position = -1;

    public FileBytes File => file;

    public string Key => key;

    public DType DType => dtype;

    public long Elements => elements;

    public string Name => $"storage '{key}'";

    /// <summary>The archive's checksum of all bytes, if it records one.</summary>
    public uint? Crc { get; private set; }

    public bool IsPlaced => _position >= 0;

    /// <summary>Says where the elements begin. The caller has checked that the file holds them all.</summary>
    public void Place(long position, uint? crc = null)
    {
        _position = position;
        Crc = crc;
    }

    public long ByteOffset(long element) => _position + (element * dtype.SizeBytes());

    public void Check(uint crc)
    {
        if (Crc != crc)
        {
            throw new CheckpointException($"{Name} has checksum {crc:x8}, recorded is {Crc:x8}: the file is damaged; fetch it again", file.Path);
        }
    }
}
