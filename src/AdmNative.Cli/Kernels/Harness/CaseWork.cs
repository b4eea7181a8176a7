using AdmNative.Cuda;

namespace AdmNative.Cli;

/// <summary>What an output must hold.</summary>
/// <param name="Buffer">The output.</param>
/// <param name="Reference">In f64 from the same rounded inputs, rows by columns without gaps; NaN where NaN must come out.</param>
/// <param name="Tolerance">Largest error.</param>
internal sealed record Expectation(KernelBuffer Buffer, double[] Reference, Tolerance Tolerance);

/// <summary>What an output must hold, judged on its bytes.</summary>
/// <param name="Buffer">The output.</param>
/// <param name="Judge">What is wrong with them; null when nothing is.</param>
internal sealed record ByteExpectation(KernelBuffer Buffer, Func<byte[], string?> Judge);

/// <summary>Limits on one launch; null leaves a count out.</summary>
internal sealed record LaunchGates
{
    /// <summary>Bytes of all warp requests (bytes that lanes of one request share count once) over the planned traffic.</summary>
    public double? Bytes { get; init; } = 1.05;

    /// <summary>32-byte sectors over the fewest that could hold the bytes of each request.</summary>
    public double? Sectors { get; init; } = 1.05;

    /// <summary>Shared passes lost to bank conflicts over passes; 0 for main loops of tensor-core kernels.</summary>
    public double? Conflicts { get; init; } = 0.02;

    /// <summary>Special-function results of the launch.</summary>
    public long? SpecialFunctions { get; init; }

    /// <summary>Atomic instructions times lanes: tickets.</summary>
    public long Atomics { get; init; }

    /// <summary>Arrivals of warps at barriers, exactly.</summary>
    public long? Barriers { get; init; }

    /// <summary>Registers per thread on every architecture.</summary>
    public int? Registers { get; init; }
}

/// <summary>Buffers, launches and expectations of a case, collected in <see cref="KernelCase.Build"/>.</summary>
internal sealed class CaseWork
{
    private readonly List<KernelBuffer> _buffers = [];
    private readonly List<Expectation> _expectations = [];
    private readonly List<ByteExpectation> _byteExpectations = [];
    private readonly List<(KernelPlan Plan, Func<IReadOnlyList<KernelLaunch>> Enqueue)> _stages = [];

    /// <summary>All buffers, in the order they were made.</summary>
    public IReadOnlyList<KernelBuffer> Buffers => _buffers;

    /// <summary>What must come out.</summary>
    public IReadOnlyList<Expectation> Expectations => _expectations;

    /// <summary>What must come out of buffers that are no rows of numbers.</summary>
    public IReadOnlyList<ByteExpectation> ByteExpectations => _byteExpectations;

    /// <summary>Plans in order.</summary>
    public IEnumerable<KernelPlan> Plans => _stages.Select(s => s.Plan);

    /// <summary>Limits by launch; the default is the guide's.</summary>
    public Func<PlannedLaunch, LaunchGates> Gates { get; set; } = static _ => new LaunchGates();

    /// <summary>Traffic of the whole operation by the guide's formula, e.g. 3 S b, with a limit on the ratio; null = not judged as a whole.</summary>
    public (long Bytes, double Limit)? Contract { get; set; }

    /// <summary>An input: values are rounded to the type and laid out in rows of <paramref name="columns"/> elements, <paramref name="stride"/> apart (0 = no gaps).</summary>
    public KernelBuffer Input(string name, ReadOnlySpan<float> values, KernelDType dtype, long columns = 0, long stride = 0)
    {
        columns = columns == 0 ? values.Length : columns;
        stride = stride == 0 ? columns : stride;
        long rows = values.Length / columns;
        var bytes = new byte[Size(rows, columns, stride, dtype)];
        Array.Fill(bytes, (byte)0xFF);
        for (long r = 0, i = 0; r < rows; r++)
        {
            for (long c = 0; c < columns; c++, i++)
            {
                KernelNumbers.Write(bytes, (r * stride) + c, values[(int)i], dtype);
            }
        }

        return Add(new KernelBuffer(name, dtype, rows, columns, stride, bytes, bytes.Length));
    }

