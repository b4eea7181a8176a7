using AdmNative.Cli;
using AdmNative.Core;
using AdmNative.Diffusion;
using AdmNative.Formats;
using Newtonsoft.Json.Linq;

namespace AdmNative.Tests;

/// <summary>convert and inspect.</summary>
public sealed class FilesTests
{
    [Fact]
    public void Converting_there_and_back_changes_nothing()
    {
        using var temp = new TempFolder();
        Adm.Done("convert", Digits.Diffusion, temp["a.pt"]);
        Adm.Done("convert", temp["a.pt"], temp["b.safetensors"]);
        using TensorFile before = Checkpoints.Open(Digits.Diffusion), after = Checkpoints.Open(temp["b.safetensors"]);
        Assert.Equal(before.Tensors, after.Tensors);
        foreach ((string name, TensorType type) in before.Tensors)
        {
            float[] a = new float[type.Shape.Elements], b = new float[type.Shape.Elements];
            before.ReadFloats(name, a);
            after.ReadFloats(name, b);
            Assert.Equal(a, b);
        }
    }

    [Fact]
    public void Half_precision_halves_the_file_and_still_samples()
    {
        using var temp = new TempFolder();
        Adm.Done("convert", Digits.Diffusion, temp["h.pt"], "--dtype", "f16");
        Assert.InRange(new FileInfo(temp["h.pt"]).Length, 0.45 * new FileInfo(Digits.Diffusion).Length, 0.6 * new FileInfo(Digits.Diffusion).Length);
        Adm.Done(Digits.Plain(temp["a.npz"], "--model_path", temp["h.pt"]));
    }

    [Fact]
    public void Integers_keep_their_type_and_halves_their_range()
    {
        using var temp = new TempFolder();
        SafetensorsWriter.Write(temp["a.safetensors"],
        [
            TensorEntry.From("n", Tensor.From<long>([2], [(1L << 60) + 1, -16777217])), TensorEntry.From("x", Tensor.From<float>([2], [1.5f, 1e6f])),
        ]);
        Adm.Outcome outcome = Adm.Run("convert", temp["a.safetensors"], temp["b.safetensors"], "--dtype", "f16");
        Assert.Equal(ExitCode.NonFinite, outcome.Code);
        Assert.Contains("'x' holds 1000000", outcome.Error);
        Assert.Equal(["a.safetensors"], temp.Names);
        Adm.Done("convert", temp["a.safetensors"], temp["b.safetensors"]);
        using SafetensorsFile file = SafetensorsFile.Open(temp["b.safetensors"]);
        Assert.Equal([(1L << 60) + 1, -16777217L], file.Read("n").AsSpan<long>().ToArray());
    }

    [Fact]
    public void A_checkpoint_of_nothing_is_bad_input()
    {
        using var temp = new TempFolder();
        SafetensorsWriter.Write(temp["a.safetensors"], []);
        Adm.Outcome outcome = Adm.Run("convert", temp["a.safetensors"], temp["b.pt"]);
        Assert.Equal(ExitCode.BadInput, outcome.Code);
        Assert.Contains("a.safetensors: holds no tensors", outcome.Error);
        Assert.Equal(["a.safetensors"], temp.Names);
    }

    [Theory]
    [InlineData("adm convert: out.bin: name it .pt or .safetensors", "out.bin")]
    [InlineData("adm convert: --dtype: 'f8' is not one of f32, f16", "out.pt", "--dtype", "f8")]
    public void What_cannot_be_converted_is_usage(string message, params string[] args)
    {
        Adm.Outcome outcome = Adm.Run(["convert", Digits.Diffusion, .. args]);
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.StartsWith(message, outcome.Error);
    }

    [Fact]
    public void A_checkpoint_is_listed_with_the_flags_it_tells()
    {
        Adm.Outcome text = Adm.Done("inspect", "checkpoint", Digits.Diffusion);
        Assert.Contains("144 tensors, 828358 elements", text.Out);
        JObject json = JObject.Parse(Adm.Done("inspect", "checkpoint", Digits.Diffusion, "--json").Out);
        Assert.Equal(144, ((JObject)json["tensors"]!).Count);
        Assert.Equal("32", (string?)json["flags"]!["num_channels"]!["value"]);
        Assert.True((bool)json["flags"]!["num_channels"]!["known"]!);
        Assert.False((bool)json["flags"]!["num_heads"]!["known"]!);
    }

    [Fact]
    public void The_bundled_model_is_the_preset()
    {
        foreach ((string file, string preset) in new[] { (Digits.Diffusion, "mnist16"), (Digits.Classifier, "mnist16-classifier") })
        {
            using TensorFile weights = Checkpoints.Open(file);
            Mismatch.Check(Presets.Find(preset).Network, weights);
        }
    }

    [Theory]
    [InlineData("mnist16")]
    [InlineData("mnist16-classifier")]
    [InlineData("upsampler-64-256")]
    public void A_graph_is_printed(string preset)
    {
        string fused = Adm.Done("inspect", "graph", "--preset", preset).Out;
        string plain = Adm.Done("inspect", "graph", "--preset", preset, "--fused", "False").Out;
        Assert.Contains("output out = %", fused);
        Assert.True(plain.Split('\n').Length > fused.Split('\n').Length);
    }

    [Fact]
    public void A_guided_step_computes_no_weight_gradient()
    {
        string graph = Adm.Done("inspect", "graph", "--preset", "mnist16", "--of", "ddim", "--guided").Out;
        Assert.Contains("classifier.", graph);
        Assert.Contains("Conv2dInputGrad", graph);
        Assert.DoesNotContain("WeightGrad", graph);
    }

    [Fact]
    public void A_plan_is_printed()
    {
        Adm.Outcome text = Adm.Done("inspect", "plan", "--preset", "mnist16", "--of", "ddpm", "--batch_size", "2");
        Assert.StartsWith("plan: ", text.Out);
        Assert.Contains("arena", text.Out);
        JObject json = JObject.Parse(Adm.Done("inspect", "plan", "--preset", "mnist16", "--json").Out);
        Assert.Equal(828358L * 4, (long)json["parameter_bytes"]!);
        Assert.True((double)json["flops"]! > 1e7);
    }

    [Theory]
    [InlineData("--of: 'dpm' is not one of model, ddpm, ddim", "--preset", "mnist16", "--of", "dpm")]
    [InlineData("--of ddpm: a classifier is not sampled", "--preset", "mnist16-classifier", "--of", "ddpm")]
    [InlineData("--guided needs a --preset", "--image_size", "64", "--of", "ddpm", "--guided")]
    [InlineData("--num_channels is a flag of image models", "--preset", "classifier64", "--num_channels", "64")]
    public void A_graph_that_cannot_be_is_usage(string message, params string[] args)
    {
        Adm.Outcome outcome = Adm.Run(["inspect", "graph", .. args]);
        Assert.Equal(ExitCode.Usage, outcome.Code);
        Assert.Contains(message, outcome.Error);
    }
}
