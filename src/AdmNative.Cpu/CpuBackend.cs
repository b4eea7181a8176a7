using System.Runtime.Intrinsics;
using AdmNative.Core;
using AdmNative.Cpu.Kernels;
using AdmNative.Cpu.Steps;

namespace AdmNative.Cpu;

/// <summary>The cpu device: vector kernels in C# on a fixed set of threads. Results do not depend on the number of threads.</summary>
public sealed class CpuBackend : IBackend
{
    private readonly WorkerPool _pool;
    private readonly IStepFactory _factory;

    /// <summary>Starts the worker threads; dispose to stop them.</summary>
    /// <exception cref="DeviceUnavailableException">The instruction set asked for is not to be had here.</exception>
    public CpuBackend(CpuOptions? options = null)
    {
        options ??= new CpuOptions();
        Isa = IsaSupport.Resolve(options.Isa);
        _factory = Isa switch
        {
            Isa.Avx512 => new StepFactory<Simd512, Vector512<float>>(),
            Isa.Avx2 => new StepFactory<Simd256, Vector256<float>>(),
            _ => new StepFactory<Simd128, Vector128<float>>(),
        };
        _pool = new WorkerPool(options.Threads);
    }

    /// <summary>The instruction set in use; never Auto.</summary>
    public Isa Isa { get; }

    /// <summary>Threads in use, the caller's included.</summary>
    public int Threads => _pool.Threads;

    /// <inheritdoc/>
    public string Description => $"cpu, {Isa switch
    {
        Isa.Avx512 => "AVX-512",
        Isa.Avx2 => "AVX2",
        _ => "128-bit vectors",
    }}, {Threads} thread{(Threads == 1 ? "" : "s")}";

    /// <inheritdoc/>
    public IParameters LoadParameters(IReadOnlyDictionary<string, Node> parameters, ITensorSource source)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        ArgumentNullException.ThrowIfNull(source);
        return new CpuParameters(parameters, source);
    }

    /// <inheritdoc/>
    /// <exception cref="ShapeException">A value has more elements than the kernels count.</exception>
    public Plan Plan(Graph graph)
    {
        ArgumentNullException.ThrowIfNull(graph);
        foreach (Node node in graph.Nodes)
        {
            if (node.Shape.Elements > int.MaxValue)
            {
                throw new ShapeException(
                    $"{node.Shape} has {node.Shape.Elements} elements, the cpu computes with at most {int.MaxValue}; take fewer images at a time, or a smaller network");
            }
        }

        return Planner.Plan(graph, new PlannerOptions
        {
            WorkspaceBytes = node => _factory.WorkspaceBytes(node, Isa, Threads),
            AllowStrided = static node => node.Op is not (Conv2dWeightGrad or LinearWeightGrad),
            Alignment = AlignedMemory.Alignment,
        });
    }

    /// <inheritdoc/>
    public IExecutable Load(Plan plan, IParameters parameters)
    {
        ArgumentNullException.ThrowIfNull(plan);
        return parameters is CpuParameters mine
            ? new CpuExecutable(plan, mine, _pool, Isa, _factory)
            : throw new ArgumentException("these parameters were loaded by another device", nameof(parameters));
    }

    /// <inheritdoc/>
    public void Dispose() => _pool.Dispose();
}
