using AdmNative.Cli;
using AdmNative.VirtualGpu;
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
        Assert.Equal(21, entries.Count);
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
        var report = JObject.Parse(Adm.Done(["kernels", "profile", .. s_one, "--json", "yes", "--html", page]).Out);
        Assert.Equal("sm_80", (string?)report["target"]);
        JToken ours = report["cases"]![0]!["versions"]!.Last!, row = Assert.Single(ours["launches"]!);
        Assert.Equal("gn_small_silu_f16", (string?)row["entry"]);
        Assert.InRange((double)row["bytes"]! / (double)row["formula_bytes"]!, 0.9, 1.03);
        Assert.InRange((double)ours["error_of_tolerance"]!, 0, 1);
        Assert.Equal(4, row["resources"]!.Count());
        Assert.Equal((long)row["warp_instructions"]!, row["mix"]!.Sum(m => (long)m.First!));
        Assert.Equal(JTokenType.Null, row["measured_seconds"]!.Type);
        string html = File.ReadAllText(page);
        Assert.Contains("<svg", html, StringComparison.Ordinal);
        Assert.Contains("gn_small_silu_f16", html, StringComparison.Ordinal);
        Assert.DoesNotContain("http", html, StringComparison.Ordinal);
        Assert.DoesNotContain("<script", html, StringComparison.Ordinal);
    }

    [Fact]
    public void Earlier_versions_stand_beside_ours_with_what_each_step_gained()
    {
        string[] compared = ["kernels", "profile", "--family", "gn", "--entry", "gn_apply_silu_keep_f16", "--shape", "2x28x28x96"];
        JToken[] versions = [.. JObject.Parse(Adm.Done([.. compared, "--json", "yes"]).Out)["cases"]![0]!["versions"]!];
        Assert.Equal(["plain", "moments", "wide", "ours"], versions.Select(v => (string?)v["name"]));
        Assert.All(versions, v => Assert.True((bool)v["passed"]!));
        Assert.All(versions[..^1], v => Assert.NotEqual("", (string?)v["next"]));
        long[] sectors = [.. versions.Select(v => (long)v["sectors"]!)], instructions = [.. versions.Select(v => (long)v["warp_instructions"]!)];
        Assert.True(sectors[0] > 2 * sectors[1] && sectors[^1] <= sectors[^2], string.Join(' ', sectors));
        Assert.True(instructions[0] > 2 * instructions[1] && instructions[1] > instructions[2], string.Join(' ', instructions));
        string table = Adm.Done([.. compared, "--variant", "plain"]).Out;
        Assert.Contains("plain: error", table, StringComparison.Ordinal);
        Assert.DoesNotContain("moments", table, StringComparison.Ordinal);
        Assert.Contains("from plain to ours: bytes", table, StringComparison.Ordinal);
        Assert.Equal(ExitCode.Usage, Adm.Run([.. compared, "--variant", "none"]).Code);
    }

    [Fact]
    public void A_gpu_is_timed_beside_the_counters()
    {
        using var driver = new VirtualDriver(new VirtualDriverOptions { Profile = DeviceProfile.Rtx4090, Launch = new LaunchOptions { Checks = Checks.None, Counters = false } });
        using var gpu = new DriverRunner(driver);
        KernelCase one = KernelCases.Of("gn").First(c => c.Name == "gn forward silu adagn f16 2x7x7x64 G32");
        var profiled = ProfiledCase.Of(one, "ours", new CaseRunner(gpu.Profile), gpu);
        Assert.True(profiled.Ours.Result.Passed, profiled.Ours.Result.Failures);
        Assert.Contains(profiled.Ours.Result.Gates, g => g.Name == "error on the GPU" && g.Subject == "y");
        Assert.All(profiled.Ours.Rows, r => Assert.True(r.Seconds > 0 && r.Target == "sm_89"));
        Assert.Contains("; measured ", KernelsProfile.Measured(profiled.Ours.Rows[0]), StringComparison.Ordinal);
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
