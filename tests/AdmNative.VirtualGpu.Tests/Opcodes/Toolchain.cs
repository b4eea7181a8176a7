using System.Diagnostics;
using System.Text.RegularExpressions;

namespace AdmNative.VirtualGpu.Tests.Opcodes;

/// <summary>NVIDIA's assembler, if there is one: ADMNATIVE_CUDA_TOOLCHAIN/bin/ptxas, else ptxas on the PATH.</summary>
internal static class Toolchain
{
    public static string? Ptxas { get; } = Find();

    private static string? Find()
    {
        string? folder = Environment.GetEnvironmentVariable("ADMNATIVE_CUDA_TOOLCHAIN");
        if (!string.IsNullOrEmpty(folder))
        {
            string path = Path.Combine(folder, "bin", "ptxas");
            return File.Exists(path) ? path : throw new FileNotFoundException($"ADMNATIVE_CUDA_TOOLCHAIN is set, but there is no {path}");
        }

        return (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Select(p => Path.Combine(p, "ptxas")).FirstOrDefault(File.Exists);
    }

    /// <summary>Each complaint followed by the line it is about.</summary>
    private static string Quote(string ptx, string complaints)
    {
        string[] lines = ptx.Split('\n');
        return string.Join('\n', complaints.Split('\n').Take(400).Select(c =>
        {
            Match at = Regex.Match(c, @"line (\d+); (.*)");
            return at.Success ? $"{at.Groups[2].Value.Trim()} <- {lines[int.Parse(at.Groups[1].Value) - 1].Trim()}" : c;
        }));
    }

    /// <summary>Assembles; returns what the assembler complained about, empty if nothing.</summary>
    public static string Assemble(string ptx, string target)
    {
        string folder = Directory.CreateTempSubdirectory("admnative-ptxas").FullName;
        try
        {
            string file = Path.Combine(folder, "module.ptx");
            File.WriteAllText(file, ptx);
            var start = new ProcessStartInfo(Ptxas!) { RedirectStandardError = true, RedirectStandardOutput = true };
            foreach (string argument in new[] { "-O0", $"-arch={target}", "-o", Path.Combine(folder, "module.cubin"), file })
            {
                start.ArgumentList.Add(argument);
            }

            using Process process = Process.Start(start)!;
            Task<string> errors = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0 ? "" : Quote(ptx, errors.Result + output);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}

/// <summary>A test that needs ptxas; skipped with the reason where there is none.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class PtxasFactAttribute : FactAttribute
{
    /// <summary>Looks for the assembler.</summary>
    public PtxasFactAttribute()
    {
        if (Toolchain.Ptxas is null)
        {
            Skip = "no ptxas: set ADMNATIVE_CUDA_TOOLCHAIN to a folder with bin/ptxas, or put it on the PATH";
        }
    }
}
