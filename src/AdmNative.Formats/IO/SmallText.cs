using System.Text;
using AdmNative.Core;

namespace AdmNative.Formats;

/// <summary>Text files that people write: a configuration is a page, so anything much larger is the wrong file.</summary>
public static class SmallText
{
    /// <summary>The most that is read.</summary>
    public const int MaxBytes = 1 << 20;

    /// <summary>The whole text, UTF-8 with or without a mark.</summary>
    /// <exception cref="CheckpointException">A folder, a pipe, empty, too large, not text, or not there.</exception>
    public static string Read(string path)
    {
        InputFile.Check(path);
        if (!File.Exists(path))
        {
            throw new CheckpointException("no such file", path);
        }

        try
        {
            using FileStream file = File.OpenRead(path);
            var bytes = new byte[MaxBytes + 1];
            int length = file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            if (length > MaxBytes)
            {
                throw new CheckpointException($"is larger than {MaxBytes} bytes, not a text of settings", path);
            }

            using var reader = new StreamReader(new MemoryStream(bytes, 0, length), new UTF8Encoding(false, throwOnInvalidBytes: true));
            return reader.ReadToEnd();
        }
        catch (DecoderFallbackException e)
        {
            throw new CheckpointException("is not a text (UTF-8)", path, e);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new CheckpointException("may not be read by this user", path, e);
        }
    }
}
