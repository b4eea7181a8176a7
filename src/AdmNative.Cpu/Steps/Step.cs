using AdmNative.Core;

namespace AdmNative.Cpu.Steps;

/// <summary>One line of a plan with every address and every choice resolved. Running it allocates nothing.</summary>
internal abstract class Step
{
    public abstract void Run();
}

/// <summary>A step whose work is cut into tasks, in one phase or several; a phase begins when all tasks of the one before are done.</summary>
internal abstract class ParallelStep(WorkerPool pool) : Step
{
    protected WorkerPool Pool => pool;

    /// <summary>One task of a phase; <paramref name="worker"/> names private scratch.</summary>
    protected abstract void Execute(int phase, int task, int worker);

    protected void RunPhase(int phase, int tasks) => pool.Run(tasks, new Job(this, phase));

    private readonly struct Job(ParallelStep step, int phase) : IPoolJob
    {
        public void Run(int task, int worker) => step.Execute(phase, task, worker);
    }
}

/// <summary>A value in memory: rows of Columns floats, Stride floats apart.</summary>
internal readonly unsafe struct Operand(float* data, long stride, Shape shape)
{
    public readonly float* Data = data;
    public readonly long Stride = stride;
    public readonly Shape Shape = shape;
    public readonly int Columns = shape.Last;
    public readonly long Rows = shape.Rows;

    /// <summary>True when the rows follow each other without gaps.</summary>
    public bool Dense => Stride == Columns || Rows <= 1;

    /// <summary>First dimension.</summary>
    public int Samples => Shape.Rank == 0 ? 1 : Shape[0];

    /// <summary>Rows of one sample, for shapes [N, ..., C].</summary>
    public int RowsPerSample => Samples == 0 ? 0 : checked((int)(Rows / Samples));

    /// <summary>Height of [N,H,W,C].</summary>
    public int Height => Shape[1];

    /// <summary>Width of [N,H,W,C].</summary>
    public int Width => Shape[2];

    public bool IsNull => Data is null;

    public float* Row(long row) => Data + (row * Stride);

    /// <summary>Integer labels, which share the arena with the floats.</summary>
    public int* Ints => (int*)Data;
}

/// <summary>All that a step may know about its surroundings while it is being made.</summary>
internal sealed unsafe class StepContext(Plan plan, PlanStep step, byte* arena, CpuParameters parameters, WorkerPool pool, Isa isa)
{
    public Node Node => step.Node;

    public WorkerPool Pool => pool;

    public Isa Isa => isa;

    public int Inputs => Node.Inputs.Count;

    public Operand Out => At(Node);

    /// <summary>Scratch of the size the op's workspace rule gave.</summary>
    public byte* Workspace => arena + step.WorkspaceOffsetBytes;

    public long WorkspaceBytes => step.WorkspaceBytes;

    /// <summary>Operand i; a null one when the op was built without it.</summary>
    public Operand In(int i) => i < Inputs ? At(Node.Inputs[i]) : default;

    /// <summary>The form of operand i that a kernel wants, if that operand is a weight; else null.</summary>
    public float* Weight(int i, WeightForm form)
    {
        Node node = Node.Inputs[i];
        return node.Kind == NodeKind.Parameter ? parameters.Get(node.Name!, node.Shape, form) : null;
    }

    private Operand At(Node node)
    {
        ValueLayout layout = plan.Layouts[node.Id];
        return layout.Storage switch
        {
            Storage.Parameter => new Operand(parameters.Get(node.Name!, node.Shape, RowMajor.Form), node.Shape.Last, node.Shape),
            Storage.Arena => new Operand((float*)(arena + layout.OffsetBytes), layout.RowStride, node.Shape),
            _ => throw new InvalidOperationException($"the plan uses %{node.Id}, which it does not store: {node}"),
        };
    }
}

/// <summary>How a loop over independent rows or elements is cut into tasks.</summary>
internal static class Tasks
{
    /// <summary>Elements of simple work (a few instructions each) that are worth handing to another thread.</summary>
    public const long Grain = 8192;

    /// <summary>Tasks for <paramref name="items"/> items of <paramref name="cost"/> elements of simple work each.</summary>
    public static int For(WorkerPool pool, long items, double cost)
    {
        if (pool.Threads == 1 || items <= 1)
        {
            return 1;
        }

        double worthwhile = items * cost / Grain;
        return worthwhile < 2 ? 1 : (int)Math.Min(items, Math.Min(worthwhile, pool.Threads * 4L));
    }

    /// <summary>First item of task <paramref name="task"/>; task = tasks gives the end.</summary>
    public static long Begin(long items, int tasks, int task) => items * task / tasks;
}
