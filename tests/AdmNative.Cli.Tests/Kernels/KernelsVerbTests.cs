using AdmNative.Cli;
using Newtonsoft.Json.Linq;

namespace AdmNative.Tests;

/// <summary>adm kernels list, check, profile.</summary>
public sealed class KernelsVerbTests
{
    private static readonly string[] s_one = ["--family", "gn", "--entry", "gn_small_silu_f16", "--shape", "2x7x7x64"];

    [Fact]
    public void List_names_entries_with_resources_of_four_architectures()
    {
        JArray entries = JArray.Parse(Adm.Done("kernels", "list", "--entry", "gn_small", "--json", "yes").Out);
        Assert.Equal(9, entries.Count);
        JToken entry = entries.First(e => (string?)e["name"] == "gn_small_silu_f16");
        foreach (string target in new[] { "sm_80", "sm_86", "sm_89", "sm_90" })
        {
            Assert.Equal(0, (int)entry["resources"]![target]!["spilled_bytes"]!);
            Assert.InRange((int)entry["resources"]![target]!["registers"]!, 16, 64);
            Assert.InRange((int)entry["resources"]![target]!["blocks_per_sm"]!, 3, 8);
        }

        Assert.Contains("gn_small_silu_f16", Adm.Done("kernels", "list", "--entry", "gn_small").Out, StringComparison.Ordinal);
    }

    [Fact]
    public void Check_reports_each_case_and_fails_when_a_gate_does()
    {
        Adm.Outcome outcome = Adm.Done(["kernels", "check", .. s_one]);
        Assert.Contains("ok   gn forward silu adagn f16 2x7x7x64 G32", outcome.Out, StringComparison.Ordinal);
        JArray cases = JArray.Parse(Adm.Done(["kernels", "check", .. s_one, "--json", "yes"]).Out);
        Assert.All(cases, c => Assert.True((bool)c["passed"]!));
        Assert.Contains(cases[0]["gates"]!, g => (string?)g["name"] == "error" && (string?)g["of"] == "y");
    }

    [Fact]
    public void Profile_counts_bytes_and_writes_a_page_that_needs_nothing_else()
    {
        using var folder = new TempFolder();
        string page = Path.Combine(folder.Path, "gn.html");
        JArray rows = JArray.Parse(Adm.Done(["kernels", "profile", .. s_one, "--json", "yes", "--html", page]).Out);
        Assert.All(rows, r => Assert.Equal("gn_small_silu_f16", (string?)r["entry"]));
        Assert.All(rows, r => Assert.InRange((double)r["bytes"]! / (double)r["formula_bytes"]!, 0.9, 1.03));
        string html = File.ReadAllText(page);
        Assert.Contains("<svg", html, StringComparison.Ordinal);
        Assert.Contains("gn_small_silu_f16", html, StringComparison.Ordinal);
        Assert.DoesNotContain("http", html, StringComparison.Ordinal);
        Assert.DoesNotContain("<script", html, StringComparison.Ordinal);
    }

    [Fact]
    public void A_gpu_is_refused_and_unknown_names_are_usage_errors()
    {
        Adm.Outcome cuda = Adm.Run(["kernels", "profile", .. s_one, "--device", "cuda"]);
        Assert.Equal(ExitCode.DeviceUnavailable, cuda.Code);
        Assert.Contains("no CUDA driver", cuda.Error, StringComparison.Ordinal);
        foreach (string[] bad in new string[][] { ["--family", "nothing"], ["--entry", "nothing"], ["--shape", "nothing"], ["--device", "sm_12"] })
        {
            Assert.Equal(ExitCode.Usage, Adm.Run(["kernels", "check", .. bad]).Code);
        }
    }
}
