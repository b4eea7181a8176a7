using AdmNative.Cli;
using AdmNative.Core;
using AdmNative.Cpu;
using AdmNative.Diffusion;
using AdmNative.Formats;

namespace AdmNative.Tests;

/// <summary>Recorded cases through the command line: what it writes is what the case records.</summary>
public sealed class ReplayTests
{
    public static TheoryData<string, string> Cases()
    {
        var data = new TheoryData<string, string>();
        foreach ((string kind, string folder) in new[] { ("model", "unet"), ("model", "classifier"), ("model", "superres"), ("sample", "sample"), ("loss", "loss") })
        {
            foreach (string path in Directory.GetDirectories(Repo.Path("tests", "golden", folder)).Order(StringComparer.Ordinal))
            {
                data.Add(kind, Path.Combine(folder, Path.GetFileName(path)));
            }
        }

        data.Add("bpd", "bpd");
        data.Add("ddim-reverse", "ddim-reverse");
        return data;
    }

    [Fact]
    public void All_recorded_cases_are_there() => Assert.Equal(3 + 4 + 1 + 4 + 18 + 2, Cases().Count);

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_case_gives_its_arrays(string kind, string folder)
    {
        using var temp = new TempFolder();
        string root = Repo.Path("tests", "golden", folder);
        string[] classifier = kind == "sample" ? ["--classifier", "computed"] : [];
        Adm.Done([
            "replay", kind, "--config", Path.Combine(root, "config.json"), "--weights", "computed", .. classifier,
            "--input", Path.Combine(root, "io.npz"), "--output", temp["out.npz"], "--quiet"]);

        using NpzFile expected = NpzFile.Open(Path.Combine(root, "io.npz")), actual = NpzFile.Open(temp["out.npz"]);
        string[] inputs = ["x", "t", "y", "w", "low_res", "x_T", "x0", "noise"];
        string[] recorded = [.. expected.Names.Except(inputs)];
        Assert.NotEmpty(recorded);
        Assert.Empty(recorded.Except(actual.Names));
        // The cases record some parameter gradients only.
        Assert.All(actual.Names.Except(recorded), name => Assert.StartsWith("grad.", name));
        if (kind == "loss")
        {
            // Some of their numbers magnify rounding, which the library's tests allow for number by number; the program adds nothing.
            SameAsTheLibrary(root, actual);
            return;
        }

        foreach (string name in recorded)
        {
            // Trajectories let rounding grow from step to step.
            bool trajectory = kind is "sample" or "ddim-reverse";
            Compare($"{folder} {name}", expected.Read(name), actual.Read(name), trajectory ? 2e-3 : 1e-4);
        }
    }

    [Fact]
    public void An_unknown_key_is_bad_input()
    {
        using var temp = new TempFolder();
        string root = Repo.Path("tests", "golden", "bpd");
        File.WriteAllText(temp["c.json"], File.ReadAllText(Path.Combine(root, "config.json")).Replace("\"respacing\"", "\"respcaing\"", StringComparison.Ordinal));
        Adm.Outcome outcome = Adm.Run(
            "replay", "bpd", "--config", temp["c.json"], "--weights", "computed", "--input", Path.Combine(root, "io.npz"), "--output", temp["out.npz"]);
        Assert.Equal(ExitCode.BadInput, outcome.Code);
        Assert.Contains("respcaing", outcome.Error);
        Assert.Equal(["c.json"], temp.Names);
    }

    [Fact]
    public void What_is_missing_is_said()
    {
        using var temp = new TempFolder();
        string root = Repo.Path("tests", "golden", "sample", "ddim-guided");
        string[] complete = ["--config", Path.Combine(root, "config.json"), "--weights", "computed", "--input", Path.Combine(root, "io.npz"), "--output", temp["o.npz"]];
        Check(ExitCode.Usage, "--config <C.json> is needed", "sample");
        Check(ExitCode.Usage, "--classifier <W2.pt|computed> is needed", ["sample", .. complete]);
        Check(ExitCode.BadInput, "needs an array x", ["bpd", "--config", Repo.Path("tests", "golden", "bpd", "config.json"), .. complete[2..]]);
        Check(ExitCode.BadInput, "nowhere.json", ["sample", "--config", "nowhere.json", .. complete[2..]]);
        Check(ExitCode.BadInput, "nowhere.npz", ["sample", .. complete, "--classifier", "computed", "--input", "nowhere.npz"]);
        Check(ExitCode.BadInput, "nowhere.pt", ["sample", .. complete, "--classifier", "computed", "--weights", "nowhere.pt"]);
        Assert.Empty(temp.Names);

        static void Check(int code, string message, params string[] args)
        {
            Adm.Outcome outcome = Adm.Run(["replay", .. args]);
            Assert.True(outcome.Code == code, $"{message}: {outcome.Code} {outcome.Error}");
            Assert.Contains(message, outcome.Error);
        }
    }

    private static void SameAsTheLibrary(string root, NpzFile actual)
    {
        using var backend = new CpuBackend();
        using NpzFile input = NpzFile.Open(Path.Combine(root, "io.npz"));
        ReplayConfig config = ReplayConfig.Load(Path.Combine(root, "config.json"), ReplayKind.Loss);
        IReadOnlyDictionary<string, Tensor> expected = Replay.Loss(config, backend, new ComputedWeights(config.Model, config.Seed), input);
        Assert.Equal(expected.Keys.Order(StringComparer.Ordinal), actual.Names.Order(StringComparer.Ordinal));
        foreach ((string name, Tensor value) in expected)
        {
            Assert.True(value.Bytes.SequenceEqual(actual.Read(name).Bytes), $"{root} {name}");
        }
    }

    // Largest difference over the largest magnitude; NaN fails.
    private static void Compare(string what, Tensor expected, Tensor actual, double tolerance)
    {
        Assert.True(expected.Shape == actual.Shape, $"{what}: {actual.Shape}, expected {expected.Shape}");
        float[] e = expected.ToFloats(), a = actual.ToFloats();
        double scale = e.Max(v => Math.Abs((double)v)), worst = 0;
        for (int i = 0; i < e.Length; i++)
        {
            double error = Math.Abs((double)e[i] - a[i]);
            worst = error <= worst ? worst : error; // a NaN is taken and stays
        }

        Assert.True(worst <= tolerance * scale, $"{what}: off by {worst} of {scale}, {worst / scale:g3} > {tolerance}");
    }
}
