using AdmNative.Cli;
using AdmNative.Core;
using AdmNative.Diffusion;
using AdmNative.Formats;
using Newtonsoft.Json.Linq;

namespace AdmNative.Tests;

/// <summary>The sampling verbs on the bundled model.</summary>
public sealed class SamplingTests
{
    // Runs of the reference's own program: 16 images in one batch.
    [Theory]
    [InlineData("ddim25-scale2-seed7", "--timestep_respacing", "ddim25", "--use_ddim", "True", "--classifier_scale", "2", "--torch_seed", "7")]
    [InlineData("ddpm50-scale3-seed0", "--timestep_respacing", "50", "--classifier_scale", "3", "--torch_seed", "0")]
    public void A_torch_seed_gives_the_references_images(string run, params string[] flags)
    {
        using var temp = new TempFolder();
        string[] paths = ["--model_path", Digits.Diffusion, "--classifier_path", Digits.Classifier, "--num_samples", "16", "--batch_size", "16"];
        Adm.Done(["classifier_sample", .. paths, .. flags, "--out", temp.Path]);

        string mine = temp["samples_16x16x16x3.npz"], theirs = Repo.Path("tests", "golden", "runs", run + ".npz");
        Assert.Equal(Digits.Labels(theirs), Digits.Labels(mine));
        Digits.SameUpToRounding(Digits.Images(theirs), Digits.Images(mine));
    }

    [Fact]
    public void Images_do_not_depend_on_the_batch_size()
    {
        using var temp = new TempFolder();
        Adm.Done(Digits.Guided(temp["a.npz"], "--batch_size", "6", "--seed", "5"));
        byte[] a = Digits.Images(temp["a.npz"]);
        foreach ((string batch, int count) in new[] { ("4", 6), ("1", 2) })
        {
            Adm.Done(Digits.Guided(temp["b.npz"], "--batch_size", batch, "--seed", "5", "--num_samples", $"{count}"));
            Assert.Equal(Digits.Labels(temp["a.npz"])[..count], Digits.Labels(temp["b.npz"]));
            Assert.Equal(a[..(count * 768)], Digits.Images(temp["b.npz"]));
        }

        Adm.Done(Digits.Guided(temp["d.npz"], "--batch_size", "6", "--seed", "6"));
        Assert.NotEqual(a, Digits.Images(temp["d.npz"]));
    }

    [Fact]
    public void Images_do_not_depend_on_the_number_of_threads()
    {
        using var temp = new TempFolder();
        Adm.Done(Digits.Guided(temp["a.npz"], "--threads", "1"));
        Adm.Done(Digits.Guided(temp["b.npz"], "--threads", "3"));
        Assert.Equal(File.ReadAllBytes(temp["a.npz"]), File.ReadAllBytes(temp["b.npz"]));
    }

