using AdmNative.Core;

namespace AdmNative.Cuda;

/// <summary>A value on the device: rows of Columns elements, Stride elements apart.</summary>
internal readonly record struct Operand(ulong Address, long Stride, Shape Shape, KernelDType Type)
{
    /// <summary>Bytes per element. Integers count as f32: they are as wide.</summary>
    public int ElementBytes => Type.Bytes();

    public int Columns => Shape.Last;

    public long Rows => Shape.Rows;

    public int Samples => Shape.Rank == 0 ? 1 : Shape[0];

    /// <summary>Rows of one sample, for shapes [N, ..., C].</summary>
    public int RowsPerSample => checked((int)(Rows / Math.Max(1, Samples)));

    /// <summary>Rows without gaps.</summary>
    public bool Dense => Stride == Columns || Rows <= 1;

    /// <summary>May kernels that move 16 bytes at a time take it?</summary>
    public bool Aligned => Address % 16 == 0 && (Stride * ElementBytes % 16 == 0 || Rows <= 1);

    /// <summary>A range of its columns.</summary>
    public Operand Cut(int begin, int count)
    {
        long[] dims = Shape.ToArray();
        dims[^1] = count;
        return this with { Address = Address + (ulong)(begin * ElementBytes), Shape = Shape.Create(dims) };
    }

    /// <summary>One row of every sample.</summary>
    public Operand Token(int index) =>
        new(Address + (ulong)(index * Stride * ElementBytes), Stride * Shape[1], [Shape[0], Columns], Type);
}

/// <summary>
/// What a step sees while its launches are made. The same code runs twice: when the plan is made, over stand-in addresses, to learn how much scratch memory
/// it takes; and when the plan is loaded, over the real ones.
/// </summary>
internal sealed class StepBuilder
{
    private const ulong StandIn = 1UL << 40, WeightStandIn = 1UL << 60;

    private readonly Func<Node, Operand>? _at;
    private readonly CudaParameters? _parameters;
    private readonly ulong _workspace;
    private readonly long _workspaceBytes;

    /// <summary>To measure.</summary>
    public StepBuilder(Node node, in DeviceLimits limits)
    {
        (Node, Limits, _workspace, _workspaceBytes) = (node, limits, StandIn, long.MaxValue);
    }

    /// <summary>To load.</summary>
    public StepBuilder(Node node, in DeviceLimits limits, Func<Node, Operand> at, CudaParameters parameters, ulong workspace, long workspaceBytes)
    {
        (Node, Limits, _at, _parameters, _workspace, _workspaceBytes) = (node, limits, at, parameters, workspace, workspaceBytes);
    }

    public Node Node { get; }

    /// <summary>What the step computes in: the type of its activations. Sums, statistics, sampler states and losses are f32 whatever it is.</summary>
    public KernelDType Type { get; } = KernelDType.F32;

    public DeviceLimits Limits { get; }

    /// <summary>What the step does, in order.</summary>
    public List<StepCall> Calls { get; } = [];

    /// <summary>Scratch bytes handed out so far.</summary>
    public long WorkspaceBytes { get; private set; }

    public int Inputs => Node.Inputs.Count;

    /// <summary>The result, in the step's type.</summary>
    public Operand Out => At(Node);

    /// <summary>The result, of an op whose result is always f32.</summary>
    public Operand OutF32 => At(Node);

    /// <summary>Operand i, in the step's type.</summary>
    public Operand In(int i) => At(Node.Inputs[i]);

    /// <summary>Operand i, where a kernel takes f32 whatever it computes in: statistics, sums, modulation, sampler states, integers.</summary>
    public Operand InF32(int i) => At(Node.Inputs[i]);

    /// <summary>Operand i, or null when the op was built without it.</summary>
    public Operand? Maybe(int i) => i < Inputs ? In(i) : null;

    public bool Has(int i) => i < Inputs;

    /// <summary>A dense operand of norm and bias parameters, 16-byte aligned.</summary>
    public ulong Vector(int i) => In(i).Address;

    /// <summary>The form of operand i that a kernel wants; it must be a weight.</summary>
    public ulong Weight(int i, WeightForm form)
    {
        Node node = Node.Inputs[i];
        return _parameters is null ? WeightStandIn
            : node.Kind == NodeKind.Parameter ? _parameters.Get(node.Name!, node.Shape, form)
            : throw new NotSupportedException($"{Node.Op!.Name} with weights that are computed, not loaded, has no kernel yet; node: {Node}");
    }

    /// <summary>Scratch memory, 256-byte aligned, for this step only; 0 for no bytes.</summary>
    public ulong Scratch(long bytes)
    {
        if (bytes == 0)
        {
            return 0;
        }

        ulong address = _workspace + (ulong)WorkspaceBytes;
        WorkspaceBytes += LaunchRule.RoundUp(bytes, 256);
        return WorkspaceBytes <= _workspaceBytes ? address
            : throw new InvalidOperationException($"{Node} takes more scratch memory than was planned: {WorkspaceBytes} of {_workspaceBytes} bytes");
    }

    /// <summary>A scratch operand whose rows are whole 16 bytes.</summary>
    public Operand Padded(Shape shape)
    {
        long stride = LaunchRule.RoundUp(shape.Last, 16 / Type.Bytes());
        return new Operand(Scratch(shape.Rows * stride * Type.Bytes()), stride, shape, Type);
    }

    public void Add(IReadOnlyList<KernelLaunch> launches)
    {
        foreach (KernelLaunch launch in launches)
        {
            Add(launch);
        }
    }

    public void Add(KernelLaunch launch) => Calls.Add(new StepCall(launch));

    public void Add(LibraryCall call) => Calls.Add(new StepCall(default, call));

    private Operand At(Node node) =>
        _at is not null ? _at(node) : new Operand(StandIn + ((ulong)(node.Id + 2) << 40), node.Shape.Last, node.Shape, KernelDType.F32);
}
