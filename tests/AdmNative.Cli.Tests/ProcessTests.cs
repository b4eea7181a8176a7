using System.Diagnostics;
using AdmNative.Cli;
using Newtonsoft.Json.Linq;

namespace AdmNative.Tests;

/// <summary>The program as a process of its own: signals, redirected streams, a disk that takes no more.</summary>
public sealed class ProcessTests
{
    private static string Program => Path.Combine(AppContext.BaseDirectory, "adm.dll");

    [Fact]
    public async Task A_terminated_run_keeps_its_batches_and_says_how_to_go_on()
    {
        using var temp = new TempFolder();
        string[] run = Digits.Guided(temp["a.npz"], "--num_samples", "200", "--batch_size", "1", "--timestep_respacing", "20");
        using Process process = Start(["dotnet", Program, .. run]);
        Task<string> error = process.StandardError.ReadToEndAsync();
        string parts = temp["a.parts"];
        while (!process.HasExited && !(Directory.Exists(parts) && Directory.GetFiles(parts, "part-*.npz").Length > 0))
        {
            await Task.Delay(5);
        }

        using Process kill = Start(["kill", "-TERM", process.Id.ToString()]);
        await process.WaitForExitAsync();
        Assert.Equal(ExitCode.Cancelled, process.ExitCode);
        Assert.Contains("--resume", await error);
        Assert.Equal(["a.parts"], temp.Names);
        Assert.DoesNotContain(Directory.GetFiles(parts), f => f.EndsWith(".tmp", StringComparison.Ordinal));
    }

    [Fact]
    public void A_result_that_cannot_be_printed_is_a_failure()
    {
        using var temp = new TempFolder();
        using Process process = Start(["sh", "-c", $"dotnet '{Program}' inspect schedule > /dev/full"]);
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.Equal(ExitCode.Failed, process.ExitCode);
        Assert.Contains("No space left", error);
    }

    [Theory]
    [InlineData("2> /dev/full")]
    [InlineData("2>&-")]
    public void Messages_that_cannot_be_written_change_nothing(string stderr)
    {
        using var temp = new TempFolder();
        foreach ((int code, string[] args) in new[] { (ExitCode.BadInput, (string[])["inspect", "checkpoint", "nowhere.pt"]), (ExitCode.Done, Digits.Plain(temp["a.npz"], "--timestep_respacing", "2")) })
        {
            using Process process = Start(["bash", "-c", $"dotnet '{Program}' {string.Join(' ', args)} {stderr}"]);
            process.WaitForExit();
            Assert.Equal(code, process.ExitCode);
        }

        Assert.Equal(["a.npz"], temp.Names);
    }

    // A limit on file sizes stands in for a full disk: writes fail in the middle of a file. (The runtime's own
    // shared memory is a file too, hence the two switches.)
    [Fact]
    public void A_file_that_cannot_be_finished_is_one_message_and_leaves_nothing()
    {
        using var temp = new TempFolder();
        string run = string.Join(' ', Digits.Guided(temp["a.npz"], "--num_samples", "30", "--batch_size", "2", "--timestep_respacing", "2", "--quiet"));
        using Process process = Start(["bash", "-c", $"trap '' XFSZ; ulimit -f 8; DOTNET_EnableDiagnostics=0 DOTNET_EnableWriteXorExecute=0 dotnet '{Program}' {run}"]);
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.Equal(ExitCode.Failed, process.ExitCode);
        Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains("30 of 30 samples are kept", error);
        Assert.Equal(["a.parts"], temp.Names);

        // With room again the same command only puts the pieces together.
        Adm.Done([.. Digits.Guided(temp["a.npz"], "--num_samples", "30", "--batch_size", "2", "--timestep_respacing", "2"), "--resume"]);
        Assert.Equal(["a.npz"], temp.Names);
    }

    // What native ahead-of-time compilation means for the virtual device: nothing can be compiled while the program runs.
    [Fact]
    public void Without_code_made_at_run_time_kernels_are_interpreted_with_the_same_results()
    {
        using var temp = new TempFolder();
        JObject configuration = JObject.Parse(File.ReadAllText(Path.ChangeExtension(Program, ".runtimeconfig.json")));
        configuration["runtimeOptions"]!["configProperties"]!["System.Runtime.CompilerServices.RuntimeFeature.IsDynamicCodeSupported"] = false;
        File.WriteAllText(temp["static.json"], configuration.ToString());
        string examples = Repo.Path("docs", "examples"), smooth = Path.Combine(examples, "smooth");
        string[] run = ["ptx", "run", smooth + "-fixed.ptx", "--grid", "1", "--block", "128", "--args", smooth + ".json", "--input", smooth + "-in.npz", "--checks", "none"];

        using Process compiled = Start(["dotnet", Program, .. run, "--engine", "jit", "--output", temp["jit.npz"]]);
        using Process interpreted = Start(["dotnet", "exec", "--runtimeconfig", temp["static.json"], Program, .. run, "--output", temp["auto.npz"]]);
        using Process refused = Start(["dotnet", "exec", "--runtimeconfig", temp["static.json"], Program, .. run, "--engine", "jit"]);
        compiled.WaitForExit();
        interpreted.WaitForExit();
        refused.WaitForExit();
        Assert.Equal((ExitCode.Done, ExitCode.Done, ExitCode.Failed), (compiled.ExitCode, interpreted.ExitCode, refused.ExitCode));
        Assert.Equal(File.ReadAllBytes(temp["jit.npz"]), File.ReadAllBytes(temp["auto.npz"]));
        Assert.Contains("this runtime cannot compile at run time: take the interpreter", refused.StandardError.ReadToEnd());
    }

    [Fact]
    public void Files_that_replace_shipped_kernels_are_announced_once()
    {
        using var temp = new TempFolder();
        File.Copy(Repo.Path("kernels", "ptx", "gemm.sm80.ptx"), temp["gemm.sm80.ptx"]);
        using Process process = Start(["sh", "-c", $"ADMNATIVE_PTX_DIR='{temp.Path}' dotnet '{Program}' kernels list --entry gemm_nt_f16"]);
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.Equal((ExitCode.Done, $"kernels: {temp["gemm.sm80.ptx"]} replaces the shipped file of that name (ADMNATIVE_PTX_DIR)\n"), (process.ExitCode, error));
    }

    private static Process Start(string[] command)
    {
        var start = new ProcessStartInfo(command[0]) { RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (string argument in command[1..])
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start)!;
    }
}
