namespace AdmNative.VirtualGpu.Tests.Kernels;

/// <summary>
/// The shipped kernels are race-free: silent under all checks, and the same bits and counts whatever the order of warps and blocks and
/// whenever copies land. <see cref="PtxRun"/> repeats launches with both engines, which must agree bit for bit.
/// </summary>
public sealed class KernelAgreementTests
{
    private static readonly KernelCase[] s_cases =
    [
        KernelCases.Add("f32", 4099), KernelCases.Add("f16", 5001), KernelCases.Add("bf16", 8192 + 9),
        KernelCases.Sum("f32", (2 * 4096) + 77), KernelCases.Sum("f16", 4097), KernelCases.Sum("bf16", 3 * 4096),
        KernelCases.Transpose("f32", 45, 70, 72, 48), KernelCases.Transpose("f16", 65, 131, 132, 66),
        KernelCases.Gemm("nt", "f16", 70, 65, 232), KernelCases.Gemm("nt", "bf16", 129, 131, 160),
        KernelCases.Gemm("nn", "f16", 130, 129, 136), KernelCases.Gemm("nn", "bf16", 33, 77, 256),
        KernelCases.Normals(42, 5, -1, 2, 777, 780),
    ];

    private static readonly Dictionary<string, long> s_noShapes = [];

    public static TheoryData<string> Names() => new(s_cases.Select(c => c.Name));

    private static KernelCase Case(string name) => s_cases.Single(c => c.Name == name);

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_policy_is_silent_and_gives_the_same_bits_and_counts(string name)
    {
        KernelResult first = Case(name).Run(new LaunchOptions());
        Assert.Empty(first.Findings);
        foreach (SchedulePolicy policy in Enum.GetValues<SchedulePolicy>())
        {
            foreach (AsyncDelivery delivery in Enum.GetValues<AsyncDelivery>())
            {
                var options = new LaunchOptions { Schedule = policy, Delivery = delivery, Seed = 11 };
                KernelResult other = Case(name).Run(options, compareEngines: delivery == AsyncDelivery.Late);
                Assert.True(!other.Findings.Any(), $"{policy}, {delivery}:\n{string.Join('\n', other.Findings)}");
                Assert.True(first.Output.AsSpan().SequenceEqual(other.Output), $"{policy}, {delivery}: other bits");
                Assert.Equal(Comparable(first.Counters), Comparable(other.Counters));
            }
        }
    }

    /// <summary>Tensor-core rounding and approximation noise: silent, and both engines round alike.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Every_arithmetic_is_silent_and_the_same_in_both_engines(string name)
    {
        byte[] ieee = Case(name).Run(new LaunchOptions(), compareEngines: false).Output;
        foreach (MmaRounding rounding in Enum.GetValues<MmaRounding>())
        {
            KernelResult plain = Case(name).Run(new LaunchOptions { Mma = rounding });
            KernelResult noisy = Case(name).Run(new LaunchOptions { Mma = rounding, ApproxNoise = true, Seed = 3 }, compareEngines: false);
            Assert.Empty(plain.Findings.Concat(noisy.Findings));
            // none of these kernels uses an approximate instruction: the noise must not reach them
            Assert.Equal(plain.Output, noisy.Output);
            if (!name.StartsWith("gemm", StringComparison.Ordinal))
            {
                Assert.Equal(ieee, plain.Output);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Interpreter_and_compiler_give_the_same_bits_with_many_threads(string name)
    {
        byte[] Output(EngineKind engine) => Case(name).Run(
            new LaunchOptions { Checks = Checks.None, Counters = false, Engine = engine, Threads = 2 }, compareEngines: false).Output;

        Assert.Equal(Output(EngineKind.Interpreter), Output(EngineKind.Jit));
    }

    /// <summary>Counters are the same under every schedule, but for the dictionary, which compares by reference.</summary>
    private static Counters Comparable(Counters c)
    {
        Assert.Equal(c.MmaInstructions, c.MmaByShape.Values.Sum());
        return c with { MmaByShape = s_noShapes };
    }
}
