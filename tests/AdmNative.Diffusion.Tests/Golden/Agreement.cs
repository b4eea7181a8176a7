using AdmNative.Core;

namespace AdmNative.Tests;

/// <summary>Compares a tensor with a recorded one.</summary>
internal static class Agreement
{
    /// <summary>
    /// Fails unless every element is finite and within <paramref name="tolerance"/> of the recorded one, relative to
    /// the largest magnitude.
    /// </summary>
    public static void Check(string name, Tensor recorded, Tensor found, double tolerance)
    {
        double scale = recorded.ToFloats().Max(v => Math.Abs((double)v));
        CheckAbsolute(name, recorded, found, _ => tolerance * scale);
    }

    /// <summary>
    /// Fails unless every element is finite and within the difference allowed for its index in the first dimension.
    /// </summary>
    public static void CheckAbsolute(string name, Tensor recorded, Tensor found, Func<int, double> allowedFor)
    {
        Assert.True(recorded.Shape == found.Shape, $"{name}: {found.Shape}, recorded {recorded.Shape}");
        float[] expected = recorded.ToFloats();
        float[] actual = found.ToFloats();
        int perRow = Math.Max(expected.Length / Math.Max(recorded.Shape.Rank == 0 ? 1 : recorded.Shape[0], 1), 1);
        int worst = 0;
        double largest = double.NegativeInfinity;
        int outside = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double difference = Math.Abs((double)expected[i] - actual[i]);
            if (!double.IsFinite(difference))
            {
                difference = double.PositiveInfinity;
            }

            double allowed = allowedFor(i / perRow);
            outside += difference <= allowed ? 0 : 1;
            if (difference - allowed > largest)
            {
                (largest, worst) = (difference - allowed, i);
            }
        }

        Assert.True(outside == 0,
            $"{name} {recorded.Shape}: {outside} of {expected.Length} are too far off; worst at {worst}: {actual[worst]}, "
            + $"recorded {expected[worst]}, allowed {allowedFor(worst / perRow):g3}");
    }
}
