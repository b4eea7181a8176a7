using System.Diagnostics;
using AdmNative.Cli;

namespace AdmNative.Tests;

/// <summary>What <c>--device auto</c> takes, and what it says about it.</summary>
public sealed class AutoDeviceTests
{
    [Fact]
    public void Without_a_driver_it_is_the_cpu_and_one_line_says_why()
    {
        using var temp = new TempFolder();
        string[] run = Digits.Plain(temp["a.npz"], "--num_samples", "1", "--timestep_respacing", "2");
        string line = Adm.Done(run).Error.Split('\n')[0];
        Assert.StartsWith("device: cpu (no CUDA driver: ", line, StringComparison.Ordinal);
        Assert.Contains(NoDriver.Library, line, StringComparison.Ordinal);
        Assert.Equal("", Adm.Done([.. run, "--quiet"]).Error);
    }

    /// <summary>In a process of its own, because a process looks for the driver once. The stand-in computes nothing: the images mean nothing.</summary>
    [CompilerFact]
    public void With_a_driver_and_a_device_it_is_cuda()
    {
        using var temp = new TempFolder();
        string library = temp["libcuda.so.1"];
        (int code, string error) = Run(null, ["cc", "-shared", "-fPIC", "-O1", "-o", library, Repo.Path("tests", "native", "fakecuda", "fakecuda.c")]);
        Assert.True(code == 0, error);
        string program = Path.Combine(AppContext.BaseDirectory, "adm.dll");
        string[] run = ["dotnet", program, .. Digits.Plain(temp["a.npz"], "--num_samples", "1", "--timestep_respacing", "2")];
        (code, error) = Run(library, run);
        Assert.True(code == ExitCode.Done, error);
        string[] lines = error.Split('\n');
        Assert.Equal("device: cuda (Stand-in 80 (sm_80), CUDA driver 12.4)", lines[0]);
        Assert.StartsWith("convolutions: our kernels; no cuDNN: ", lines[1], StringComparison.Ordinal);
        Assert.Contains("libnosuchcudnn.so.9: ", lines[1], StringComparison.Ordinal);

        (code, error) = Run(library, [.. run, "--device", "cuda:1"]);
        Assert.True(code == ExitCode.DeviceUnavailable, error);
        Assert.Contains("--device cuda:1: there is no device 1: the driver knows 1. Without one, use --device cpu.", error, StringComparison.Ordinal);

        (code, error) = Run(library, [.. run, "--device", "cuda", "--conv", "cudnn"]);
        Assert.True(code == ExitCode.DeviceUnavailable, error);
        Assert.Contains("--conv cudnn: convolutions by cuDNN were asked for: no cuDNN: ", error, StringComparison.Ordinal);
        Assert.Contains("use --conv native", error, StringComparison.Ordinal);

        string cudnn = temp["libcudnn.so.9"];
        (code, error) = Run(null, ["cc", "-shared", "-fPIC", "-O1", "-o", cudnn, Repo.Path("tests", "native", "fakecudnn", "fakecudnn.c")]);
        Assert.True(code == 0, error);
        (code, error) = Run(library, [.. run, "--conv", "cudnn"], cudnn);
        Assert.True(code == ExitCode.Done, error);
        Assert.Equal($"convolutions: cuDNN 9.1.0 ({cudnn})", error.Split('\n')[1]);
    }

    private static (int Code, string Error) Run(string? driver, string[] command, string cudnn = "libnosuchcudnn.so.9")
    {
        var start = new ProcessStartInfo(command[0], command[1..]) { RedirectStandardError = true, RedirectStandardOutput = true };
        if (driver is not null)
        {
            start.Environment["ADMNATIVE_CUDA_LIBRARY"] = driver;
            start.Environment["ADMNATIVE_CUDNN_LIBRARY"] = cudnn;
        }

        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        _ = output.Result;
        return (process.ExitCode, error);
    }
}

/// <summary>A test that compiles a C file; skipped with the reason where there is no compiler.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class CompilerFactAttribute : FactAttribute
{
    public CompilerFactAttribute()
    {
        string[] folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator);
        Skip = folders.Any(folder => File.Exists(Path.Combine(folder, "cc"))) ? null : "no cc to build the stand-in driver with (apt install build-essential)";
    }
}
