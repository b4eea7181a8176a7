using System.Text.Json.Nodes;
using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>Which image of a family a device and its driver get, and what is said when there is none.</summary>
public sealed class PtxSelectionTests
{
    // The PTX ISA manual's release notes: repeats (12.5, 12.6) and gaps (no 8.9) included.
    [Theory]
    [InlineData(12000, "8.0")]
    [InlineData(12010, "8.1")]
    [InlineData(12020, "8.2")]
    [InlineData(12030, "8.3")]
    [InlineData(12040, "8.4")]
    [InlineData(12050, "8.5")]
    [InlineData(12060, "8.5")]
    [InlineData(12070, "8.6")]
    [InlineData(12080, "8.7")]
    [InlineData(12090, "8.8")]
    [InlineData(13000, "9.0")]
    [InlineData(13010, "9.1")]
    [InlineData(12085, "8.7")] // between releases: the earlier one's
    [InlineData(14020, "9.1")] // unknown yet: at least what the newest known one takes
    public void A_driver_accepts_ptx_up_to_a_version(int driver, string newest) => Assert.Equal(newest, PtxVersion.OfDriver(driver).ToString());

    [Fact]
    public void Versions_compare_as_numbers()
    {
        Assert.True(PtxVersion.Parse("8.10").Covers(PtxVersion.Parse("8.9")));
        Assert.True(PtxVersion.Parse("9.0").Covers(PtxVersion.Parse("8.8")));
        Assert.False(PtxVersion.Parse("7.8").Covers(PtxVersion.Parse("8.0")));
        Assert.Equal(("12.5", "13.0", null), (PtxVersion.Parse("8.5").FirstCuda(), PtxVersion.Parse("8.9").FirstCuda(), PtxVersion.Parse("10.0").FirstCuda()));
        Assert.Throws<ArgumentOutOfRangeException>(() => PtxVersion.OfDriver(11080));
        Assert.All(["8", "8.x", "8.3.1", ""], t => Assert.Throws<FormatException>(() => PtxVersion.Parse(t)));
        Assert.Equal((new PtxTarget(80, ""), new PtxTarget(90, "a"), new PtxTarget(120, "f")), (PtxTarget.Parse("sm_80"), PtxTarget.Parse("sm_90a"), PtxTarget.Parse("sm_120f")));
        Assert.All(["compute_80", "sm_", "sm_90aa", "sm_a"], t => Assert.Throws<FormatException>(() => PtxTarget.Parse(t)));
    }

    [Theory]
    [InlineData(80, 12040, "f.sm80.ptx")]
    [InlineData(86, 12040, "f.sm86.ptx")]
    [InlineData(89, 12040, "f.sm86.ptx")] // the highest that is not above the device
    [InlineData(90, 12040, "f.sm90a.ptx")] // what is for it alone
    [InlineData(100, 12040, "f.sm86.ptx")] // sm_90a is for sm_90 alone
    [InlineData(90, 12020, "f.sm86.ptx")] // the driver does not take the best one's version
    [InlineData(86, 12000, "f.sm80.ptx")]
    public void The_highest_target_with_an_accepted_version_is_chosen(int sm, int driver, string file)
    {
        KernelBundle all = Bundle(("sm80", "sm_80", "7.2"), ("sm86", "sm_86", "8.1"), ("sm90a", "sm_90a", "8.3"));
        KernelBundle one = all.For(sm, driver);
        Assert.Equal(file, one["f_copy_f32"].Image.File);
        Assert.Equal(file, Assert.Single(one.Images).File);
        Assert.Single(one.Entries);
        Assert.Equal("f.sm80.ptx", all["f_copy_f32"].Image.File); // what runs anywhere
    }

