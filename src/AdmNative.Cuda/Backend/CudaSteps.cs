using AdmNative.Core;

namespace AdmNative.Cuda;

/// <summary>From ops to launches: one line per op.</summary>
internal static partial class CudaSteps
{
    /// <summary>Scratch bytes the launches of an op take.</summary>
    /// <exception cref="NotSupportedException">There is no kernel for the op.</exception>
    public static long WorkspaceBytes(Node node, in DeviceLimits limits, Func<Node, KernelDType> storedAs, CudnnSession? cudnn = null)
    {
        var builder = new StepBuilder(node, limits, storedAs) { Cudnn = cudnn };
        Build(builder);
        return builder.WorkspaceBytes;
    }

    /// <summary>How many kernels a step of a plan launches; a call of a library counts as one.</summary>
    /// <exception cref="NotSupportedException">There is no kernel for the op.</exception>
    public static int Launches(Plan plan, PlanStep step, in DeviceLimits limits, CudnnSession? cudnn = null)
    {
        StepBuilder builder = StepBuilder.Of(plan, step, limits, cudnn);
        Build(builder);
        return builder.Calls.Count + builder.Unmade;
    }

    /// <summary>
    /// May operands and result be ranges of columns of wider rows? They are whole 16 bytes then. The images a convolution reads need not be: graph inputs
    /// are never apart.
    /// </summary>
    public static bool AllowStrided(Node node, Func<Node, KernelDType> storedAs) =>
        node.Op is not (Attention or AttentionGrad or TimestepEmbedding or Embedding or EmbeddingGrad or Dropout or AddPositional or PositionalGrad or PlaceToken)
        && !IsLoss(node.Op!) && IsWhole(node, storedAs) && node.Inputs.All(i => i.Kind == NodeKind.Parameter || IsWhole(i, storedAs) || (i.Kind == NodeKind.Input && node.Op is Conv2d))
        && LeavesDense(node);

    /// <summary>May the result lie where operand i is?</summary>
    public static bool AllowInPlace(Node node, int i) => node.Op switch
    {
        GroupNorm or GroupNormApply or MsePerSampleGrad => false,
        GroupNormInputGrad => i != 0,
        Linear or Conv2d => i == 3,
        _ => true,
    };

