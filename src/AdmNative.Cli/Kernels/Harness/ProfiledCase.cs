using AdmNative.Cuda;
using AdmNative.VirtualGpu;

namespace AdmNative.Cli;

/// <summary>A launch with what it moved and what bounds it.</summary>
/// <param name="Run">Counters of the virtual device.</param>
/// <param name="Profile">The GPU the plan is for.</param>
/// <param name="Time">Measured on a GPU; null on the virtual device.</param>
internal sealed record ProfileRow(LaunchRun Run, DeviceProfile Profile, LaunchTime? Time)
{
    /// <summary>Median of the measured times.</summary>
    public double? Seconds => Time?.MedianMs / 1e3;

    /// <summary>Architecture whose resources are shown: the device's, or the newest before it that the catalogue knows.</summary>
    public string Target => GpuProfile.Near(Profile.Major, Profile.Minor).Target;

    /// <summary>Its registers and spills.</summary>
    public KernelResources Resources => Entry.Resources[Target];

    /// <summary>Its entry in the catalogue.</summary>
    public KernelEntry Entry { get; } = KernelBundle.Default[Run.Planned.Entry];

    /// <summary>The time no device of the profile can beat, from a cold L2.</summary>
    public Bounds Bound { get; } = Bounds.Of(Run.Report, Profile);

    /// <summary>What was counted.</summary>
    public Counters Counters => Run.Report.Counters;

    /// <summary>Requested bytes over the formula.</summary>
    public double BytesRatio => Run.Bytes / (double)Run.Planned.TrafficBytes;

    /// <summary>Sectors of 32 bytes over the fewest possible.</summary>
    public double SectorRatio { get; } = CounterGates.SectorRatio(Run.Report);

    /// <summary>Sectors of all requests.</summary>
    public long Sectors => Counters.GlobalReadSectors + Counters.GlobalWriteSectors;

    /// <summary>The time the sectors of all requests take at full memory bandwidth: what the launch costs where no cache helps.</summary>
    public double UncachedSeconds => 32.0 * Sectors / Profile.DramBytesPerSecond;

    /// <summary>Share of the multiprocessors that get a block.</summary>
    public double Busy => Math.Min(1, Run.Planned.Shape.GridX / (double)Profile.Multiprocessors);

    /// <summary>Blocks that fit on a multiprocessor of an architecture.</summary>
    public int BlocksPerSm(string target) => KernelsList.Occupancy(Entry, target, (int)Run.Planned.Shape.SharedBytes);
}

/// <summary>One way to compute a case: ours, or one of its variants.</summary>
/// <param name="Name">"ours", or the variant's.</param>
/// <param name="Next">What the next version gains; "" for ours.</param>
/// <param name="Result">Values and counters.</param>
/// <param name="Rows">Its launches.</param>
internal sealed record ProfiledVersion(string Name, string Next, CaseResult Result, IReadOnlyList<ProfileRow> Rows)
{
    /// <summary>Largest error over its tolerance.</summary>
    public double Error => Result.Gates.Where(g => g.Name.StartsWith("error", StringComparison.Ordinal)).Select(g => g.Value).DefaultIfEmpty(0).Max();

    /// <summary>Requested bytes of all launches.</summary>
    public long Bytes => Rows.Sum(r => r.Run.Bytes);

    /// <summary>Sectors of all launches.</summary>
    public long Sectors => Rows.Sum(r => r.Sectors);

    /// <summary>Warp instructions of all launches.</summary>
    public long Instructions => Rows.Sum(r => r.Counters.WarpInstructions);

    /// <summary>Sum of the lower bounds.</summary>
    public double Seconds => Rows.Sum(r => r.Bound.Seconds);

    /// <summary>Sum of the times without caches.</summary>
    public double UncachedSeconds => Rows.Sum(r => r.UncachedSeconds);

    /// <summary>Sum of the measured times; null on the virtual device.</summary>
    public double? Measured => Rows.All(r => r.Seconds is not null) ? Rows.Sum(r => r.Seconds) : null;
}

/// <summary>A case with all its versions, oldest first, ours last.</summary>
internal sealed record ProfiledCase(KernelCase Case, IReadOnlyList<ProfiledVersion> Versions)
{
    /// <summary>The one that is used.</summary>
    public ProfiledVersion Ours => Versions[^1];

    /// <summary>Runs a case and the versions wanted: on the virtual device for values and counters, on a GPU, if given, for values and times.</summary>
    /// <param name="one">The case.</param>
    /// <param name="variant">"all", "ours" or the name of one; ours is always there.</param>
    /// <param name="runner">Of the virtual device.</param>
    /// <param name="gpu">A GPU, or null.</param>
    public static ProfiledCase Of(KernelCase one, string variant, CaseRunner runner, DriverRunner? gpu) => new(one,
    [
        .. one.Variants.Where(v => variant == "all" || variant == v.Name).Select(v => Version(v.Name, v.Next, v.Case, runner, gpu)),
        Version("ours", "", one, runner, gpu),
    ]);

    private static ProfiledVersion Version(string name, string next, KernelCase one, CaseRunner runner, DriverRunner? gpu)
    {
        CaseResult result = runner.Check(one, CaseParts.Counters | CaseParts.Resources);
        IReadOnlyList<LaunchTime>? times = null;
        if (gpu is not null)
        {
            result = result with { Gates = [.. result.Gates, .. gpu.Check(one).Gates.Select(g => g with { Name = $"{g.Name} on the GPU" })] };
            times = gpu.Time(one);
        }

        result = result with { Work = new CaseWork() }; // a report over all layers must not hold all their tensors
        return new(name, next, result, [.. result.Launches.Select((l, i) => new ProfileRow(l, runner.Profile, times?[i]))]);
    }
}
