using System.Diagnostics;
using AdmNative.VirtualGpu;

namespace AdmNative.Benchmarks.VirtualGpu;

/// <summary>
/// The figures of bench/results/*-virtual-device.md: <c>dotnet run -c Release --project bench/AdmNative.Benchmarks -- --virtual-device</c>.
/// One thread is measured in processor time of the process, so that a busy machine disturbs little; two threads in wall time. The best of several runs.
/// </summary>
internal static class VirtualDeviceReport
{
    private const int Runs = 5;

    public static void Print(TextWriter to)
    {
        to.WriteLine($"{Processor()}, {Environment.ProcessorCount} cores, .NET {Environment.Version}");
        to.WriteLine();
        to.WriteLine("| arithmetic loop, one core | M warp instructions/s | G lane instructions/s |");
        to.WriteLine("|---|---|---|");
        foreach ((EngineBenchmarks.Mode mode, int rounds) in new[]
        {
            (EngineBenchmarks.Mode.Checks, 2000), (EngineBenchmarks.Mode.Counters, 5000), (EngineBenchmarks.Mode.Interpreter, 10_000), (EngineBenchmarks.Mode.Jit, 50_000),
        })
        {
            using EngineCase work = EngineCase.Arithmetic(rounds);
            double instructions = work.Run(EngineBenchmarks.Options(EngineBenchmarks.Mode.Counters)).Counters.WarpInstructions;
            double seconds = Best(work, EngineBenchmarks.Options(mode), wall: false);
            to.WriteLine($"| {Name(mode)} | {instructions / seconds / 1e6:F0} | {32 * instructions / seconds / 1e9:F1} |");
        }

        to.WriteLine();
        to.WriteLine("| GEMM 512 x 512 x 1920, f16 with f32 sums | threads | seconds | GFLOP/s |");
        to.WriteLine("|---|---|---|---|");
        using EngineCase gemm = EngineCase.Gemm();
        foreach (EngineBenchmarks.Mode mode in Enum.GetValues<EngineBenchmarks.Mode>())
        {
            foreach (int threads in new[] { 1, 2 })
            {
                // Checks between blocks need one thread.
                if (threads == 1 || (mode != EngineBenchmarks.Mode.Checks && Environment.ProcessorCount > 1))
                {
                    double seconds = Best(gemm, EngineBenchmarks.Options(mode, threads), wall: threads > 1);
                    to.WriteLine($"| {Name(mode)} | {threads} | {seconds:F3} | {2.0 * 512 * 512 * 1920 / seconds / 1e9:F1} |");
                }
            }
        }
    }

    private static string Name(EngineBenchmarks.Mode mode) => mode switch
    {
        EngineBenchmarks.Mode.Checks => "interpreter, all checks and counters",
        EngineBenchmarks.Mode.Counters => "interpreter, counters",
        EngineBenchmarks.Mode.Interpreter => "interpreter",
        _ => "compiled",
    };

    private static double Best(EngineCase work, LaunchOptions options, bool wall)
    {
        work.Run(options);
        double best = double.MaxValue;
        for (int i = 0; i < Runs; i++)
        {
            long start = Stopwatch.GetTimestamp();
            TimeSpan used = Environment.CpuUsage.TotalTime;
            work.Run(options);
            best = Math.Min(best, wall ? Stopwatch.GetElapsedTime(start).TotalSeconds : (Environment.CpuUsage.TotalTime - used).TotalSeconds);
        }

        return best;
    }

    private static string Processor()
    {
        const string Information = "/proc/cpuinfo";
        string? line = File.Exists(Information) ? File.ReadLines(Information).FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal)) : null;
        return line?.Split(':')[1].Trim() ?? "unknown processor";
    }
}
