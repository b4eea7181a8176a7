using System.Runtime.InteropServices;

namespace AdmNative.Tests;

/// <summary>
/// The GPU of this machine, asked without the code under test. Tests that need one are skipped with the reason where there is none; ADMNATIVE_REQUIRE_GPU=1 lets
/// them run and fail there, so that a machine with a GPU cannot pass by skipping.
/// </summary>
internal static unsafe class Gpu
{
    /// <summary>Turns skips into failures.</summary>
    public const string Require = "ADMNATIVE_REQUIRE_GPU";

    private static readonly Lazy<(string? Missing, int Sm)> s_probe = new(Probe);

    /// <summary>Why a test is skipped here; null when it runs.</summary>
    public static string? SkipReason(int minSm) => Skip(s_probe.Value.Missing, s_probe.Value.Sm, minSm, Environment.GetEnvironmentVariable(Require) == "1");

    /// <summary>The same for any machine.</summary>
    public static string? Skip(string? missing, int sm, int minSm, bool required) =>
        required ? null : missing ?? (sm < minSm ? $"the GPU is sm_{sm}; the test needs sm_{minSm}" : null);

    private static (string? Missing, int Sm) Probe()
    {
        string name = OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1";
        if (!NativeLibrary.TryLoad(name, out nint library))
        {
            return ($"no GPU: {name} does not load ({Require}=1 makes this a failure)", 0);
        }

        int count = 0, major = 0, minor = 0;
        int status = ((delegate* unmanaged<uint, int>)NativeLibrary.GetExport(library, "cuInit"))(0);
        status = status != 0 ? status : ((delegate* unmanaged<int*, int>)NativeLibrary.GetExport(library, "cuDeviceGetCount"))(&count);
        var ask = (delegate* unmanaged<int*, int, int, int>)NativeLibrary.GetExport(library, "cuDeviceGetAttribute");
        status = status != 0 || count == 0 ? status : ask(&major, 75, 0) + ask(&minor, 76, 0);
        return status == 0 && count > 0 ? (null, (10 * major) + minor) : ($"no GPU: the driver knows {count} devices (status {status}; {Require}=1 makes this a failure)", 0);
    }
}

/// <summary>A test that needs a GPU.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class GpuFactAttribute : FactAttribute
{
    /// <param name="minSm">The oldest architecture it runs on.</param>
    public GpuFactAttribute(int minSm = 80) => Skip = Gpu.SkipReason(minSm);
}

/// <summary>A theory that needs a GPU.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class GpuTheoryAttribute : TheoryAttribute
{
    /// <param name="minSm">The oldest architecture it runs on.</param>
    public GpuTheoryAttribute(int minSm = 80) => Skip = Gpu.SkipReason(minSm);
}
