using System.Runtime.InteropServices;
using AdmNative.Cli;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;

namespace AdmNative.Tests;

/// <summary>Cases through a driver, as on a GPU; the virtual device behind the driver interface stands for one.</summary>
public sealed class DriverRunnerTests
{
    private static VirtualDriver Driver() => new(new VirtualDriverOptions { Launch = new LaunchOptions { Checks = Checks.None, Counters = false } });

    public static TheoryData<string> Families => new(KernelCases.Families.Select(f => f.Family));

    [Theory]
    [MemberData(nameof(Families))]
    public void A_case_of_every_family_passes_and_is_timed(string family)
    {
        using VirtualDriver driver = Driver();
        using var runner = new DriverRunner(driver);
        KernelCase one = KernelCases.Of(family).First(c => !c.Full);
        CaseResult result = runner.Check(one);
        Assert.True(result.Passed, result.Failures);
        Assert.Contains(result.Gates, g => g.Name == "error");
        Assert.Contains(result.Gates, g => g.Name == "bits in run 3");

        IReadOnlyList<LaunchTime> times = runner.Time(one, repeats: 3);
        Assert.Equal(result.Work.Plans.SelectMany(p => p.Launches), times.Select(t => t.Planned));
        Assert.All(times, t => Assert.InRange(t.BestMs, 0, t.MedianMs));
    }

    [Theory]
    [InlineData(0, 0, "error")]
    [InlineData(1, 0, "bytes written outside")]
    [InlineData(0, 1, "error")]
    public void Wrong_sums_and_bytes_outside_a_buffer_fail(int more, double off, string gate)
    {
        using VirtualDriver driver = Driver();
        using var runner = new DriverRunner(driver);
        CaseResult result = runner.Check(new Addition(64 + more, off));
        string[] failed = [.. result.Gates.Where(g => !g.Passed).Select(g => g.Name).Distinct()];
        Assert.Equal(more > 0 || off > 0 ? [gate] : [], failed);
    }

    [Fact]
    public void A_profile_is_what_the_driver_says()
    {
        foreach (DeviceProfile profile in DeviceProfile.All)
        {
            using var driver = new VirtualDriver(new VirtualDriverOptions { Profile = profile });
            using var runner = new DriverRunner(driver);
            Assert.Equal(profile.Limits, runner.Profile.Limits);
            Assert.Equal(DeviceLimits.Of(driver, 0) with { RegisterGranule = profile.RegisterGranule }, runner.Profile.Limits);
            Assert.Equal(profile.Target, runner.Profile.Target);
            Assert.Equal(1, runner.Profile.DramBytesPerSecond / profile.DramBytesPerSecond, 2);
            Assert.Equal(profile.TensorHalfPerSecond, runner.Profile.TensorHalfPerSecond, 1.0);
        }

        Assert.Equal("sm_80", GpuProfile.Near(8, 5).Target);
        Assert.Equal("sm_90", GpuProfile.Near(12, 0).Target);
    }

    [Fact]
    public void What_is_not_there_is_said()
    {
        using VirtualDriver driver = Driver();
        GpuUnavailableException none = Assert.Throws<GpuUnavailableException>(() => new DriverRunner(driver, 3));
        Assert.Equal("there is no device 3: the driver knows 1.", none.Message);
        using var old = new VirtualDriver(new VirtualDriverOptions { Profile = DeviceProfile.A100 with { Major = 7, Minor = 5 } });
        Assert.Equal(GpuUnavailableReason.DeviceTooOld, Assert.Throws<GpuUnavailableException>(() => new DriverRunner(old)).Reason);

        foreach (string verb in new[] { "check", "profile" })
        {
            Adm.Outcome outcome = Adm.Run("kernels", verb, "--device", "cuda:1");
            Assert.Equal(ExitCode.DeviceUnavailable, outcome.Code);
            Assert.Contains("no CUDA driver: install one", outcome.Error, StringComparison.Ordinal);
            Assert.Contains(NoDriver.Library, outcome.Error, StringComparison.Ordinal);
            Assert.Equal(ExitCode.Usage, Adm.Run("kernels", verb, "--device", "cuda:x").Code);
        }
    }

    /// <summary>64 sums by a kernel that is told of <paramref name="n"/>, expected <paramref name="off"/> too large.</summary>
    private sealed class Addition(int n, double off) : KernelCase("add", "add", KernelDType.F32, $"{n}")
    {
        private sealed record Plan(IReadOnlyList<PlannedLaunch> All) : KernelPlan(All, 0);

        public override CaseWork Build(in DeviceLimits limits)
        {
            var work = new CaseWork();
            float[] values = [.. Enumerable.Range(0, 128).Select(i => (float)i)];
            KernelBuffer a = work.Input("a", values, KernelDType.F32), b = work.Input("b", values, KernelDType.F32), y = work.Output("y", 1, 64, KernelDType.F32);
            var plan = new Plan([new PlannedLaunch("eltwise_add_f32", new LaunchShape(1, 1, 1, 256, 1, 1), 3 * 64 * 4)]);
            work.Run(plan, () => [new KernelLaunch(plan.Launches[0].Entry, plan.Launches[0].Shape, MemoryMarshal.AsBytes<ulong>([a.Address, b.Address, y.Address, (ulong)n]).ToArray())]);
            work.Expect(y, [.. Enumerable.Range(0, 64).Select(i => (2.0 * i) + off)], Tolerances.Absolute(1e-3, 0));
            return work;
        }
    }
}
