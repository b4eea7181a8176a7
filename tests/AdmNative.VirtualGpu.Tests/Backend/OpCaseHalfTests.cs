using AdmNative.Core;
using AdmNative.Core.Tests;
using AdmNative.Cuda;

namespace AdmNative.Tests.Backend;

/// <summary>
/// The cases of <see cref="OpCaseTests"/> that have images or tokens, stored in half precision: operands go in and the result comes out through the casts,
/// and twins see the operands as they are stored. Every case in f16; in bf16, whose entries are the same source with another type, the first of each op.
/// </summary>
public sealed class OpCaseHalfTests(CheckedDevice device) : IClassFixture<CheckedDevice>
{
    /// <summary>Sums of products on tensor cores (design guide, section 7): each step cuts the running sum off instead of rounding it.</summary>
    private const double PerProduct = 4e-7;

    /// <summary>Entries in half precision take the fast exp2 and reciprocal (design guide, section 7).</summary>
    private const double Approximations = 2e-5;

    public static TheoryData<string, KernelDType> Ops
    {
        get
        {
            var data = new TheoryData<string, KernelDType>();
            foreach (Op op in OpTable.Ops.Where(o => OpTable.Prototype(o.Name).Cases().Any(Applies)))
            {
                data.Add(op.Name, KernelDType.F16);
                data.Add(op.Name, KernelDType.BF16);
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Ops))]
    public void Matches_the_twin_of_what_is_stored(string name, KernelDType type)
    {
        CudaBackend backend = device.Backend;
        int number = 0;
        foreach (OpCase sample in OpTable.Prototype(name).Cases().Where(Applies).Take(type == KernelDType.F16 ? int.MaxValue : 1))
        {
            string what = $"case {number} {sample.Op} of {string.Join(" ", sample.Inputs.Select(i => i.ToString()))}";
            HostArray<double>[] values = OpTable.Draw<double>(sample, 7 + number++);
            for (int i = 0; i < values.Length; i++)
            {
                bool copied = i == 1 && sample.Op is Conv2d or Linear or Conv2dInputGrad or LinearInputGrad or AddPositional; // weights with half copies
                values[i] = copied || IsHalf(sample.Inputs[i]) ? new(values[i].Shape, Array.ConvertAll(values[i].Data, v => RoundedTwins.Rounded(v, type))) : values[i];
            }

            Graph graph = OpCaseTests.GraphOf(sample, values, out Dictionary<string, HostArray<double>> weights, copied: true);
            Node result = graph.Outputs.Single().Node.Inputs[0];
            bool stored = IsHalf(result.Type) && !StoredTypes.IsAlwaysF32(sample.Op);
            bool IsStoredHalf(Node n) => n == result ? stored : result.Inputs.Contains(n) && n.Op is StopGradient && IsHalf(n.Type);
            Plan plan = backend.Plan(graph, n => IsStoredHalf(n) ? type : KernelDType.F32);
            double[] expected = OpTable.Run(sample.Op, values).Data;
            using IParameters parameters = backend.LoadParameters(graph.Parameters, new NumberSource(weights));
            using IExecutable run = backend.Load(plan, parameters);
            float[] once = OpCaseTests.Run(run, sample, values);
            AssertClose(what, expected, once, stored ? UnitRoundoff(type) : 0, Tolerance(sample, values, expected, type));
            Assert.Equal(once, OpCaseTests.Run(run, sample, values));
            device.AssertSilent(what);
        }
    }

    private static bool Applies(OpCase sample) => !OpCaseTests.IsRefused(sample) && sample.Inputs.Any(IsHalf);

    private static bool IsHalf(TensorType type) => type.DType == DType.F32 && type.Shape.Rank >= 3;

    /// <summary>Half the distance of neighbours, relative to the lower end of their binade.</summary>
    private static double UnitRoundoff(KernelDType type) => type == KernelDType.F16 ? Math.ScaleB(1, -11) : Math.ScaleB(1, -8);

    /// <summary>
    /// Half-stored operands are exact in what kernels compute in, so that a result is off by the error of the f32 computation, then by one rounding:
    /// (1 + u) of it, and half the least f16.
    /// </summary>
    private static void AssertClose(string what, double[] expected, float[] actual, double u, double tolerance)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            double allowed = (u * Math.Abs(expected[i])) + ((1 + u) * tolerance) + Math.ScaleB(u, -14);
            Assert.True(Math.Abs(expected[i] - actual[i]) <= allowed, $"{what}: element {i} is {actual[i]:R}, expected {expected[i]:R} within {allowed:g3}");
        }
    }

    /// <summary>Of the computation: as in f32, and what half-precision entries may do otherwise.</summary>
    private static double Tolerance(OpCase sample, HostArray<double>[] values, double[] expected, KernelDType type)
    {
        double scale = expected.Max(Math.Abs), result = (OpCaseTests.Tolerance(sample, values, expected) + Approximations) * scale;
        if (sample.Op is Conv2d or Linear or Conv2dInputGrad or LinearInputGrad or Conv2dWeightGrad or LinearWeightGrad)
        {
            HostArray<double>[] magnitudes = [.. values.Select(v => new HostArray<double>(v.Shape, Array.ConvertAll(v.Data, Math.Abs)))];
            result += PerProduct * OpTable.Run(sample.Op, magnitudes).Data.Max();
        }

        return result + (sample.Op switch
        {
            Attention op => Probabilities(op.Heads, op.NewOrder, values[0], null, UnitRoundoff(type)),
            AttentionGrad op => Probabilities(op.Heads, op.NewOrder, values[0], values[2], UnitRoundoff(type)),
            _ => 0,
        });
    }

    /// <summary>
    /// Attention rounds probabilities P before their product with v or do, and dS before its products with k and q, each by a factor within 1 + u; P then sums
    /// to 1 within u. With the sums over at most T terms taken at their largest: of o 2 u max|v|; of dv u T max|do|; of dq and dk u T max|dS| max|k, q| / sqrt(d)
    /// with |dS| at most 2 d max|do| max|v|.
    /// </summary>
    private static double Probabilities(int heads, bool newOrder, HostArray<double> qkv, HostArray<double>? dy, double u)
    {
        int c = qkv.Shape.Last / 3, d = c / heads;
        double tokens = qkv.Shape.Elements / (double)qkv.Shape[0] / (3 * c), v = 0, qk = 0;
        for (int i = 0; i < qkv.Data.Length; i++)
        {
            int column = i % (3 * c), part = newOrder ? column / c : column % (3 * d) / d;
            (qk, v) = part == 2 ? (qk, Math.Max(v, Math.Abs(qkv.Data[i]))) : (Math.Max(qk, Math.Abs(qkv.Data[i])), v);
        }

        if (dy is null)
        {
            return 2 * u * v;
        }

        double largest = dy.Data.Max(Math.Abs);
        return u * tokens * largest * Math.Max(1, 2 * d * v * qk / Math.Sqrt(d));
    }
}
