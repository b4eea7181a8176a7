namespace AdmNative.Cli.Tests.Kernels;

/// <summary>Attention on the virtual device: every case that fits a test, every gate.</summary>
public sealed class AttentionKernelTests
{
    private static readonly Dictionary<string, KernelCase> s_cases = AttentionCases.All().Where(c => !c.Full).ToDictionary(c => c.Name);

    public static TheoryData<string> Names() => new(s_cases.Keys);

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_gate_holds(string name)
    {
        CaseResult result = new CaseRunner().Check(s_cases[name]);
        Assert.NotEmpty(result.Gates);
        Assert.All(result.Gates, gate => Assert.True(gate.Passed, gate.ToString()));
    }

    /// <summary>The lengths of the design guide are all among the cases, the long ones on request.</summary>
    [Fact]
    public void The_lengths_of_the_guide_are_covered()
    {
        foreach (int tokens in (int[])[1, 17, 49, 64, 65, 100, 196, 256, 784, 1024, 1025])
        {
            Assert.Equal(6, AttentionCases.All().Count(c => c.Shape.Split('x')[1] == $"{tokens}" && c.Shape.Contains("x64 ", StringComparison.Ordinal)
                && c.Operation is "forward" or "backward" && c.Input == "normal" && !c.Shape.Contains("queries", StringComparison.Ordinal)));
        }
    }
}
