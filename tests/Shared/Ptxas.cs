using Xunit;

namespace AdmNative.Tests;

/// <summary>NVIDIA's assembler, if there is one: ADMNATIVE_CUDA_TOOLCHAIN/bin/ptxas, else ptxas on the PATH.</summary>
internal static class Ptxas
{
    /// <summary>Where it is; null when there is none.</summary>
    public static string? File { get; } = Find();

    /// <summary>Why a test that needs it is skipped; null when it is not.</summary>
    public static string? SkipReason =>
        File is null ? "no ptxas: run tools/fetch-cuda-toolchain DIR and set ADMNATIVE_CUDA_TOOLCHAIN=DIR, or put one in PATH" : null;

    private static string? Find()
    {
        string name = OperatingSystem.IsWindows() ? "ptxas.exe" : "ptxas";
        if (Environment.GetEnvironmentVariable("ADMNATIVE_CUDA_TOOLCHAIN") is { Length: > 0 } toolchain)
        {
            string path = Path.Combine(toolchain, "bin", name);
            return System.IO.File.Exists(path) ? path : throw new FileNotFoundException($"ADMNATIVE_CUDA_TOOLCHAIN is set, but there is no {path}");
        }

        return (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Select(folder => Path.Combine(folder, name)).FirstOrDefault(System.IO.File.Exists);
    }
}

/// <summary>A test that needs ptxas; skipped with the reason where there is none.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class PtxasFactAttribute : FactAttribute
{
    /// <summary>Looks for the assembler.</summary>
    public PtxasFactAttribute() => Skip = Ptxas.SkipReason;
}

/// <summary>A theory that needs ptxas; skipped with the reason where there is none.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class PtxasTheoryAttribute : TheoryAttribute
{
    /// <summary>Looks for the assembler.</summary>
    public PtxasTheoryAttribute() => Skip = Ptxas.SkipReason;
}
