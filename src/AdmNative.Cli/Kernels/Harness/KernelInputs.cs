using AdmNative.Core;

namespace AdmNative.Cli;

/// <summary>Deterministic test data.</summary>
internal static class KernelInputs
{
    /// <summary>Approximately normal values, mean 0 and deviation 1, a function of seed and index.</summary>
    public static float[] Normal(long count, uint seed, double scale = 1, double offset = 0)
    {
        var values = new float[count];
        var random = new Random(unchecked((int)((seed * 2654435761u) + 12345)));
        for (int i = 0; i < values.Length; i++)
        {
            double radius = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble()));
            values[i] = (float)(offset + (scale * radius * Math.Cos(2 * Math.PI * random.NextDouble())));
        }

        return values;
    }

    /// <summary>Whole numbers in [-limit, limit].</summary>
    public static float[] Integers(long count, uint seed, int limit)
    {
        var values = new float[count];
        var random = new Random(unchecked((int)((seed * 2654435761u) + 54321)));
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = random.Next(-limit, limit + 1);
        }

        return values;
    }

    /// <summary>As the twins of the operations take it.</summary>
    public static HostArray<double> Host(Shape shape, ReadOnlySpan<float> values)
    {
        var array = new HostArray<double>(shape);
        for (int i = 0; i < values.Length; i++)
        {
            array.Data[i] = values[i];
        }

        return array;
    }

    /// <summary>Evaluates an operation's twin in f64.</summary>
    public static double[] Twin(Op op, Shape result, params HostArray<double>[] inputs)
    {
        var output = new HostArray<double>(result);
        op.Twin<double>(inputs, output);
        return output.Data;
    }
}
