using System.Diagnostics;
using AdmNative.Core;
using AdmNative.Cuda;
using AdmNative.Diffusion;
using AdmNative.VirtualGpu;

namespace AdmNative.Cli;

/// <summary>One piece of work on one device, ready to be timed and counted.</summary>
internal sealed class BenchNetwork : IDisposable
{
    private readonly IParameters _parameters;
    private readonly IExecutable _run;

    /// <param name="backend">Device.</param>
    /// <param name="work">What runs.</param>
    public BenchNetwork(IBackend backend, BenchWork work)
    {
        Graph graph = Passes.Optimize(work.Graph);
        Work = work;
        Plan = backend.Plan(graph);
        _parameters = backend.LoadParameters(graph.Parameters, new UniformWeights(graph.Parameters));
        _run = backend.Load(Plan, _parameters);
        ParameterBytes = _parameters.Bytes;
        Fill(graph);
    }

    public BenchWork Work { get; }

    public Plan Plan { get; }

    public long ParameterBytes { get; }

    /// <summary>Seconds of each of <paramref name="repeats"/> runs, after one that is not counted.</summary>
    public double[] Time(int repeats, CancellationToken stop)
    {
        _run.Run();
        var seconds = new double[repeats];
        for (int i = 0; i < repeats; i++)
        {
            stop.ThrowIfCancellationRequested();
            long start = Stopwatch.GetTimestamp();
            _run.Run();
            seconds[i] = Stopwatch.GetElapsedTime(start).TotalSeconds;
        }

        return seconds;
    }

    /// <summary>Per-op table of <paramref name="repeats"/> runs with every step timed, seconds per run.</summary>
    public PlanReport Profile(int repeats)
    {
        _run.Timing = true;
        for (int i = 0; i < repeats; i++)
        {
            _run.Run();
        }

        double[] perRun = [.. _run.StepSeconds.Select(s => s / repeats)];
        _run.Timing = false;
        return PlanReport.Of(Plan, perRun);
    }

    /// <summary>Kernels of a run; null where the device does not count them.</summary>
    public int? Launches => (_run as ICudaExecutable)?.StepLaunches.Sum();

    /// <summary>Counters of one run on the virtual device, per op.</summary>
    public CountedRun Count(VirtualBackend device, Checks checks)
    {
        _run.Timing = true; // step by step, in the plan's order
        var launches = device.Count(_run.Run, checks);
        _run.Timing = false;
        return CountedRun.Of(Plan, ((ICudaExecutable)_run).StepLaunches, launches);
    }

    public void Dispose()
    {
        _run.Dispose();
        _parameters.Dispose();
    }

    private void Fill(Graph graph)
    {
        foreach ((string name, Node node) in graph.Inputs)
        {
            if (node.Type.DType == DType.I32)
            {
                _run.SetInput(name, new int[node.Shape.Elements]);
                continue;
            }

            var values = new float[node.Shape.Elements];
            if (name is InputNames.T or InputNames.ClassifierT)
            {
                Array.Fill(values, 500f);
            }
            else if (name == InputNames.Coefficients)
            {
                Array.Fill(values, 0.5f);
            }
            else
            {
                UniformWeights.Fill(name, 1, values);
            }

            _run.SetInput(name, values);
        }
    }

    /// <summary>Weights as a fresh PyTorch layer would have them, uniform in +-1/sqrt(fan in), and none of them zero: no shortcut through zeros.</summary>
    private sealed class UniformWeights(IReadOnlyDictionary<string, Node> parameters) : ITensorSource
    {
        public string Description => "uniform random weights";

        public IReadOnlyDictionary<string, TensorType> Tensors { get; } = parameters.ToDictionary(p => p.Key, p => p.Value.Type);

        public void ReadFloats(string name, Span<float> destination)
        {
            Shape shape = Tensors[name].Shape;
            Fill(name, shape.Rank > 1 ? 1 / Math.Sqrt(shape.Elements / (double)shape[0]) : 0.1, destination);
            if (shape.Rank == 1 && name.EndsWith("weight", StringComparison.Ordinal))
            {
                foreach (ref float v in destination)
                {
                    v += 1;
                }
            }
        }

        public static void Fill(string name, double bound, Span<float> destination)
        {
            ulong state = 0x9E3779B97F4A7C15;
            foreach (char c in name)
            {
                state = unchecked((state ^ c) * 0x100000001B3);
            }

            float scale = (float)(bound * Math.Pow(2, -31));
            foreach (ref float v in destination)
            {
                state = unchecked((state * 6364136223846793005) + 1442695040888963407);
                v = (int)(state >> 32) * scale;
            }
        }
    }
}
