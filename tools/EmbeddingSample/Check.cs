namespace EmbeddingSample;

/// <summary>Prints what was compared, and counts what is wrong.</summary>
internal static class Check
{
    public static int Failures { get; private set; }

    /// <summary>Every value within a tolerance of the expected one; not-a-number never is.</summary>
    public static void Near(string what, ReadOnlySpan<float> actual, ReadOnlySpan<float> expected, double tolerance)
    {
        double worst = actual.Length == expected.Length ? 0 : double.NaN;
        for (int i = 0; i < Math.Min(actual.Length, expected.Length); i++)
        {
            double difference = Math.Abs((double)actual[i] - expected[i]);
            worst = difference <= worst ? worst : difference; // keeps a not-a-number
        }

        Say(worst <= tolerance, what, $"largest difference {worst:g3}, allowed {tolerance:g3}");
    }

    /// <summary>Every value inside a range, and not all the same.</summary>
    public static void InRange(string what, ReadOnlySpan<float> values, float from, float to)
    {
        (float least, float most) = (float.PositiveInfinity, float.NegativeInfinity);
        bool finite = true;
        foreach (float v in values)
        {
            (least, most, finite) = (Math.Min(least, v), Math.Max(most, v), finite && float.IsFinite(v));
        }

        Say(finite && from <= least && least < most && most <= to, what, $"{least:g3} to {most:g3}");
    }

    public static void Say(bool right, string what, string detail)
    {
        Console.WriteLine($"{(right ? "ok" : "WRONG")}: {what}: {detail}");
        Failures += right ? 0 : 1;
    }
}
