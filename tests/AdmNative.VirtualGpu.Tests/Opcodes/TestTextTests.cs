using AdmNative.Tests;
using AdmNative.VirtualGpu.Tests.Kernels;
using AdmNative.VirtualGpu.Tests.Printf;

namespace AdmNative.VirtualGpu.Tests.Opcodes;

/// <summary>The hand-written PTX of other tests assembles too.</summary>
public sealed class TestTextTests
{
    [PtxasTheory]
    [InlineData(typeof(PlantedBugTests), 150)]
    [InlineData(typeof(ControlAndMemoryTests), 30)]
    [InlineData(typeof(HandOverTests), 10)]
    [InlineData(typeof(CounterTests), 30)]
    [InlineData(typeof(FirstLaunchTests), 1)]
    [InlineData(typeof(PrintfTests), 5)]
    [InlineData(typeof(ApproximationNoiseTests), 5)]
    public void Every_text_assembles(Type tests, int atLeast)
    {
        IReadOnlyCollection<string> texts = TestTexts.Of(tests);
        Assert.InRange(texts.Count, atLeast, 10_000);
        Assert.Equal("", TestTexts.Assemble(texts));
    }
}
