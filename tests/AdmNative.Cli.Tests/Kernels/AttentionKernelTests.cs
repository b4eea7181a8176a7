using AdmNative.Cli;

namespace AdmNative.Tests.Kernels;

/// <summary>What the cases of attention are together; <see cref="KernelCaseTests"/> runs them.</summary>
public sealed class AttentionKernelTests
{
    /// <summary>The lengths of the design guide are all among the cases with 1, 3 and 16 heads, forward and backward in every type (long ones in f32 with 1 head); the long ones on request.</summary>
    [Fact]
    public void The_lengths_of_the_guide_are_covered()
    {
        foreach (int tokens in (int[])[1, 17, 49, 64, 65, 100, 196, 256, 784, 1024, 1025])
        {
            Assert.Equal(tokens > 256 ? 14 : 18, AttentionCases.All().Count(c => c.Shape.Split('x')[1] == $"{tokens}" && c.Shape.Contains("x64 ", StringComparison.Ordinal)
                && c.Operation is "forward" or "backward" && c.Input == "normal" && !c.Shape.Contains("queries", StringComparison.Ordinal)));
        }
    }
}
