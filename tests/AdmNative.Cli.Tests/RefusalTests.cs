using System.Diagnostics;
using AdmNative.Cli;
using AdmNative.Core;
using AdmNative.Formats;

namespace AdmNative.Tests;

/// <summary>Commands that cannot mean what they say: results over inputs, sizes beyond any machine, files that are none.</summary>
public sealed class RefusalTests
{
    [Theory]
    [InlineData("adm convert: needs <input> and <output>: adm convert <input> <output> [flags]", "convert")]
    [InlineData("adm convert: needs <output>: adm convert <input> <output> [flags]", "convert", "a.pt")]
    [InlineData("adm inspect checkpoint: needs <file>: adm inspect checkpoint <file> [flags]", "inspect", "checkpoint")]
    [InlineData("adm replay: a command is needed: model, sample, bpd, ddim_reverse, loss", "replay")]
    [InlineData("adm inspect: a command is needed: checkpoint, graph, plan, schedule, devices", "inspect")]
    [InlineData("adm bench: a command is needed: model", "bench")]
    [InlineData("adm inspect graph: num_res_blocks is 1000000000; at most 100 are possible", "inspect", "graph", "--num_res_blocks", "1000000000")]
    public void What_is_wrong_is_said_in_one_line(string message, params string[] args)
    {
        Adm.Outcome outcome = Adm.Run(args);
        Assert.Equal(ExitCode.Usage, outcome.Code);
        string[] lines = outcome.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(message, lines[0]);
        Assert.StartsWith("try 'adm ", lines[1]);
        Assert.Equal(2, lines.Length);
    }

    [Theory]
    [InlineData("inspect", "plan", "--num_channels", "32000000")]
    [InlineData("inspect", "plan", "--batch_size", "2147483647")]
    [InlineData("inspect", "plan", "--preset", "mnist16", "--of", "ddpm", "--batch_size", "100000")]
    [InlineData("inspect", "plan", "--image_channels", "2147483647")]
    public void Sizes_beyond_counting_are_refused(params string[] args)
    {
        Adm.Outcome outcome = Adm.Run(args);
        Assert.Equal(ExitCode.BadInput, outcome.Code);
        Assert.Contains("take fewer images at a time, or a smaller network", outcome.Error);
        Assert.Empty(outcome.Out);
    }

    [Fact]
    public void A_batch_beyond_the_memory_is_refused_before_anything_of_its_size_is_made()
    {
        using var temp = new TempFolder();
        long before = GC.GetTotalAllocatedBytes();
        Adm.Outcome outcome = Adm.Run(Digits.Plain(temp["a.npz"], "--num_samples", "200000", "--batch_size", "200000"));
        Assert.True(outcome.Code is ExitCode.BadInput or ExitCode.Failed, outcome.Error);
        Assert.Contains("fewer images at a time", outcome.Error);
        Assert.InRange(GC.GetTotalAllocatedBytes() - before, 0, 300L << 20);
        Assert.Empty(temp.Names);

        string data = Digits.Numbered(temp["data.npz"], 1);
        outcome = Adm.Run("image_nll", "--preset", "mnist16", "--data_dir", data, "--batch_size", "2147483647", "--torch_seed", "1", "--out", temp["o"]);
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.Contains("--batch_size 2147483647 of 16x16 images", outcome.Error);
        Assert.Equal(["data.npz"], temp.Names);
    }

    [Theory]
    [InlineData("--grid", "a.npz", "--grid")]
    [InlineData("--png_dir", "a.parts", "--png_dir")]
    [InlineData("--grid", "a.frames.npz", "--grid", "--save_every", "2")]
    [InlineData("--out", "m.npz", "--out")]
    [InlineData("--grid", "sub/../m.npz", "--grid")]
    [InlineData("--grid", "link.png", "--grid")]
    public void A_result_takes_no_other_ones_place_nor_an_inputs(string flag, string name, string said, params string[] more)
    {
        using var temp = new TempFolder();
        File.Copy(Digits.Diffusion, temp["m.npz"]);
        File.CreateSymbolicLink(temp["link.png"], temp["m.npz"]);
        byte[] model = File.ReadAllBytes(temp["m.npz"]);
        Adm.Outcome outcome = Adm.Run(Digits.Plain(temp["a.npz"], ["--model_path", temp["m.npz"], flag, temp[name], .. more]));
        Assert.True(outcome.Code == ExitCode.Usage, outcome.Error);
        Assert.Contains($": {said} ", outcome.Error);
        Assert.Contains("which would be lost; choose another name", outcome.Error);
        Assert.Equal(model, File.ReadAllBytes(temp["m.npz"]));
        Assert.DoesNotContain("a.npz", temp.Names);
    }

