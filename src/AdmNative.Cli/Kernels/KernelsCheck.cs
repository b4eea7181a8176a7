using System.CommandLine;
using Newtonsoft.Json.Linq;

namespace AdmNative.Cli;

/// <summary>adm kernels check: every gate of every case.</summary>
internal static class KernelsCheck
{
    public static Command Create(Host host)
    {
        (Flag<string?> family, Flag<string?> entry, Flag<string?> shape, Flag<bool> full) = (KernelsVerb.Family(), KernelsVerb.Entry(), KernelsVerb.Shape(), KernelsVerb.Full());
        (Flag<string?> device, Flag<bool> json) = (KernelsVerb.Device(), CommonFlags.Json());
        var command = new Verb(
            "check",
            "Hold kernels to their references in f64 and, on the virtual device, to their schedules, counters and resources; exit code 1 if any fails.",
            "adm kernels check --family gn",
            "adm kernels check --entry gn_small_silu_f16 --shape 8x8")
        { family, entry, shape, full, device, json };
        command.SetAction(p => Run(
            host, p.GetValue(family), p.GetValue(entry), p.GetValue(shape), p.GetValue(full), p.GetValue(device)!, p.GetValue(json)));
        return command;
    }

    private static int Run(Host host, string? family, string? entry, string? shape, bool full, string device, bool json)
    {
        Drivers.AnnounceKernels(host);
        using DriverRunner? gpu = KernelsVerb.Gpu(device);
        var runner = new CaseRunner(gpu?.Profile ?? KernelsVerb.Profile(device));
        IReadOnlyList<KernelCase> cases = KernelsVerb.Select(family, entry, shape, full, runner);
        var documents = new JArray();
        int failed = 0;
        foreach (KernelCase c in cases)
        {
            host.Stop.ThrowIfCancellationRequested();
            CaseResult result = gpu is null ? runner.Check(c) : gpu.Check(c);
            failed += result.Passed ? 0 : 1;
            if (json)
            {
                documents.Add(Document(result));
                continue;
            }

            host.Out.WriteLine($"{(result.Passed ? "ok  " : "FAIL")} {c.Name} ({result.Gates.Count} gates)");
            foreach (GateResult gate in result.Gates.Where(g => !g.Passed))
            {
                host.Out.WriteLine($"     {gate}");
            }
        }

        host.Out.WriteLine(json ? documents : $"{cases.Count - failed} of {cases.Count} cases hold every gate");
        return failed == 0 ? ExitCode.Done : ExitCode.Failed;
    }

    private static JObject Document(CaseResult r) => new()
    {
        ["case"] = r.Case.Name,
        ["passed"] = r.Passed,
        ["gates"] = new JArray(r.Gates.Select(g => new JObject
        {
            ["name"] = g.Name,
            ["of"] = g.Subject,
            ["value"] = double.IsFinite(g.Value) ? g.Value : g.Value.ToString(System.Globalization.CultureInfo.InvariantCulture),
            ["limit"] = g.Limit,
            ["passed"] = g.Passed,
            ["note"] = g.Note,
        })),
    };
}
