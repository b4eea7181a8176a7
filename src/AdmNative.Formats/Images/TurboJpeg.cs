using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

[assembly: DisableRuntimeMarshalling]

namespace AdmNative.Formats;

/// <summary>The few functions of libjpeg-turbo's TurboJPEG interface (version 2 names, which version 3 keeps) that decoding needs.</summary>
internal static unsafe partial class TurboJpeg
{
    internal const int PixelRgb = 0;
    internal const int PixelGray = 6;
    internal const int PixelCmyk = 11;
    internal const int ColorGray = 2;
    internal const int ColorCmyk = 3;
    internal const int ColorYcck = 4;
    internal const int AccurateDct = 4096;
    internal const int LimitScans = 32768;
    internal const int ErrorWarning = 0;

    private const string Library = "turbojpeg";
    private const string Override = "ADMNATIVE_TURBOJPEG_LIBRARY";

    private static readonly Lazy<(nint Handle, string? Reason)> s_library = new(Load);

    static TurboJpeg() => NativeLibrary.SetDllImportResolver(typeof(TurboJpeg).Assembly, Resolve);

    /// <summary>Null if the library is loaded; else what was tried and what to install.</summary>
    internal static string? UnavailableReason => s_library.Value.Reason;

    [LibraryImport(Library)]
    internal static partial nint tjInitDecompress();

    [LibraryImport(Library)]
    internal static partial int tjDecompressHeader3(
        nint handle, byte* jpeg, CULong jpegBytes, int* width, int* height, int* subsampling, int* colorspace);

    [LibraryImport(Library)]
    internal static partial int tjDecompress2(
        nint handle, byte* jpeg, CULong jpegBytes, byte* pixels, int width, int pitch, int height, int pixelFormat, int flags);

    [LibraryImport(Library)]
    internal static partial byte* tjGetErrorStr2(nint handle);

    [LibraryImport(Library)]
    internal static partial int tjGetErrorCode(nint handle);

    [LibraryImport(Library)]
    internal static partial int tjDestroy(nint handle);

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? path) =>
        name == Library ? s_library.Value.Handle : 0;

    private static (nint Handle, string? Reason) Load()
    {
        string? chosen = Environment.GetEnvironmentVariable(Override);
        string[] names = !string.IsNullOrEmpty(chosen) ? [chosen]
            : OperatingSystem.IsWindows() ? ["turbojpeg.dll", "libturbojpeg.dll"]
            : OperatingSystem.IsMacOS() ? ["libturbojpeg.0.dylib", "libturbojpeg.dylib"]
            : ["libturbojpeg.so.0", "libturbojpeg.so"];
        foreach (string name in names)
        {
            if (NativeLibrary.TryLoad(name, out nint handle))
            {
                return (handle, null);
            }
        }

        string remedy = OperatingSystem.IsWindows() ? "install libjpeg-turbo"
            : OperatingSystem.IsMacOS() ? "brew install jpeg-turbo"
            : "apt install libturbojpeg0, or your system's package of libjpeg-turbo";
        return (0, "JPEG pictures are decoded by libjpeg-turbo, which was not found "
            + $"(tried {string.Join(", ", names)}): {remedy}, or name the library in {Override}");
    }
}
