using AdmNative.Diffusion;

namespace AdmNative.Tests;

/// <summary>The timestep_respacing flag: every worked example and error of the specification.</summary>
public sealed class RespacingTests
{
    [Fact]
    public void Two_hundred_fifty_of_a_thousand_drifts_with_its_stride()
    {
        int[] kept = Respacing.Steps(1000, "250");
        Assert.Equal(250, kept.Length);
        Assert.Equal([0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44], kept[..12]);
        Assert.Equal([979, 983, 987, 991, 995, 999], kept[^6..]);
    }

    [Theory]
    [InlineData("3", "0,500,999")]
    [InlineData("1", "0")]
    [InlineData("2", "0,999")]
    [InlineData("25", "0,42,83,125,166,208,250,291,333,375,416,458,500,541,583,624,666,708,749,791,832,874,916,957,999")]
    [InlineData("ddim25", "0,40,80,120,160,200,240,280,320,360,400,440,480,520,560,600,640,680,720,760,800,840,880,920,960")]
    [InlineData("ddim2", "0,500")]
    public void Kept_steps_of_a_thousand(string respacing, string expected) =>
        Assert.Equal(expected, string.Join(",", Respacing.Steps(1000, respacing)));

    [Fact]
    public void Sections_are_spread_from_their_first_to_their_last_step()
    {
        int[] kept = Respacing.Steps(1000, "10,10,10,10,10");
        Assert.Equal(50, kept.Length);
        Assert.Equal([0, 22, 44, 66, 88, 111, 133, 155, 177, 199, 200, 222], kept[..12]);
        int[] unequal = Respacing.Steps(300, "10,15,20");
        Assert.Equal(45, unequal.Length);
        Assert.Equal([0, 11, 22], unequal[..3]);
        Assert.Equal([99, 100, 107], unequal[9..12]);
        Assert.Equal(299, unequal[^1]);
    }

    [Fact]
    public void The_first_sections_take_the_remaining_steps()
    {
        // 10 = 4 + 3 + 3
        Assert.Equal([0, 3, 4, 6, 7, 9], Respacing.Steps(10, "2,2,2"));
        Assert.Equal([0, 4], Respacing.Steps(10, "1,1,0"));
    }

    [Fact]
    public void The_empty_string_keeps_everything() => Assert.Equal(Enumerable.Range(0, 77), Respacing.Steps(77, ""));

    [Fact]
    public void The_possible_ddim_counts_of_a_thousand_are_the_documented_ones()
    {
        int[] documented =
        [
            .. Enumerable.Range(2, 35), 38, 39, 40, 42, 44, 46, 48, 50, 53, 56, 59, 63, 67, 72, 77, 84, 91, 100, 112, 125, 143, 167,
            200, 250, 334, 500, 1000,
        ];
        var possible = new List<int>();
        for (int n = 0; n <= 1001; n++)
        {
            try
            {
                int[] kept = Respacing.Steps(1000, $"ddim{n}");
                Assert.Equal(n, kept.Length);
                possible.Add(n);
            }
            catch (ConfigException)
            {
            }
        }

        Assert.Equal(documented, possible);
    }

    [Theory]
    [InlineData("1001", "1001 cannot be kept")]
    [InlineData("600,10", "section 0 of 2 has 500")]
    [InlineData("ddim37", "ddim36 and ddim38")]
    [InlineData("ddim1", "ddim1:")]
    [InlineData("ddim", "not a whole number")]
    [InlineData("ddim5.5", "not a whole number")]
    [InlineData("10,,10", "not a whole number")]
    [InlineData("-3", "-3 cannot be kept")]
    [InlineData("fast", "\"fast\"")]
    public void A_bad_flag_is_explained(string respacing, string expected)
    {
        var e = Assert.Throws<ConfigException>(() => Respacing.Steps(1000, respacing));
        Assert.Contains("timestep_respacing", e.Message, StringComparison.Ordinal);
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
    }
}