    [Fact]
    public void No_match_names_both_numbers()
    {
        GpuUnavailableException old = Assert.Throws<GpuUnavailableException>(() => Bundle(("sm80", "sm_80", "7.2"), ("sm90a", "sm_90a", "8.3")).For(75, 12040));
        Assert.Equal(GpuUnavailableReason.DeviceTooOld, old.Reason);
        Assert.Equal("the device is sm_75; the kernels of f are for sm_80, sm_90a.", old.Message);

        GpuUnavailableException exact = Assert.Throws<GpuUnavailableException>(() => Bundle(("sm90a", "sm_90a", "8.3")).For(100, 12040));
        Assert.Equal((GpuUnavailableReason.DeviceTooOld, "the device is sm_100; the kernels of f are for sm_90a."), (exact.Reason, exact.Message));

        GpuUnavailableException driver = Assert.Throws<GpuUnavailableException>(() => Bundle(("sm80", "sm_80", "8.3")).For(90, 12020));
        Assert.Equal(GpuUnavailableReason.DriverTooOld, driver.Reason);
        Assert.Equal("f.sm80.ptx is PTX 8.3, and the driver, of CUDA 12.2, accepts PTX 8.2 or older: update it to CUDA 12.3.", driver.Message);
    }

    [Theory]
    [InlineData(80)]
    [InlineData(86)]
    [InlineData(89)]
    [InlineData(90)]
    [InlineData(100)]
    [InlineData(120)]
    public void The_oldest_driver_takes_every_shipped_image(int sm)
    {
        KernelBundle bundle = KernelBundle.Open().For(sm, LibCudaDriver.MinimumVersion);
        Assert.All(KernelBundle.Open().Entries.Select(e => e.Name).Distinct(), e => Assert.True(bundle.TryFind(e, out _), e));
    }

    [Fact]
    public void A_file_that_overrides_has_its_own_version_and_target()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("ptx");
        try
        {
            File.WriteAllText(Path.Combine(folder.FullName, "gemm.sm80.ptx"), "// mine\n.version 8.7\n.target sm_90a, debug\n");
            KernelImage mine = KernelBundle.Open(folder.FullName)["gemm_nn_f16"].Image;
            Assert.Equal(("8.7", "sm_90a"), (mine.Version, mine.Target));
            Assert.Throws<GpuUnavailableException>(() => KernelBundle.Open(folder.FullName).For(80, 12080));
        }
        finally
        {
            folder.Delete(true);
        }
    }

    [Fact]
    public void A_catalogue_of_another_layout_is_refused()
    {
        InvalidDataException e = Assert.Throws<InvalidDataException>(() => KernelBundle.Read(_ => $$"""{ "abi": {{KernelBundle.Abi + 1}} }"""));
        Assert.Equal($"the kernel catalogue has layout {KernelBundle.Abi + 1}; this build reads {KernelBundle.Abi}", e.Message);
    }

    /// <summary>One family f with one entry, in several images.</summary>
    private static KernelBundle Bundle(params (string File, string Target, string Version)[] images)
    {
        var catalogue = new JsonObject
        {
            ["abi"] = KernelBundle.Abi,
            ["assembler"] = "none",
            ["images"] = new JsonArray([.. images.Select(i => new JsonObject
            {
                ["file"] = $"f.{i.File}.ptx",
                ["sha256"] = "",
                ["version"] = i.Version,
                ["target"] = i.Target,
                ["compiler"] = "",
                ["source"] = "",
                ["inputs"] = new JsonObject(),
                ["entries"] = new JsonArray(new JsonObject
                {
                    ["name"] = "f_copy_f32",
                    ["launch"] = "",
                    ["parameters"] = new JsonArray(),
                    ["maxThreads"] = new JsonArray(),
                    ["requiredThreads"] = new JsonArray(),
                    ["minBlocksPerSm"] = 1,
                    ["staticSharedBytes"] = 0,
                    ["dynamicShared"] = false,
                    ["resources"] = new JsonObject(),
                }),
            })]),
        };
        return KernelBundle.Read(file => file == "catalogue.json" ? catalogue.ToJsonString() : $"// {file}\n");
    }
}
