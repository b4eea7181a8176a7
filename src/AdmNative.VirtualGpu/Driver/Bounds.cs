using System.Globalization;
using System.Text;

namespace AdmNative.VirtualGpu;

/// <summary>One resource's share of a launch.</summary>
/// <param name="Name">"dram", "tensor", "fma", "f64", "special", "shared", "issue".</param>
/// <param name="Seconds">Time this resource alone needs at its peak rate.</param>
/// <param name="Basis">The count and the rate it comes from.</param>
public sealed record BoundTerm(string Name, double Seconds, string Basis);

/// <summary>
/// A lower bound on the time of a launch: from a cold L2, at the stated clock, no device of that profile can be faster. It is not an estimate of the time: latency, occupancy, cache misses
/// beyond the first touch, launch cost and imbalance only add to it.
/// </summary>
/// <remarks>
/// max over: 32 bytes per distinct sector / DRAM bandwidth, tensor operations / tensor peak, f32 and f64 operations / FMA peak,
/// special functions / their rate, shared passes / (SMs * clock), instructions / (4 * SMs * clock). The DRAM term counts every sector that is read or
/// written once, as if the L2 cache began empty and what is written left it at the end; data that an earlier kernel left in L2 can beat it.
/// PTX instructions are not machine instructions: the assembler drops moves and integer work and fuses multiplies with adds, so the issue
/// term counts global, shared, tensor, special and warp instructions, and half of the floating-point ones.
/// </remarks>
/// <param name="Profile">The device.</param>
/// <param name="Terms">All terms, largest first.</param>
public sealed record Bounds(DeviceProfile Profile, IReadOnlyList<BoundTerm> Terms)
{
    /// <summary>The bound: the largest term.</summary>
    public double Seconds => Terms[0].Seconds;

    /// <summary>Name of the term that binds.</summary>
    public string Binding => Terms[0].Name;

    /// <summary>The bound of a launch.</summary>
    /// <exception cref="ArgumentException">The launch ran without counters.</exception>
    public static Bounds Of(LaunchReport report, DeviceProfile profile)
    {
        ArgumentNullException.ThrowIfNull(report);
        return Of(report.Counters, profile);
    }

    /// <summary>The bound of counted work.</summary>
    /// <exception cref="ArgumentException">Nothing was counted.</exception>
    public static Bounds Of(Counters counters, DeviceProfile profile)
    {
        ArgumentNullException.ThrowIfNull(counters);
        ArgumentNullException.ThrowIfNull(profile);
        Counters c = counters;
        if (c.WarpInstructions == 0)
        {
            throw new ArgumentException("nothing was counted: run the launch with LaunchOptions.Counters", nameof(counters));
        }

        double clock = profile.ClockKhz * 1e3, sms = profile.Multiprocessors;
        long sectors = c.GlobalFootprintSectors;
        (double tensor, string shapes) = Tensor(c, profile);
        long issues = ((c.F32Instructions + c.F16Instructions + c.F64Instructions) / 2) + c.SpecialFunctionInstructions
            + c.GlobalInstructions + c.SharedInstructions + c.WarpOperations + c.MmaInstructions;
        double fma = 2 * profile.FmaPerClock * sms * clock, f64 = 2 * profile.DoubleFmaPerClock * sms * clock;
        long f32Flops = c.Flops - c.F64Flops - c.HalfFlops;
        List<BoundTerm> terms =
        [
            new("dram", 32.0 * sectors / profile.DramBytesPerSecond, $"{sectors} distinct sectors of 32 bytes at {Rate(profile.DramBytesPerSecond)}B/s"),
            new("tensor", tensor, $"{c.MmaFlops} operations{shapes}"),
            new("fma", f32Flops / fma, $"{f32Flops} f32 operations at {Rate(fma)}FLOP/s"),
            new("f64", c.F64Flops / f64, $"{c.F64Flops} f64 operations at {Rate(f64)}FLOP/s"),
            new(
                "special", c.SpecialFunctionLanes / (profile.SpecialPerClock * sms * clock),
                $"{c.SpecialFunctionLanes} special functions, {profile.SpecialPerClock} per clock and SM"),
            new("shared", c.SharedPasses / (sms * clock), $"{c.SharedPasses} shared passes on {profile.Multiprocessors} SMs"),
            new("issue", issues / (4 * sms * clock), $"{issues} instructions, 4 per clock and SM"),
        ];
        return new Bounds(profile, [.. terms.OrderByDescending(t => t.Seconds)]);
    }

    private static (double Seconds, string Text) Tensor(Counters c, DeviceProfile profile)
    {
        double seconds = 0;
        var text = new StringBuilder();
        foreach ((string shape, long count) in c.MmaByShape.OrderBy(s => s.Key, StringComparer.Ordinal))
        {
            double rate = shape.Contains("tf32", StringComparison.Ordinal) ? profile.TensorTf32PerSecond
                : shape.Contains("s8", StringComparison.Ordinal) || shape.Contains("u8", StringComparison.Ordinal) ? profile.TensorInt8PerSecond
                : profile.TensorHalfPerSecond;
            long operations = c.MmaInstructions == 0 ? 0 : Operations(shape) * count;
            seconds += operations / rate;
            text.Append(text.Length == 0 ? ": " : ", ").Append(CultureInfo.InvariantCulture, $"{count} {shape} at {Rate(rate)}op/s");
        }

        return (seconds, text.ToString());
    }

    /// <summary>2 M N K from a name such as "m16n8k16f16f32".</summary>
    private static long Operations(string shape)
    {
        int k = shape.IndexOf('k', StringComparison.Ordinal);
        string digits = new([.. shape[(k + 1)..].TakeWhile(char.IsAsciiDigit)]);
        return 2L * 16 * 8 * int.Parse(digits, CultureInfo.InvariantCulture);
    }

    private static string Rate(double perSecond) => perSecond >= 1e12
        ? string.Create(CultureInfo.InvariantCulture, $"{perSecond / 1e12:0.###} T")
        : string.Create(CultureInfo.InvariantCulture, $"{perSecond / 1e9:0.###} G");

    /// <summary>A table: the bound with what binds, then every term.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"lower bound on {Profile.Name} ({Profile.Target}): {Time(Seconds)}, bound by {Binding}");
        foreach (BoundTerm t in Terms)
        {
            text.Append('\n').Append(CultureInfo.InvariantCulture, $"  {t.Name,-8}{Time(t.Seconds),12}  {t.Basis}");
        }

        return text.ToString();
    }

    private static string Time(double seconds) => seconds switch
    {
        0 => "0",
        < 1e-6 => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e9:0.###} ns"),
        < 1e-3 => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e6:0.###} us"),
        < 1 => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e3:0.###} ms"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{seconds:0.###} s"),
    };
}