    [Fact]
    public void A_checkpoint_is_not_converted_onto_itself_nor_a_case_over_its_files()
    {
        using var temp = new TempFolder();
        File.Copy(Digits.Diffusion, temp["m.safetensors"]);
        byte[] model = File.ReadAllBytes(temp["m.safetensors"]);
        Adm.Outcome outcome = Adm.Run("convert", temp["m.safetensors"], temp["m.safetensors"], "--dtype", "f16");
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.Contains("that is the input too", outcome.Error);
        Assert.Equal(model, File.ReadAllBytes(temp["m.safetensors"]));

        foreach (string name in new[] { "config.json", "io.npz" })
        {
            File.Copy(Repo.Path("tests", "golden", "bpd", name), temp[name]);
        }

        foreach (string name in new[] { "config.json", "io.npz" })
        {
            byte[] before = File.ReadAllBytes(temp[name]);
            outcome = Adm.Run("replay", "bpd", "--config", temp["config.json"], "--weights", "computed", "--input", temp["io.npz"], "--output", temp[name]);
            Assert.Equal(ExitCode.Usage, outcome.Code);
            Assert.Equal(before, File.ReadAllBytes(temp[name]));
        }
    }

    [Fact]
    public void Pictures_are_not_enlarged_over_themselves()
    {
        using var temp = new TempFolder();
        string model = SmallModels.Upsampler(temp["up.safetensors"]);
        Directory.CreateDirectory(temp["p"]);
        Png.Write(Path.Combine(temp["p"], "000000.png"), new ImageBytes(8, 8, 3, new byte[192]));
        string[] run = ["super_res_sample", .. SmallModels.UpsamplerFlags, "--model_path", model, "--base_samples", temp["p"], "--classes", "1", "--timestep_respacing", "2"];
        Adm.Outcome outcome = Adm.Run([.. run, "--out", temp["a.npz"], "--png_dir", temp["p"]]);
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.Contains("--base_samples too", outcome.Error);
        Assert.Equal((8, 8), (Png.Read(Path.Combine(temp["p"], "000000.png")).Width, Png.Read(Path.Combine(temp["p"], "000000.png")).Height));
    }

    [Fact]
    public void A_file_where_a_folder_is_needed_is_said_so()
    {
        using var temp = new TempFolder();
        File.WriteAllText(temp["a.parts"], "");
        File.WriteAllText(temp["f"], "");
        Adm.Outcome outcome = Adm.Run(Digits.Plain(temp["a.npz"]));
        Assert.Equal(ExitCode.Failed, outcome.Code);
        Assert.Contains("a folder for finished batches is needed there, this is a file", outcome.Error);
        outcome = Adm.Run(Digits.Plain(temp["b.npz"], "--png_dir", temp["f"]));
        Assert.Equal(ExitCode.Failed, outcome.Code);
        Assert.Contains($"--png_dir {temp["f"]}: a folder is needed", outcome.Error);
        Assert.Equal(["a.parts", "f"], temp.Names);
    }

    [Fact]
    public void A_stopped_replay_or_conversion_writes_nothing_and_says_so()
    {
        using var temp = new TempFolder();
        using var stop = new CancellationTokenSource();
        stop.Cancel();
        foreach ((string kind, string folder) in new[]
        {
            ("model", "unet/adagn-updown-headchannels"), ("sample", "sample/ddim-guided"), ("bpd", "bpd"), ("ddim-reverse", "ddim-reverse"),
            ("loss", "loss/linear-epsilon-learned_range-mse"),
        })
        {
            string root = Repo.Path(["tests", "golden", .. folder.Split('/')]);
            string[] classifier = kind == "sample" ? ["--classifier", "computed"] : [];
            Stopped("o.npz", [
                "replay", kind, "--config", Path.Combine(root, "config.json"), "--weights", "computed", .. classifier,
                "--input", Path.Combine(root, "io.npz"), "--output", temp["o.npz"]]);
        }

        Stopped("o.pt", "convert", Digits.Diffusion, temp["o.pt"]);
        Stopped("o.safetensors", "convert", Digits.Diffusion, temp["o.safetensors"], "--dtype", "f16");

        void Stopped(string name, params string[] args)
        {
            Adm.Outcome outcome = Adm.Run(stop.Token, args);
            Assert.True(outcome.Code == ExitCode.Cancelled, $"{args[0]} {args[1]}: {outcome.Code} {outcome.Error}");
            Assert.Contains($"stopped; {temp[name]} was not written", outcome.Error);
            Assert.Empty(temp.Names);
        }
    }

