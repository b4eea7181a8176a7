using AdmNative.Core;
using AdmNative.Core.Tests;

namespace AdmNative.Cpu.Tests;

/// <summary>Attention at the sizes where blocks, tiles and tails begin and end.</summary>
public sealed class AttentionTests
{
    /// <summary>N, tokens, heads, depth, new order.</summary>
    private static readonly (int N, int Tokens, int Heads, int Depth, bool NewOrder)[] s_shapes =
    [
        (1, 1, 1, 1, false),
        (2, 1, 2, 33, true),
        (1, 17, 3, 8, false),
        (2, 64, 1, 64, true),
        (1, 65, 2, 32, false),
        (3, 49, 1, 40, true),
        (1, 100, 1, 3, false),
        (1, 196, 2, 24, true),
        (1, 257, 1, 16, false),
        (1, 520, 1, 48, false),
    ];

    public static TheoryData<Isa, int> Cases()
    {
        var data = new TheoryData<Isa, int>();
        foreach (Isa isa in IsaSupport.Available)
        {
            for (int i = 0; i < s_shapes.Length; i++)
            {
                data.Add(isa, i);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Forward_matches_the_twin(Isa isa, int shape)
    {
        (int n, int tokens, int heads, int depth, bool newOrder) = s_shapes[shape];
        var qkv = TensorType.F32([n, tokens, 3L * heads * depth]);
        Check(isa, new OpCase(new Attention(heads, newOrder), [qkv], Scale: [2]));
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Backward_matches_the_twin(Isa isa, int shape)
    {
        (int n, int tokens, int heads, int depth, bool newOrder) = s_shapes[shape];
        var qkv = TensorType.F32([n, tokens, 3L * heads * depth]);
        var o = TensorType.F32([n, tokens, (long)heads * depth]);
        Check(isa, new OpCase(new AttentionGrad(heads, newOrder), [qkv, o, o], Scale: [2, 1, 1]));
    }

    [Theory]
    [InlineData(1e4)]
    [InlineData(1e-30)]
    public void Extreme_scores_give_the_limit(double score)
    {
        // Scores are q k: one key in each row of the first token's choice stands out by the whole range; the rest are equal.
        const int tokens = 300, depth = 16;
        var qkv = new HostArray<double>([1, tokens, 3 * depth]);
        var random = new Random(5);
        for (int t = 0; t < tokens; t++)
        {
            double side = random.Next(2) == 0 ? -1 : 1;
            for (int c = 0; c < depth; c++)
            {
                qkv.Data[(t * 3 * depth) + c] = c == 0 ? side * (float)Math.Sqrt(score) : 0;
                qkv.Data[(t * 3 * depth) + depth + c] = c == 0 ? (t % 7 == 3 ? 1 : t % 7 == 4 ? -1 : 0) * (float)(4 * Math.Sqrt(score)) : 0;
                qkv.Data[(t * 3 * depth) + (2 * depth) + c] = (float)((2 * random.NextDouble()) - 1);
            }
        }

        var sample = new OpCase(new Attention(1, true), [TensorType.F32(qkv.Shape)]);
        double[] expected = OpTable.Run(sample.Op, qkv).Data;
        foreach (Isa isa in IsaSupport.Available)
        {
            // Scores are exact here up to one rounding of the product, equal for all keys that share the maximum.
            SingleOp.AssertClose($"{isa} scores +-{score}", expected, SingleOp.Run(isa, 1, sample, [qkv], 0), 1e-6);
        }
    }

    [Fact]
    public void Scores_of_ten_thousand_move_the_maximum_from_block_to_block()
    {
        // Keys grow, so that every block of keys has a new maximum; two neighbours differ by about 1 / 2 in score.
        const int tokens = 700, depth = 8;
        var qkv = new HostArray<double>([1, tokens, 3 * depth]);
        for (int t = 0; t < tokens; t++)
        {
            qkv.Data[t * 3 * depth] = 100;
            qkv.Data[(t * 3 * depth) + depth] = 280 + (t / 64.0);
            qkv.Data[(t * 3 * depth) + (2 * depth)] = t % 5;
        }

        var sample = new OpCase(new Attention(1, true), [TensorType.F32(qkv.Shape)]);
        double[] expected = OpTable.Run(sample.Op, qkv).Data;
        foreach (Isa isa in IsaSupport.Available)
        {
            // Scores near 1e4 carry a rounding of 2^-24 each, so weights are good to about 1e4 * 2^-24 * 2 = 1.2e-3.
            SingleOp.AssertClose($"{isa}", expected, SingleOp.Run(isa, 1, sample, [qkv], 0), 1.2e-3);
        }
    }

    [Fact]
    public void Nan_in_one_sample_does_not_leak()
    {
        var type = TensorType.F32([3, 70, 3 * 32]);
        var forward = new OpCase(new Attention(2, false), [type], Scale: [2]);
        HostArray<double> clean = OpTable.Draw<double>(forward, 1)[0];
        var dirty = new HostArray<double>(clean.Shape, (double[])clean.Data.Clone());
        Array.Fill(dirty.Data, double.NaN, 70 * 96, 70 * 96);
        foreach (Isa isa in IsaSupport.Available)
        {
            float[] expected = SingleOp.Run(isa, 2, forward, [clean], 0), actual = SingleOp.Run(isa, 2, forward, [dirty], 0);
            for (int i = 0; i < expected.Length; i++)
            {
                bool inside = i / (70 * 32) == 1;
                if (!(inside ? float.IsNaN(actual[i]) : actual[i] == expected[i]))
                {
                    Assert.Fail($"{isa}: element {i} is {actual[i]}, without NaN {expected[i]}");
                }
            }
        }
    }

    private static void Check(Isa isa, OpCase sample)
    {
        HostArray<double>[] values = OpTable.Draw<double>(sample, 11);
        double[] expected = OpTable.Run(sample.Op, values).Data;
        double tolerance = OpCaseTests.Tolerance(sample, values, expected);
        float[] one = SingleOp.Run(isa, 1, sample, values, 0);
        SingleOp.AssertClose($"{isa} {sample.Op} {sample.Inputs[0]}", expected, one, tolerance);
        OpCaseTests.AssertSame("strided", one, SingleOp.Run(isa, 1, sample, values, 5));
        OpCaseTests.AssertSame("2 threads", one, SingleOp.Run(isa, 2, sample, values, 0));
        OpCaseTests.AssertSame("3 threads", one, SingleOp.Run(isa, 3, sample, values, 0));
    }
}
