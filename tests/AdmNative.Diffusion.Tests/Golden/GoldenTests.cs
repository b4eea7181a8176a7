namespace AdmNative.Tests;

/// <summary>Recorded runs of the reference on every path of the CPU, and some on the virtual device.</summary>
public class GoldenTests
{
    [Theory]
    [GoldenCases("unet", Backends.Avx512)]
    [GoldenCases("unet", Backends.Avx2)]
    [GoldenCases("unet", Backends.Portable)]
    [GoldenCases("unet", Backends.Twin, "pool-*")]
    [GoldenCases("unet", Backends.VirtualF16, "adagn-*")]
    [GoldenCases("superres", Backends.Avx512)]
    [GoldenCases("superres", Backends.Avx2)]
    [GoldenCases("superres", Backends.Portable)]
    [GoldenCases("classifier", Backends.Avx512)]
    [GoldenCases("classifier", Backends.Avx2)]
    [GoldenCases("classifier", Backends.Portable)]
    [GoldenCases("classifier", Backends.Twin, "adaptive")]
    [GoldenCases("classifier", Backends.Virtual, "attention")]
    public void Model(string name, string backend) => GoldenCase.Model(name, backend);

    [Theory]
    [GoldenCases("loss", Backends.Avx512)]
    [GoldenCases("loss", Backends.Avx2)]
    [GoldenCases("loss", Backends.Portable)]
    [GoldenCases("loss", Backends.Twin, "linear-epsilon-learned_range-rescaled_mse")]
    [GoldenCases("loss", Backends.Virtual, "linear-epsilon-learned_range-rescaled_mse")]
    public void Loss(string name, string backend) => GoldenCase.Loss(name, backend);

    [Theory]
    [GoldenCases("sample", Backends.Avx512)]
    [GoldenCases("sample", Backends.Avx2)]
    [GoldenCases("sample", Backends.Portable)]
    public void Sample(string name, string backend) => GoldenCase.Sample(name, backend);

    [Theory]
    [GoldenCases("bpd", Backends.Avx512)]
    [GoldenCases("bpd", Backends.Avx2)]
    [GoldenCases("bpd", Backends.Portable)]
    public void Bpd(string name, string backend) => GoldenCase.Bpd(name, backend);

    [Theory]
    [GoldenCases("ddim-reverse", Backends.Avx512)]
    [GoldenCases("ddim-reverse", Backends.Avx2)]
    [GoldenCases("ddim-reverse", Backends.Portable)]
    public void DdimReverse(string name, string backend) => GoldenCase.DdimReverse(name, backend);
}

/// <summary>All of them on the virtual device in every precision: some minutes.</summary>
[Trait("Category", "Slow")]
public class GoldenOnTheVirtualDeviceTests
{
    [Theory]
    [GoldenCases("unet", Backends.Virtual)]
    [GoldenCases("unet", Backends.VirtualF16)]
    [GoldenCases("unet", Backends.VirtualBF16)]
    [GoldenCases("superres", Backends.Virtual)]
    [GoldenCases("superres", Backends.VirtualF16)]
    [GoldenCases("superres", Backends.VirtualBF16)]
    [GoldenCases("classifier", Backends.Virtual)]
    [GoldenCases("classifier", Backends.VirtualF16)]
    [GoldenCases("classifier", Backends.VirtualBF16)]
    public void Model(string name, string backend) => GoldenCase.Model(name, backend);

    [Theory]
    [GoldenCases("loss", Backends.Virtual)]
    [GoldenCases("loss", Backends.VirtualF16)]
    [GoldenCases("loss", Backends.VirtualBF16)]
    public void Loss(string name, string backend) => GoldenCase.Loss(name, backend);

    [Theory]
    [GoldenCases("sample", Backends.Virtual)]
    [GoldenCases("sample", Backends.VirtualF16)]
    [GoldenCases("sample", Backends.VirtualBF16)]
    public void Sample(string name, string backend) => GoldenCase.Sample(name, backend);

    [Theory]
    [GoldenCases("bpd", Backends.Virtual)]
    [GoldenCases("bpd", Backends.VirtualF16)]
    [GoldenCases("bpd", Backends.VirtualBF16)]
    public void Bpd(string name, string backend) => GoldenCase.Bpd(name, backend);

    [Theory]
    [GoldenCases("ddim-reverse", Backends.Virtual)]
    [GoldenCases("ddim-reverse", Backends.VirtualF16)]
    [GoldenCases("ddim-reverse", Backends.VirtualBF16)]
    public void DdimReverse(string name, string backend) => GoldenCase.DdimReverse(name, backend);
}
