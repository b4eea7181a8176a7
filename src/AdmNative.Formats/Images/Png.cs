using System.Buffers.Binary;
using System.IO.Compression;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>
/// PNG pictures. Reads every colour type, bit depth and interlacing of the standard, reduced to 8 bits (of 16 the upper
/// 8); palettes are resolved, transparency becomes an alpha channel, grey with alpha becomes RGBA. Checksums are checked.
/// Gamma and colour profiles are not applied. Writes 8-bit grey, RGB and RGBA.
/// </summary>
public static class Png
{
    private static ReadOnlySpan<byte> Signature => [0x89, (byte)'P', (byte)'N', (byte)'G', 13, 10, 26, 10];

    /// <summary>Reads a picture from a file.</summary>
    /// <exception cref="CheckpointException">Not a PNG file, or damaged.</exception>
    public static ImageBytes Read(string path) => Decode(ImageFile.ReadAll(path), path);

    /// <summary>Decodes a picture; <paramref name="name"/> is for messages.</summary>
    /// <exception cref="CheckpointException">Not a PNG file, or damaged.</exception>
    public static ImageBytes Decode(ReadOnlyMemory<byte> file, string name) => new PngDecoder(file, name).Decode();

    /// <summary>Writes a picture; the file appears whole or not at all.</summary>
    public static void Write(string path, ImageBytes image)
    {
        byte[] bytes = Encode(image);
        using var file = AtomicFile.Create(path);
        file.Stream.Write(bytes);
        file.Commit();
    }

    /// <summary>Encodes a picture. Equal pictures give equal bytes with one version of the runtime's zlib.</summary>
    public static byte[] Encode(ImageBytes image)
    {
        ArgumentNullException.ThrowIfNull(image);
        using var output = new MemoryStream();
        output.Write(Signature);
        Span<byte> header = stackalloc byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, image.Width);
        BinaryPrimitives.WriteInt32BigEndian(header[4..], image.Height);
        header[8] = 8;
        header[9] = (byte)(image.Channels switch { 1 => 0, 3 => 2, _ => 6 });
        WriteChunk(output, "IHDR"u8, header);
        using var data = new MemoryStream();
        using (var zlib = new ZLibStream(data, CompressionLevel.Optimal, leaveOpen: true))
        {
            WriteRows(zlib, image);
        }

        WriteChunk(output, "IDAT"u8, data.GetBuffer().AsSpan(0, (int)data.Length));
        WriteChunk(output, "IEND"u8, []);
        return output.ToArray();
    }

    private static void WriteChunk(MemoryStream output, ReadOnlySpan<byte> type, ReadOnlySpan<byte> content)
    {
        Span<byte> word = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(word, content.Length);
        output.Write(word);
        output.Write(type);
        output.Write(content);
        BinaryPrimitives.WriteUInt32BigEndian(word, Crc32.Append(Crc32.Append(0, type), content));
        output.Write(word);
    }

    /// <summary>Each row by the filter whose output, read as signed bytes, has the smallest sum of magnitudes (the standard's advice).</summary>
    private static void WriteRows(ZLibStream zlib, ImageBytes image)
    {
        int rowBytes = image.Width * image.Channels;
        var zeros = new byte[rowBytes];
        var candidate = new byte[rowBytes + 1];
        var best = new byte[rowBytes + 1];
        ReadOnlySpan<byte> above = zeros;
        for (int y = 0; y < image.Height; y++)
        {
            ReadOnlySpan<byte> row = image.Pixels.AsSpan(y * rowBytes, rowBytes);
            long least = long.MaxValue;
            for (byte filter = 0; filter < 5; filter++)
            {
                candidate[0] = filter;
                long sum = 0;
                for (int i = 0; i < rowBytes; i++)
                {
                    int left = i >= image.Channels ? row[i - image.Channels] : 0;
                    int corner = i >= image.Channels ? above[i - image.Channels] : 0;
                    byte value = unchecked((byte)(row[i] - Predict(filter, left, above[i], corner)));
                    candidate[i + 1] = value;
                    sum += Math.Abs((int)unchecked((sbyte)value));
                }

                if (sum < least)
                {
                    least = sum;
                    (best, candidate) = (candidate, best);
                }
            }

            zlib.Write(best);
            above = row;
        }
    }

    /// <summary>What a filter (0 none, 1 left, 2 above, 3 their mean, 4 Paeth) expects a byte to be.</summary>
    internal static int Predict(int filter, int left, int above, int corner)
    {
        switch (filter)
        {
            case 1: return left;
            case 2: return above;
            case 3: return (left + above) >> 1;
            case 4:
                int toLeft = Math.Abs(above - corner);
                int toAbove = Math.Abs(left - corner);
                int toCorner = Math.Abs(left + above - (2 * corner));
                return toLeft <= toAbove && toLeft <= toCorner ? left : toAbove <= toCorner ? above : corner;
            default: return 0;
        }
    }

    internal static bool HasSignature(ReadOnlySpan<byte> file) => file.StartsWith(Signature);
}
