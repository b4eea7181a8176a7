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
/// it takes; and when the plan is loaded, over the real ones. A step computes in one type; operands stored in another are converted into scratch memory
/// before its launches, results after them.
/// </summary>
internal sealed class StepBuilder
{
    private const ulong StandIn = 1UL << 40, WeightStandIn = 1UL << 60;

    private readonly Func<Node, Operand> _at;
    private readonly CudaParameters? _parameters;
    private readonly ulong _workspace, _tickets;
    private readonly long _workspaceBytes;
    private readonly Dictionary<(Node Node, KernelDType Type, bool Padded), Operand> _converted = [];
    private Operand? _result;
    private int _before;

    /// <summary>To measure.</summary>
    public StepBuilder(Node node, in DeviceLimits limits, Func<Node, KernelDType> storedAs)
        : this(node, limits, StandIn, long.MaxValue, StandIn, n => new Operand(StandIn + ((ulong)(n.Id + 2) << 40), n.Shape.Last, n.Shape, storedAs(n)))
    {
    }

    /// <summary>To load; without parameters, to see what would be launched.</summary>
    public StepBuilder(Node node, in DeviceLimits limits, Func<Node, Operand> at, CudaParameters? parameters, ulong workspace, long workspaceBytes, ulong tickets)
        : this(node, limits, workspace, workspaceBytes, tickets, at)
    {
        _parameters = parameters;
    }

    private StepBuilder(Node node, in DeviceLimits limits, ulong workspace, long workspaceBytes, ulong tickets, Func<Node, Operand> at)
    {
        (Node, Limits, _workspace, _workspaceBytes, _tickets, _at) = (node, limits, workspace, workspaceBytes, tickets, at);
        Type = StoredTypes.Computes(node, n => at(n).Type);
    }

    /// <summary>A step of a plan over stand-in addresses, to see what it would launch.</summary>
    public static StepBuilder Of(Plan plan, PlanStep step, in DeviceLimits limits, CudnnSession? cudnn)
    {
        return new StepBuilder(step.Node, limits, At, null, StandIn + (ulong)step.WorkspaceOffsetBytes, step.WorkspaceBytes, StandIn) { Cudnn = cudnn };

        Operand At(Node node)
        {
            ValueLayout layout = plan.Layouts[node.Id];
            ulong address = layout.Storage == Storage.Parameter ? WeightStandIn + ((ulong)(node.Id + 1) << 40) : StandIn + (ulong)layout.OffsetBytes;
            return new Operand(address, layout.RowStride, node.Shape, StoredTypes.KernelType(layout.DType));
        }
    }

    public Node Node { get; }

    /// <summary>What the step computes in: the type of its activations. Sums, statistics, sampler states and losses are f32 whatever it is.</summary>
    public KernelDType Type { get; }

    public DeviceLimits Limits { get; }

    /// <summary>What takes convolutions where it can; null where our kernels do.</summary>
    public CudnnSession? Cudnn { get; init; }

    /// <summary>Only scratch memory is wanted, no calls.</summary>
    public bool Measures => _parameters is null;

    /// <summary>What the step does, in order.</summary>
    public List<StepCall> Calls { get; } = [];

    /// <summary>Calls of a library that are left out while there is nothing to call it with.</summary>
    public int Unmade { get; set; }

    /// <summary>Scratch bytes handed out so far.</summary>
    public long WorkspaceBytes { get; private set; }

    public int Inputs => Node.Inputs.Count;

    /// <summary>The result, in the step's type.</summary>
    public Operand Out => Result(Type);

    /// <summary>The result in the step's type, 16-byte aligned, in rows of whole 16 bytes.</summary>
    public Operand OutAligned
    {
        get
        {
            Operand stored = OutStored;
            return stored.Type == Type && stored.Aligned ? stored : (_result ??= Padded(stored.Shape));
        }
    }

    /// <summary>The result, of an op whose result is always f32.</summary>
    public Operand OutF32 => Result(KernelDType.F32);

    /// <summary>The result as it is stored.</summary>
    public Operand OutStored => _at(Node);

    /// <summary>Operand i, in the step's type.</summary>
    public Operand In(int i) => Converted(i, Type, padded: false);

    /// <summary>Operand i, where a kernel takes f32 whatever it computes in: statistics, sums, modulation, sampler states, integers.</summary>
    public Operand InF32(int i) => Converted(i, KernelDType.F32, padded: false);

    /// <summary>Operand i in the step's type, 16-byte aligned, in rows of whole 16 bytes.</summary>
    public Operand InAligned(int i)
    {
        Operand x = InStored(i);
        return x.Type == Type && x.Aligned ? x : Converted(i, Type, padded: true);
    }

    /// <summary>Operand i as it is stored.</summary>
    public Operand InStored(int i) => _at(Node.Inputs[i]);

    /// <summary>Operand i, or null when the op was built without it.</summary>
    public Operand? Maybe(int i) => i < Inputs ? In(i) : null;

    public bool Has(int i) => i < Inputs;

    /// <summary>A dense f32 operand of norm and bias parameters, 16-byte aligned.</summary>
    public ulong Vector(int i) => InF32(i).Address;

