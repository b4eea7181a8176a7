using AdmNative.Cli;
using Newtonsoft.Json.Linq;

namespace AdmNative.Tests;

/// <summary>Runs that are stopped in the middle and go on.</summary>
public sealed class ResumeTests
{
    // Twelve batches of eight steps: long enough to be caught in the middle.
    private static readonly string[] s_long = ["--num_samples", "12", "--batch_size", "1", "--timestep_respacing", "8", "--save_every", "4"];

    [Theory]
    [InlineData("--seed", "3")]
    [InlineData("--torch_seed", "3")]
    public void A_resumed_run_gives_the_same_bytes(string seedFlag, string seed)
    {
        using var temp = new TempFolder();
        string[] run = Digits.Guided(temp["a.npz"], [.. s_long, seedFlag, seed, "--grid", temp["a.png"]]);
        Adm.Outcome stopped = RunUntilBatch(temp["a.parts"], run);
        Assert.Equal(ExitCode.Cancelled, stopped.Code);
        Assert.Contains("of 12 samples are kept", stopped.Error);
        Assert.Contains("--resume", stopped.Error);
        Assert.Equal(["a.parts"], temp.Names);

        Adm.Outcome resumed = Adm.Done([.. run, "--resume"]);
        Assert.Contains("resuming after", resumed.Error);
        Adm.Done(Digits.Guided(temp["b.npz"], [.. s_long, seedFlag, seed, "--grid", temp["b.png"]]));
        Assert.DoesNotContain("a.parts", temp.Names);
        Assert.Equal(File.ReadAllBytes(temp["b.npz"]), File.ReadAllBytes(temp["a.npz"]));
        Assert.Equal(File.ReadAllBytes(temp["b.frames.npz"]), File.ReadAllBytes(temp["a.frames.npz"]));
        Assert.Equal(File.ReadAllBytes(temp["b.png"]), File.ReadAllBytes(temp["a.png"]));
    }

    [Fact]
    public void A_run_resumes_with_its_own_flags_only()
    {
        using var temp = new TempFolder();
        string[] run = Digits.Guided(temp["a.npz"], s_long);
        Assert.Equal(ExitCode.Cancelled, RunUntilBatch(temp["a.parts"], run).Code);

        Adm.Outcome again = Adm.Run(run);
        Assert.Equal(ExitCode.Failed, again.Code);
        Assert.Contains("--resume", again.Error);

        Adm.Outcome other = Adm.Run([.. run, "--resume", "--seed", "1", "--classifier_scale", "7", "--batch_size", "5"]);
        Assert.Equal(ExitCode.Usage, other.Code);
        Assert.Contains("seed: was 0, now 1", other.Error);
        Assert.Contains("classifier_scale: was 5, now 7", other.Error);
        Assert.Contains("batch_size: was 1, now 5", other.Error);
        Assert.DoesNotContain("num_samples", other.Error);

        // Threads and the other places results go to do not matter.
        Adm.Done([.. run, "--resume", "--threads", "1", "--png_dir", temp["png"]]);
        Adm.Done(Digits.Guided(temp["b.npz"], s_long));
        Assert.Equal(File.ReadAllBytes(temp["b.npz"]), File.ReadAllBytes(temp["a.npz"]));
    }

    [Fact]
    public void Stopping_before_the_first_batch_leaves_nothing()
    {
        using var temp = new TempFolder();
        using var stop = new CancellationTokenSource();
        stop.Cancel();
        Adm.Outcome outcome = Adm.Run(stop.Token, Digits.Guided(temp["a.npz"]));
        Assert.Equal(ExitCode.Cancelled, outcome.Code);
        Assert.Contains("nothing is kept", outcome.Error);
        Assert.Empty(temp.Names);
    }

    [Fact]
    public void Resuming_nothing_starts_from_the_beginning()
    {
        using var temp = new TempFolder();
        Assert.Contains("nothing to resume", Adm.Done(Digits.Guided(temp["a.npz"], "--resume")).Error);
        Assert.Equal(["a.npz"], temp.Names);
    }

    [Fact]
    public void A_damaged_batch_is_named()
    {
        using var temp = new TempFolder();
        string[] run = Digits.Guided(temp["a.npz"], s_long);
        RunUntilBatch(temp["a.parts"], run);
        string part = Directory.GetFiles(temp["a.parts"], "part-*.npz").Order(StringComparer.Ordinal).First();
        File.WriteAllBytes(part, File.ReadAllBytes(part)[..100]);
        Adm.Outcome outcome = Adm.Run([.. run, "--resume"]);
        Assert.Equal(ExitCode.BadInput, outcome.Code);
        Assert.Contains(Path.GetFileName(part), outcome.Error);
        Assert.False(File.Exists(temp["a.npz"]));
    }

    [Fact]
    public void Likelihood_runs_resume_too()
    {
        using var temp = new TempFolder();
        string data = Digits.Numbered(temp["data.npz"], 6);
        string[] run = ["image_nll", "--preset", "mnist16", "--data_dir", data, "--timestep_respacing", "6", "--out"];
        Adm.Outcome stopped = RunUntilBatch(Path.Combine(temp["a"], "image_nll.parts"), [.. run, temp["a"]]);
        Assert.Equal(ExitCode.Cancelled, stopped.Code);
        JObject resumed = JObject.Parse(Adm.Done([.. run, temp["a"], "--resume", "--json"]).Out);
        JObject whole = JObject.Parse(Adm.Done([.. run, temp["b"], "--json"]).Out);
        Assert.Equal((double)whole["bpd"]!, (double)resumed["bpd"]!);
        foreach (string file in new[] { "vb_terms.npz", "mse_terms.npz", "xstart_mse_terms.npz" })
        {
            Assert.Equal(File.ReadAllBytes(Path.Combine(temp["b"], file)), File.ReadAllBytes(Path.Combine(temp["a"], file)));
        }
    }

    // Stops the run as soon as its first batch is on disk.
    private static Adm.Outcome RunUntilBatch(string parts, string[] args)
    {
        using var stop = new CancellationTokenSource();
        using var finished = new ManualResetEventSlim();
        var watcher = new Thread(() =>
        {
            while (!finished.Wait(1))
            {
                if (Directory.Exists(parts) && Directory.GetFiles(parts, "part-*.npz").Length > 0)
                {
                    stop.Cancel();
                    return;
                }
            }
        });
        watcher.Start();
        Adm.Outcome outcome = Adm.Run(stop.Token, args);
        finished.Set();
        watcher.Join();
        return outcome;
    }
}
