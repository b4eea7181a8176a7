using AdmNative.Cli;
using AdmNative.Core;
using AdmNative.Diffusion;
using AdmNative.Formats;

namespace AdmNative.Tests;

/// <summary>Whatever is wrong with the input: one message, the right exit code, nothing half-written.</summary>
public sealed class BadInputTests
{
    [Theory]
    [InlineData("--preset mnist17", "preset \"mnist17\" is unknown")]
    [InlineData("--preset mnist16 --classes 3,12", "--classes: 12 is outside 0..9")]
    [InlineData("--preset mnist16 --classes 9-3", "--classes: '9-3' is not a class or a range")]
    [InlineData("--preset mnist16 --classes 3,3", "--classes: 3 is given twice")]
    [InlineData("--preset mnist16 --classes cat", "--classes: 'cat' is not a class or a range")]
    [InlineData("--preset mnist16 --classes 1,2 --samples_per_class 3 --num_samples 7", "makes 6 images")]
    [InlineData("--preset mnist16 --num_samples 0", "--num_samples: '0' is not a whole number of at least 1")]
    [InlineData("--preset mnist16 --batch_size -2", "--batch_size: '-2'")]
    [InlineData("--preset mnist16 --batch_size 1e3", "--batch_size: '1e3'")]
    [InlineData("--preset mnist16 --num_samples 2000000000 --batch_size 2000000000", "--batch_size 2000000000 of 16x16 images")]
    [InlineData("--preset mnist16 --threads 100000", "--threads: '100000' is not a whole number from 0 to 1024")]
    [InlineData("--preset mnist16 --diffusion_steps 1000000000", "diffusion_steps is 1000000000; 2 to 1000000 are possible")]
    [InlineData("--preset mnist16 --grid=", "--grid: a file name is needed")]
    [InlineData("--preset mnist16 --png_dir=", "--png_dir: a folder is needed")]
    [InlineData("--preset mnist16 --grid g.png --grid_scale 2000000000", "at most 256 are possible")]
    [InlineData("--preset mnist16 --eta 0.5", "--eta belongs to DDIM")]
    [InlineData("--preset mnist16 --use_ddim True --eta -1", "eta")]
    [InlineData("--preset mnist16 --classifier_scale NaN", "--classifier_scale: 'NaN' is not a finite number")]
    [InlineData("--preset mnist16 --use_ddim maybe", "--use_ddim: 'maybe' is not one of yes/true/t/y/1")]
    [InlineData("--preset mnist16 --timestep_respacing ddim1", "ddim1")]
    [InlineData("--preset mnist16 --timestep_respacing 2000", "2000")]
    [InlineData("--preset mnist16 --timestep_respacing x", "x")]
    [InlineData("--preset mnist16 --noise_schedule square", "--noise_schedule: 'square' is not one of linear, cosine")]
    [InlineData("--preset mnist16 --image_size 15", "image_size")]
    [InlineData("--preset mnist16 --image_size -16", "image_size")]
    [InlineData("--preset mnist16 --num_channels 0", "num_channels")]
    [InlineData("--preset mnist16 --num_head_channels 5", "num_head_channels")]
    [InlineData("--preset mnist16 --channel_mult 1,x", "channel_mult")]
    [InlineData("--preset mnist16 --classifier_pool max", "--classifier_pool: 'max' is not one of")]
    [InlineData("--preset mnist16 --device gpu", "--device: 'gpu' is not one of")]
    [InlineData("--preset mnist16 --device cpu:1", "--device: 'cpu:1' is not one of")]
    [InlineData("--preset mnist16 --conv fast", "--conv: 'fast' is not one of auto, cudnn, native")]
    [InlineData("--preset mnist16 --device cpu --conv native", "--conv: the cpu device has only convolutions of its own; native goes with --device cuda")]
    [InlineData("--preset mnist16 --device virtual --conv cudnn", "--conv: the virtual device has only convolutions of its own")]
    [InlineData("--preset mnist16 --seed -1", "--seed: '-1'")]
    [InlineData("--preset upsampler-64-256", "--preset upsampler-64-256 is not an image model")]
    [InlineData("--preset imagenet64", "64x64_diffusion.pt")]
    [InlineData("", "--model_path is needed")]
    public void A_wrong_command_line_is_usage(string flags, string message)
    {
        using var temp = new TempFolder();
        Adm.Outcome outcome = Adm.Run(["classifier_sample", .. flags.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--out", temp["a.npz"]]);
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.Contains(message, outcome.Error);
        Assert.Contains("try 'adm classifier_sample --help'", outcome.Error);
        Assert.Empty(outcome.Out);
        Assert.Empty(temp.Names);
    }

    [Fact]
    public void A_driver_that_is_not_in_the_program_is_refused_and_a_machine_says_what_it_has()
    {
        Adm.Outcome unknown = Adm.Run("image_sample", "--driver", "rocm");
        Assert.Equal((ExitCode.Usage, true), (unknown.Code, unknown.Error.Contains("--driver: 'rocm' is not one of libcuda, managedcuda", StringComparison.Ordinal)));
        Adm.Outcome absent = Adm.Run("kernels", "check", "--device", "cuda", "--driver", "managedcuda");
        Assert.Equal((ExitCode.Usage, true), (absent.Code, absent.Error.Contains("built without managedcuda", StringComparison.Ordinal)));
        Assert.Contains($"Tried: {NoDriver.Library}: ", Adm.Done("inspect", "devices", "--driver", "libcuda").Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("cuda")]
    [InlineData("cuda:1")]
    public void A_device_that_is_not_there_is_code_3(string device)
    {
        using var temp = new TempFolder();
        Adm.Outcome outcome = Adm.Run(Digits.Guided(temp["a.npz"], "--device", device));
        Assert.Equal(ExitCode.DeviceUnavailable, outcome.Code);
        Assert.Contains("--device cpu", outcome.Error);
        Assert.Empty(temp.Names);
    }

    [Fact]
    public void Convolutions_of_a_device_that_is_not_there_are_code_3()
    {
        using var temp = new TempFolder();
        Adm.Outcome outcome = Adm.Run(Digits.Guided(temp["a.npz"], "--conv", "cudnn"));
        Assert.Equal(ExitCode.DeviceUnavailable, outcome.Code);
        Assert.Contains("--conv: only the cuda device has a choice of convolutions, and: no CUDA driver", outcome.Error);
        Assert.Empty(temp.Names);
    }

    [Fact]
    public void Flags_that_contradict_the_file_are_listed_as_flags()
    {
        using var temp = new TempFolder();
        Adm.Outcome outcome = Adm.Run(Digits.Guided(temp["a.npz"], "--num_channels", "64", "--class_cond", "True", "--learn_sigma", "False"));
        Assert.Equal(ExitCode.BadInput, outcome.Code);
        Assert.Contains("num_channels is 64 here, the file has 32", outcome.Error);
        Assert.Contains("class_cond is True here, the file has False", outcome.Error);
        Assert.Contains("learn_sigma is False here, the file has True", outcome.Error);
        Assert.Empty(temp.Names);
    }

    [Fact]
    public void A_classifier_in_the_place_of_the_model_is_recognised()
    {
        using var temp = new TempFolder();
        Adm.Outcome outcome = Adm.Run("image_sample", "--preset", "mnist16", "--model_path", Digits.Classifier, "--out", temp["a.npz"]);
        Assert.Equal(ExitCode.BadInput, outcome.Code);
        Assert.Contains("classifier", outcome.Error);
    }

    [Fact]
    public void A_classifier_of_another_image_size_is_refused()
    {
        using var temp = new TempFolder();
        string classifier = SmallModels.Write(temp["c.safetensors"], new EncoderUNetConfig
        {
            ImageSize = 32,
            ModelChannels = 32,
            OutChannels = 10,
            ResBlocks = 1,
            AttentionRates = [2],
            ChannelMult = [1, 2],
            NumHeadChannels = 32,
            UseScaleShiftNorm = true,
            ResblockUpdown = true,
            Pool = PoolKind.Attention,
        });
        Adm.Outcome outcome = Adm.Run("classifier_sample", "--model_path", Digits.Diffusion, "--classifier_path", classifier, "--out", temp["a.npz"]);
        Assert.Equal(ExitCode.BadInput, outcome.Code);
        Assert.Contains("32x32", outcome.Error);
    }

    public static TheoryData<string, byte[]?> BrokenFiles() => new()
    {
        { "missing", null },
        { "empty", [] },
        { "truncated", File.ReadAllBytes(Digits.Diffusion)[..200_000] },
        { "head only", File.ReadAllBytes(Digits.Diffusion)[..1000] },
        { "noise", [.. Enumerable.Range(0, 5000).Select(i => (byte)(i * 131))] },
        { "a picture", File.ReadAllBytes(Repo.Path("tests", "golden", "runs", "ddpm50-scale3-seed0.npz.png")) },
        { "an npz", File.ReadAllBytes(Repo.Path("tests", "golden", "runs", "ddpm50-scale3-seed0.npz")) },
        { "a web page", "<!DOCTYPE html><html>not found</html>"u8.ToArray() },
    };

    [Theory]
    [MemberData(nameof(BrokenFiles), DisableDiscoveryEnumeration = true)]
    public void A_checkpoint_that_is_none_is_code_4(string what, byte[]? bytes)
    {
        using var temp = new TempFolder();
        string path = temp["model.pt"];
        if (bytes is not null)
        {
            File.WriteAllBytes(path, bytes);
        }

        foreach (string[] verb in (string[][])[["image_sample", "--model_path", path], ["inspect", "checkpoint", path], ["convert", path, temp["b.safetensors"]]])
        {
            Adm.Outcome outcome = Adm.Run([.. verb, .. verb[0] == "image_sample" ? new[] { "--out", temp["a.npz"] } : []]);
            Assert.True(outcome.Code == ExitCode.BadInput, $"{what}, {verb[0]}: {outcome.Code} {outcome.Error}");
            Assert.Contains("model.pt", outcome.Error);
            Assert.Empty(outcome.Out);
        }

        Assert.Equal(bytes is null ? [] : ["model.pt"], temp.Names);
    }

    [Fact]
    public void A_truncated_torch_file_is_code_4()
    {
        using var temp = new TempFolder();
        Adm.Done("convert", Digits.Diffusion, temp["whole.pt"], "--quiet");
        byte[] whole = File.ReadAllBytes(temp["whole.pt"]);
        foreach (int length in new[] { 10, 1000, whole.Length / 2, whole.Length - 10 })
        {
            File.WriteAllBytes(temp["cut.pt"], whole[..length]);
            Adm.Outcome outcome = Adm.Run("image_sample", "--preset", "mnist16", "--model_path", temp["cut.pt"], "--out", temp["a.npz"]);
            Assert.True(outcome.Code == ExitCode.BadInput, $"{length} bytes: {outcome.Code} {outcome.Error}");
        }
    }

    [Fact]
    public void Weights_that_are_not_numbers_are_code_5()
    {
        using var temp = new TempFolder();
        var config = (UNetConfig)Presets.Find("mnist16").Network;
        string model = SmallModels.Write(temp["nan.safetensors"], config, (name, values) =>
        {
            if (name == "middle_block.0.in_layers.2.weight")
            {
                values[7] = float.NaN;
            }
        });
        Adm.Outcome outcome = Adm.Run(Digits.Plain(temp["a.npz"], "--model_path", model));
        Assert.Equal(ExitCode.NonFinite, outcome.Code);
        Assert.Equal(["nan.safetensors"], temp.Names);
    }

    [Fact]
    public void Places_that_cannot_be_written_are_refused_before_the_work()
    {
        using var temp = new TempFolder();
        File.WriteAllText(temp["file"], "");
        Directory.CreateDirectory(temp["folder"]);
        Check(ExitCode.Failed, "--out", "--out", Path.Combine(temp["file"], "x"));
        Check(ExitCode.Failed, "--grid", "--grid", Path.Combine(temp["file"], "g.png"));
        Check(ExitCode.Failed, "--grid", "--grid", "/dev/full");
        Check(ExitCode.Failed, "--png_dir", "--png_dir", temp["file"]);
        Check(ExitCode.Usage, "a file name is needed", "--grid", temp["folder"]);
        Assert.True(File.Exists("/dev/full"));

        void Check(int code, string message, params string[] flags)
        {
            Adm.Outcome outcome = Adm.Run(Digits.Guided(temp["a.npz"], flags));
            Assert.True(outcome.Code == code, $"{flags[1]}: {outcome.Code} {outcome.Error}");
            Assert.Contains(message, outcome.Error);
            Assert.Equal(["file", "folder"], temp.Names);
        }
    }

    [Fact]
    public void A_grid_of_too_many_images_is_refused_before_the_work()
    {
        using var temp = new TempFolder();
        Adm.Outcome outcome = Adm.Run(Digits.Guided(temp["a.npz"], "--num_samples", "1000000", "--grid", temp["g.png"]));
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.Contains("--png_dir", outcome.Error);
        Assert.Empty(temp.Names);
    }

    [Theory]
    [InlineData("{", "not valid JSON")]
    [InlineData("{\"diffusion\": 3}", "must be an object")]
    [InlineData("{\"diffusion\": {\"nmu_channels\": 3}}", "\"nmu_channels\" is not a flag")]
    [InlineData("{\"diffusion\": {\"num_channels\": \"many\"}}", "\"num_channels\": 'many' is not a whole number")]
    [InlineData("{\"diffusion\": {\"num_channels\": [1]}}", "must be a text, a number or true/false")]
    public void A_config_beside_the_checkpoint_is_checked(string config, string message)
    {
        using var temp = new TempFolder();
        File.Copy(Digits.Diffusion, temp["m.safetensors"]);
        File.WriteAllText(temp["config.json"], config);
        Adm.Outcome outcome = Adm.Run("image_sample", "--model_path", temp["m.safetensors"], "--out", temp["a.npz"]);
        Assert.Equal(ExitCode.BadInput, outcome.Code);
        Assert.Contains(message, outcome.Error);
        Assert.Contains("config.json", outcome.Error);
    }

    [Fact]
    public void Flags_on_the_command_line_beat_the_config_beside_the_checkpoint()
    {
        using var temp = new TempFolder();
        File.Copy(Digits.Diffusion, temp["diffusion.safetensors"]);
        File.Copy(Repo.Path("models", "mnist16", "config.json"), temp["config.json"]);
        string[] what = ["image_sample", "--model_path", temp["diffusion.safetensors"], "--timestep_respacing", "3", "--num_samples", "1", "--out", temp["a.npz"]];
        Adm.Done(what);
        Adm.Outcome outcome = Adm.Run([.. what, "--num_res_blocks", "2"]);
        Assert.Equal(ExitCode.BadInput, outcome.Code);
        Assert.Contains("num_res_blocks is 2 here, the file has 1", outcome.Error);
    }

    [Fact]
    public void Images_that_are_none_are_code_4()
    {
        using var temp = new TempFolder();
        Directory.CreateDirectory(temp["empty"]);
        File.WriteAllText(temp["text.npz"], "no");
        File.WriteAllText(temp["text.png"], "no");
        using (NpzWriter npz = NpzWriter.Create(temp["floats.npz"]))
        {
            npz.Add("arr_0", Tensor.From<float>([1, 16, 16, 3], new float[768]));
            npz.Commit();
        }

        using (NpzWriter npz = NpzWriter.Create(temp["small.npz"]))
        {
            npz.Add("arr_0", Tensor.From<byte>([1, 8, 8, 3], new byte[192]));
            npz.Commit();
        }

        foreach (string name in new[] { "empty", "missing", "missing.npz", "text.npz", "text.png", "floats.npz", "small.npz" })
        {
            Adm.Outcome outcome = Adm.Run("image_nll", "--preset", "mnist16", "--data_dir", temp[name], "--timestep_respacing", "3", "--out", temp["o"]);
            Assert.True(outcome.Code == ExitCode.BadInput, $"{name}: {outcome.Code} {outcome.Error}");
            Assert.Contains(name, outcome.Error);
        }
    }
}
