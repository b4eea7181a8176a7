using AdmNative.Core;

namespace AdmNative.Tests;

/// <summary>Compares a tensor with a recorded one.</summary>
internal static class Agreement
{
    /// <summary>Fails unless every element is finite and within <paramref name="tolerance"/> of the recorded one, relative to the largest magnitude.</summary>
    public static void Check(string name, Tensor recorded, Tensor found, double tolerance)
    {
        Assert.True(recorded.Shape == found.Shape, $"{name}: {found.Shape}, recorded {recorded.Shape}");
        float[] expected = recorded.ToFloats();
        float[] actual = found.ToFloats();
        double scale = expected.Max(v => Math.Abs((double)v));
        double allowed = tolerance * scale;
        int worst = -1;
        double largest = -1;
        int outside = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double difference = Math.Abs((double)expected[i] - actual[i]);
            if (!double.IsFinite(difference))
            {
                difference = double.PositiveInfinity;
            }

            outside += difference <= allowed ? 0 : 1;
            if (difference > largest)
            {
                (largest, worst) = (difference, i);
            }
        }

        Assert.True(outside == 0,
            $"{name} {recorded.Shape}: {outside} of {expected.Length} are off by more than {allowed:g3}; worst at {worst}: {actual[Math.Max(worst, 0)]}, recorded {expected[Math.Max(worst, 0)]}, off by {largest:g3}");
    }
}
