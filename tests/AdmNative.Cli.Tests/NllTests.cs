using AdmNative.Core;
using AdmNative.Formats;
using Newtonsoft.Json.Linq;

namespace AdmNative.Tests;

/// <summary>image_nll.</summary>
public sealed class NllTests
{
    [Fact]
    public void Terms_add_up_to_the_bound_and_do_not_depend_on_the_batch_size()
    {
        using var temp = new TempFolder();
        string data = Digits.Numbered(temp["data.npz"], 5);
        JObject a = Run(temp["a"], data, "--batch_size", "5"), b = Run(temp["b"], data, "--batch_size", "2");
        Assert.Equal(5, (int)a["count"]!);
        double[] vb = Terms(temp["a"], "vb_terms.npz"), mse = Terms(temp["a"], "mse_terms.npz"), x = Terms(temp["a"], "xstart_mse_terms.npz");
        Assert.Equal((4, 4, 4), (vb.Length, mse.Length, x.Length));
        // The prior's share of a cosine schedule is far below a millionth of a bit.
        Assert.Equal((double)a["bpd"]!, vb.Sum(), 1e-4 * vb.Sum());
        // The terms of a sample are equal; only their mean is summed in another order.
        Assert.Equal((double)a["bpd"]!, (double)b["bpd"]!, 1e-6 * vb.Sum());
        Assert.All(vb.Zip(Terms(temp["b"], "vb_terms.npz")), p => Assert.Equal(p.First, p.Second, 1e-6 * vb.Max()));
        Assert.All([.. vb, .. mse, .. x], v => Assert.True(double.IsFinite(v) && v >= 0));
    }

    [Fact]
    public void Flips_are_seeded_and_can_be_switched_off()
    {
        using var temp = new TempFolder();
        string data = Digits.Numbered(temp["data.npz"], 4);
        double flipped = (double)Run(temp["a"], data)["bpd"]!, again = (double)Run(temp["b"], data)["bpd"]!;
        double plain = (double)Run(temp["c"], data, "--flip", "False")["bpd"]!;
        Assert.Equal(flipped, again);
        Assert.NotEqual(flipped, plain);
    }

    [Fact]
    public void Pictures_are_cropped_and_come_round_again()
    {
        using var temp = new TempFolder();
        Directory.CreateDirectory(temp["p"]);
        Png.Write(Path.Combine(temp["p"], "a_1.png"), new ImageBytes(40, 36, 3, [.. Enumerable.Range(0, 40 * 36 * 3).Select(i => (byte)(i / 11))]));
        Png.Write(Path.Combine(temp["p"], "b_1.png"), new ImageBytes(16, 16, 1, [.. Enumerable.Range(0, 256).Select(i => (byte)i)]));
        Assert.Equal(2, (int)Run(temp["a"], temp["p"])["count"]!);
        Assert.Equal(5, (int)Run(temp["b"], temp["p"], "--num_samples", "5", "--batch_size", "3")["count"]!);
    }

    [Fact]
    public void Jpeg_pictures_are_read_where_the_library_is()
    {
        using var temp = new TempFolder();
        File.WriteAllBytes(temp["a.jpg"], [0xff, 0xd8, 0xff, 0xe0]);
        Adm.Outcome outcome = Adm.Run("image_nll", "--preset", "mnist16", "--data_dir", temp["a.jpg"], "--timestep_respacing", "4", "--out", temp["o"]);
        Assert.NotEqual(0, outcome.Code); // a damaged picture, or the message on how to install libjpeg-turbo
        Assert.Contains(Jpeg.UnavailableReason is null ? "a.jpg" : "turbo", outcome.Error);
    }

    private static JObject Run(string folder, string data, params string[] more) => JObject.Parse(Adm.Done(
        ["image_nll", "--preset", "mnist16", "--data_dir", data, "--timestep_respacing", "4", "--out", folder, "--json", .. more]).Out);

    private static double[] Terms(string folder, string file)
    {
        using NpzFile npz = NpzFile.Open(Path.Combine(folder, file));
        return [.. npz.Read("arr_0").ToFloats().Select(v => (double)v)];
    }
}