    [Fact]
    public void Classes_are_rows_of_the_grid()
    {
        using var temp = new TempFolder();
        Adm.Outcome outcome = Adm.Done(Digits.Guided(
            temp.Path, "--num_samples", "4", "--classes", "7,3", "--samples_per_class", "2", "--grid", temp["g.png"], "--grid_scale", "2", "--png_dir", temp["p"]));
        string samples = temp["samples_4x16x16x3.npz"];
        Assert.Equal([samples, temp["p"], temp["g.png"]], outcome.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal([7, 7, 3, 3], Digits.Labels(samples));
        Assert.Equal(["g.png", "p", "samples_4x16x16x3.npz"], temp.Names);

        ImageBytes grid = Png.Read(temp["g.png"]);
        Assert.Equal((64, 64, 3), (grid.Height, grid.Width, grid.Channels));
        byte[] images = Digits.Images(samples);
        byte[] third = Png.Read(Path.Combine(temp["p"], "000002_class3.png")).Pixels;
        Assert.Equal(images[(2 * 768)..(3 * 768)], third);
        Assert.Equal(third[..3], grid.Pixels[(32 * 64 * 3)..((32 * 64 * 3) + 3)]); // second row, first column
    }

    [Fact]
    public void Classes_alone_are_taken_in_turn()
    {
        using var temp = new TempFolder();
        Adm.Done(Digits.Guided(temp["a.npz"], "--classes", "1,4-5", "--num_samples", "5"));
        Assert.Equal([1, 4, 5, 1, 4], Digits.Labels(temp["a.npz"]));
    }

    [Fact]
    public void Without_guidance_both_programs_draw_the_same_images()
    {
        using var temp = new TempFolder();
        Adm.Done(Digits.Guided(temp["a.npz"], "--classifier_scale", "0"));
        Adm.Done(Digits.Plain(temp["b.npz"]));
        Assert.Equal(Digits.Images(temp["a.npz"]), Digits.Images(temp["b.npz"]));
        using NpzFile plain = NpzFile.Open(temp["b.npz"]);
        Assert.Equal(["arr_0"], plain.Names);
    }

    [Fact]
    public void Guidance_at_the_mean_and_eta_change_the_images()
    {
        using var temp = new TempFolder();
        Adm.Done(Digits.Guided(temp["a.npz"]));
        Adm.Done(Digits.Guided(temp["b.npz"], "--guidance_at_mean", "True"));
        Assert.NotEqual(Digits.Images(temp["a.npz"]), Digits.Images(temp["b.npz"]));
        Adm.Done(Digits.Plain(temp["c.npz"], "--use_ddim", "True", "--eta", "0"));
        Adm.Done(Digits.Plain(temp["d.npz"], "--use_ddim", "True", "--eta", "0.5"));
        Assert.NotEqual(Digits.Images(temp["c.npz"]), Digits.Images(temp["d.npz"]));
    }

    [Fact]
    public void Frames_are_kept_after_every_so_many_steps()
    {
        using var temp = new TempFolder();
        Adm.Done(Digits.Plain(temp["a.npz"], "--timestep_respacing", "5", "--save_every", "2", "--grid", temp["g.png"]));
        Assert.Equal(["a.frames.npz", "a.npz", "g.png", "g.step0002.png", "g.step0004.png", "g.step0005.png"], temp.Names);
        Assert.Equal([6, 3, 16, 16, 3], Digits.Shape(temp["a.frames.npz"]));
        byte[] frames = Digits.Images(temp["a.frames.npz"]), images = Digits.Images(temp["a.npz"]);
        Assert.Equal(images[..768], frames[(2 * 768)..(3 * 768)]); // the last frame of an image is the image
        Assert.Equal(File.ReadAllBytes(temp["g.png"]), File.ReadAllBytes(temp["g.step0005.png"]));
    }

    [Fact]
    public void Json_is_one_document()
    {
        using var temp = new TempFolder();
        JObject json = JObject.Parse(Adm.Done(Digits.Plain(temp["a.npz"], "--json", "--quiet")).Out);
        Assert.Equal(temp["a.npz"], (string?)json["samples"]);
        Assert.Equal(6, (int)json["count"]!);
        Assert.Null(json["grid"]);
    }

    [Fact]
    public void A_preset_recommends_what_the_flags_do_not_say()
    {
        using var temp = new TempFolder();
        string[] images = ["--num_samples", "1", "--classes", "3", "--out"];
        Adm.Done(["classifier_sample", "--preset", "mnist16", .. images, temp["a.npz"]]);
        Adm.Done(["classifier_sample", "--preset", "mnist16", "--timestep_respacing", "50", "--classifier_scale", "5", .. images, temp["b.npz"]]);
        Assert.Equal(Digits.Images(temp["b.npz"]), Digits.Images(temp["a.npz"]));
    }

    [Fact]
    public void Architecture_is_read_off_the_file_and_assumptions_are_told()
    {
        using var temp = new TempFolder();
        File.Copy(Digits.Diffusion, temp["x.safetensors"]);
        string[] what = ["image_sample", "--model_path", temp["x.safetensors"], "--timestep_respacing", "4", "--num_samples", "2"];
        Adm.Outcome outcome = Adm.Done([.. what, "--noise_schedule", "cosine", "--num_head_channels", "32", "--out", temp["a.npz"]]);
        Assert.Contains("--image_size 16", outcome.Error);
        Assert.DoesNotContain("num_channels", outcome.Error);
        Adm.Done(Digits.Plain(temp["b.npz"], "--num_samples", "2"));
        Assert.Equal(Digits.Images(temp["b.npz"]), Digits.Images(temp["a.npz"]));
    }

    [Fact]
    public void A_config_beside_the_checkpoint_says_what_the_file_does_not()
    {
        using var temp = new TempFolder();
        File.Copy(Digits.Diffusion, temp["x.safetensors"]);
        File.WriteAllText(temp["config.json"], "{\"diffusion\": {\"noise_schedule\": \"cosine\", \"num_head_channels\": 32, \"image_size\": 16}}");
        string[] what = ["image_sample", "--model_path", temp["x.safetensors"], "--timestep_respacing", "4", "--num_samples", "2"];
        Adm.Outcome outcome = Adm.Done([.. what, "--out", temp["a.npz"]]);
        Assert.DoesNotContain("image_size", outcome.Error);
        Adm.Done(Digits.Plain(temp["b.npz"], "--num_samples", "2"));
        Assert.Equal(Digits.Images(temp["b.npz"]), Digits.Images(temp["a.npz"]));
    }

    [Fact]
    public void A_published_command_line_runs_as_it_is()
    {
        using var temp = new TempFolder();
        string line = "--attention_resolutions 8 --class_cond False --diffusion_steps 1000 --dropout 0.1 --image_size 16 --learn_sigma True "
            + "--noise_schedule cosine --num_channels 32 --num_head_channels 32 --num_res_blocks 1 --channel_mult 1,2 --resblock_updown True "
            + "--use_new_attention_order False --use_fp16 True --use_scale_shift_norm True --classifier_scale 1.0 --classifier_width 32 --classifier_depth 1 "
            + "--classifier_attention_resolutions 8 --batch_size 2 --num_samples 2 --timestep_respacing 3 --use_ddim False";
        Adm.Done(["classifier_sample", .. line.Split(' '), "--model_path", Digits.Diffusion, "--classifier_path", Digits.Classifier, "--out", temp["a.npz"]]);
        Assert.Equal([2, 16, 16, 3], Digits.Shape(temp["a.npz"]));
    }

    [Fact]
    public void A_class_conditional_model_is_told_its_labels()
    {
        using var temp = new TempFolder();
        string model = SmallModels.Grey(temp["m.safetensors"]);
        string[] what = ["image_sample", "--model_path", model, "--num_head_channels", "32", "--timestep_respacing", "3", "--num_samples", "6", "--out"];
        Adm.Done([.. what, temp["a.npz"], "--grid", temp["g.png"]]);
        long[] drawn = Digits.Labels(temp["a.npz"]);
        Assert.All(drawn, l => Assert.InRange(l, 0, 4));
        Assert.True(drawn.Distinct().Count() > 1);
        Assert.Equal([6, 16, 16, 1], Digits.Shape(temp["a.npz"]));
        Assert.Equal((32, 48, 1), (Png.Read(temp["g.png"]).Height, Png.Read(temp["g.png"]).Width, Png.Read(temp["g.png"]).Channels));

        Adm.Done([.. what, temp["b.npz"], "--classes", string.Join(',', drawn.Distinct().Order()), "--batch_size", "5"]);
        Adm.Done([.. what, temp["c.npz"], "--classes", "4,3,2,1,0", "--batch_size", "2"]);
        Assert.Equal([4, 3, 2, 1, 0, 4], Digits.Labels(temp["c.npz"]));
        Assert.NotEqual(Digits.Images(temp["a.npz"]), Digits.Images(temp["c.npz"]));

        Adm.Outcome unknown = Adm.Run([.. what, temp["d.npz"], "--classes", "5"]);
        Assert.Equal(ExitCode.Usage, unknown.Code);
        Assert.Contains("outside 0..4", unknown.Error);
        Adm.Outcome none = Adm.Run(Digits.Plain(temp["e.npz"], "--classes", "3"));
        Assert.Equal(ExitCode.Usage, none.Code);
        Assert.Contains("not class-conditional", none.Error);
    }

    [Fact]
    public void An_upsampler_enlarges_and_keeps_labels()
    {
        using var temp = new TempFolder();
        string model = SmallModels.Upsampler(temp["up.safetensors"]);
        using (NpzWriter npz = NpzWriter.Create(temp["base.npz"]))
        {
            npz.Add("arr_0", Tensor.From<byte>([3, 8, 8, 3], [.. Enumerable.Range(0, 576).Select(i => (byte)(i * 7))]));
            npz.Add("arr_1", Tensor.From<long>([3], [4, 0, 9]));
            npz.Commit();
        }

        string[] what = ["super_res_sample", "--model_path", model, .. SmallModels.UpsamplerFlags, "--base_samples", temp["base.npz"], "--timestep_respacing", "3"];
        Adm.Done([.. what, "--batch_size", "2", "--out", temp["a.npz"]]);
        Assert.Equal([3, 32, 32, 3], Digits.Shape(temp["a.npz"]));
        Assert.Equal([4, 0, 9], Digits.Labels(temp["a.npz"]));

        Adm.Done([.. what, "--num_samples", "5", "--batch_size", "4", "--out", temp["b.npz"]]);       // round and round
        Assert.Equal([4, 0, 9, 4, 0], Digits.Labels(temp["b.npz"]));
        Assert.Equal(Digits.Images(temp["a.npz"]), Digits.Images(temp["b.npz"])[..(3 * 32 * 32 * 3)]);

        Adm.Done([.. what, "--use_ddim", "True", "--out", temp["c.npz"]]);
        Assert.NotEqual(Digits.Images(temp["a.npz"]), Digits.Images(temp["c.npz"]));
    }

    [Fact]
    public void An_upsampler_takes_pictures_and_chosen_classes()
    {
        using var temp = new TempFolder();
        string model = SmallModels.Upsampler(temp["up.safetensors"]);
        Png.Write(temp["one.png"], new ImageBytes(20, 30, 1, [.. Enumerable.Range(0, 600).Select(i => (byte)i)]));
        string[] what =
        [
            "super_res_sample", "--model_path", model, .. SmallModels.UpsamplerFlags, "--base_samples", temp["one.png"],
            "--timestep_respacing", "3", "--out", temp["a.npz"],
        ];
        Adm.Outcome without = Adm.Run(what);
        Assert.Equal(ExitCode.BadInput, without.Code);
        Assert.Contains("--classes", without.Error);
        Adm.Done([.. what, "--classes", "5", "--grid", temp["g.png"]]);
        Assert.Equal([5], Digits.Labels(temp["a.npz"]));
        Assert.Equal(32, Png.Read(temp["g.png"]).Width);
    }

    [Fact]
    public void An_upsampler_takes_jpeg_pictures_or_says_what_is_missing()
    {
        using var temp = new TempFolder();
        string model = SmallModels.Upsampler(temp["up.safetensors"]);
        string cat = Repo.Path("tests", "data", "jpeg", "cat_07.jpg");
        Png.Write(temp["one.png"], new ImageBytes(9, 8, 3, [.. Enumerable.Range(0, 216).Select(i => (byte)i)]));
        string[] Run(string samples, string output) =>
        [
            "super_res_sample", "--model_path", model, .. SmallModels.UpsamplerFlags, "--base_samples", samples, "--classes", "5",
            "--timestep_respacing", "3", "--out", temp[output],
        ];
        if (Jpeg.UnavailableReason is not null)
        {
            Adm.Outcome outcome = Adm.Run(Run(cat, "a.npz"));
            Assert.NotEqual(ExitCode.Done, outcome.Code);
            Assert.Contains("libturbojpeg", outcome.Error);
            return;
        }

        Adm.Done(Run($"{cat},{temp["one.png"]}", "a.npz"));
        Adm.Done(Run(cat, "b.npz"));
        Assert.Equal([2, 32, 32, 3], Digits.Shape(temp["a.npz"]).ToArray());
        // The picture decoded and cropped beforehand gives the same.
        ImageBytes picture = Jpeg.Read(cat).ToRgb();
        using (NpzWriter npz = NpzWriter.Create(temp["base.npz"]))
        {
            npz.Add("arr_0", Tensor.From<byte>([1, 8, 8, 3], CenterCrop.Apply(picture.Pixels, picture.Height, picture.Width, 3, 8)));
            npz.Commit();
        }

        Adm.Done(Run(temp["base.npz"], "c.npz"));
        Assert.Equal(Digits.Images(temp["c.npz"]), Digits.Images(temp["b.npz"]));
        Assert.Equal(Digits.Images(temp["b.npz"]), Digits.Images(temp["a.npz"])[..(32 * 32 * 3)]);
    }
}
