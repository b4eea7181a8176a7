namespace AdmNative.Formats.Tests;

/// <summary>A test that needs libjpeg-turbo; skipped with the reason where it is not installed, failed there if ADMNATIVE_REQUIRE_JPEG=1.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class JpegFactAttribute : FactAttribute
{
    public JpegFactAttribute()
    {
        if (Environment.GetEnvironmentVariable("ADMNATIVE_REQUIRE_JPEG") != "1")
        {
            Skip = Jpeg.UnavailableReason!;     // null: not skipped
        }
    }
}
