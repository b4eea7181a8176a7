using System.Diagnostics;
using AdmNative.Cuda;

namespace AdmNative.VirtualGpu;

/// <summary>A module loaded in a context.</summary>
internal sealed class DriverModule(PtxProgram program, IReadOnlyDictionary<string, KernelResources> resources)
{
    public PtxProgram Program { get; } = program;

    /// <summary>What the assembler made of each entry for this device, where the module is one of the shipped images.</summary>
    public IReadOnlyDictionary<string, KernelResources> Resources { get; } = resources;

    public bool Unloaded { get; set; }

    /// <summary>Handles given out, by entry name.</summary>
    public Dictionary<string, nint> Functions { get; } = [];
}

/// <summary>An entry with its settable attributes.</summary>
internal sealed class DriverFunction(DriverModule module, PtxEntry entry, int dynamicShared)
{
    public DriverModule Module { get; } = module;

    public PtxEntry Entry { get; } = entry;

    public int DynamicSharedLimit { get; set; } = dynamicShared;

    public int Carveout { get; set; } = -1;
}

/// <summary>A stream: the last of its operations, and the capture it is part of.</summary>
internal sealed class DriverStream(bool isNull, bool blocking)
{
    public bool IsNull { get; } = isNull;

    /// <summary>Ordered with the null stream.</summary>
    public bool Blocking { get; } = blocking;

    public Operation? Last { get; set; }

    public Capture? Capture { get; set; }

    /// <summary>Nodes the next captured one depends on.</summary>
    public HashSet<int> Frontier { get; set; } = [];
}

/// <summary>An event: its last record, or the nodes it stands for in a capture.</summary>
internal sealed class DriverEvent(bool timing)
{
    public bool Timing { get; } = timing;

    public RecordOperation? Last { get; set; }

    public Capture? Capture { get; set; }

    public HashSet<int> Nodes { get; set; } = [];
}

/// <summary>A capture in progress.</summary>
internal sealed class Capture(DriverStream origin, int thread)
{
    public DriverStream Origin { get; } = origin;

    public int Thread { get; } = thread;

    public List<GraphNode> Nodes { get; } = [];

    /// <summary>Why it can no longer become a graph, or null.</summary>
    public string? Invalid { get; set; }

    public bool Ended { get; set; }
}

/// <summary>A captured operation and the earlier nodes it waits for.</summary>
internal sealed record GraphNode(Operation Work, int[] After);

/// <summary>A captured graph.</summary>
internal sealed record DriverGraph(IReadOnlyList<GraphNode> Nodes);

/// <summary>A graph ready to run.</summary>
internal sealed class DriverGraphExec(IReadOnlyList<GraphNode> nodes)
{
    public IReadOnlyList<GraphNode> Nodes { get; } = nodes;

    /// <summary>Its last launch: a graph never overlaps itself.</summary>
    public Operation? Last { get; set; }
}

/// <summary>A piece of work of a stream or graph. As graph node it is a template and never <see cref="Done"/>.</summary>
internal abstract class Operation
{
    /// <summary>What has to be done before; null once it ran.</summary>
    public List<Operation>? After { get; set; } = [];

    public bool Done { get; set; }

    public abstract Outcome Run(DriverContext context);

    /// <summary>Why it can no longer run (something it names was destroyed), or null.</summary>
    public virtual string? WhyNot() => null;
}

/// <summary>A kernel launch; the parameter block was copied when it was enqueued.</summary>
internal sealed class KernelOperation(DriverFunction function, LaunchShape shape, byte[] parameters) : Operation
{
    public override Outcome Run(DriverContext context) => context.RunKernel(function, shape, parameters);

    public override string? WhyNot() => function.Module.Unloaded ? $"the module of '{function.Entry.Name}' was unloaded" : null;
}

/// <summary>Host to device. Staged bytes when the source is pageable and the copy does not come from a graph.</summary>
internal sealed unsafe class HostToDevice(ulong to, nint from, byte[]? staged, long bytes) : Operation
{
    public override Outcome Run(DriverContext context)
    {
        if (staged is null)
        {
            return context.Device.TryWrite(to, (byte*)from, bytes);
        }

        fixed (byte* p = staged)
        {
            return context.Device.TryWrite(to, p, bytes);
        }
    }
}

/// <summary>Device to host.</summary>
internal sealed unsafe class DeviceToHost(nint to, ulong from, long bytes) : Operation
{
    public override Outcome Run(DriverContext context) => context.Device.TryRead((byte*)to, from, bytes);
}

/// <summary>Device to device.</summary>
internal sealed class DeviceToDevice(ulong to, ulong from, long bytes) : Operation
{
    public override Outcome Run(DriverContext context) => context.Device.TryCopy(to, from, bytes);
}

/// <summary>Memset of 8-bit or 32-bit values.</summary>
internal sealed class FillOperation(ulong to, uint value, int width, long count) : Operation
{
    public override Outcome Run(DriverContext context) => context.Device.TryFill(to, value, width, count);
}

/// <summary>A point other streams wait for; does nothing itself.</summary>
internal sealed class WaitOperation : Operation
{
    public override Outcome Run(DriverContext context) => Outcome.Ok;
}

/// <summary>An event's record: takes the host's time.</summary>
internal sealed class RecordOperation : Operation
{
    /// <summary>Stopwatch ticks when everything before it was done.</summary>
    public long Ticks { get; private set; }

    public override Outcome Run(DriverContext context)
    {
        Ticks = Stopwatch.GetTimestamp();
        return Outcome.Ok;
    }
}

/// <summary>A launch of a whole graph.</summary>
internal sealed class GraphOperation(DriverGraphExec graph) : Operation
{
    public override Outcome Run(DriverContext context) => context.RunGraph(graph);

    public override string? WhyNot() => graph.Nodes.Select(n => n.Work.WhyNot()).FirstOrDefault(w => w is not null);
}
