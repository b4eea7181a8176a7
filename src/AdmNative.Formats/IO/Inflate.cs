namespace AdmNative.Formats;

/// <summary>What is common to everything deflated: zip members, PNG data, gzip.</summary>
internal static class Inflate
{
    // A 258-byte match in 2 bits (RFC 1951): deflate cannot shrink by more, so a larger claim is a lie.
    private const long MaxRatio = 1032;

    /// <summary>True if so many compressed bytes can possibly hold so many.</summary>
    public static bool CanHold(long compressed, long bytes) => (bytes / MaxRatio) - 1 <= compressed;
}
