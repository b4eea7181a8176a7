using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>What holds of every plan: entries exist, launches fit them and the device.</summary>
internal static class PlanAssert
{
    /// <summary>The four architectures.</summary>
    public static IReadOnlyList<DeviceLimits> Devices { get; } = [DeviceLimits.Sm80, DeviceLimits.Sm86, DeviceLimits.Sm89, DeviceLimits.Sm90];

    public static void Valid(KernelPlan plan, in DeviceLimits limits)
    {
        Assert.NotEmpty(plan.Launches);
        Assert.True(plan.WorkspaceBytes >= 0);
        foreach (PlannedLaunch launch in plan.Launches)
        {
            Assert.True(KernelBundle.Default.TryFind(launch.Entry, out KernelEntry? entry), launch.Entry);
            Assert.Equal((uint)entry.MaxThreads[0], launch.Shape.BlockX);
            Assert.Equal((1u, 1u, 1u, 1u), (launch.Shape.BlockY, launch.Shape.BlockZ, launch.Shape.GridY, launch.Shape.GridZ));
            Assert.InRange(launch.Shape.GridX, 1u, (uint)int.MaxValue);
            Assert.True(launch.Shape.SharedBytes + entry.StaticSharedBytes <= limits.SharedPerBlockOptIn, $"{launch.Entry}: {launch.Shape.SharedBytes} shared bytes");
            Assert.True(launch.TrafficBytes > 0 && launch.MmaInstructions >= 0, launch.Entry);
        }
    }

    /// <summary>The clause is named when it is broken.</summary>
    public static void Refused(string clause, Action action) => Assert.Contains(clause, Assert.Throws<ArgumentException>(action).Message, StringComparison.Ordinal);
}
