namespace AdmNative.Core.Tests;

/// <summary>Random values for a graph's inputs and parameters, and comparisons of what graphs compute from them.</summary>
internal static class Numbers
{
    /// <summary>
    /// Two evaluations in double that differ only in the order of sums of up to a few hundred terms: 2^-53 per term and
    /// a condition number up to about ten give 1e-12, far below any real mistake.
    /// </summary>
    public const double Reordered = 1e-12;

    /// <summary>Floats uniform in [-1,1), labels 0 or 1; the same for every graph with these names in this order.</summary>
    public static Dictionary<string, HostArray<double>> Inputs(Graph graph, int seed) => Fill(graph.Inputs, new Random(seed));

    /// <summary>Uniform in [-1,1).</summary>
    public static Dictionary<string, HostArray<double>> Parameters(Graph graph, int seed) =>
        Fill(graph.Parameters, new Random(seed + 1));

    public static Dictionary<string, HostArray<double>> Evaluate(Graph graph, int seed = 1) =>
        TwinEvaluator.Evaluate(graph, Inputs(graph, seed), Parameters(graph, seed));

    /// <summary>Both graphs give the same named outputs, up to <paramref name="tolerance"/> of each one's largest value.</summary>
    public static void AssertAgree(Graph expected, Graph actual, double tolerance = Reordered, int seed = 1)
    {
        Dictionary<string, HostArray<double>> a = Evaluate(expected, seed);
        Dictionary<string, HostArray<double>> b = Evaluate(actual, seed);
        Assert.Equal(a.Keys, b.Keys);
        foreach ((string name, HostArray<double> value) in a)
        {
            AssertClose(name, value, b[name], tolerance);
        }
    }

    public static void AssertClose(string name, HostArray<double> expected, HostArray<double> actual, double tolerance)
    {
        Assert.Equal(expected.Shape, actual.Shape);
        double scale = expected.Data.Max(Math.Abs);
        for (int i = 0; i < expected.Data.Length; i++)
        {
            double error = Math.Abs(expected.Data[i] - actual.Data[i]);
            Assert.True(error <= tolerance * scale, $"{name}[{i}]: {expected.Data[i]:R} and {actual.Data[i]:R}, scale {scale:R}");
        }
    }

    private static Dictionary<string, HostArray<double>> Fill(IReadOnlyDictionary<string, Node> nodes, Random random)
    {
        var values = new Dictionary<string, HostArray<double>>();
        foreach ((string name, Node node) in nodes)
        {
            var value = new HostArray<double>(node.Shape);
            for (int i = 0; i < value.Data.Length; i++)
            {
                value.Data[i] = node.Type.DType == DType.I32 ? random.Next(2) : (float)((2 * random.NextDouble()) - 1);
            }

            values.Add(name, value);
        }

        return values;
    }
}

/// <summary>Values of <see cref="Numbers"/> as weights.</summary>
internal sealed class NumberSource(Dictionary<string, HostArray<double>> values) : ITensorSource
{
    public string Description => "test values";

    public IReadOnlyDictionary<string, TensorType> Tensors { get; } =
        values.ToDictionary(v => v.Key, v => TensorType.F32(v.Value.Shape));

    public void ReadFloats(string name, Span<float> destination)
    {
        double[] source = values[name].Data;
        for (int i = 0; i < source.Length; i++)
        {
            destination[i] = (float)source[i];
        }
    }
}
