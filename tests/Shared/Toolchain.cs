using System.Diagnostics;
using System.Text.RegularExpressions;

namespace AdmNative.Tests;

/// <summary>Assembles test modules with <see cref="Ptxas"/>.</summary>
internal static class Toolchain
{
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
            var start = new ProcessStartInfo(Ptxas.File!) { RedirectStandardError = true, RedirectStandardOutput = true };
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
