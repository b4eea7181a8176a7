using AdmNative.Core;
using AdmNative.Core.Tests;
using AdmNative.Cuda;

namespace AdmNative.Tests.Backend;

/// <summary>
/// What the twins make of a graph when every value is rounded to the type a plan stores it in, and what a step in half precision reads is rounded to that:
/// what mixed precision must lose, whoever computes it.
/// </summary>
internal static class RoundedTwins
{
    /// <summary>
    /// Kernels round the same values as <see cref="Evaluate"/>, but sums in f32 tip single roundings the other way, and attention rounds probabilities as well:
    /// they may be off by so many times as much, as the design guide has it for attention.
    /// </summary>
    public const double Factor = 3;

    public static Dictionary<string, HostArray<double>> Evaluate(
        Plan plan, KernelDType type, Dictionary<string, HostArray<double>> inputs, Dictionary<string, HostArray<double>> parameters)
    {
        Graph graph = plan.Graph;
        var values = new HostArray<double>[graph.Nodes.Count];
        foreach (Node node in graph.Nodes)
        {
            if (node.Op is not Op op)
            {
                values[node.Id] = node.Kind == NodeKind.Input ? inputs[node.Name!] : parameters[node.Name!];
                continue;
            }

            bool half = StoredTypes.Computes(node, Stored) != KernelDType.F32;
            HostArray<double>[] operands = [.. node.Inputs.Select((n, i) => half && IsRead(op, n, i) ? Rounded(values[n.Id], type) : values[n.Id])];
            HostArray<double> result = OpTable.Run(op, operands);
            values[node.Id] = Stored(node) == KernelDType.F32 ? result : Rounded(result, type);
        }

        return graph.Outputs.ToDictionary(o => o.Name, o => values[o.Node.Id]);

        KernelDType Stored(Node n) => n.Kind == NodeKind.Parameter ? KernelDType.F32 : StoredTypes.KernelType(plan.Layouts[n.Id].DType);
    }

    /// <summary>The nearest value of the type.</summary>
    public static double Rounded(double value, KernelDType type) => type == KernelDType.F16
        ? (double)(Half)value
        : Bfloat(BitConverter.SingleToUInt32Bits((float)value));

    /// <summary>Does the kernel of a step in half precision take the operand in half precision? Filters and images, but no statistics, sums or vectors.</summary>
    private static bool IsRead(Op op, Node operand, int i) => i == 1 && op is Conv2d or Linear or Conv2dInputGrad or LinearInputGrad or AddPositional
        || (operand.Type.DType == DType.F32 && operand.Kind != NodeKind.Parameter && operand.Shape.Rank >= 3 && operand.Op is not (GroupNormStats or GroupNormGradSums));

    private static HostArray<double> Rounded(HostArray<double> x, KernelDType type) => new(x.Shape, Array.ConvertAll(x.Data, v => Rounded(v, type)));

    private static double Bfloat(uint bits) => BitConverter.UInt32BitsToSingle((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000);
}
