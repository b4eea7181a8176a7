using AdmNative.Core;
using AdmNative.Diffusion;
using AdmNative.Formats;

namespace AdmNative.Tests;

/// <summary>Coefficient tables against the reference's, in double.</summary>
public sealed class ScheduleTests
{
    public static TheoryData<string> Schedules() => [.. Keys()];

    private static string Golden => Repo.Path("tests", "golden", "schedules.npz");

    [Fact]
    public void All_arrays_of_the_reference_file_are_covered()
    {
        using NpzFile file = NpzFile.Open(Golden);
        Assert.Equal(file.Names.Order(StringComparer.Ordinal),
            Keys().SelectMany<string, string>(s => [.. s_tables.Keys.Select(t => $"{s}|{t}"), $"{s}|timestep_map"])
                .Order(StringComparer.Ordinal));
        Assert.Equal(7 * 14, file.Names.Count);
    }

    [Theory]
    [MemberData(nameof(Schedules))]
    public void Every_table_agrees_to_1e_12(string key)
    {
        string[] parts = key.Split('|');
        Schedule schedule = Schedule.Create(FlagText.NoiseSchedule(parts[0]), int.Parse(parts[1]), parts[2]);
        using NpzFile file = NpzFile.Open(Golden);
        long[] map = [.. schedule.TimestepMap.ToArray().Select(i => (long)i)];
        Assert.Equal(file.Read($"{key}|timestep_map").AsSpan<long>().ToArray(), map);
        foreach ((string table, Table values) in s_tables)
        {
            double[] expected = file.Read($"{key}|{table}").AsSpan<double>().ToArray();
            double[] actual = values(schedule).ToArray();
            Assert.Equal(expected.Length, actual.Length);
            for (int t = 0; t < expected.Length; t++)
            {
                // Same operations in the same order as the reference; only log and cos may differ in the last place.
                Assert.True(Math.Abs(expected[t] - actual[t]) <= 1e-12 * Math.Abs(expected[t]),
                    $"{key}|{table}[{t}]: expected {expected[t]:R}, got {actual[t]:R}");
            }
        }
    }

    [Theory]
    [InlineData(0, 1.0000000e-4, 0.99990000, 0, -9.8167251, 1, 0)]
    [InlineData(1, 1.1991992e-4, 0.99978009, 5.4531877e-5, -9.8167251, 0.54529150, 0.45470850)]
    [InlineData(2, 1.3983984e-4, 0.99964028, 8.5489115e-5, -9.3671215, 0.38870684, 0.61129316)]
    [InlineData(500, 1.0059960e-2, 0.077796658, 1.0051336e-2, -4.6000497, 3.0580571e-3, 0.99410435)]
    [InlineData(999, 2.0000000e-2, 4.0358298e-5, 1.9999984e-2, -3.9120238, 1.2835149e-4, 0.98994868)]
    public void Linear_1000_has_the_check_values(
        int t, double beta, double alphaBar, double variance, double logVariance, double c1, double c2)
    {
        Schedule s = Schedule.Linear(1000);
        Close(beta, s.Betas[t]);
        Close(alphaBar, s.AlphaBar[t]);
        Close(variance, s.PosteriorVariance[t]);
        Close(logVariance, s.PosteriorLogVariance[t]);
        Close(c1, s.PosteriorMeanX0[t]);
        Close(c2, s.PosteriorMeanXt[t]);
    }

    [Fact]
    public void Cosine_1000_and_linear_4000_have_the_check_values()
    {
        Schedule cosine = Schedule.Cosine(1000);
        Close(4.1284225e-5, cosine.Betas[0]);
        Close(4.6141753e-5, cosine.Betas[1]);
        Close(3.1556914e-3, cosine.Betas[500]);
        Close(0.74999939, cosine.Betas[998]);
        Close(0.999, cosine.Betas[999]);
        Close(0.99995872, cosine.AlphaBar[0]);
        Close(0.49228517, cosine.AlphaBar[500]);
        Close(2.4287669e-6, cosine.AlphaBar[998]);
        Close(2.4287669e-9, cosine.AlphaBar[999]);
        Close(-10.734083, cosine.PosteriorLogVariance[0]);
        Close(-10.734083, cosine.PosteriorLogVariance[1]);
        Schedule linear = Schedule.Linear(4000);
        Close(2.5e-5, linear.Betas[0]);
        Close(2.6244061e-5, linear.Betas[1]);
        Close(0.52378077, linear.AlphaBar[999]);
    }

    [Theory]
    [InlineData(0, 0, 1.0000000e-4, 0.99990000, 0, -9.3646282)]
    [InlineData(1, 4, 5.9906556e-4, 0.99930099, 8.5702534e-5, -9.3646282)]
    [InlineData(2, 8, 9.1760299e-4, 0.99838403, 3.9691998e-4, -7.8317759)]
    [InlineData(125, 502, 0.049297904, 0.076234667, 0.049086942, -3.0141622)]
    [InlineData(249, 999, 0.077519345, 4.0358298e-5, 0.077519082, -2.5572312)]
    public void Linear_1000_in_250_steps_has_the_check_values(
        int t, int original, double beta, double alphaBar, double variance, double logVariance)
    {
        Schedule s = Schedule.Create(NoiseSchedule.Linear, 1000, "250");
        Assert.Equal((250, 1000, original), (s.Steps, s.OriginalSteps, s.TimestepMap[t]));
        Close(beta, s.Betas[t]);
        Close(alphaBar, s.AlphaBar[t]);
        Close(variance, s.PosteriorVariance[t]);
        Close(logVariance, s.PosteriorLogVariance[t]);
    }

