namespace AdmNative.Core;

/// <summary>A device that runs graphs: cpu, cuda, virtual, or the plain twins. Nothing above it knows which.</summary>
public interface IBackend : IDisposable
{
    /// <summary>One line for logs: device, instruction set, threads.</summary>
    string Description { get; }

    /// <summary>Reads and repacks the named weights once; the result can serve any number of executables.</summary>
    /// <param name="parameters">Names and shapes wanted, e.g. <see cref="Graph.Parameters"/> of a model's graph.</param>
    /// <param name="source">Where they are read from; extra tensors are ignored here (models check that themselves).</param>
    IParameters LoadParameters(IReadOnlyDictionary<string, Node> parameters, ITensorSource source);

    /// <summary>Order, lifetimes, arena offsets and workspaces for this device. Pure: allocates nothing on the device.</summary>
    Plan Plan(Graph graph);

    /// <summary>Makes a plan runnable over loaded weights. Allocates the arena; running it afterwards allocates nothing.</summary>
    IExecutable Load(Plan plan, IParameters parameters);
}

/// <summary>Weights resident on a device.</summary>
public interface IParameters : IDisposable
{
    /// <summary>Bytes held on the device.</summary>
    long Bytes { get; }
}

/// <summary>A loaded plan. Not thread-safe: one run at a time.</summary>
public interface IExecutable : IDisposable
{
    /// <summary>The plan it replays.</summary>
    Plan Plan { get; }

    /// <summary>Sets an f32 input (dense, row-major).</summary>
    void SetInput(string name, ReadOnlySpan<float> values);

    /// <summary>Sets an i32 input, e.g. labels.</summary>
    void SetInput(string name, ReadOnlySpan<int> values);

    /// <summary>Runs every step of the plan.</summary>
    void Run();

    /// <summary>Copies a named output (dense, row-major).</summary>
    void GetOutput(string name, Span<float> destination);

    /// <summary>When true, each step is timed; off by default.</summary>
    bool Timing { get; set; }

    /// <summary>Seconds per plan step, summed since timing was switched on. Index = step.</summary>
    IReadOnlyList<double> StepSeconds { get; }

    /// <summary>Bytes of arena plus workspace.</summary>
    long ArenaBytes { get; }
}
