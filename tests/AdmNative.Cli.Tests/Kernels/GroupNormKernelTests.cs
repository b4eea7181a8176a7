using System.Globalization;
using AdmNative.Cli;

namespace AdmNative.Tests;

/// <summary>Every small case of the GroupNorm family keeps to every gate.</summary>
public sealed class GroupNormKernelTests
{
    public static TheoryData<string> Operations() => new(
        GroupNormCases.All().Where(c => !c.Full).Select(Key).Distinct(StringComparer.Ordinal));

    [Theory]
    [MemberData(nameof(Operations))]
    public void All_gates_hold(string key)
    {
        var runner = new CaseRunner();
        string[] failures = [.. GroupNormCases.All().Where(c => !c.Full && Key(c) == key).Select(c => runner.Check(c)).Where(r => !r.Passed).Select(r => r.Failures)];
        Assert.True(failures.Length == 0, string.Join('\n', failures));
    }

    private static string Key(KernelCase c) => string.Create(CultureInfo.InvariantCulture, $"{c.DType} {c.Operation}");
}
