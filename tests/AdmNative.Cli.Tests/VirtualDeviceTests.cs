using AdmNative.Core;
using AdmNative.Formats;
using Newtonsoft.Json.Linq;

namespace AdmNative.Tests;

/// <summary>Whole programs on <c>--device virtual</c>: the shipped kernels, called as on a GPU, give what the CPU gives.</summary>
public sealed class VirtualDeviceTests
{
    /// <summary>What the project promises for one network evaluation, relative to the largest value.</summary>
    private const double Promise = 1e-4;

    [Theory]
    [InlineData("image_sample")]
    public void It_draws_the_cpus_digits(string verb, params string[] flags)
    {
        using var temp = new TempFolder();
        string[] run = [verb, "--preset", "mnist16", "--num_samples", "2", "--batch_size", "2", "--timestep_respacing", "3", "--seed", "4", .. flags];
        Compare(temp, run);
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

    private static void Compare(TempFolder temp, string[] run)
    {
        Adm.Done([.. run, "--device", "cpu", "--out", temp["cpu.npz"]]);
        Adm.Done([.. run, "--device", "virtual", "--out", temp["gpu.npz"]]);
        Digits.SameUpToRounding(Digits.Images(temp["cpu.npz"]), Digits.Images(temp["gpu.npz"]));
    }
}
