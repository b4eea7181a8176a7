using AdmNative.Core;
using AdmNative.Core.Tests;

namespace AdmNative.Cpu.Tests;

/// <summary>Every case of every op in Core, on every instruction set, against the twin in double.</summary>
public sealed class OpCaseTests
{
    public static TheoryData<string, Isa> OpsAndSets()
    {
        var data = new TheoryData<string, Isa>();
        foreach (Op op in OpTable.Ops)
        {
            foreach (Isa isa in IsaSupport.Available)
            {
                data.Add(op.Name, isa);
            }
        }

        return data;
    }

    [Fact]
    public void The_table_is_not_empty() => Assert.True(OpTable.Ops.Count > 60, $"only {OpTable.Ops.Count} ops found");

    [Theory]
    [MemberData(nameof(OpsAndSets))]
    public void Matches_the_twin(string name, Isa isa)
    {
        int number = 0;
        foreach (OpCase sample in OpTable.Prototype(name).Cases())
        {
            HostArray<double>[] values = OpTable.Draw<double>(sample, 7 + number);
            double[] expected = OpTable.Run(sample.Op, values).Data;
            double tolerance = Tolerance(sample, values, expected);
            foreach (int pad in (int[])[0, 3, 16])
            {
                string what = $"{isa} case {number} {sample.Op} pad {pad}";
                float[] one = SingleOp.Run(isa, 1, sample, values, pad);
                SingleOp.AssertClose(what, expected, one, tolerance);
                if (pad == 0)
                {
                    continue;
                }

                int threads = pad == 3 ? 3 : 2;
                AssertSame($"{what}: {threads} threads", one, SingleOp.Run(isa, threads, sample, values, pad));
                if (sample.Op is Conv2d or Linear or Conv2dInputGrad or LinearInputGrad or GroupNormApply)
                {
                    SingleOp.AssertClose(
                        $"{what}, operand 1 a parameter", expected,
                        SingleOp.Run(isa, 1, sample, values, pad, weightsAsParameters: true), tolerance);
                }

                for (int i = 0; i < sample.Inputs.Length; i++)
                {
                    if (sample.Op.InPlace(i) && sample.Inputs[i] == sample.Op.Infer(sample.Inputs))
                    {
                        AssertSame($"{what}: over operand {i}", one, SingleOp.Run(isa, 1, sample, values, pad, inPlace: i));
                    }
                }
            }

            number++;
        }

        Assert.True(number > 0, $"{name} has no cases");
    }

    internal static void AssertSame(string what, float[] expected, float[] actual)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            if (BitConverter.SingleToInt32Bits(expected[i]) != BitConverter.SingleToInt32Bits(actual[i]))
            {
                Assert.Fail($"{what}: element {i} is {actual[i]:R}, not {expected[i]:R}");
            }
        }
    }

    /// <summary>
    /// Four times the error of the same formula evaluated naively in f32, plus 16 roundings of the largest value. Convolutions may use
    /// Winograd's F(4x4, 3x3), whose transforms multiply rounding errors by up to about 100: their bound is 128 roundings per factor of
    /// two in sqrt of the number of products, far below the 1e-4 the project promises.
    /// </summary>
    internal static double Tolerance(OpCase sample, HostArray<double>[] values, double[] expected)
    {
        var single = new HostArray<float>[values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            single[i] = new HostArray<float>(values[i].Shape, Array.ConvertAll(values[i].Data, v => (float)v));
        }

        float[] naive = OpTable.Run(sample.Op, single).Data;
        double scale = Math.Max(expected.Max(Math.Abs), double.Epsilon), error = 0;
        for (int i = 0; i < naive.Length; i++)
        {
            error = Math.Max(error, Math.Abs(naive[i] - expected[i]) / scale);
        }

        double ulp = Math.ScaleB(1, -24);
        double conv = sample.Op is Conv2d or Conv2dInputGrad ? 128 * ulp : 0;
        return (4 * error) + (16 * ulp) + conv;
    }
}
