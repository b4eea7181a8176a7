namespace AdmNative.Cuda;

/// <summary>One launch of a plan, without addresses.</summary>
/// <param name="Entry">Entry name, e.g. "gn_small_f16".</param>
/// <param name="Shape">Grid, block, dynamic shared bytes.</param>
/// <param name="TrafficBytes">Bytes the traffic formula of the kernel allows it to read and write in device memory; what the launch counters are judged by.</param>
/// <param name="MmaInstructions">Tensor-core instructions: exactly ceil(M/16) ceil(N/8) ceil(K/16) over padded tiles; 0 without tensor cores.</param>
public sealed record PlannedLaunch(string Entry, LaunchShape Shape, long TrafficBytes, long MmaInstructions = 0);

/// <summary>
/// The launches of an operation for one shape, element type and device: a value without addresses, made by a family's pure Plan function
/// and turned into launches by its Enqueue.
/// </summary>
/// <param name="Launches">In order; each may use what earlier ones wrote.</param>
/// <param name="WorkspaceBytes">Scratch memory Enqueue wants, 256-byte aligned; 0 = none. Its contents need no preparation and do not outlive the last launch.</param>
public abstract record KernelPlan(IReadOnlyList<PlannedLaunch> Launches, long WorkspaceBytes)
{
    /// <summary>Sum over launches.</summary>
    public long TrafficBytes => Launches.Sum(l => l.TrafficBytes);

    /// <summary>Sum over launches.</summary>
    public long MmaInstructions => Launches.Sum(l => l.MmaInstructions);
}
