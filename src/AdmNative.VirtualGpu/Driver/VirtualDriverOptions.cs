namespace AdmNative.VirtualGpu;

/// <summary>When the work of streams runs. Both are legal schedules of the CUDA model; a program has to be right under both.</summary>
public enum StreamOrder
{
    /// <summary>Inside the call that enqueues it, so that an error is reported by the call that caused it.</summary>
    Immediate,

    /// <summary>
    /// As late as the program allows: when something waits for it, and of several ready graph nodes the last captured first. Shows missing synchronisation: a host read
    /// before its copy was waited for, two streams or graph branches without an event between them.
    /// </summary>
    Deferred,
}

/// <summary>How a virtual driver behaves.</summary>
public sealed record VirtualDriverOptions
{
    /// <summary>The GPU it has.</summary>
    public DeviceProfile Profile { get; init; } = DeviceProfile.A100;

    /// <summary>How launches run and what they are watched for.</summary>
    public LaunchOptions Launch { get; init; } = new();

    /// <summary>When the work of streams runs.</summary>
    public StreamOrder Streams { get; init; } = StreamOrder.Immediate;

    /// <summary>Bytes that can be allocated; default the profile's memory, or this machine's where that is less.</summary>
    public long? MemoryLimit { get; init; }

    /// <summary>What cuDriverGetVersion answers; it also limits the .version of PTX.</summary>
    public int DriverVersion { get; init; } = 12080;

    /// <summary>
    /// Registers per thread of an entry's machine code on the device, where they are known (ptxas -v); null where not. The kernels this library ships need
    /// nothing here: their catalogue says. Known numbers decide about launches and occupancy; otherwise occupancy uses
    /// <see cref="PtxEntry.EstimatedRegisters"/> and no launch is refused for registers.
    /// </summary>
    public Func<PtxEntry, DeviceProfile, int?>? Registers { get; init; }

    /// <summary>Launch reports kept in <see cref="VirtualDriver.Reports"/>; older ones go.</summary>
    public int KeepReports { get; init; } = 1000;
}
