using AdmNative.Core;
using AdmNative.Formats;
using Newtonsoft.Json.Linq;

namespace AdmNative.Tests;

/// <summary>Whole programs on <c>--device virtual</c>: the shipped kernels, called as on a GPU, give what the CPU gives.</summary>
public sealed class VirtualDeviceTests
{
    /// <summary>What the project promises for one network evaluation, relative to the largest value.</summary>
    private const double Promise = 1e-4;

    /// <summary>The README's command, in fewer steps and with fewer classes; and ancestral steps.</summary>
    [Theory]
    [InlineData("--classes", "0,3", "--samples_per_class", "1", "--use_ddim", "True", "--timestep_respacing", "ddim3")]
    [InlineData("--num_samples", "1", "--timestep_respacing", "3", "--seed", "4")]
    public void It_draws_the_cpus_digits(params string[] flags)
    {
        using var temp = new TempFolder();
        Compare(temp, ["classifier_sample", "--preset", "mnist16", .. flags]);
    }

    [Fact]
    public void It_enlarges_as_the_cpu_does()
    {
        using var temp = new TempFolder();
        using (NpzWriter npz = NpzWriter.Create(temp["base.npz"]))
        {
            npz.Add("arr_0", Tensor.From<byte>([1, 8, 8, 3], [.. Enumerable.Range(0, 192).Select(i => (byte)(i * 7))]));
            npz.Add("arr_1", Tensor.From<long>([1], [4]));
            npz.Commit();
        }

        string model = SmallModels.Upsampler(temp["up.safetensors"]);
        Compare(temp, ["super_res_sample", "--model_path", model, .. SmallModels.UpsamplerFlags, "--base_samples", temp["base.npz"], "--timestep_respacing", "2"]);
    }

    [Fact]
    public void Its_bound_is_the_cpus()
    {
        using var temp = new TempFolder();
        string data = Digits.Numbered(temp["data.npz"], 2);
        double[] Terms(string device, string file)
        {
            using NpzFile npz = NpzFile.Open(Path.Combine(temp[device], file));
            return [.. npz.Read("arr_0").ToFloats().Select(v => (double)v)];
        }

        double Bits(string device) => (double)JObject.Parse(Adm.Done(
            "image_nll", "--preset", "mnist16", "--data_dir", data, "--timestep_respacing", "3", "--out", temp[device], "--json", "--device", device).Out)["bpd"]!;
        double expected = Bits("cpu");
        Assert.Equal(expected, Bits("virtual"), Promise * expected);
        foreach (string file in new[] { "vb_terms.npz", "mse_terms.npz", "xstart_mse_terms.npz" })
        {
            double[] cpu = Terms("cpu", file);
            Assert.All(cpu.Zip(Terms("virtual", file)), p => Assert.Equal(p.First, p.Second, Promise * cpu.Max()));
        }
    }

    /// <summary>A hybrid loss, its terms and the gradients of all weights, as the reference recorded them.</summary>
    [Fact]
    public void Its_gradients_of_a_loss_are_the_references()
    {
        using var temp = new TempFolder();
        string root = Repo.Path("tests", "golden", "loss", "cosine-epsilon-learned_range-rescaled_mse");
        Adm.Done(
            "replay", "loss", "--config", Path.Combine(root, "config.json"), "--weights", "computed", "--input", Path.Combine(root, "io.npz"),
            "--output", temp["out.npz"], "--quiet", "--device", "virtual");
        using NpzFile recorded = NpzFile.Open(Path.Combine(root, "io.npz")), found = NpzFile.Open(temp["out.npz"]);
        string[] outputs = [.. recorded.Names.Except(["x", "t", "y", "x0", "noise"])];
        Assert.Contains(outputs, o => o.StartsWith("grad.", StringComparison.Ordinal));
        foreach (string output in outputs)
        {
            // x_0 magnifies the rounding of a network's result (2^-20 of its size) by up to 20000 at the noisiest step.
            double tolerance = output == "pmv.pred_xstart" ? Promise + (20_000 * Math.ScaleB(1, -20)) : Promise;
            float[] expected = recorded.Read(output).ToFloats(), actual = found.Read(output).ToFloats();
            double scale = expected.Max(v => Math.Abs((double)v));
            Assert.Equal(expected.Length, actual.Length);
            for (int i = 0; i < expected.Length; i++)
            {
                Assert.True(Math.Abs((double)expected[i] - actual[i]) <= tolerance * scale, $"{output}[{i}] is {actual[i]:R}, recorded {expected[i]:R}, largest {scale:g3}");
            }
        }
    }

    private static void Compare(TempFolder temp, string[] run)
    {
        Adm.Done([.. run, "--device", "cpu", "--out", temp["cpu.npz"]]);
        Adm.Done([.. run, "--device", "virtual", "--out", temp["gpu.npz"]]);
        Digits.SameUpToRounding(Digits.Images(temp["cpu.npz"]), Digits.Images(temp["gpu.npz"]));
    }
}
