using System.Runtime.InteropServices;
using AdmNative.Core;
using AdmNative.Cpu.Kernels;

namespace AdmNative.Cpu.Steps;

/// <summary>
/// Weights as a convolution algorithm wants them: the same numbers in another order, among zeros. The order is not spelled out here;
/// where a weight must come back, element numbers are packed in its place to learn it.
/// </summary>
internal sealed unsafe record ConvForm : WeightForm
{
    /// <summary>Element numbers are packed in two halves, each exact in f32.</summary>
    private const int HalfBits = 16;

    private readonly ConvPlan _plan;
    private readonly WorkerPool _pool;
    private readonly bool _inputGrad;

    public ConvForm(ConvPlan plan, bool inputGrad, WorkerPool pool)
    {
        _plan = plan;
        _pool = pool;
        _inputGrad = inputGrad;
    }

    public override bool Reversible => true;

    public bool Equals(ConvForm? other) =>
        other is not null && _plan.PackedLayout == other._plan.PackedLayout && _plan.PackedBytes == other._plan.PackedBytes
        && _inputGrad == other._inputGrad;

    public override int GetHashCode() => HashCode.Combine(_plan.PackedLayout, _plan.PackedBytes, _inputGrad);

    public override long Elements(Shape shape) => _plan.PackedBytes / sizeof(float);

    public override void Pack(Shape shape, float* raw, float* packed) => _plan.PackWeights(_pool, raw, packed);

    public override void Unpack(Shape shape, float* packed, float* raw)
    {
        long count = shape.Elements, places = Elements(shape);
        using var low = new AlignedMemory(_plan.PackedBytes);
        using var high = new AlignedMemory(_plan.PackedBytes);
        NativeMemory.Clear(low.Address, (nuint)low.Bytes);   // what packing leaves untouched is padding
        const int mask = (1 << HalfBits) - 1;
        for (long i = 0; i < count; i++)
        {
            raw[i] = (i & mask) + 1;
        }

        Pack(shape, raw, low.Floats);
        for (long i = 0; i < count; i++)
        {
            raw[i] = (i >> HalfBits) + 1;
        }

        Pack(shape, raw, high.Floats);
        long found = 0;
        for (long place = 0; place < places; place++)
        {
            // Zeros are padding.
            if (low.Floats[place] > 0)
            {
                long element = ((long)(high.Floats[place] - 1) << HalfBits) + (long)(low.Floats[place] - 1);
                if (element >= count)
                {
                    throw new InvalidOperationException($"{this} holds element {element} of a weight {shape}");
                }

                raw[element] = packed[place];
                found++;
            }
        }

        if (found != count)
        {
            throw new InvalidOperationException($"{this} holds {found} of the {count} elements of a weight {shape}");
        }
    }

    public override string ToString() => $"{_plan.PackedLayout}{(_inputGrad ? " (input gradient)" : "")}";
}

/// <summary>Convolution or linear layer, forward or by its input, with bias and residual.</summary>
internal sealed unsafe class ConvStep : Step
{
    private readonly WorkerPool _pool;
    private readonly ConvPlan _plan;
    private readonly Operand _x;
    private readonly Operand _y;
    private readonly Operand _residual;
    private readonly float* _bias;
    private readonly float* _w;
    private readonly float* _packed;
    private readonly byte* _workspace;

    /// <param name="context">Operand 0 is x or dy, 1 the weight.</param>
    /// <param name="bias">Operand number of the bias, or -1.</param>
    /// <param name="residual">Operand number of what is added.</param>
    public ConvStep(StepContext context, int bias, int residual)
    {
        bool resident = context.Node.Inputs[1].Kind == NodeKind.Parameter;
        _pool = context.Pool;
        _plan = PlanFor(context.Node, context.Isa, context.Pool.Threads);
        (_x, _y, _residual) = (context.In(0), context.Out, context.In(residual));
        _bias = bias < 0 ? null : context.In(bias).Data;
        _workspace = context.Workspace;
        if (resident && _plan.PackedBytes > 0)
        {
            bool inputGrad = context.Node.Op is Conv2dInputGrad or LinearInputGrad;
            _packed = context.Weight(1, new ConvForm(_plan, inputGrad, _pool));
        }
        else
        {
            Operand w = context.In(1);
            _w = w.Data;
            if (!w.Dense)
            {
                throw new ShapeException($"{context.Node}: a weight must be dense, its row stride is {w.Stride}");
            }
        }
    }

    /// <summary>The algorithm for a Conv2d, Linear or the input gradient of either.</summary>
    public static ConvPlan PlanFor(Node node, Isa isa, int threads)
    {
        bool resident = node.Inputs[1].Kind == NodeKind.Parameter;
        return node.Op is Conv2dInputGrad or LinearInputGrad
            ? ConvPlan.InputGrad(Geometry(node), isa, threads, resident)
            : ConvPlan.Forward(Geometry(node), isa, threads, resident);
    }

