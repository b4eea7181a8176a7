using System.Collections.Concurrent;
using AdmNative.Cuda;
using AdmNative.VirtualGpu;

namespace AdmNative.Cli;

/// <summary>Which parts of a check to make. Values are always compared.</summary>
[Flags]
internal enum CaseParts
{
    /// <summary>Values against the reference; inputs unchanged; nothing written between rows.</summary>
    Values = 0,

    /// <summary>Other orders of blocks and warps, and late asynchronous copies, must give the same bits.</summary>
    Schedules = 1,

    /// <summary>Perturbed approximations and sm_80 tensor-core rounding must stay within tolerance.</summary>
    Noise = 2,

    /// <summary>Counters must keep to their gates.</summary>
    Counters = 4,

    /// <summary>Registers and spills from the catalogue.</summary>
    Resources = 8,

    /// <summary>Every run-time check must be silent; layer shapes, which would take minutes, go without.</summary>
    Silence = 16,

    /// <summary>All of them.</summary>
    All = Schedules | Noise | Counters | Resources | Silence,
}

/// <summary>Runs cases on the virtual device and judges them.</summary>
internal sealed class CaseRunner(DeviceProfile? profile = null)
{
    private static readonly ConcurrentDictionary<string, PtxProgram> s_programs = new();

    private static readonly LaunchOptions s_fast = new() { Checks = Checks.None, Counters = false };

    /// <summary>The GPU that plans are made for.</summary>
    public DeviceProfile Profile { get; } = profile ?? DeviceProfile.A100;

    /// <summary>Runs and judges a case.</summary>
    public CaseResult Check(KernelCase kernelCase, CaseParts parts = CaseParts.All)
    {
        CaseWork work = kernelCase.Build(Profile.Limits);
        var gates = new List<GateResult>();
        (_, byte[][] results) = Run(work, s_fast);
        Judge(work, results, "error", gates);
        if (parts.HasFlag(CaseParts.Schedules))
        {
            gates.AddRange(Schedules(work, results));
        }

        if (parts.HasFlag(CaseParts.Noise))
        {
            Judge(work, Run(work, s_fast with { ApproxNoise = true, Mma = MmaRounding.Sm80, Seed = 7 }).Results, "error with noise", gates);
        }

        IReadOnlyList<LaunchRun> launches = [];
        bool silence = parts.HasFlag(CaseParts.Silence) && !kernelCase.Layer;
        if (silence || parts.HasFlag(CaseParts.Counters))
        {
            (launches, byte[][] watched) = Run(
                work, new LaunchOptions { Checks = silence ? Checks.All : Checks.None, Engine = EngineKind.Interpreter, Counters = true });
            gates.Add(Differences(work, results, watched, "bits under the interpreter"));
            gates.AddRange(silence ? launches.Select(Silence) : []);
        }

        if (parts.HasFlag(CaseParts.Counters))
        {
            gates.AddRange(kernelCase.Plain ? [] : launches.SelectMany(l => CounterGates.Of(l, work.Gates(l.Planned))));
            if (work.Contract is { } contract)
            {
                gates.Add(new GateResult("contract", "operation", launches.Sum(l => l.Bytes) / (double)contract.Bytes, contract.Limit, $"of {contract.Bytes} bytes"));
            }
        }

        if (parts.HasFlag(CaseParts.Resources))
        {
            gates.AddRange(work.Plans.SelectMany(p => p.Launches).DistinctBy(l => l.Entry).SelectMany(l => ResourceGates(l, work.Gates(l))));
        }

        return new CaseResult(kernelCase, work, launches, gates);
    }

    /// <summary>Runs the launches once on a fresh device.</summary>
    /// <returns>Reports, and the contents of all buffers afterwards.</returns>
    public (IReadOnlyList<LaunchRun> Launches, byte[][] Results) Run(CaseWork work, LaunchOptions options)
    {
        using var device = new VirtualDevice(Profile);
        foreach (KernelBuffer buffer in work.Buffers)
        {
            buffer.Address = device.Allocate(buffer.Bytes);
            if (buffer.Initial is not null)
            {
                device.Write(buffer.Address, buffer.Initial);
            }
        }

        var runs = new List<LaunchRun>();
        foreach ((PlannedLaunch planned, KernelLaunch launch) in work.Launches())
        {
            PtxProgram program = Program(launch.Entry);
            device.Load(program);
            LaunchReport report = device.Launch(program.Entry(launch.Entry), launch.Shape, launch.Parameters.Span, options);
            runs.Add(new LaunchRun(planned, report));
            if (!report.Completed)
            {
                throw new InvalidOperationException($"{launch.Entry} did not complete: {string.Join("; ", report.Findings)}");
            }
        }

        byte[][] results = [.. work.Buffers.Select(b =>
        {
            var bytes = new byte[b.Bytes];
            device.Read(b.Address, bytes);
            return bytes;
        })];
        return (runs, results);
    }

    /// <summary>The program an entry lies in, parsed once per process.</summary>
    public static PtxProgram Program(string entry)
    {
        KernelImage image = KernelBundle.Default[entry].Image;
        return s_programs.GetOrAdd(image.File, static (_, text) => PtxProgram.Parse(text), image.Text);
    }

