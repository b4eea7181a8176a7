using System.Text;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>What a file's first bytes say it is.</summary>
internal enum FileKind
{
    Empty,
    Zip,
    TorchLegacy,
    Pickle,
    Safetensors,
    Npy,
    Png,
    Jpeg,
    Gzip,
    Html,
    Xml,
    LfsPointer,
    Hdf5,
    Tar,
    Unknown,
}

/// <summary>Recognises files, and says what was found where something else was wanted.</summary>
internal static class FileKinds
{
    // A safetensors head is text; the format's own limit.
    internal const long MaxSafetensorsHead = 100_000_000;

    /// <summary>0x1950a86a20f9469cfc6c, the first pickle of torch's older container, little-endian.</summary>
    internal static ReadOnlySpan<byte> LegacyMagic => [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

    public static FileKind Of(FileBytes file)
    {
        ReadOnlySpan<byte> head = file.ReadUpTo(0, 512);
        if (head.Length == 0)
        {
            return FileKind.Empty;
        }

        if (head.StartsWith("PK\u0003\u0004"u8) || head.StartsWith("PK\u0005\u0006"u8))
        {
            return FileKind.Zip;
        }

        if (head[0] == 0x80)
        {
            return head[..Math.Min(head.Length, 32)].IndexOf(LegacyMagic) > 0 ? FileKind.TorchLegacy : FileKind.Pickle;
        }

        if (head.Length > 8 && head[8] == '{' && BitConverter.ToInt64(head) is > 0 and <= MaxSafetensorsHead)
        {
            return FileKind.Safetensors;
        }

        if (head[1..].StartsWith("NUMPY"u8))
        {
            return FileKind.Npy;
        }

        if (head[1..].StartsWith("PNG\r\n"u8))
        {
            return FileKind.Png;
        }

        if (head[1..].StartsWith("HDF\r\n"u8))
        {
            return FileKind.Hdf5;
        }

        if (head.StartsWith<byte>([0xff, 0xd8, 0xff]))
        {
            return FileKind.Jpeg;
        }

        if (head.StartsWith<byte>([0x1f, 0x8b]))
        {
            return FileKind.Gzip;
        }

        if (head.Length > 262 && head[257..].StartsWith("ustar"u8))
        {
            return FileKind.Tar;
        }

        string text = Encoding.Latin1.GetString(head).TrimStart().ToUpperInvariant();
        return text.StartsWith("VERSION HTTPS://GIT-LFS", StringComparison.Ordinal) ? FileKind.LfsPointer
            : text.StartsWith("<!DOCTYPE HTML", StringComparison.Ordinal) || text.StartsWith("<HTML", StringComparison.Ordinal) ? FileKind.Html
            : text.StartsWith("<?XML", StringComparison.Ordinal) ? FileKind.Xml
            : FileKind.Unknown;
    }

    /// <summary>"path: is a PNG image, not a torch file".</summary>
    public static CheckpointException NotA(string wanted, FileKind kind, FileBytes file) =>
        new($"is {Describe(kind, file)}, not a {wanted}", file.Path);

    /// <summary>The same for a zip archive without torch's description of its content.</summary>
    public static CheckpointException NotATorchZip(ZipReader zip, FileBytes file)
    {
        bool npz = zip.Members.Any(m => m.Name.EndsWith(".npy", StringComparison.Ordinal));
        string members = zip.Members.Count == 0 ? "it is empty" : $"it holds {Listing.Of(zip.Members.Select(m => m.Name))}";
        return new CheckpointException($"is {(npz ? "a numpy archive (.npz)" : "a zip archive without a data.pkl")}, not a torch file; {members}", file.Path);
    }

    private static string Describe(FileKind kind, FileBytes file) => kind switch
    {
        FileKind.Empty => "empty (0 bytes)",
        FileKind.Zip => "a zip archive",
        FileKind.TorchLegacy => "a torch file",
        FileKind.Pickle => "a Python pickle (but not one of torch.save)",
        FileKind.Safetensors => "a safetensors file",
        FileKind.Npy => "a numpy array (.npy)",
        FileKind.Png => "a PNG image",
        FileKind.Jpeg => "a JPEG image",
        FileKind.Gzip => "gzip-compressed (decompress it first)",
        FileKind.Html => "an HTML page (a failed download?)",
        FileKind.Xml => "an XML text (a failed download?)",
        FileKind.LfsPointer => "a git-lfs pointer (run 'git lfs pull' to fetch the real file)",
        FileKind.Hdf5 => "an HDF5 file",
        FileKind.Tar => "a tar archive (unpack it first)",
        _ => $"of an unknown kind (first bytes {Convert.ToHexStringLower(file.ReadUpTo(0, 16))})",
    };
}