    /// <summary>The form of operand i that a kernel of the step's type wants; it must be a weight.</summary>
    public ulong Weight(int i, WeightForm form)
    {
        Node node = Node.Inputs[i];
        return _parameters is null ? WeightStandIn
            : node.Kind == NodeKind.Parameter ? _parameters.Get(node.Name!, node.Shape, form, Type)
            : throw new NotSupportedException($"{Node.Op!.Name} with weights that are computed, not loaded, has no kernel yet; node: {Node}");
    }

    /// <summary>Every second operand from the first on, weights, one after another in one block.</summary>
    public ulong Stack(int first, WeightForm form, KernelDType type)
    {
        Node[] nodes = [.. Node.Inputs.Where((_, i) => i >= first && (i - first) % 2 == 0)];
        return _parameters is null ? WeightStandIn
            : Array.TrueForAll(nodes, n => n.Kind == NodeKind.Parameter) ? _parameters.Stack(nodes, form, type)
            : throw new NotSupportedException($"{Node.Op!.Name} with weights that are computed, not loaded, has no kernel yet; node: {Node}");
    }

    /// <summary>
    /// Bytes that the tickets of a step may take: depths of products are only cut where tiles are fewer than two per multiprocessor, and a ticket of a group
    /// normalisation stands for at least 32 channels of a sample, or all.
    /// </summary>
    public static long TicketBytes(Node node, in DeviceLimits limits) => LaunchRule.RoundUp(
        Math.Max(
            8L * limits.SmCount,
            node.Op is GroupNorm or GroupNormStats or GroupNormGradSums ? 4L * node.Inputs[0].Shape[0] * LaunchRule.CeilDiv(node.Inputs[0].Shape.Last, 32) : 0),
        256);

    /// <summary>Words that are zero between launches, shared by all steps; 0 for no bytes.</summary>
    public ulong Tickets(long bytes) => bytes == 0 ? 0
        : bytes <= TicketBytes(Node, Limits) ? _tickets
        : throw new InvalidOperationException($"{Node} takes {bytes} bytes of tickets, of {TicketBytes(Node, Limits)}");

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

    /// <summary>A scratch operand of the step's type whose rows are whole 16 bytes.</summary>
    public Operand Padded(Shape shape) => Scratch(shape, Type, padded: true);

    public void Add(IReadOnlyList<KernelLaunch> launches)
    {
        foreach (KernelLaunch launch in launches)
        {
            Add(launch);
        }
    }

    public void Add(KernelLaunch launch) => Calls.Add(new StepCall(launch));

    public void Add(LibraryCall call) => Calls.Add(new StepCall(default, call));

    /// <summary>Rows from one place to another, and from one type to another.</summary>
    public static KernelLaunch Copy(Operand from, Operand to, in DeviceLimits limits)
    {
        if (from.Type != to.Type)
        {
            bool apart = from.Address % (4UL * (ulong)from.ElementBytes) != 0 || to.Address % (4UL * (ulong)to.ElementBytes) != 0;
            CastPlan cast = EltwiseKernels.PlanCast(to.Rows, to.Columns, RowStride(from), RowStride(to), from.Type, to.Type, apart, limits);
            return EltwiseKernels.EnqueueCast(cast, from.Address, to.Address);
        }

        var shape = new EltwiseShape(EltwiseOp.Copy, to.Rows, to.Columns)
        {
            StrideA = from.Stride,
            StrideY = to.Stride,
            Unaligned = from.Address % 16 != 0 || to.Address % 16 != 0,
        };
        return EltwiseKernels.Enqueue(EltwiseKernels.Plan(shape, to.Type, limits), from.Address, 0, to.Address);
    }

    /// <summary>When all launches are made: a result that was made in scratch memory goes where it is stored, in the type it is stored in.</summary>
    public void Finish()
    {
        if (_result is Operand computed)
        {
            Add(Copy(computed, OutStored, Limits));
        }
    }

    private static long RowStride(Operand x) => x.Rows > 1 ? x.Stride : x.Columns;

    private Operand Result(KernelDType type)
    {
        Operand stored = OutStored;
        return stored.Type == type ? stored
            : _result is not Operand made ? (_result = Scratch(stored.Shape, type, padded: false)).Value
            : made.Type == type ? made
            : throw new InvalidOperationException($"{Node} computes its result in {made.Type} and in {type}");
    }

    private Operand Converted(int i, KernelDType type, bool padded)
    {
        Node node = Node.Inputs[i];
        Operand x = _at(node);
        if (node.Type.DType != DType.F32 || (x.Type == type && !padded))
        {
            return x;
        }

        if (!_converted.TryGetValue((node, type, padded), out Operand converted))
        {
            converted = Scratch(x.Shape, type, padded);
            _converted.Add((node, type, padded), converted);
            Calls.Insert(_before++, new StepCall(Copy(x, converted, Limits)));
        }

        return converted;
    }

    private Operand Scratch(Shape shape, KernelDType type, bool padded)
    {
        long stride = padded ? LaunchRule.RoundUp(shape.Last, 16 / type.Bytes()) : shape.Last;
        return new Operand(Scratch(shape.Rows * stride * type.Bytes()), stride, shape, type);
    }
}