    /// <summary>Whether the step of a node reads operand <paramref name="input"/>, a weight, in packed form only.</summary>
    public static bool ReadsPacked(Node node, int input, Isa isa, int threads) =>
        input == 1 && node.Op is (Conv2d or Linear or Conv2dInputGrad or LinearInputGrad)
        && PlanFor(node, isa, threads).PackedBytes > 0;

    /// <summary>Sizes of any convolution or linear op.</summary>
    public static ConvGeometry Geometry(Node node)
    {
        (Shape first, Shape second) = (node.Inputs[0].Shape, node.Inputs[1].Shape);
        return node.Op switch
        {
            Conv2d op => Conv(first, second, op.Stride, op.PadH, op.PadW),
            Conv2dInputGrad op => Conv(op.InputShape, second, op.Stride, op.PadH, op.PadW),
            Conv2dWeightGrad op => Conv(first, op.WeightShape, op.Stride, op.PadH, op.PadW),
            Linear => Dense(first, second),
            LinearInputGrad => Dense(first, second),
            LinearWeightGrad op => Dense(first, op.WeightShape),
            _ => throw new ArgumentException($"not a convolution: {node}"),
        };
    }

    public override void Run() =>
        _plan.Run(
            _pool, _x.Data, _x.Stride, _w, _packed, _bias, _residual.Data, _residual.Stride, _y.Data, _y.Stride, _workspace);

    private static ConvGeometry Conv(Shape x, Shape w, int stride, int padH, int padW) =>
        new(x[0], x[1], x[2], x[3], w[0], w[2], w[3], stride, padH, padW);

    /// <summary>Sizes of a linear layer.</summary>
    public static ConvGeometry Dense(Shape x, Shape w) => ConvGeometry.Linear(x[0], checked((int)(x.Rows / x[0])), w[1], w[0]);
}

/// <summary>Linear layers of one input, one after another: here an op costs nothing beyond its arithmetic, so there is nothing to join.</summary>
internal sealed unsafe class StackedLinearStep : Step
{
    private readonly WorkerPool _pool;
    private readonly Operand _x;
    private readonly Operand _y;
    private readonly byte* _workspace;
    private readonly (ConvPlan Plan, nint Weights, nint Bias, int Begin)[] _layers;

    public StackedLinearStep(StepContext context)
    {
        Node node = context.Node;
        (_pool, _x, _y) = (context.Pool, context.In(0), context.Out);
        _workspace = context.Workspace;
        _layers = new (ConvPlan, nint, nint, int)[node.Inputs.Count / 2];
        int begin = 0;
        for (int i = 0; i < _layers.Length; i++)
        {
            Operand w = context.In((2 * i) + 1), bias = context.In((2 * i) + 2);
            if (!w.Dense)
            {
                throw new ShapeException($"{node}: a weight must be dense, its row stride is {w.Stride}");
            }

            _layers[i] = (PlanFor(node, i, context.Isa, _pool.Threads), (nint)w.Data, (nint)bias.Data, begin);
            begin += w.Shape[0];
        }
    }

    public static long WorkspaceBytes(Node node, Isa isa, int threads)
    {
        long bytes = 0;
        for (int i = 0; i < node.Inputs.Count / 2; i++)
        {
            bytes = Math.Max(bytes, PlanFor(node, i, isa, threads).WorkspaceBytes);
        }

        return bytes;
    }

    public override void Run()
    {
        foreach ((ConvPlan plan, nint weights, nint bias, int begin) in _layers)
        {
            plan.Run(_pool, _x.Data, _x.Stride, (float*)weights, null, (float*)bias, null, 0, _y.Data + begin, _y.Stride, _workspace);
        }
    }

    private static ConvPlan PlanFor(Node node, int layer, Isa isa, int threads) =>
        ConvPlan.Forward(ConvStep.Dense(node.Inputs[0].Shape, node.Inputs[(2 * layer) + 1].Shape), isa, threads, resident: false);
}

/// <summary>Weight gradient of a convolution or linear layer.</summary>
internal sealed unsafe class ConvWeightGradStep : Step
{
    private readonly WorkerPool _pool;
    private readonly ConvWeightGradPlan _plan;
    private readonly Operand _x;
    private readonly Operand _dy;
    private readonly Operand _dw;
    private readonly byte* _workspace;

    public ConvWeightGradStep(StepContext context)
    {
        _pool = context.Pool;
        _plan = PlanFor(context.Node, context.Isa, context.Pool.Threads);
        (_x, _dy, _dw) = (context.In(0), context.In(1), context.Out);
        _workspace = context.Workspace;
        if (!_dw.Dense)
        {
            throw new ShapeException($"{context.Node}: a weight gradient must be dense, its row stride is {_dw.Stride}");
        }
    }

    public static ConvWeightGradPlan PlanFor(Node node, Isa isa, int threads) =>
        ConvWeightGradPlan.Create(ConvStep.Geometry(node), isa, threads);

    public override void Run() => _plan.Run(_pool, _x.Data, _x.Stride, _dy.Data, _dy.Stride, _dw.Data, _workspace);
}
