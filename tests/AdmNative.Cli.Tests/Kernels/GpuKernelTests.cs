using System.Diagnostics;
using AdmNative.Cli;

namespace AdmNative.Tests;

/// <summary>The kernels' own gates on a GPU, by the program, in a process that sees the driver.</summary>
[Collection("gpu")]
[Trait("Needs", "Gpu")]
public sealed class GpuKernelTests
{
    [GpuFact]
    public void Every_case_holds_every_gate()
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "adm.dll"), "kernels", "check", "--device", "cuda"])
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        start.Environment.Remove("ADMNATIVE_CUDA_LIBRARY");
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == ExitCode.Done, $"{error.Result}{string.Join('\n', output.Split('\n').Where(l => !l.StartsWith("ok ", StringComparison.Ordinal)))}");
    }
}