    /// <summary>The launches of an op.</summary>
    /// <exception cref="NotSupportedException">There is no kernel for the op.</exception>
    public static void Build(StepBuilder b)
    {
        if (ByCudnn(b))
        {
            b.Finish();
            return;
        }

        switch (b.Node.Op)
        {
            // elementwise
            case Silu: Eltwise(b, EltwiseOp.Silu); break;
            case SiluGrad: Eltwise(b, EltwiseOp.SiluGrad); break;
            case Relu: Eltwise(b, EltwiseOp.Relu); break;
            case ReluGrad: Eltwise(b, EltwiseOp.ReluGrad); break;
            case Add: Eltwise(b, EltwiseOp.Sum); break;
            case Scale op: Eltwise(b, EltwiseOp.Scale, op.Factor); break;
            case Dropout op: Drop(b, op); break;
            case StopGradient or Reshape: Move(b, b.InStored(0), b.OutStored); break;

            // layout
            case ConcatChannels: Concat(b); break;
            case SliceChannels op: Copy(b, b.InStored(0).Cut(op.Begin, op.Count), b.OutStored); break;
            case PadChannels op: Pad(b, b.In(0), b.Out, op.Begin); break;
            case Constant op: Pad(b, null, b.Out, 0, op.Value); break;

            // tokens
            case TakeToken op: Copy(b, b.InStored(0).Token(op.Index), b.OutStored); break;
            case PlaceToken op: Place(b, op.Index); break;
            case PrependMean: Pool(b, PoolPass.PlainTokens); break;
            case PrependMeanGrad: Pool(b, PoolPass.TokensBackward); break;
            case AddPositional: AddPositions(b); break;
            case PositionalGrad: PositionsGrad(b); break;

            case Core.Resample op: Resample(b, op.Mode == ResampleMode.Up2 ? ResampleOp.Up2 : ResampleOp.Down2, op.Factor); break;
            case BilinearResize: Resample(b, ResampleOp.Bilinear); break;

            // embeddings
            case TimestepEmbedding op: Timesteps(b, op); break;
            case Embedding: Labels(b); break;
            case EmbeddingGrad op: LabelsGrad(b, op.Classes); break;

            // linear algebra
            case Linear: Product(b); break;
            case StackedLinear: Stack(b); break;
            case Conv2d op: Convolution(b, op.Stride, op.PadH, op.PadW); break;
            case LinearInputGrad: ProductGradient(b); break;
            case Conv2dInputGrad op: InputGradient(b, op.Stride, op.PadH, op.PadW); break;
            case LinearWeightGrad: WeightGradient(b, 1, 0, 0); break;
            case Conv2dWeightGrad op: WeightGradient(b, op.Stride, op.PadH, op.PadW); break;

            // normalisation and attention
            case GroupNorm op: Norm(b, op); break;
            case GroupNormStats op: Statistics(b, op); break;
            case GroupNormApply op: Normalise(b, op); break;
            case GroupNormGradSums op: GradientSums(b, op); break;
            case GroupNormInputGrad op: NormInputGradient(b, op); break;
            case GroupNormParamGrad op: NormParameterGradient(b, op); break;
            case Attention op: Attend(b, op); break;
            case AttentionGrad op: AttendGradient(b, op); break;

            // pixels and samples
            case Modulate: Spatial(b, SpatialOp.Modulate, x: b.In(0), scale: b.InF32(1), shift: b.InF32(1).Cut(b.Out.Columns, b.Out.Columns)); break;
            case ModulateInputGrad: Spatial(b, SpatialOp.Modulate, x: b.In(0), scale: b.InF32(1)); break;
            case AddPerSample: Spatial(b, SpatialOp.Modulate, x: b.In(0), shift: b.InF32(1)); break;
            case ModulateParamGrad: Spatial(b, SpatialOp.Dot, x: b.In(0), dy: b.In(1)); break;
            case SumSpatial: Spatial(b, SpatialOp.Sum, x: b.In(0)); break;
            case MeanSpatial: Spatial(b, SpatialOp.Sum, x: b.In(0), factor: 1.0 / b.In(0).RowsPerSample); break;
            case ChannelSum: Spatial(b, SpatialOp.Sum, x: b.In(0) with { Shape = [1, b.In(0).Rows, b.In(0).Columns] }); break;
            case BroadcastSpatial op: Spatial(b, SpatialOp.Broadcast, shift: b.InF32(0), factor: op.Factor); break;

            // sampler: x_t, output, x_0, coefficients, noise, gradient
            case PredictXStart op: Sample(b, new(SamplerPass.XStart, op.Mean, default, op.Clip), b.In(0), b.In(1), null, b.In(2)); break;
            case DdpmMean op: Sample(b, new(SamplerPass.Mean, op.Mean, default, false), b.In(0), b.In(1), b.In(2), b.In(3)); break;
            case ModelLogVariance op: Sample(b, new(SamplerPass.LogVariance, default, op.Variance, false), null, b.In(1), null, b.In(2)); break;
            case DdpmStep op: Sample(b, new(SamplerPass.Ddpm, op.Mean, op.Variance, false), b.In(0), b.In(1), b.In(2), b.In(3), b.Maybe(4), b.Maybe(5)); break;
            case DdimXStart: Sample(b, new(SamplerPass.XStart, MeanKind.StartX, default, false), b.In(0), null, b.In(1), b.In(2), null, b.Maybe(3)); break;
            case DdimStep: Sample(b, new(SamplerPass.Ddim, MeanKind.StartX, default, false), b.In(0), null, b.In(1), b.In(2), b.Maybe(3)); break;
            case DdimReverseStep: Sample(b, new(SamplerPass.Reverse, MeanKind.StartX, default, false), b.In(0), null, b.In(1), b.In(2)); break;

            // losses and guidance
            case LogSoftmaxSelect: Select(b, gradient: false); break;
            case LogSoftmaxSelectGrad: Select(b, gradient: true); break;
            case MsePerSample: Error(b, gradient: false); break;
            case MsePerSampleGrad op: Error(b, gradient: true, op.Side); break;
            case VlbPerSample op: Bound(b, op.Mean, op.Variance, op.Clip); break;
            case VlbPerSampleGrad op: Bound(b, op.Mean, op.Variance, op.Clip, op.Side); break;
            case MeanPerSample: Mean(b); break;
            case BroadcastPerSample op: Broadcast(b, op.Factor); break;

            case Op op: throw new NotSupportedException($"the cuda device has no kernel for {op.Name}; node: {b.Node}");
            default: throw new ArgumentException($"not an op: {b.Node}");
        }

        b.Finish();
    }

    /// <summary>Columns, and the first of a slice, are whole 16 bytes. Statistics, pairs of f32, are asked for nothing.</summary>
    private static bool IsWhole(Node node, Func<Node, KernelDType> storedAs)
    {
        int vector = 16 / storedAs(node).Bytes();
        return node.Op is GroupNormStats || (node.Shape.Last % vector == 0 && (node.Op is not SliceChannels slice || slice.Begin % vector == 0));
    }

    /// <summary>
    /// Statistics, sums and gradients of weights are written and read without gaps. So they are not born inside a concatenation, and what reads statistics or
    /// sums that are views of something else keeps to dense operands.
    /// </summary>
    private static bool LeavesDense(Node node) => node.Op switch
    {
        ConcatChannels => !node.Inputs.Any(i => IsDense(i.Op)),
        GroupNormApply => IsInputOrDense(node.Inputs[1]),
        GroupNormGradSums => IsInputOrDense(node.Inputs[2]),
        GroupNormInputGrad => IsInputOrDense(node.Inputs[2]) && IsInputOrDense(node.Inputs[3]),
        GroupNormParamGrad => IsInputOrDense(node.Inputs[0]),
        _ => true,
    };

