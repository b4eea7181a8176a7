using AdmNative.Core;
using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>Names, shapes and order of weights against the reference's state dictionaries and the published sizes.</summary>
public sealed class ParameterListTests
{
    public static TheoryData<string> KeyFiles()
    {
        string root = Repo.Path("tests", "golden");
        return [.. Directory.EnumerateFiles(root, "*.keys.json", SearchOption.AllDirectories)
            .Select(f => Path.GetRelativePath(root, f)).Order(StringComparer.Ordinal)];
    }

    [Fact]
    public void There_are_as_many_key_files_as_reference_cases() => Assert.Equal(18, KeyFiles().Count);

    [Theory]
    [MemberData(nameof(KeyFiles))]
    public void Enumeration_is_the_reference_state_dictionary(string file)
    {
        string path = Repo.Path("tests", "golden", file);
        string which = Path.GetFileName(path).Split('.')[0];
        NetworkConfig config = GoldenConfig.Network(
            GoldenConfig.Read(Path.Combine(Path.GetDirectoryName(path)!, "config.json")), which);
        Assert.Equal(GoldenConfig.Keys(path), ParameterList.Of(config));
    }

    [Fact]
    public void The_worked_example_of_the_specification_has_its_counts()
    {
        UNetConfig config = Small with { NumClasses = 10 };
        Assert.Equal(145, ParameterList.Of(config).Count);
        Assert.Equal(829_638, ParameterList.Count(config));
    }

    [Theory]
    [InlineData(true, 4, 1, 145, 828_870)]
    [InlineData(false, 0, 1, 128, 703_366)]
    public void Small_check_networks_have_their_counts(bool adaGn, int classes, int blocks, int tensors, long parameters)
    {
        UNetConfig config = Small with
        {
            UseScaleShiftNorm = adaGn,
            ResblockUpdown = adaGn,
            NumClasses = classes == 0 ? null : classes,
            ResBlocks = blocks,
        };
        Assert.Equal((tensors, parameters), (ParameterList.Of(config).Count, ParameterList.Count(config)));
    }

    [Fact]
    public void A_three_level_check_network_has_its_counts()
    {
        UNetConfig config = Small with { ChannelMult = [1, 1, 2], ResBlocks = 2, AttentionRates = [2, 4] };
        Assert.Equal((306, 1_397_190L), (ParameterList.Of(config).Count, ParameterList.Count(config)));
    }

    [Theory]
    [InlineData(PoolKind.Attention, 77, 378_437)]
    [InlineData(PoolKind.Adaptive, 74, 364_869)]
    [InlineData(PoolKind.Spatial, 74, 835_461)]
    [InlineData(PoolKind.SpatialV2, 76, 839_557)]
    public void Check_classifiers_have_their_counts(PoolKind pool, int tensors, long parameters)
    {
        var config = new EncoderUNetConfig
        {
            ImageSize = 8,
            ModelChannels = 32,
            OutChannels = 5,
            ResBlocks = 1,
            AttentionRates = [2],
            ChannelMult = [1, 2],
            NumHeadChannels = 32,
            UseScaleShiftNorm = true,
            ResblockUpdown = true,
            Pool = pool,
        };
        Assert.Equal((tensors, parameters), (ParameterList.Of(config).Count, ParameterList.Count(config)));
    }

    private static UNetConfig Small => new()
    {
        ImageSize = 16,
        ModelChannels = 32,
        OutChannels = 6,
        ResBlocks = 1,
        AttentionRates = [2],
        ChannelMult = [1, 2],
        UseScaleShiftNorm = true,
        ResblockUpdown = true,
    };
}
