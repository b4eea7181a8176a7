using AdmNative.Cuda;

namespace AdmNative.VirtualGpu;

/// <summary>What a launch did.</summary>
public sealed class LaunchReport
{
    /// <summary>Entry name.</summary>
    public required string Kernel { get; init; }

    /// <summary>False when a trap, a deadlock or the step budget ended the launch early.</summary>
    public required bool Completed { get; init; }

    /// <summary>
    /// What hardware would report: Success, or the error of the worst fault among the findings (a wrong address, a misaligned one, a trap,
    /// a launch that never ends). Findings that hardware would not notice leave it at Success.
    /// </summary>
    public CudaStatus Status { get; init; }

    /// <summary>Bugs found, each instruction and check once.</summary>
    public required IReadOnlyList<Finding> Findings { get; init; }

    /// <summary>Findings beyond <see cref="LaunchOptions.MaxFindings"/>.</summary>
    public required long FindingsDropped { get; init; }

    /// <summary>Totals of the launch; zero when counting was off.</summary>
    public required Counters Counters { get; init; }

    /// <summary>Totals per source line (PTX line without line information), in line order.</summary>
    public required IReadOnlyList<LineCounters> Lines { get; init; }

    /// <summary>What the kernel printed.</summary>
    public required string Output { get; init; }

    /// <summary>Times a warp spun so long that its other lanes were let run out of turn.</summary>
    public required long SpinRotations { get; init; }
}
