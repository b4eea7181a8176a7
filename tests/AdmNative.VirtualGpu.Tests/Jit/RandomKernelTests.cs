namespace AdmNative.VirtualGpu.Tests;

/// <summary>Random kernels: both engines give the same bits in every register and everywhere in memory, under whole and partial warps.</summary>
public sealed class RandomKernelTests
{
    /// <summary>Seeds per test; a longer hunt sets ADMNATIVE_FUZZ to a larger number.</summary>
    private static readonly int s_seeds = int.TryParse(Environment.GetEnvironmentVariable("ADMNATIVE_FUZZ"), out int n) ? n : 12;

    private static void Agree(int seed, int grid, int block, LaunchOptions options)
    {
        string ptx = RandomKernel.Write(seed);
        using var run = new PtxRun(ptx) { Options = options with { Checks = Checks.None, Counters = false, Engine = EngineKind.Interpreter } };
        var random = new Random(seed);
        uint[] memory = [.. Enumerable.Range(0, RandomKernel.Memory).Select(_ => (uint)random.NextInt64(1L << 32))];
        long data = run.Put<uint>(memory), to = run.Room<uint>(grid * block * RandomKernel.Results);
        LaunchReport report = run.Launch("k", grid, block, to, data, 0L, 0L, seed);
        Assert.True(report.Completed && report.Findings.Count == 0, $"seed {seed}: {string.Join('\n', report.Findings)}\n{ptx}");
        uint[] results = run.Get<uint>(to, grid * block * RandomKernel.Results);
        Assert.True(results.Distinct().Count() > 10, $"seed {seed}: hardly any result differs from another");
    }

    [Theory]
    [InlineData(128)]
    [InlineData(45)]
    [InlineData(1)]
    public void Engines_agree(int block)
    {
        for (int seed = 0; seed < s_seeds; seed++)
        {
            Agree((1000 * block) + seed, 2, block, new LaunchOptions());
        }
    }

    [Theory]
    [InlineData(SchedulePolicy.Random)]
    [InlineData(SchedulePolicy.Adversarial)]
    public void Engines_agree_under_schedules(SchedulePolicy policy)
    {
        for (int seed = 0; seed < s_seeds; seed++)
        {
            Agree(7_000_000 + seed, 1, 96, new LaunchOptions { Schedule = policy, Seed = (ulong)seed });
        }
    }

    /// <summary>Left to itself the device starts cold and compiles what turns out to run often: in the midst of a launch.</summary>
    [Theory]
    [InlineData(9_000_001)]
    [InlineData(9_000_002)]
    [InlineData(9_000_003)]
    public void Code_may_turn_hot_within_a_launch(int seed)
    {
        const int Grid = 300, Block = 72, Count = Grid * Block * RandomKernel.Results;
        (uint[] results, uint[] memory) expected = Run(EngineKind.Interpreter), actual = Run(EngineKind.Auto);
        Assert.Equal(expected.results, actual.results);
        Assert.Equal(expected.memory, actual.memory);

        (uint[] Results, uint[] Memory) Run(EngineKind engine)
        {
            using var run = new PtxRun(RandomKernel.Write(seed))
            {
                Options = new LaunchOptions { Checks = Checks.None, Counters = false, Engine = engine, Threads = 1 },
                CompareEngines = false,
            };
            uint[] memory = [.. Enumerable.Range(0, RandomKernel.Memory).Select(i => (uint)i * 0x9E37_79B9)];
            long data = run.Put<uint>(memory), to = run.Room<uint>(Count);
            LaunchReport report = run.Launch("k", Grid, Block, to, data, 0L, 0L, seed);
            Assert.True(report.Completed && report.Findings.Count == 0);
            return (run.Get<uint>(to, Count), run.Get<uint>(data, RandomKernel.Memory));
        }
    }
}
