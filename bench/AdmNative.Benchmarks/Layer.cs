using AdmNative.Core;
using AdmNative.Cpu;

namespace AdmNative.Benchmarks;

/// <summary>One op over random inputs on the CPU backend, planned and loaded as a network would be: the text that is timed is the text that ships.</summary>
public sealed class Layer : IDisposable
{
    private readonly CpuBackend _backend;
    private readonly IParameters _parameters;
    private readonly IExecutable _run;

    /// <summary>Builds, plans and loads the op.</summary>
    /// <param name="build">Adds the op to a graph and returns its result.</param>
    /// <param name="threads">Worker threads.</param>
    public Layer(Func<Graph, Node> build, int threads)
    {
        var graph = new Graph();
        graph.Output("y", build(graph));
        _backend = new CpuBackend(new CpuOptions { Threads = threads });
        Plan = _backend.Plan(graph);
        _parameters = _backend.LoadParameters(graph.Parameters, new Wave(graph.Parameters));
        _run = _backend.Load(Plan, _parameters);
        foreach ((string name, Node node) in graph.Inputs)
        {
            var values = new float[node.Shape.Elements];
            Wave.Fill(values);
            _run.SetInput(name, values);
        }

        PlanReport report = PlanReport.Of(Plan);
        Flops = report.Flops;
        MovedBytes = report.MovedBytes;
    }

    /// <summary>The plan that runs.</summary>
    public Plan Plan { get; }

    /// <summary>Floating-point operations of one run (direct form: Winograd counts as if it were not one).</summary>
    public double Flops { get; }

    /// <summary>Operands and results, each once.</summary>
    public double MovedBytes { get; }

    /// <summary>Runs once.</summary>
    public void Run() => _run.Run();

    /// <inheritdoc/>
    public void Dispose()
    {
        _run.Dispose();
        _parameters.Dispose();
        _backend.Dispose();
    }

    private sealed class Wave(IReadOnlyDictionary<string, Node> parameters) : ITensorSource
    {
        public string Description => "a wave";

        public IReadOnlyDictionary<string, TensorType> Tensors { get; } = parameters.ToDictionary(p => p.Key, p => p.Value.Type);

        public void ReadFloats(string name, Span<float> destination) => Fill(destination);

        public static void Fill(Span<float> destination)
        {
            for (int i = 0; i < destination.Length; i++)
            {
                destination[i] = MathF.Sin(i * 0.37f) * 0.3f;
            }
        }
    }
}
