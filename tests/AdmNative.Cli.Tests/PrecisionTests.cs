using AdmNative.Cli;
using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>What <c>--precision</c> and <c>--use_fp16</c> choose, and where they are said to have no effect.</summary>
public sealed class PrecisionTests
{
    [Fact]
    public void Flags_of_the_reference_decide_for_each_network_and_precision_for_all()
    {
        Assert.Equal(KernelDType.F32, Precisions.Of(null, useFp16: false).Precision);
        CudaOptions both = Precisions.Of(null, useFp16: true);
        Assert.Equal((KernelDType.F16, null), (both.Precision, both.IsSinglePrecision));
        CudaOptions model = Precisions.Of(null, useFp16: true, classifierUseFp16: false);
        Assert.Equal(KernelDType.F16, model.Precision);
        Assert.True(model.IsSinglePrecision!("classifier.out.0.weight"));
        Assert.False(model.IsSinglePrecision!("out.0.weight"));
        CudaOptions classifier = Precisions.Of(null, useFp16: false, classifierUseFp16: true);
        Assert.Equal(KernelDType.F16, classifier.Precision);
        Assert.False(classifier.IsSinglePrecision!("classifier.out.0.weight"));
        Assert.True(classifier.IsSinglePrecision!("out.0.weight"));
        CudaOptions all = Precisions.Of("bf16", useFp16: true, classifierUseFp16: false);
        Assert.Equal((KernelDType.BF16, null), (all.Precision, all.IsSinglePrecision));
        Assert.Equal(KernelDType.F32, Precisions.Of("f32", useFp16: true).Precision);
    }

    [Fact]
    public void The_cpu_says_that_it_computes_in_f32_and_gives_the_same_images()
    {
        using var temp = new TempFolder();
        string[] small = ["--num_samples", "1", "--timestep_respacing", "2", "--device", "cpu"];
        Assert.DoesNotContain("f32", Adm.Done(Digits.Plain(temp["a.npz"], small)).Error, StringComparison.Ordinal);
        Assert.Contains("the cpu computes in f32, not in f16", Adm.Done(Digits.Plain(temp["b.npz"], [.. small, "--use_fp16", "True"])).Error, StringComparison.Ordinal);
        Assert.Contains("the cpu computes in f32, not in bf16", Adm.Done(Digits.Plain(temp["c.npz"], [.. small, "--precision", "bf16"])).Error, StringComparison.Ordinal);
        Assert.Equal(Digits.Images(temp["a.npz"]), Digits.Images(temp["c.npz"]));
        Assert.Equal(ExitCode.Usage, Adm.Run(Digits.Plain(temp["d.npz"], [.. small, "--precision", "f8"])).Code);
    }

    [Fact]
    public void A_plan_on_the_virtual_device_is_smaller_in_half_precision()
    {
        string half = Adm.Done("inspect", "plan", "--preset", "mnist16", "--device", "virtual", "--precision", "bf16").Out;
        string single = Adm.Done("inspect", "plan", "--preset", "mnist16", "--device", "virtual").Out;
        Assert.Contains(" as BF16@", half, StringComparison.Ordinal);
        Assert.DoesNotContain(" as BF16@", single, StringComparison.Ordinal);
        Assert.True(Arena(half) < Arena(single), $"{Arena(half)} and {Arena(single)} bytes");

        static long Arena(string plan) => long.Parse(plan.Split("arena ")[1].Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture);
    }
}
