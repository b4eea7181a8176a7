using System.Numerics;

namespace AdmNative.Core;

/// <summary>
/// Runs the plain twins through a plan's arena, in float or double: slow, for tests. It proves a plan's addresses, since
/// everything outside the inputs is NaN before each run and each workspace is overwritten with NaN before its step.
/// </summary>
public sealed class TwinBackend : IBackend
{
    private readonly PlannerOptions _options;
    private readonly DType _precision;

    /// <summary>A backend of the given arithmetic.</summary>
    /// <param name="precision">F32 or F64. Offsets stay the plan's: the arena has a number for every two bytes of it, and an element is held by its first.</param>
    /// <param name="options">What to tell the planner; strided everywhere and no workspace by default.</param>
    public TwinBackend(DType precision = DType.F64, PlannerOptions? options = null)
    {
        _precision = precision is DType.F32 or DType.F64 ? precision
            : throw new ArgumentException($"twins compute in f32 or f64, not {precision}", nameof(precision));
        _options = options ?? new PlannerOptions();
    }

    /// <inheritdoc/>
    public string Description => $"twins in {_precision.ToString().ToLowerInvariant()}";

    /// <inheritdoc/>
    public Plan Plan(Graph graph) => Planner.Plan(graph, _options);

    /// <inheritdoc/>
    public IParameters LoadParameters(IReadOnlyDictionary<string, Node> parameters, ITensorSource source)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        ArgumentNullException.ThrowIfNull(source);
        var values = new Dictionary<string, HostArray<float>>();
        foreach ((string name, Node node) in parameters)
        {
            if (source.Tensors.TryGetValue(name, out TensorType? type) && type.Shape != node.Shape)
            {
                throw new CheckpointException($"{source.Description}: {name} is {type.Shape}, the model wants {node.Shape}");
            }

            values.Add(name, new HostArray<float>(node.Shape));
            source.ReadFloats(name, values[name].Data);
        }

        return new TwinParameters(values);
    }

    /// <inheritdoc/>
    public IExecutable Load(Plan plan, IParameters parameters)
    {
        ArgumentNullException.ThrowIfNull(plan);
        var twins = parameters as TwinParameters
            ?? throw new ArgumentException("these parameters were loaded by another backend", nameof(parameters));
        return _precision == DType.F32 ? new TwinExecutable<float>(plan, twins) : new TwinExecutable<double>(plan, twins);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // Host arrays only: nothing to give back.
    }
}

/// <summary>Weights of <see cref="TwinBackend"/>.</summary>
internal sealed record TwinParameters(IReadOnlyDictionary<string, HostArray<float>> Values) : IParameters
{
    public long Bytes => Values.Values.Sum(v => v.Data.LongLength * sizeof(float));

    public void Dispose()
    {
        // Host arrays only: nothing to give back.
    }
}
