using System.Numerics;
using System.Runtime.CompilerServices;

namespace AdmNative.Core.Tests;

/// <summary>The op table as the assembly has it, and the samples that tests draw for it.</summary>
internal static class OpTable
{
    /// <summary>One uninitialised instance per concrete op, only good for asking for its cases.</summary>
    public static IReadOnlyList<Op> Ops { get; } =
    [
        .. typeof(Op).Assembly.GetTypes()
            .Where(t => t.IsSubclassOf(typeof(Op)) && !t.IsAbstract)
            .OrderBy(t => t.Name, StringComparer.Ordinal)
            .Select(t => (Op)RuntimeHelpers.GetUninitializedObject(t)),
    ];

    /// <summary>Op name and case number of every case.</summary>
    public static TheoryData<string, int> Cases()
    {
        var data = new TheoryData<string, int>();
        foreach (Op op in Ops)
        {
            int count = op.Cases().Count();
            for (int i = 0; i < count; i++)
            {
                data.Add(op.Name, i);
            }
        }

        return data;
    }

    /// <summary>Op names.</summary>
    public static TheoryData<string> Names() => [.. Ops.Select(o => o.Name)];

    public static Op Prototype(string name) => Ops.Single(o => o.Name == name);

    public static OpCase Case(string name, int index) => Prototype(name).Cases().ElementAt(index);

    /// <summary>Values that are exact in f32, so that twins in both precisions see the same numbers.</summary>
    public static HostArray<T>[] Draw<T>(OpCase sample, int seed) where T : unmanaged, IFloatingPointIeee754<T>
    {
        var random = new Random(seed);
        var inputs = new HostArray<T>[sample.Inputs.Length];
        for (int i = 0; i < inputs.Length; i++)
        {
            int limit = sample.IntegerLimits is { } limits ? limits[i] : 0;
            inputs[i] = new HostArray<T>(sample.Inputs[i].Shape);
            for (int j = 0; j < inputs[i].Data.Length; j++)
            {
                double value = limit > 0
                    ? random.Next(limit)
                    : ((float)((2 * random.NextDouble()) - 1) * (sample.Scale?[i] ?? 1)) + (sample.Offset?[i] ?? 0);
                inputs[i].Data[j] = T.CreateChecked((float)value);
            }
        }

        return inputs;
    }

    /// <summary>The twin's result, over an array whose old content must not matter.</summary>
    public static HostArray<T> Run<T>(Op op, params HostArray<T>[] inputs) where T : unmanaged, IFloatingPointIeee754<T>
    {
        TensorType type = op.Infer([.. Types(op, inputs)]);
        var output = new HostArray<T>(type.Shape);
        Array.Fill(output.Data, T.NaN);
        op.Twin(inputs, output);
        return output;
    }

    /// <summary>A double array from literals.</summary>
    public static HostArray<double> Array64(Shape shape, params double[] values) =>
        values.Length == shape.Elements ? new(shape, values) : throw new ArgumentException($"{values.Length} values for {shape}");

    /// <summary>Seeded values in [-1,1].</summary>
    public static HostArray<double> Random64(Shape shape, int seed) => Draw<double>(new OpCase(new Silu(), [TensorType.F32(shape)]), seed)[0];

    /// <summary>Largest absolute difference; NaN if any value is.</summary>
    public static double Distance(IEnumerable<double> a, IEnumerable<double> b) =>
        a.Zip(b, (x, y) => Math.Abs(x - y)).DefaultIfEmpty(0).Max(d => double.IsNaN(d) ? double.PositiveInfinity : d);

    /// <summary>Fails unless equal in shape and within the tolerance, element by element; NaN fails.</summary>
    public static void Close(HostArray<double> expected, HostArray<double> actual, double tolerance)
    {
        Assert.Equal(expected.Shape, actual.Shape);
        Close(expected.Data, actual.Data, tolerance);
    }

    /// <summary>Fails unless within the tolerance, element by element; NaN fails.</summary>
    public static void Close(double[] expected, double[] actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.True(
                Math.Abs(expected[i] - actual[i]) <= tolerance,
                $"element {i}: expected {expected[i]:R}, got {actual[i]:R}, more than {tolerance:g2} apart");
        }
    }

    // Integer inputs are told by the rule of the op: labels and seeds.
    private static IEnumerable<TensorType> Types<T>(Op op, HostArray<T>[] inputs) where T : unmanaged
    {
        for (int i = 0; i < inputs.Length; i++)
        {
            bool integer = (op, i) is (Embedding, 1) or (EmbeddingGrad, 0) or (LogSoftmaxSelect, 1) or (LogSoftmaxSelectGrad, 1)
                or (Dropout, 1);
            yield return new(integer ? DType.I32 : DType.F32, inputs[i].Shape);
        }
    }
}
