using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using AdmNative.Tests;

namespace AdmNative.Cuda.Tests.Bundle;

/// <summary>Every shipped file assembles for every architecture; with the assembler of the catalogue, to the resources it states.</summary>
public sealed class AssemblerTests
{
    public static TheoryData<string, string> Targets()
    {
        var data = new TheoryData<string, string>();
        foreach (KernelImage image in KernelBundle.Open().Images)
        {
            foreach (string architecture in (string[])["sm_80", "sm_86", "sm_89", "sm_90"])
            {
                data.Add(image.File, architecture);
            }
        }

        return data;
    }

    [PtxasTheory]
    [MemberData(nameof(Targets))]
    public void Assembles_to_the_resources_of_the_catalogue(string file, string architecture)
    {
        KernelBundle bundle = KernelBundle.Open();
        string output = Assemble(Repo.Path("kernels", "ptx", file), architecture);
        bool same = Run(["--version"]).Contains(bundle.Assembler, StringComparison.Ordinal);
        KernelEntry[] entries = [.. bundle.Entries.Where(e => e.Image.File == file)];
        string[] parts = output.Split("Compiling entry function '")[1..];
        Assert.Equal(entries.Select(e => e.Name).Order(StringComparer.Ordinal), parts.Select(p => p.Split('\'')[0]).Order(StringComparer.Ordinal));
        foreach (string part in parts)
        {
            KernelEntry entry = bundle[part.Split('\'')[0]];
            var spills = new { Stack = Number(part, @"(\d+) bytes stack"), Store = Number(part, @"(\d+) bytes spill stores"), Load = Number(part, @"(\d+) bytes spill loads") };
            var measured = new KernelResources(
                Number(part, @"Used (\d+) registers"), spills.Store, spills.Load, spills.Stack, Number(part, @"(\d+) bytes smem"),
                Regex.Matches(part, @"(\d+) bytes cmem").Sum(m => int.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture)));
            if (same)
            {
                Assert.Equal(entry.Resources[architecture], measured);
            }
            else
            {
                // Another assembler allocates registers its own way; shared memory and the absence of spills are ours to keep.
                Assert.Equal((entry.StaticSharedBytes, 0, 0), (measured.SharedBytes, measured.SpillStoreBytes, measured.SpillLoadBytes));
            }
        }
    }

    private static int Number(string text, string pattern) =>
        Regex.Match(text, pattern) is { Success: true } m ? int.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture) : 0;

    private static string Assemble(string path, string architecture)
    {
        string to = Path.Combine(Path.GetTempPath(), $"{Path.GetFileName(path)}.{architecture}.{Environment.ProcessId}.cubin");
        try
        {
            return Run(["-v", "-arch", architecture, "-o", to, path]);
        }
        finally
        {
            File.Delete(to);
        }
    }

    private static string Run(string[] arguments)
    {
        var start = new ProcessStartInfo(Ptxas.File!, arguments) { RedirectStandardError = true, RedirectStandardOutput = true };
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd() + errors.Result;
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"ptxas {string.Join(' ', arguments)}\n{output}");
        return output;
    }
}
