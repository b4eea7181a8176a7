using System.Reflection;
using AdmNative.Tests;
using AdmNative.VirtualGpu.Tests.Printf;
using Xunit.Sdk;

namespace AdmNative.VirtualGpu.Tests.Opcodes;

/// <summary>The hand-written PTX of other tests assembles too: they run once more while every text they launch is noted.</summary>
public sealed class TestTextTests
{
    /// <summary>Every case of every test of a class.</summary>
    private static int RunAll(Type tests)
    {
        int count = 0;
        foreach (MethodInfo method in tests.GetMethods(BindingFlags.Public | BindingFlags.Instance | BindingFlags.DeclaredOnly).Where(m => m.GetCustomAttribute<FactAttribute>() is { Skip: null }))
        {
            IEnumerable<object?[]> cases = method.GetCustomAttributes<DataAttribute>().SelectMany(d => d.GetData(method));
            foreach (object?[] arguments in method.GetCustomAttribute<TheoryAttribute>() is null ? [[]] : cases)
            {
                method.Invoke(Activator.CreateInstance(tests), arguments);
                count++;
            }
        }

        return count;
    }

    [PtxasTheory]
    [InlineData(typeof(PlantedBugTests), 100)]
    [InlineData(typeof(ControlAndMemoryTests), 30)]
    [InlineData(typeof(HandOverTests), 10)]
    [InlineData(typeof(CounterTests), 30)]
    [InlineData(typeof(FirstLaunchTests), 1)]
    [InlineData(typeof(PrintfTests), 5)]
    public void Every_text_assembles(Type tests, int atLeast)
    {
        var texts = new HashSet<string>();
        PtxRun.Noted.Value = texts;
        try
        {
            Assert.InRange(RunAll(tests), atLeast, 10_000);
        }
        finally
        {
            PtxRun.Noted.Value = null;
        }

        Assert.NotEmpty(texts);
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
        Assert.True(complaints.Count == 0, $"{complaints.Count} of {texts.Count}:\n{string.Join('\n', complaints.Take(10))}");
    }
}