    [Theory]
    [InlineData("{\"weight_scale\": {\"nope\": 2}, ", "weight_scale: the network has no nope")]
    [InlineData("{\"num_res_blocks\": 1000000000, ", "at most 100 are possible")]
    public void What_is_wrong_in_a_case_is_bad_input_and_names_the_file(string start, string message)
    {
        using var temp = new TempFolder();
        string root = Repo.Path("tests", "golden", "unet", "adagn-updown-headchannels");
        string config = File.ReadAllText(Path.Combine(root, "config.json"));
        string key = start[1..].Split(':')[0];
        config = string.Join('\n', config.Split('\n').Where(l => !l.Contains(key, StringComparison.Ordinal)));
        File.WriteAllText(temp["c.json"], string.Concat(start, config.AsSpan(config.IndexOf('{', StringComparison.Ordinal) + 1)));
        Refused(temp, message, temp["c.json"], Path.Combine(root, "io.npz"));
    }

    [Fact]
    public void A_configuration_that_is_no_text_is_bad_input()
    {
        using var temp = new TempFolder();
        string input = Repo.Path("tests", "golden", "bpd", "io.npz");
        Directory.CreateDirectory(temp["folder"]);
        File.WriteAllBytes(temp["large"], new byte[2 << 20]);
        File.WriteAllBytes(temp["binary"], [(byte)'{', 0xff, 0xfe, 0x80]);
        File.WriteAllBytes(temp["empty"], []);
        Refused(temp, "is a folder", temp["folder"], input);
        Refused(temp, "is larger than 1048576 bytes", temp["large"], input);
        Refused(temp, "is not a text (UTF-8)", temp["binary"], input);
        Refused(temp, "is empty (0 bytes)", temp["empty"], input);
        Refused(temp, "no such file", temp["missing"], input);
    }

    [Fact]
    public void Arrays_that_do_not_fit_the_case_name_their_file()
    {
        using var temp = new TempFolder();
        using (NpzWriter npz = NpzWriter.Create(temp["io.npz"]))
        {
            npz.Add("x", Tensor.From<float>([2, 3, 31, 31], new float[2 * 3 * 31 * 31]));
            npz.Add("t", Tensor.From<float>([2], new float[2]));
            npz.Commit();
        }

        string root = Repo.Path("tests", "golden", "unet", "adagn-updown-headchannels");
        Adm.Outcome outcome = Adm.Run(
            "replay", "model", "--config", Path.Combine(root, "config.json"), "--weights", "computed", "--input", temp["io.npz"], "--output", temp["o.npz"]);
        Assert.Equal(ExitCode.BadInput, outcome.Code);
        Assert.Contains($"{temp["io.npz"]}: does not fit", outcome.Error);
        Assert.Contains("images of 31x31 cannot be halved", outcome.Error);
    }

    [Fact]
    public void Labels_that_are_no_labels_are_refused()
    {
        using var temp = new TempFolder();
        foreach (float label in new[] { 0.5f, float.NaN, 1e20f })
        {
            using (NpzWriter npz = NpzWriter.Create(temp["d.npz"]))
            {
                npz.Add("arr_0", Tensor.From<byte>([1, 8, 8, 3], new byte[192]));
                npz.Add("arr_1", Tensor.From<float>([1], [label]));
                npz.Commit();
            }

            Adm.Outcome outcome = Adm.Run([
                "super_res_sample", .. SmallModels.UpsamplerFlags, "--model_path", SmallModels.Upsampler(temp["up.safetensors"]),
                "--base_samples", temp["d.npz"], "--timestep_respacing", "2", "--out", temp["a.npz"]]);
            Assert.Equal(ExitCode.BadInput, outcome.Code);
            Assert.Contains("arr_1 must hold labels", outcome.Error);
        }
    }