    internal static void Judge(CaseWork work, byte[][] results, string name, List<GateResult> gates)
    {
        foreach (Expectation expectation in work.Expectations)
        {
            gates.Add(Compare(expectation, results[Index(work, expectation.Buffer)], name));
        }

        foreach (ByteExpectation expectation in work.ByteExpectations)
        {
            string? fault = expectation.Judge(results[Index(work, expectation.Buffer)]);
            gates.Add(new GateResult(name, expectation.Buffer.Name, fault is null ? 0 : 1, 0, fault ?? ""));
        }

        for (int b = 0; b < results.Length; b++)
        {
            KernelBuffer buffer = work.Buffers[b];
            bool changes = work.Expectations.Any(e => e.Buffer == buffer) || work.ByteExpectations.Any(e => e.Buffer == buffer);
            if (buffer.Initial is { } initial && !changes)
            {
                gates.Add(new GateResult("changed bytes of an input", buffer.Name, Count(initial, results[b]), 0));
            }
            else if (changes && buffer.Stride > buffer.Columns)
            {
                gates.Add(new GateResult("bytes written between rows", buffer.Name, Gaps(buffer, results[b]), 0));
            }
        }
    }

    /// <summary>Largest error over the tolerance; NaN or infinity where a number belongs (an element never written is NaN) is infinitely wrong.</summary>
    private static GateResult Compare(Expectation e, byte[] bytes, string name)
    {
        double worst = 0, got = 0, expected = 0;
        long at = -1, outside = 0;
        for (long i = 0; i < e.Reference.Length; i++)
        {
            double reference = e.Reference[i];
            double value = KernelNumbers.Read(bytes, (i / e.Buffer.Columns * e.Buffer.Stride) + (i % e.Buffer.Columns), e.Buffer.DType);
            double error = Math.Abs(value - reference), allowed = e.Tolerance(i, reference);
            double ratio = double.IsNaN(reference) ? (double.IsNaN(value) ? 0 : double.PositiveInfinity)
                : value.Equals(reference) ? 0
                : !double.IsFinite(error) ? double.PositiveInfinity
                : error <= allowed ? (allowed > 0 ? error / allowed : 0)
                : allowed > 0 ? error / allowed : double.PositiveInfinity;
            outside += ratio > 1 ? 1 : 0;
            if (ratio > worst || at < 0)
            {
                (worst, at, got, expected) = (ratio, i, value, reference);
            }
        }

        string note = FormattableString.Invariant($"worst at [{at / e.Buffer.Columns}, {at % e.Buffer.Columns}]: {got:G9}, expected {expected:G9}");
        return new GateResult(name, e.Buffer.Name, worst, 1, outside > 0 ? $"{note}; {outside} of {e.Reference.Length} out" : note);
    }

    private IEnumerable<GateResult> Schedules(CaseWork work, byte[][] results)
    {
        (string Name, LaunchOptions Options)[] orders =
        [
            ("bits in reverse order, late copies", s_fast with { Schedule = SchedulePolicy.Reverse, Delivery = AsyncDelivery.Late }),
            ("bits in random order 1", s_fast with { Schedule = SchedulePolicy.Random, Seed = 1 }),
            ("bits in random order 2, late copies", s_fast with { Schedule = SchedulePolicy.Random, Seed = 2, Delivery = AsyncDelivery.Late }),
        ];
        foreach ((string name, LaunchOptions options) in orders)
        {
            yield return Differences(work, results, Run(work, options).Results, name);
        }
    }

    internal static GateResult Differences(CaseWork work, byte[][] expected, byte[][] results, string name)
    {
        for (int b = 0; b < results.Length; b++)
        {
            long different = Count(expected[b], results[b]);
            if (different > 0)
            {
                return new GateResult(name, work.Buffers[b].Name, different, 0, "bytes differ");
            }
        }

        return new GateResult(name, "all buffers", 0, 0);
    }

    private static GateResult Silence(LaunchRun run) => new(
        "findings", run.Planned.Entry, run.Report.Findings.Count + run.Report.FindingsDropped, 0, string.Join("; ", run.Report.Findings.Take(3)));

    private static IEnumerable<GateResult> ResourceGates(PlannedLaunch launch, LaunchGates gates)
    {
        foreach ((string target, KernelResources r) in KernelBundle.Default[launch.Entry].Resources)
        {
            yield return new GateResult($"spilled bytes {target}", launch.Entry, r.SpillLoadBytes + r.SpillStoreBytes + r.StackBytes, 0);
            if (gates.Registers is { } most)
            {
                yield return new GateResult($"registers {target}", launch.Entry, r.Registers, most);
            }
        }
    }

    private static long Gaps(KernelBuffer buffer, byte[] bytes)
    {
        int size = buffer.DType.Bytes();
        long written = 0;
        for (long row = 0; row + 1 < buffer.Rows; row++)
        {
            for (long i = ((row * buffer.Stride) + buffer.Columns) * size; i < (row + 1) * buffer.Stride * size; i++)
            {
                written += bytes[i] == 0xFF ? 0 : 1;
            }
        }

        return written;
    }

    private static long Count(byte[] a, byte[] b)
    {
        if (a.AsSpan().SequenceEqual(b))
        {
            return 0;
        }

        long different = 0;
        for (int i = 0; i < a.Length; i++)
        {
            different += a[i] == b[i] ? 0 : 1;
        }

        return different;
    }

    private static int Index(CaseWork work, KernelBuffer buffer)
    {
        for (int i = 0; i < work.Buffers.Count; i++)
        {
            if (work.Buffers[i] == buffer)
            {
                return i;
            }
        }

        throw new InvalidOperationException($"{buffer.Name} is a buffer of another case");
    }
}
