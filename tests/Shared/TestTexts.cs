using System.Reflection;
using Xunit;
using Xunit.Sdk;

namespace AdmNative.Tests;

/// <summary>The PTX that tests of a class run: they are run once more while every text is noted.</summary>
internal static class TestTexts
{
    private static readonly AsyncLocal<HashSet<string>?> s_noted = new();

    /// <summary>Tells of a text a test runs.</summary>
    public static void Note(string ptx) => s_noted.Value?.Add(ptx);

    /// <summary>The texts of every case of every test of a class.</summary>
    public static IReadOnlyCollection<string> Of(Type tests)
    {
        var texts = new HashSet<string>();
        s_noted.Value = texts;
        try
        {
            foreach (MethodInfo method in tests.GetMethods(BindingFlags.Public | BindingFlags.Instance | BindingFlags.DeclaredOnly).Where(m => m.GetCustomAttribute<FactAttribute>() is { Skip: null }))
            {
                IEnumerable<object?[]> cases = method.GetCustomAttributes<DataAttribute>().SelectMany(d => d.GetData(method));
                foreach (object?[] arguments in method.GetCustomAttribute<TheoryAttribute>() is null ? [[]] : cases)
                {
                    if (method.Invoke(Activator.CreateInstance(tests), arguments) is Task task)
                    {
                        task.GetAwaiter().GetResult();
                    }
                }
            }
        }
        finally
        {
            s_noted.Value = null;
        }

        return texts;
    }

    /// <summary>What the assembler says about the texts; empty when it accepts them all.</summary>
    public static string Assemble(IEnumerable<string> texts)
    {
        var complaints = new List<string>();
        Parallel.ForEach(texts, text =>
        {
            string target = text.Split('\n').First(l => l.StartsWith(".target", StringComparison.Ordinal)).Split(' ', ',')[1].Trim();
            string complaint = Toolchain.Assemble(text, target);
            if (complaint.Length > 0)
            {
                lock (complaints)
                {
                    complaints.Add($"{complaint}\n{text}");
                }
            }
        });
        return string.Join('\n', complaints.Take(10));
    }
}
