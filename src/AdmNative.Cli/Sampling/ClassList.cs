using System.Globalization;

namespace AdmNative.Cli;

/// <summary>The classes a user chose: "3,7", "0-9", "1,4-6".</summary>
internal static class ClassList
{
    /// <summary>Classes in the order written.</summary>
    /// <exception cref="UsageException">Not such a list, or a class the model does not have.</exception>
    public static int[] Parse(string text, int classes)
    {
        var list = new List<int>();
        foreach (string part in text.Split(','))
        {
            int dash = part.IndexOf('-', StringComparison.Ordinal);
            if (!TryRange(part, dash, out int first, out int last) || last < first)
            {
                throw new UsageException($"--classes: '{part}' is not a class or a range; write e.g. 3,7 or 0-9");
            }

            if (last >= classes)
            {
                throw new UsageException($"--classes: {part} is outside 0..{classes - 1}, the classes of the model");
            }

            list.AddRange(Enumerable.Range(first, last - first + 1));
        }

        int repeated = list.GroupBy(c => c).Where(g => g.Count() > 1).Select(g => g.Key).FirstOrDefault(-1);
        return repeated < 0 ? [.. list] : throw new UsageException($"--classes: {repeated} is given twice");
    }

    private static bool TryRange(string part, int dash, out int first, out int last)
    {
        bool ok = int.TryParse(dash < 0 ? part : part[..dash], NumberStyles.None, CultureInfo.InvariantCulture, out first);
        last = first;
        return ok && (dash < 0 || int.TryParse(part[(dash + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out last));
    }
}

/// <summary>How many images there will be, and of which class each is.</summary>
/// <param name="Count">Number of images.</param>
/// <param name="Classes">Chosen classes; null when labels are drawn at random, or there are none.</param>
/// <param name="PerClass">Images of each chosen class in a block; null takes the classes in turn.</param>
internal sealed record SampleCount(int Count, IReadOnlyList<int>? Classes, int? PerClass)
{
    /// <summary>The reference's default of num_samples.</summary>
    public const int Default = 10_000;

    /// <summary>What the options ask for.</summary>
    /// <param name="options">num_samples, classes, samples_per_class.</param>
    /// <param name="classes">Number of classes; null for a model without labels.</param>
    /// <exception cref="UsageException">The options contradict each other or the model.</exception>
    public static SampleCount Of(SamplingOptions options, int? classes)
    {
        if (options.Classes is null && options.SamplesPerClass is null)
        {
            return new SampleCount(options.NumSamples ?? Default, null, null);
        }

        if (classes is not int available)
        {
            throw new UsageException("--classes and --samples_per_class need a model with classes; this one is not class-conditional (class_cond)");
        }

        int[] chosen = options.Classes is null ? [.. Enumerable.Range(0, available)] : ClassList.Parse(options.Classes, available);
        if (options.SamplesPerClass is not int perClass)
        {
            return new SampleCount(options.NumSamples ?? Default, chosen, null);
        }

        long count = (long)chosen.Length * perClass;
        if (count > int.MaxValue || (options.NumSamples is int asked && asked != count))
        {
            throw new UsageException($"--samples_per_class {perClass} of {chosen.Length} classes makes {count} images; leave --num_samples out");
        }

        return new SampleCount((int)count, chosen, perClass);
    }

    /// <summary>Class of an image; only for chosen classes.</summary>
    public int Label(long index) => PerClass is int perClass
        ? Classes![(int)Math.Min(index / perClass, Classes.Count - 1)]
        : Classes![(int)(index % Classes.Count)];
}