    /// <summary>An input of any bytes: labels, tables, flags.</summary>
    public KernelBuffer Input(string name, byte[] bytes) => Add(new KernelBuffer(name, KernelDType.F32, 1, 0, 0, bytes, bytes.Length));

    /// <summary>An output: NaN until a kernel writes it.</summary>
    public KernelBuffer Output(string name, long rows, long columns, KernelDType dtype, long stride = 0)
    {
        stride = stride == 0 ? columns : stride;
        return Add(new KernelBuffer(name, dtype, rows, columns, stride, null, Size(rows, columns, stride, dtype)));
    }

    /// <summary>Scratch memory of a plan; null when it wants none.</summary>
    public KernelBuffer? Workspace(KernelPlan plan) =>
        plan.WorkspaceBytes == 0 ? null : Add(new KernelBuffer("workspace", KernelDType.F32, 1, 0, 0, null, plan.WorkspaceBytes));

    /// <summary>The tickets of a plan, zeros that the kernels leave as zeros; null when it has none.</summary>
    public KernelBuffer? Tickets(long bytes)
    {
        if (bytes == 0)
        {
            return null;
        }

        KernelBuffer tickets = Input("tickets", new byte[bytes]);
        ExpectBytes(tickets, bytes => bytes.AsSpan().ContainsAnyExcept((byte)0) ? "a ticket is not zero again" : null);
        return tickets;
    }

    /// <summary>Adds launches; <paramref name="enqueue"/> is called when the buffers have addresses.</summary>
    public void Run(KernelPlan plan, Func<IReadOnlyList<KernelLaunch>> enqueue) => _stages.Add((plan, enqueue));

    /// <summary>Says what a buffer must hold at the end. A buffer with initial contents may then be changed by the kernels.</summary>
    public void Expect(KernelBuffer buffer, double[] reference, Tolerance tolerance)
    {
        if (reference.LongLength != buffer.Rows * buffer.Columns)
        {
            throw new ArgumentException($"{buffer.Name} has {buffer.Rows} x {buffer.Columns} elements, its reference {reference.Length}");
        }

        _expectations.Add(new Expectation(buffer, reference, tolerance));
    }

    /// <summary>
    /// Judges the bytes a buffer holds at the end: structures, flags, pixels. The kernels may then change its initial contents. With a judge
    /// the perturbed runs must satisfy too: bits that approximate instructions reach need room in it.
    /// </summary>
    /// <param name="buffer">The buffer.</param>
    /// <param name="judge">Says what is wrong; null when nothing is.</param>
    public void ExpectBytes(KernelBuffer buffer, Func<byte[], string?> judge) => _byteExpectations.Add(new ByteExpectation(buffer, judge));

    /// <summary>All launches with their plans.</summary>
    /// <exception cref="InvalidOperationException">A launcher enqueued something else than it planned.</exception>
    internal IReadOnlyList<(PlannedLaunch Planned, KernelLaunch Launch)> Launches()
    {
        var all = new List<(PlannedLaunch, KernelLaunch)>();
        foreach ((KernelPlan plan, Func<IReadOnlyList<KernelLaunch>> enqueue) in _stages)
        {
            IReadOnlyList<KernelLaunch> launches = enqueue();
            if (launches.Count != plan.Launches.Count || !launches.Zip(plan.Launches).All(p => p.First.Entry == p.Second.Entry && p.First.Shape == p.Second.Shape))
            {
                throw new InvalidOperationException(
                    $"planned {string.Join(", ", plan.Launches.Select(l => l.Entry))}; enqueued {string.Join(", ", launches.Select(l => l.Entry))}");
            }

            all.AddRange(plan.Launches.Zip(launches));
        }

        return all;
    }

    private static long Size(long rows, long columns, long stride, KernelDType dtype) =>
        checked((((rows - 1) * stride) + columns) * dtype.Bytes());

    private KernelBuffer Add(KernelBuffer buffer)
    {
        _buffers.Add(buffer);
        return buffer;
    }
}