    private static bool IsInputOrDense(Node node) => node.Kind == NodeKind.Input || IsDense(node.Op);

    private static bool IsDense(Op? op) => op is GroupNormStats or GroupNormGradSums or Conv2dWeightGrad or LinearWeightGrad;

    private static bool IsLoss(Op op) =>
        op is LogSoftmaxSelect or LogSoftmaxSelectGrad or MsePerSample or MsePerSampleGrad or VlbPerSample or VlbPerSampleGrad or MeanPerSample or BroadcastPerSample;

    private static void Eltwise(StepBuilder b, EltwiseOp op, double factor = 1)
    {
        (Operand x, Operand y) = (b.In(0), b.Out);
        Operand? second = b.Inputs > 1 ? b.In(1) : null;
        bool unaligned = x.Address % 16 != 0 || y.Address % 16 != 0 || second?.Address % 16 > 0;
        var shape = new EltwiseShape(op, y.Rows, y.Columns) { StrideA = x.Stride, StrideB = second?.Stride ?? 0, StrideY = y.Stride, Unaligned = unaligned };
        b.Add(EltwiseKernels.Enqueue(EltwiseKernels.Plan(shape, b.Type, b.Limits), x.Address, second?.Address ?? 0, y.Address, factor));
    }

    /// <summary>The mask is a function of the element's number, so rows have no gaps.</summary>
    private static void Drop(StepBuilder b, Dropout op)
    {
        DropoutPlan plan = DropoutKernels.Plan(b.Out.Shape.Elements, b.Type, op.Probability, op.Stream, b.Limits);
        b.Add(DropoutKernels.Enqueue(plan, b.In(0).Address, b.InF32(1).Address, b.Out.Address));
    }

    /// <summary>Rows from one place to another, and from one type to another.</summary>
    private static void Copy(StepBuilder b, Operand from, Operand to) => b.Add(StepBuilder.Copy(from, to, b.Limits));

    /// <summary>The rows of an operand to a dense result that may have them in another shape.</summary>
    private static void Move(StepBuilder b, Operand from, Operand to) => Copy(b, from, to with { Shape = from.Shape, Stride = from.Columns });

    /// <summary>Operands that were not born in their columns are copied there.</summary>
    private static void Concat(StepBuilder b)
    {
        Operand y = b.OutStored;
        int begin = 0;
        for (int i = 0; i < b.Inputs; i++)
        {
            Operand x = b.InStored(i), part = y.Cut(begin, x.Columns);
            if (x.Address != part.Address)
            {
                Copy(b, x, part);
            }

            begin += x.Columns;
        }
    }

    private static void Resample(StepBuilder b, ResampleOp op, double factor = 1)
    {
        (Operand x, Operand y) = (b.In(0), b.Out);
        var shape = new ResampleShape(op, x.Shape[0], x.Shape[1], x.Shape[2], x.Columns)
        {
            Height = y.Shape[1],
            Width = y.Shape[2],
            StrideX = x.Stride,
            StrideY = y.Stride,
            Unaligned = x.Address % 16 != 0 || y.Address % 16 != 0,
        };
        b.Add(ResampleKernels.Enqueue(ResampleKernels.Plan(shape, b.Type, b.Limits), x.Address, y.Address, factor));
    }

    private static void Spatial(StepBuilder b, SpatialOp op, Operand? x = null, Operand? dy = null, Operand? scale = null, Operand? shift = null, double factor = 1)
    {
        bool reduces = op is SpatialOp.Sum or SpatialOp.Dot;
        Operand y = reduces ? b.OutF32 : b.Out, over = x ?? y, row = scale ?? shift ?? y;
        bool unaligned = new[] { x, dy, scale, shift, y }.Any(o => o?.Address % 16 > 0);
        int columns = op == SpatialOp.Dot ? 2 * over.Columns : over.Columns;
        var shape = new SpatialShape(op, over.Samples, over.RowsPerSample, over.Columns)
        {
            StrideX = x?.Stride ?? 0,
            StrideDy = dy?.Stride ?? 0,
            StrideY = reduces ? 0 : y.Stride,
            StrideRow = Math.Max(row.Stride, columns),
            Scaled = scale is not null,
            Shifted = shift is not null && op == SpatialOp.Modulate,
            Unaligned = unaligned,
        };
        SpatialPlan plan = SpatialKernels.Plan(shape, b.Type, b.Limits);
        b.Add(SpatialKernels.Enqueue(plan, new SpatialOperands(
            x?.Address ?? 0, dy?.Address ?? 0, scale?.Address ?? 0, shift?.Address ?? 0, y.Address, b.Scratch(plan.WorkspaceBytes), factor)));
    }
}