    [Fact]
    public void Damage_is_found_also_where_not_all_images_are_used()
    {
        using var temp = new TempFolder();
        byte[] data = File.ReadAllBytes(Digits.Numbered(temp["d.npz"], 20));
        data[data.Length - 2000] ^= 1;
        File.WriteAllBytes(temp["d.npz"], data);
        Adm.Outcome outcome = Adm.Run("image_nll", "--preset", "mnist16", "--data_dir", temp["d.npz"], "--num_samples", "1", "--timestep_respacing", "2", "--out", temp["o"]);
        Assert.Equal(ExitCode.BadInput, outcome.Code);
        Assert.Contains("d.npz", outcome.Error);
        Assert.Equal(["d.npz"], temp.Names);
    }

    [Fact]
    public void A_bound_that_is_no_number_is_code_5()
    {
        using var temp = new TempFolder();
        string model = SmallModels.Write(temp["nan.safetensors"], Diffusion.Presets.Find("mnist16").Network, (name, values) =>
        {
            if (name == "out.2.bias")
            {
                values[0] = float.NaN;
            }
        });
        Adm.Outcome outcome = Adm.Run(
            "image_nll", "--preset", "mnist16", "--model_path", model, "--data_dir", Digits.Numbered(temp["d.npz"], 2), "--timestep_respacing", "2", "--out", temp["o"]);
        Assert.Equal(ExitCode.NonFinite, outcome.Code);
        Assert.Contains("image 0 has a bound of NaN", outcome.Error);
        Assert.Empty(outcome.Out);
        Assert.Empty(Directory.GetFileSystemEntries(temp["o"]));
    }

    [Fact]
    public void An_evaluation_that_cannot_be_written_keeps_its_batches_and_says_so()
    {
        using var temp = new TempFolder();
        Directory.CreateDirectory(Path.Combine(temp["o"], "mse_terms.npz"));
        string[] run = ["image_nll", "--preset", "mnist16", "--data_dir", Digits.Numbered(temp["d.npz"], 4), "--timestep_respacing", "2", "--out", temp["o"]];
        Adm.Outcome outcome = Adm.Run(run);
        Assert.Equal(ExitCode.Failed, outcome.Code);
        Assert.Contains("4 of 4 images are kept; run the same command with --resume to go on", outcome.Error);
        Directory.Delete(Path.Combine(temp["o"], "mse_terms.npz"));
        Adm.Done([.. run, "--resume"]);
        Assert.Equal(3, Directory.GetFileSystemEntries(temp["o"]).Length);
    }

    // As a process of its own: an open that waits cannot be called off.
    [Fact]
    public void A_pipe_nobody_writes_to_is_refused_and_not_waited_for()
    {
        using var temp = new TempFolder();
        foreach (string name in new[] { "p.npz", "p.png", "p.pt" })
        {
            using Process make = Process.Start("mkfifo", [temp[name]])!;
            make.WaitForExit();
        }

        string root = Repo.Path("tests", "golden", "bpd");
        NotWaitedFor("p.pt", "convert", temp["p.pt"], temp["o.safetensors"]);
        NotWaitedFor("p.png", "image_nll", "--preset", "mnist16", "--data_dir", temp["p.png"], "--timestep_respacing", "2", "--out", temp["o"]);
        NotWaitedFor("p.npz", "image_nll", "--preset", "mnist16", "--data_dir", temp["p.npz"], "--timestep_respacing", "2", "--out", temp["o"]);
        NotWaitedFor("p.pt", "replay", "bpd", "--config", temp["p.pt"], "--weights", "computed", "--input", Path.Combine(root, "io.npz"), "--output", temp["o.npz"]);
    }

    private static void NotWaitedFor(string name, params string[] args)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (string argument in (string[])[Path.Combine(AppContext.BaseDirectory, "adm.dll"), .. args])
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        bool ended = process.WaitForExit(TimeSpan.FromMinutes(3));
        if (!ended)
        {
            process.Kill();
        }

        Assert.True(ended, $"{string.Join(' ', args)} waits");
        Assert.Equal(ExitCode.BadInput, process.ExitCode);
        Assert.Contains(name, error.Result);
        Assert.Contains("or a pipe or device", error.Result);
    }

    private static void Refused(TempFolder temp, string message, string config, string input)
    {
        string kind = input.Contains("bpd", StringComparison.Ordinal) ? "bpd" : "model";
        Adm.Outcome outcome = Adm.Run("replay", kind, "--config", config, "--weights", "computed", "--input", input, "--output", temp["o.npz"]);
        Assert.True(outcome.Code == ExitCode.BadInput, $"{message}: {outcome.Code} {outcome.Error}");
        Assert.Contains(message, outcome.Error);
        Assert.Contains(config, outcome.Error);
        Assert.DoesNotContain("o.npz", temp.Names);
    }
}