    [Fact]
    public void Ddim25_has_the_check_values()
    {
        Schedule s = Schedule.Create(NoiseSchedule.Linear, 1000, "ddim25");
        Assert.Equal((40, 960), (s.TimestepMap[1], s.TimestepMap[24]));
        Close(0.020135089, s.Betas[1]);
        Close(0.97976692, s.AlphaBar[1]);
        Close(-9.2151950, s.PosteriorLogVariance[1]);
        Close(0.53260182, s.Betas[24]);
        Close(8.7413054e-5, s.AlphaBar[24]);
        Close(-0.63008080, s.PosteriorLogVariance[24]);
    }

    [Fact]
    public void Respacing_twice_keeps_original_step_numbers()
    {
        Schedule s = Schedule.Create(NoiseSchedule.Cosine, 1000, "ddim50").Keep([1, 5, 49]);
        Assert.Equal([20, 100, 980], s.TimestepMap.ToArray());
        Schedule full = Schedule.Cosine(1000);
        Close(full.AlphaBar[100], s.AlphaBar[1]);
        Assert.Equal(1000, s.OriginalSteps);
    }

    [Fact]
    public void Networks_are_told_original_steps_rescaled_on_request()
    {
        Schedule s = Schedule.Create(NoiseSchedule.Linear, 4000, "100");
        Assert.Equal(3999f, s.ModelTime(99, rescaleTimesteps: false));
        Assert.Equal(999.75f, s.ModelTime(99, rescaleTimesteps: true));
        Schedule three = Schedule.Create(NoiseSchedule.Linear, 300, "");
        Assert.Equal(7 * (float)(1000.0 / 300), three.ModelTime(7, rescaleTimesteps: true));
    }

    [Theory]
    [InlineData(19)]
    [InlineData(1)]
    [InlineData(0)]
    [InlineData(-5)]
    public void Linear_schedules_that_cannot_be_are_refused(int steps)
    {
        var e = Assert.Throws<ConfigException>(() => Schedule.Linear(steps));
        Assert.Contains("diffusion_steps", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_linear_schedule_of_20_steps_is_refused_because_its_last_level_is_pure_noise()
    {
        // The last beta is exactly 1, alphaBar 0, and x_0 could not be recovered from the noise.
        var e = Assert.Throws<ConfigException>(() => Schedule.Linear(20));
        Assert.Contains("20", e.Message, StringComparison.Ordinal);
        Assert.All(Schedule.Linear(21).SqrtRecipAlphaBar.ToArray(), v => Assert.True(double.IsFinite(v)));
    }

    [Fact]
    public void Bad_betas_and_steps_are_refused()
    {
        Assert.Throws<ConfigException>(() => Schedule.FromBetas([0.1, 0]));
        Assert.Throws<ConfigException>(() => Schedule.FromBetas([0.1, double.NaN]));
        Assert.Throws<ConfigException>(() => Schedule.FromBetas([0.1, 1.5]));
        Assert.Throws<ConfigException>(() => Schedule.FromBetas([0.1]));
        Schedule s = Schedule.Linear(100);
        Assert.Throws<ConfigException>(() => s.Keep([3, 3]));
        Assert.Throws<ConfigException>(() => s.Keep([0, 100]));
        var e = Assert.Throws<ConfigException>(() => Schedule.Create(NoiseSchedule.Linear, 1000, "1"));
        Assert.Contains("timestep_respacing", e.Message, StringComparison.Ordinal);
    }

    private static string[] Keys()
    {
        using NpzFile file = NpzFile.Open(Golden);
        return [.. file.Names.Select(n => n[..n.LastIndexOf('|')]).Distinct()];
    }

    private delegate ReadOnlySpan<double> Table(Schedule schedule);

    private static readonly Dictionary<string, Table> s_tables = new()
    {
        ["betas"] = s => s.Betas,
        ["alphas_cumprod"] = s => s.AlphaBar,
        ["alphas_cumprod_prev"] = s => s.AlphaBarPrev,
        ["alphas_cumprod_next"] = s => s.AlphaBarNext,
        ["sqrt_alphas_cumprod"] = s => s.SqrtAlphaBar,
        ["sqrt_one_minus_alphas_cumprod"] = s => s.SqrtOneMinusAlphaBar,
        ["log_one_minus_alphas_cumprod"] = s => s.LogOneMinusAlphaBar,
        ["sqrt_recip_alphas_cumprod"] = s => s.SqrtRecipAlphaBar,
        ["sqrt_recipm1_alphas_cumprod"] = s => s.SqrtRecipM1AlphaBar,
        ["posterior_variance"] = s => s.PosteriorVariance,
        ["posterior_log_variance_clipped"] = s => s.PosteriorLogVariance,
        ["posterior_mean_coef1"] = s => s.PosteriorMeanX0,
        ["posterior_mean_coef2"] = s => s.PosteriorMeanXt,
    };

    /// <summary>Eight printed digits.</summary>
    private static void Close(double expected, double actual) =>
        Assert.True(Math.Abs(expected - actual) <= 1e-7 * Math.Abs(expected) + 1e-15, $"expected {expected:R}, got {actual:R}");
}
