using System.Buffers.Binary;
using System.Runtime.InteropServices;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>
/// JPEG pictures, decoded by the system's libjpeg-turbo (accurate integer transform, smooth chroma upsampling: what
/// libjpeg does by default). Grey pictures have 1 channel, all others 3; four-colour print pictures are taken as
/// inverted, as Adobe writes them. Orientation tags and colour profiles are not applied. Any thread.
/// </summary>
public static unsafe class Jpeg
{
    /// <summary>Null if JPEG pictures can be decoded here; else the reason and the package to install.</summary>
    public static string? UnavailableReason => TurboJpeg.UnavailableReason;

    /// <summary>Reads a picture from a file.</summary>
    /// <exception cref="CheckpointException">Not a JPEG file, or damaged.</exception>
    /// <exception cref="NotSupportedException">libjpeg-turbo is not installed; the message names the package.</exception>
    public static ImageBytes Read(string path) => Decode(ImageFile.ReadAll(path), path);

    /// <summary>Decodes a picture; <paramref name="name"/> is for messages.</summary>
    /// <exception cref="CheckpointException">Not a JPEG file, or damaged.</exception>
    /// <exception cref="NotSupportedException">libjpeg-turbo is not installed; the message names the package.</exception>
    public static ImageBytes Decode(ReadOnlySpan<byte> file, string name)
    {
        if (UnavailableReason is { } reason)
        {
            throw new NotSupportedException(reason);
        }

        if (!file.StartsWith<byte>([0xff, 0xd8]))
        {
            throw new CheckpointException("is not a JPEG file", name);
        }

        nint handle = TurboJpeg.tjInitDecompress();
        if (handle == 0)
        {
            throw new InvalidOperationException($"libjpeg-turbo does not start: {Message(0)}");
        }

        try
        {
            return Decode(handle, file, name);
        }
        finally
        {
            _ = TurboJpeg.tjDestroy(handle);
        }
    }

    private static ImageBytes Decode(nint handle, ReadOnlySpan<byte> file, string name)
    {
        fixed (byte* jpeg = file)
        {
            var length = new CULong((nuint)file.Length);
            int width, height, subsampling, colorspace;
            Check(TurboJpeg.tjDecompressHeader3(handle, jpeg, length, &width, &height, &subsampling, &colorspace), handle, name);
            if (!IsComplete(file))
            {
                throw new CheckpointException("is a JPEG file that ends early: truncated; fetch it again or leave it out", name);
            }

            ImageFile.CheckSize(width, height, name);
            (int format, int channels) = colorspace switch
            {
                TurboJpeg.ColorGray => (TurboJpeg.PixelGray, 1),
                TurboJpeg.ColorCmyk or TurboJpeg.ColorYcck => (TurboJpeg.PixelCmyk, 4),
                _ => (TurboJpeg.PixelRgb, 3),
            };
            var pixels = new byte[width * height * channels];
            fixed (byte* p = pixels)
            {
                const int Flags = TurboJpeg.AccurateDct | TurboJpeg.LimitScans;
                Check(TurboJpeg.tjDecompress2(handle, jpeg, length, p, width, width * channels, height, format, Flags), handle, name);
            }

            return channels == 4 ? FromInvertedCmyk(width, height, pixels) : new ImageBytes(width, height, channels, pixels);
        }
    }

    /// <summary>
    /// Errors end the decoding. Of the warnings, those that mean missing or wrong pixels do too; oddities that leave
    /// every pixel right (stray bytes between segments, unusual scan parameters) are common in photo collections.
    /// </summary>
    private static void Check(int status, nint handle, string name)
    {
        if (status == 0)
        {
            return;
        }

        string message = Message(handle);
        bool Says(string words) => message.Contains(words, StringComparison.OrdinalIgnoreCase);
        bool pixelsAreRight = !Says("Premature end") && (!Says("Corrupt JPEG data") || Says("extraneous bytes"));
        if (TurboJpeg.tjGetErrorCode(handle) != TurboJpeg.ErrorWarning || !pixelsAreRight)
        {
            throw new CheckpointException($"is a damaged JPEG file ({message}); fetch it again or leave it out", name);
        }
    }

    /// <summary>
    /// True if the end marker follows the picture's data. libjpeg-turbo reports some truncated files as whole: those of
    /// several scans cut between them.
    /// </summary>
    private static bool IsComplete(ReadOnlySpan<byte> file)
    {
        for (int at = 2; at + 1 < file.Length;)
        {
            int step = file[at..].IndexOf((byte)0xff);
            if (step < 0 || at + step + 1 >= file.Length)
            {
                return false;
            }

            at += step;
            switch (file[at + 1])
            {
                case 0xd9: return true;
                case 0xff: at++; break;                                         // padding
                case 0 or 1 or (>= 0xd0 and <= 0xd8): at += 2; break;           // no content: data, restart, start
                default:
                    if (at + 3 >= file.Length)
                    {
                        return false;
                    }

                    at += 2 + BinaryPrimitives.ReadUInt16BigEndian(file[(at + 2)..]);
                    break;
            }
        }

        return false;
    }

    private static string Message(nint handle) => Marshal.PtrToStringUTF8((nint)TurboJpeg.tjGetErrorStr2(handle)) ?? "no reason given";

    /// <summary>Stored c, m, y, k are 255 minus ink: red = k * (255 - ink_c) / 255 = k * c / 255, rounded.</summary>
    private static ImageBytes FromInvertedCmyk(int width, int height, byte[] cmyk)
    {
        var rgb = new byte[width * height * 3];
        for (int i = 0; i < width * height; i++)
        {
            int k = cmyk[(4 * i) + 3];
            for (int c = 0; c < 3; c++)
            {
                rgb[(3 * i) + c] = (byte)(k - (((255 - cmyk[(4 * i) + c]) * k + 127) / 255));
            }
        }

        return new ImageBytes(width, height, 3, rgb);
    }
}
