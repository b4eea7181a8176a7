using System.Runtime.InteropServices;

namespace AdmNative.Cuda;

/// <summary>Finds the installed driver's library, once, and remembers every attempt. Public for other bindings of the same library.</summary>
public static class CudaLibrary
{
    /// <summary>Names the library to load, and then only that one.</summary>
    public const string Variable = "ADMNATIVE_CUDA_LIBRARY";

    private static readonly Lazy<(nint Handle, IReadOnlyList<string> Trace)> s_library = new(() => Open(Names()));

    /// <summary>The library, or 0 when none loads.</summary>
    public static nint Handle => s_library.Value.Handle;

    /// <summary>What was tried, in order, and what came of it.</summary>
    public static IReadOnlyList<string> Trace => s_library.Value.Trace;

    /// <summary>Tries the names in order.</summary>
    internal static (nint Handle, IReadOnlyList<string> Trace) Open(IReadOnlyList<string> names)
    {
        var trace = new List<string>();
        foreach (string name in names)
        {
            try
            {
                nint handle = NativeLibrary.Load(name);
                trace.Add($"{name}: loaded");
                return (handle, trace);
            }
            catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
            {
                trace.Add($"{name}: {Reason(e)}");
            }
        }

        return (0, trace);
    }

    private static string[] Names() =>
        Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } only ? [only]
        : OperatingSystem.IsWindows() ? ["nvcuda.dll"]
        : ["libcuda.so.1", "libcuda.so"];

    // The loader's own sentence is the last of several lines of search paths.
    private static string Reason(Exception e) => e.Message.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)[^1];
}
