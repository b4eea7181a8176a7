using AdmNative.Core;

namespace AdmNative.Cuda;

/// <summary>
/// Which values of a graph are stored in half precision. Products of images and tokens with weights start it and what is made of half values carries it on:
/// norms, attention, elementwise ops, layout, input gradients. Always f32 are graph inputs and outputs, everything of rank below 3 (embeddings, logits,
/// parameters' gradients), statistics and sums, losses, sampler states, and what is made of f32 alone. So is a network's head, from behind its last residual
/// sum on: the reference computes there in f32 too.
/// </summary>
internal sealed class StoredTypes
{
    private readonly KernelDType[] _types;

    public StoredTypes(Graph graph, KernelDType precision, Func<string, bool>? isSingle = null)
    {
        _types = new KernelDType[graph.Nodes.Count];
        if (precision == KernelDType.F32)
        {
            return;
        }

        var outputs = graph.Outputs.Select(o => o.Node).ToHashSet();
        bool[] head = Head(graph, outputs);
        foreach (Node node in graph.Nodes)
        {
            bool half = node.Kind == NodeKind.Op && node.Type.DType == DType.F32 && node.Shape.Rank >= 3 && !outputs.Contains(node) && !head[node.Id]
                && !IsAlwaysF32(node.Op!) && (StartsHalf(node) || node.Inputs.Any(i => _types[i.Id] != KernelDType.F32));
            _types[node.Id] = half ? precision : KernelDType.F32;
        }

        bool StartsHalf(Node node) => IsProduct(node.Op!) && !(isSingle is not null && node.Inputs[1].Kind == NodeKind.Parameter && isSingle(node.Inputs[1].Name!));
    }

    /// <summary>The type a node's value is stored in; integers count as f32.</summary>
    public KernelDType this[Node node] => _types[node.Id];

    /// <summary>
    /// The type a step computes in, given how values are stored: its result's, or of ops whose result is f32 whatever they read, the type of the activation
    /// they go over. A gradient is computed in the type it comes in.
    /// </summary>
    public static KernelDType Computes(Node node, Func<Node, KernelDType> storedAs) => node.Op switch
    {
        GroupNormStats or GroupNormGradSums or ChannelSum or SumSpatial or MeanSpatial or ModulateParamGrad or PositionalGrad => storedAs(node.Inputs[0]),
        Conv2dInputGrad or LinearInputGrad => storedAs(node.Inputs[0]),
        Conv2dWeightGrad or LinearWeightGrad => storedAs(node.Inputs[1]),
        _ => storedAs(node),
    };

    /// <summary>How the planner calls a type.</summary>
    public static DType PlannerType(KernelDType type) => type switch { KernelDType.F16 => DType.F16, KernelDType.BF16 => DType.BF16, _ => DType.F32 };

    /// <summary>The kernels' name of a type the planner stores values in; integers count as f32.</summary>
    public static KernelDType KernelType(DType type) => type switch { DType.F16 => KernelDType.F16, DType.BF16 => KernelDType.BF16, _ => KernelDType.F32 };

    private static bool IsProduct(Op op) => op is Conv2d or Linear or Conv2dInputGrad or LinearInputGrad;

    /// <summary>
    /// Values that only f32 is made of, going back from the results through at most one product: the last norm and convolution of a network, a classifier's
    /// attention pool. Stops at sums, concatenations and resampling. What gradients read is not asked, so that a network computes alike with and without.
    /// </summary>
    private static bool[] Head(Graph graph, HashSet<Node> outputs)
    {
        var head = new bool[graph.Nodes.Count];
        var open = new bool[graph.Nodes.Count]; // read, and by nothing but f32 so far
        var blocked = new bool[graph.Nodes.Count]; // read by something in half precision
        var behind = new bool[graph.Nodes.Count]; // on the far side of a product
        foreach (Node node in outputs)
        {
            open[node.Id] = true;
        }

        foreach (Node node in graph.Nodes.Reverse())
        {
            if (node.Op is not Op op || IsGradient(op))
            {
                continue;
            }

            int id = node.Id;
            if (!open[id] && !blocked[id])
            {
                continue; // nothing of the network reads it
            }

            bool images = node.Shape.Rank >= 3;
            bool passes = op is Silu or Relu or Modulate or AddPositional or PrependMean or Attention or GroupNorm or GroupNormApply or Dropout or Reshape or SliceChannels or StopGradient;
            bool product = op is (Conv2d or Linear) && images;
            head[id] = open[id] && !blocked[id] && images && (passes || (product && node.Inputs.Count < 4 && !behind[id]));
            bool single = !images || head[id] || outputs.Contains(node) || IsAlwaysF32(op);
            foreach (Node operand in node.Inputs)
            {
                open[operand.Id] |= single;
                blocked[operand.Id] |= !single;
                behind[operand.Id] |= behind[id] || product;
            }
        }

        return head;
    }

    /// <summary>Results that are f32 however large: statistics, gradients of weights, losses, the sampler's.</summary>
    public static bool IsAlwaysF32(Op op) => op is GroupNormStats or GroupNormGradSums or Conv2dWeightGrad or LinearWeightGrad
        or MsePerSample or VlbPerSample or MsePerSampleGrad or VlbPerSampleGrad
        or PredictXStart or DdpmMean or ModelLogVariance or DdpmStep or DdimXStart or DdimStep or DdimReverseStep;

    /// <summary>Ops of gradients that read what the network computed.</summary>
    private static bool IsGradient(Op op) => op is SiluGrad or ReluGrad or AttentionGrad or GroupNormStats or GroupNormGradSums or GroupNormInputGrad
        or Conv2dInputGrad or LinearInputGrad or Conv2dWeightGrad or LinearWeightGrad or ModulateInputGrad or ModulateParamGrad;
}
