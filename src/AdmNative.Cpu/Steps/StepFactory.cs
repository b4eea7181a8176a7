using AdmNative.Core;
using AdmNative.Cpu.Kernels;

namespace AdmNative.Cpu.Steps;

/// <summary>From ops to steps, for one instruction set.</summary>
internal interface IStepFactory
{
    /// <summary>Scratch bytes the step of an op will ask for.</summary>
    long WorkspaceBytes(Node node, Isa isa, int threads);

    /// <summary>The step of an op.</summary>
    /// <exception cref="NotSupportedException">There is no kernel for the op.</exception>
    Step Create(StepContext context);
}

/// <summary>The table of kernels: one line per op.</summary>
internal sealed class StepFactory<S, V> : IStepFactory
    where S : struct, ISimd<V>
    where V : unmanaged
{
    public long WorkspaceBytes(Node node, Isa isa, int threads)
    {
        Shape x = node.Inputs.Count > 0 ? node.Inputs[0].Shape : node.Shape;
        int samples = x.Rank == 0 ? 1 : x[0];
        return node.Op switch
        {
            SumSpatial or MeanSpatial or PrependMean => ColumnSumStep<S, V>.WorkspaceBytes(node.Inputs[0].Type, samples, false),
            ModulateParamGrad => ColumnSumStep<S, V>.WorkspaceBytes(node.Inputs[0].Type, samples, true),
            ChannelSum => ColumnSumStep<S, V>.WorkspaceBytes(node.Inputs[0].Type, 1, false),
            GroupNorm => GroupNormStep<S, V, Identity<S, V>>.WorkspaceBytes(x, true),
            GroupNormApply => GroupNormStep<S, V, Identity<S, V>>.WorkspaceBytes(x, false),
            GroupNormStats => GroupNormStatsStep<S, V>.WorkspaceBytes(x),
            GroupNormGradSums => GroupNormGradStep<S, V, Identity<S, V>>.WorkspaceBytes(x, true),
            GroupNormInputGrad => GroupNormGradStep<S, V, Identity<S, V>>.WorkspaceBytes(x, false),
            Attention op => AttentionStep<S, V>.WorkspaceBytes(x, op.Heads, threads),
            AttentionGrad op => AttentionGradStep<S, V>.WorkspaceBytes(x, op.Heads, threads),
            Linear or LinearInputGrad or Conv2d or Conv2dInputGrad => ConvStep.PlanFor(node, isa, threads).WorkspaceBytes,
            StackedLinear => StackedLinearStep.WorkspaceBytes(node, isa, threads),
            LinearWeightGrad or Conv2dWeightGrad => ConvWeightGradStep.PlanFor(node, isa, threads).WorkspaceBytes,
            _ => 0,
        };
    }

    public Step Create(StepContext context) => context.Node.Op switch
    {
        // elementwise
        Silu => new MapStep<S, V, SiluMap<S, V>>(context, default, 8),
        SiluGrad => new MapStep<S, V, SiluGradMap<S, V>>(context, default, 10),
        Relu => new MapStep<S, V, ReluMap<S, V>>(context, default, 1),
        ReluGrad => new MapStep<S, V, ReluGradMap<S, V>>(context, default, 1),
        Add => new MapStep<S, V, AddMap<S, V>>(context, default, 1),
        Scale op => new MapStep<S, V, ScaleMap<S, V>>(context, new((float)op.Factor), 1),
        StopGradient or Reshape => Copy(context, context.In(0), context.Out),
        Constant op => new FillStep<S, V>(context.Out, 0, context.Out.Columns, (float)op.Value),
        Modulate => new SampleMapStep<S, V, ModulateMap<S, V>>(context, default, pair: true),
        ModulateInputGrad => new SampleMapStep<S, V, ModulateGradMap<S, V>>(context, default, pair: false),
        ModulateParamGrad => new ColumnSumStep<S, V>(context, context.In(0).Samples, 1, context.Out),
        AddPerSample => new SampleMapStep<S, V, AddMap<S, V>>(context, default, pair: false),
        SumSpatial => new ColumnSumStep<S, V>(context, context.In(0).Samples, 1, context.Out),
        ChannelSum => new ColumnSumStep<S, V>(context, 1, 1, context.Out),
        MeanSpatial => new ColumnSumStep<S, V>(context, context.In(0).Samples, 1.0 / context.In(0).RowsPerSample, context.Out),
        BroadcastSpatial op => Spread(context, op),
        Dropout op => new DropoutStep<S, V>(context, op),

        // layout
        Resample op => new ResampleStep<S, V>(context, op),
        ConcatChannels => Concat(context),
        SliceChannels op => Copy(context, Columns(context.In(0), op.Begin, op.Count), context.Out),
        PadChannels op => Pad(context, op),
        BilinearResize => new BilinearStep(context),

        // linear algebra
        Linear or Conv2d => new ConvStep(context, 2, 3),
        StackedLinear => new StackedLinearStep(context),
        LinearInputGrad or Conv2dInputGrad => new ConvStep(context, -1, 2),
        LinearWeightGrad or Conv2dWeightGrad => new ConvWeightGradStep(context),

        // normalisation
        GroupNorm { Silu: true } op => new GroupNormStep<S, V, Swish<S, V>>(context, op.Groups, op.Eps, op.Resample),
        GroupNorm op => new GroupNormStep<S, V, Identity<S, V>>(context, op.Groups, op.Eps, op.Resample),
        GroupNormStats op => new GroupNormStatsStep<S, V>(context, op),
        GroupNormApply { Silu: true } op => new GroupNormStep<S, V, Swish<S, V>>(context, op.Groups, null, op.Resample),
        GroupNormApply op => new GroupNormStep<S, V, Identity<S, V>>(context, op.Groups, null, op.Resample),
        GroupNormGradSums { Silu: true } op => GradSums<Swish<S, V>>(context, op),
        GroupNormGradSums op => GradSums<Identity<S, V>>(context, op),
        GroupNormInputGrad { Silu: true } op => InputGrad<Swish<S, V>>(context, op),
        GroupNormInputGrad op => InputGrad<Identity<S, V>>(context, op),
        GroupNormParamGrad op => new GroupNormParamStep(context, op.Which),

        // attention
        Attention op => new AttentionStep<S, V>(context, op),
        AttentionGrad op => new AttentionGradStep<S, V>(context, op),
        PrependMean => MeanThenRows(context),
        PrependMeanGrad => RowsPlusMean(context),
        AddPositional => new AddPositionalStep(context),
        PositionalGrad => new PositionalGradStep(context),
        TakeToken op => Copy(context, Token(context.In(0), op.Index), context.Out),
        PlaceToken op => new Sequence(
            [new FillStep<S, V>(context.Out, 0, context.Out.Columns, 0), Copy(context, context.In(0), Token(context.Out, op.Index))]),

        // embedding
        TimestepEmbedding op => new TimestepStep(context, op),
        Embedding => new EmbeddingStep(context),
        EmbeddingGrad => new EmbeddingGradStep(context),

        // losses
        LogSoftmaxSelect => new LogSoftmaxSelectStep(context),
        LogSoftmaxSelectGrad => new LogSoftmaxSelectGradStep(context),
        MeanPerSample or MsePerSample => new SampleMeanStep(context),
        BroadcastPerSample op => new SampleSpreadStep(context, op.Factor, context.In(0)),
        MsePerSampleGrad op => new SampleSpreadStep(context, (op.Side == 0 ? 2 : -2) / PerSample(context.Out), context.In(2)),
        VlbPerSample op => new VlbStep(context, op),
        VlbPerSampleGrad op => new VlbGradStep(context, op),

        // sampler
        PredictXStart op => new SamplerStep<XStartFormula>(
            context, new(op), new(context.In(0), context.In(1), default, context.In(2), default, default)),
        DdpmMean op => new SamplerStep<MeanFormula>(
            context, new(op.Mean), new(context.In(0), context.In(1), context.In(2), context.In(3), default, default)),
        ModelLogVariance op => new SamplerStep<LogVarianceFormula>(
            context, new(op.Variance), new(context.In(0), context.In(1), default, context.In(2), default, default)),
        DdpmStep op => new SamplerStep<DdpmFormula>(
            context, new(op), new(context.In(0), context.In(1), context.In(2), context.In(3), context.In(4), context.In(5))),
        DdimXStart => new SamplerStep<DdimXStartFormula>(
            context, default, new(context.In(0), default, context.In(1), context.In(2), default, context.In(3))),
        DdimStep => new SamplerStep<DdimFormula>(
            context, default, new(context.In(0), default, context.In(1), context.In(2), context.In(3), default)),
        DdimReverseStep => new SamplerStep<DdimReverseFormula>(
            context, default, new(context.In(0), default, context.In(1), context.In(2), default, default)),
        Op op => throw new NotSupportedException($"the cpu device has no kernel for {op.Name}; node: {context.Node}"),
        null => throw new ArgumentException($"not an op: {context.Node}"),
    };

    private static CopyStep<S, V> Copy(StepContext context, Operand from, Operand to) => new(context.Pool, from, to);

    /// <summary>A range of columns of every row.</summary>
    private static unsafe Operand Columns(Operand x, int begin, int count)
    {
        long[] dims = x.Shape.ToArray();
        dims[^1] = count;
        return new Operand(x.Data + begin, x.Stride, Shape.Create(dims));
    }

    /// <summary>Token index of every sample of x [N,T,C], as [N,C].</summary>
    private static unsafe Operand Token(Operand x, int index) =>
        new(x.Row(index), x.Stride * x.Shape[1], [x.Shape[0], x.Columns]);

    private static double PerSample(Operand x) => (double)x.Shape.Elements / Math.Max(1, x.Samples);

    private static Sequence Concat(StepContext context)
    {
        var steps = new Step[context.Inputs];
        int begin = 0;
        for (int i = 0; i < steps.Length; i++)
        {
            Operand x = context.In(i);
            steps[i] = Copy(context, x, Columns(context.Out, begin, x.Columns));
            begin += x.Columns;
        }

        return new Sequence(steps);
    }

    private static Sequence Pad(StepContext context, PadChannels op)
    {
        (Operand x, Operand y) = (context.In(0), context.Out);
        return new Sequence(
        [
            new FillStep<S, V>(y, 0, op.Begin, 0),
            new FillStep<S, V>(y, op.Begin + x.Columns, y.Columns, 0),
            Copy(context, x, Columns(y, op.Begin, x.Columns)),
        ]);
    }

    /// <summary>The mean in row 0 of each sample, then the rows of x.</summary>
    private static unsafe Sequence MeanThenRows(StepContext context)
    {
        (Operand x, Operand y) = (context.In(0), context.Out);
        int tokens = x.RowsPerSample;
        var steps = new Step[x.Samples + 1];
        steps[0] = new ColumnSumStep<S, V>(context, x.Samples, 1.0 / tokens, Token(y, 0));
        for (int n = 0; n < x.Samples; n++)
        {
            Shape rows = [tokens, x.Columns];
            steps[n + 1] = Copy(
                context,
                new Operand(x.Row((long)n * tokens), x.Stride, rows),
                new Operand(y.Row(((long)n * (tokens + 1)) + 1), y.Stride, rows));
        }

        return new Sequence(steps);
    }

    /// <summary>dy of the token plus its share of the mean's.</summary>
    private static RowsStep<S, V, AddScaledMap<S, V>> RowsPlusMean(StepContext context)
    {
        (Operand dy, Operand y) = (context.In(0), context.Out);
        int tokens = y.RowsPerSample;
        return new(
            context.Pool, new(1f / tokens), Rows.Of(dy, tokens + 1, 1, tokens), Rows.Of(dy, tokens + 1, 0, 1), tokens, y);
    }

    private static RowsStep<S, V, ScaleSecondMap<S, V>> Spread(StepContext context, BroadcastSpatial op)
    {
        (Operand v, Operand y) = (context.In(0), context.Out);
        return new(context.Pool, new((float)op.Factor), Rows.Of(y), Rows.Of(v), y.RowsPerSample, y);
    }

    private static GroupNormGradStep<S, V, A> GradSums<A>(StepContext context, GroupNormGradSums op)
        where A : struct, IActivation<S, V> =>
        new(context, op.Groups, op.Resample, true, new(
            context.In(1), context.In(2), context.In(3), context.In(4), context.In(5), context.Out, default, default));

    private static GroupNormGradStep<S, V, A> InputGrad<A>(StepContext context, GroupNormInputGrad op)
        where A : struct, IActivation<S, V> =>
        new(context, op.Groups, op.Resample, false, new(
            context.In(1), context.In(2), context.In(4), context.In(5), op.Modulated ? context.In(6) : default, context.In(3),
            context.In(op.AddendInput), context.Out));
}
