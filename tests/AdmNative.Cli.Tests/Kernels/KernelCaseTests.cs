using AdmNative.Cli;
using AdmNative.Cuda;

namespace AdmNative.Tests;

/// <summary>Every registered case of every family that does not ask for <c>--full</c>, against every gate. Three classes, so that types run side by side.</summary>
public abstract class KernelCaseTests
{
    private protected static void Check(string family, string name)
    {
        KernelCase one = KernelCases.Of(family).Single(c => c.Name == name);
        CaseResult result = new CaseRunner().Check(one);
        Assert.NotEmpty(result.Work.Plans);
        Assert.True(result.Work.Expectations.Count + result.Work.ByteExpectations.Count > 0, $"{name} expects nothing");
        Assert.True(result.Passed, result.Failures);
        foreach (KernelVariant variant in one.Variants)
        {
            CaseResult other = new CaseRunner().Check(variant.Case, CaseParts.Silence | CaseParts.Schedules);
            Assert.True(variant.Case.Plain, $"{variant.Name} would be judged by its counters");
            Assert.True(other.Passed, $"{variant.Name}: {other.Failures}");
        }
    }

    private protected static TheoryData<string, string> Cases(KernelDType dtype)
    {
        var data = new TheoryData<string, string>();
        foreach (KernelCase c in KernelCases.Of().Where(c => !c.Full && c.DType == dtype))
        {
            data.Add(c.Family, c.Name);
        }

        return data;
    }
}

/// <summary>Cases whose activations are f32.</summary>
public sealed class F32KernelCaseTests : KernelCaseTests
{
    public static TheoryData<string, string> Cases() => Cases(KernelDType.F32);

    [Theory]
    [MemberData(nameof(Cases))]
    public void Holds_every_gate(string family, string name) => Check(family, name);
}

/// <summary>Cases whose activations are f16.</summary>
public sealed class F16KernelCaseTests : KernelCaseTests
{
    public static TheoryData<string, string> Cases() => Cases(KernelDType.F16);

    [Theory]
    [MemberData(nameof(Cases))]
    public void Holds_every_gate(string family, string name) => Check(family, name);
}

/// <summary>Cases whose activations are bf16, and what the cases are together.</summary>
public sealed class Bf16KernelCaseTests : KernelCaseTests
{
    public static TheoryData<string, string> Cases() => Cases(KernelDType.BF16);

    [Theory]
    [MemberData(nameof(Cases))]
    public void Holds_every_gate(string family, string name) => Check(family, name);

    /// <summary>No kernel of the GroupNorm family ships without a case that runs here, not only on request.</summary>
    [Fact]
    public void Every_group_norm_entry_is_launched_by_a_case()
    {
        DeviceLimits limits = DeviceLimits.Sm80;
        IEnumerable<KernelCase> sums = KernelCases.Of("conv").Where(c => c.Name.Contains("to group norm", StringComparison.Ordinal)); // finalised by gn_finalize_f32
        var launched = KernelCases.Of("gn").Concat(sums).Where(c => !c.Full).SelectMany(c => c.Variants.Select(v => v.Case).Append(c))
            .SelectMany(c => c.Plans(limits)).SelectMany(p => p.Launches).Select(l => l.Entry).ToHashSet(StringComparer.Ordinal);
        string[] silent = [.. KernelBundle.Default.Entries.Select(e => e.Name).Where(e => e.StartsWith("gn_", StringComparison.Ordinal) && !launched.Contains(e))];
        Assert.Empty(silent);
    }

    [Fact]
    public void Names_are_families_and_unique()
    {
        Assert.All(KernelCases.Families, f => Assert.All(f.Cases(), c => Assert.Equal(f.Family, c.Family)));
        Assert.Equal(KernelCases.Of().Count(), KernelCases.Of().Select(c => c.Name).Distinct(StringComparer.Ordinal).Count());
    }
}
